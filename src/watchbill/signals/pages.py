"""Pages of alerts and integrations."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from watchbill.base.errors import Invalid, WatchbillError
from watchbill.people.edge import place_of
from watchbill.people.pages import as_uuid
from watchbill.people.queries import Place, Reader
from watchbill.runtime.http import start_of
from watchbill.signals import commands
from watchbill.signals.queries import access_group, access_groups, access_problems, access_sources

FEED = 50


@require_GET
def alerts(request: HttpRequest, slug: str) -> HttpResponse:
    """Groups of alerts: what fires, or everything."""
    reader, place = place_of(request, slug)
    show = "resolved" if request.GET.get("show") == "resolved" else "open"
    words, start = request.GET.get("q", "").replace("\0", "")[:100], start_of(request)
    found = list(access_groups(reader.actor, place.id, state=show, words=words)[start : start + FEED + 1])
    context = {
        "groups": found[:FEED], "show": show, "q": words, "following": start + FEED if len(found) > FEED else None,
        "firing": access_groups(reader.actor, place.id, state="open").count(),
    }  # fmt: skip
    return render(request, "signals/alerts.html", context)


@require_GET
def group(request: HttpRequest, slug: str, group_id: UUID) -> HttpResponse:
    """One group: its alerts, what they have in common, and its history."""
    reader, place = place_of(request, slug)
    found = access_group(reader.actor, place.id, group_id)
    alerts = sorted(found.alerts.all(), key=lambda alert: (not alert.firing, alert.starts_at))
    rows = [
        {
            "alert": alert, "labels": [(name, value) for name, value in sorted(alert.labels.items()) if found.labels.get(name) != value],
            "told": [(name, value) for name, value in sorted(alert.annotations.items())],
        }
        for alert in alerts[:200]
    ]  # fmt: skip
    context = {
        "group": found,
        "rows": rows,
        "more": max(0, len(alerts) - 200),
        "events": list(found.events.order_by("-id")[:100]),
    }
    return render(request, "signals/group.html", context)


@require_http_methods(["GET", "POST"])
def integrations(request: HttpRequest, slug: str) -> HttpResponse:
    """Where alerts come from: keys, what came last, what could not be understood."""
    reader, place = place_of(request, slug)
    shown: dict[str, Any] | None = None
    error: WatchbillError | None = None
    if request.method == "POST":
        try:
            shown = _act(request, reader, place)
            if shown is None:
                return redirect("integrations", slug)
        except WatchbillError as problem:
            if problem.status not in {403, 409, 422}:
                raise
            error = problem
    sources = list(access_sources(reader.actor, place.id))
    problems = access_problems(reader.actor, place.id)
    rows = [(source, problems.get(source.id, [])) for source in sources]
    context = {"rows": rows, "protocols": commands.PROTOCOLS, "shown": shown, "error": error}
    response = render(request, "signals/integrations.html", context, status=error.status if error else 200)
    if shown:
        response["Cache-Control"] = "no-store"
    return response


def _act(request: HttpRequest, reader: Reader, place: Place) -> dict[str, Any] | None:
    post = request.POST
    common: dict[str, Any] = {"by": reader.actor, "workspace_id": place.id}
    match post.get("do"):
        case "create":
            source, text = commands.create_source(
                **common, protocol=post.get("protocol", ""), name=post.get("name", "")
            )
        case "rotate":
            source, text = commands.rotate_key(**common, source_id=as_uuid(post.get("source", "")))
        case "revoke":
            commands.revoke_source(**common, source_id=as_uuid(post.get("source", "")))
            return None
        case other:
            raise Invalid(f"“{str(other)[:40]}” is nothing this page can do.")
    return {"source": source, "url": f"{settings.PUBLIC_URL}/intake/{text}/{source.protocol}"}
