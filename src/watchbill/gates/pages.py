"""Pages of requests for approval: what is asked, what was answered, what was decided."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from watchbill.base.errors import Invalid
from watchbill.gates import commands
from watchbill.gates.models import Request
from watchbill.gates.queries import access_request, access_requests
from watchbill.gates.rules import Reason, decide
from watchbill.people.edge import place_of
from watchbill.people.pages import attempt
from watchbill.people.queries import Place, Reader, names_of
from watchbill.runtime.now import now

FEED = 100
#: state → (kind of pill, word)
STATES = {
    "open": ("info", "waiting"),
    "approved": ("ok", "approved"),
    "refused": ("wrong", "refused"),
    "withdrawn": ("off", "withdrawn"),
    "expired": ("off", "expired"),
    "used": ("ok", "carried out"),
    "broken": ("notice", "glass broken"),
}


def state_of(one: Request, at: datetime) -> tuple[str, str]:
    """The pill of a request; what waited too long is expired before anybody writes it down."""
    return STATES["expired" if one.state in {"open", "approved"} and at >= one.expires_at else one.state]


@require_GET
def requests(request: HttpRequest, slug: str) -> HttpResponse:
    """All requests, newest first."""
    reader, place = place_of(request, slug)
    found = list(access_requests(reader.actor, place.id).defer("shown")[: FEED + 1])
    names = names_of(reader.actor, {one.requested_by for one in found})
    at = now()
    rows = [(one, state_of(one, at), names.get(one.requested_by, "Somebody you cannot see")) for one in found[:FEED]]
    return render(request, "gates/requests.html", {"rows": rows, "more": len(found) > FEED})


@require_http_methods(["GET", "POST"])
def request(request: HttpRequest, slug: str, request_id: UUID) -> HttpResponse:
    """One request: exactly what would be done, every condition with its reason, who answered; answering it."""
    reader, place = place_of(request, slug)
    found = access_request(reader.actor, place.id, request_id)
    error = None
    if request.method == "POST":
        error = attempt(lambda: _act(request, reader, place, request_id))
        if error is None:
            return redirect("request", slug, request_id)
    answers, decisions = list(found.answers.all()), list(found.decisions.all())
    people = {
        found.requested_by,
        found.reviewed_by,
        *(one.person_id for one in answers),
        *(one.by for one in decisions),
    }
    names = names_of(reader.actor, {one for one in people if one})
    at = now()
    waiting = found.state in {"open", "approved"} and at < found.expires_at
    holds = reader.actor.may(found.needs, place.id)
    mine = found.requested_by == reader.person_id
    context = {
        "asked": found,
        "pill": state_of(found, at),
        "who": names.get(found.requested_by, "Somebody you cannot see"),
        "reasons": _reasons(found),
        "answers": [(one, names.get(one.person_id, "Somebody you cannot see")) for one in answers],
        "decisions": [(one, names.get(one.by, "Somebody you cannot see")) for one in decisions],
        "reviewer": names.get(found.reviewed_by) if found.reviewed_by else "",
        "can_answer": waiting and holds and not mine and reader.person_id not in {one.person_id for one in answers},
        "can_withdraw": waiting and mine,
        "can_review": found.state == "broken" and found.reviewed_at is None and holds and not mine,
        "waiting": waiting,
        "mine": mine,
        "error": error,
    }  # fmt: skip
    return render(request, "gates/request.html", context, status=error.status if error else 200)


def _reasons(found: Request) -> list[Reason]:
    """The conditions as they stand; of what is over, as they were decided."""
    decided = list(found.decisions.all())
    if decided:
        return [Reason(*one) for one in decided[-1].reasons]
    return list(decide(found.gate, found.policy, commands.context_of(found), now()).reasons)


def _act(request: HttpRequest, reader: Reader, place: Place, request_id: UUID) -> Any:
    post = request.POST
    common: dict[str, Any] = {"by": reader.actor, "workspace_id": place.id, "request_id": request_id}
    match post.get("do"):
        case "approve" | "refuse" as what:
            return commands.answer(
                **common, approves=what == "approve", digest=post.get("digest", ""), note=post.get("note", "")
            )
        case "withdraw":
            return commands.withdraw(**common)
        case "review":
            return commands.review(**common)
        case other:
            raise Invalid(f"“{str(other)[:40]}” is nothing this page can do.")
