"""Pages of incidents."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from watchbill.base.errors import Invalid, WatchbillError
from watchbill.incidents import calling, commands, timing
from watchbill.incidents.models import Incident
from watchbill.incidents.queries import (
    Burning,
    access_burning,
    access_incident,
    access_incidents,
    access_levels,
    access_urgent,
    clocks_about,
    timeline,
)
from watchbill.incidents.rules import WORDS, may_wait, tone_of
from watchbill.paging.models import Page
from watchbill.paging.queries import Targets, access_policies, access_targets, pages_about
from watchbill.paging.unanswered import outcome_of
from watchbill.people.edge import place_of
from watchbill.people.pages import as_uuid
from watchbill.people.queries import Place, Reader, names_of
from watchbill.runtime.http import start_of

FEED = 50
STATES = {
    "open": ("wrong", "not acknowledged"),
    "acknowledged": ("notice", "acknowledged"),
    "resolved": ("ok", "resolved"),
}
_CLOCKS = {
    "running": ("info", "running"),
    "paused": ("off", "paused"),
    "met": ("ok", "in time"),
    "breached": ("wrong", "late"),
}
_CALLS = {
    "called": ("notice", "called"),
    "coming": ("ok", "coming"),
    "no answer": ("wrong", "no answer"),
    "not reached": ("wrong", "not reached"),
    "over": ("off", "over"),
}
#: Where a button in a list leads back to.
_LISTS = ("overview", "incidents")
SNOOZES = ((15, "15 min"), (60, "1 hour"), (240, "4 hours"), (1440, "1 day"))


@require_http_methods(["GET", "POST"])
def incidents(request: HttpRequest, slug: str) -> HttpResponse:
    """Incidents: those that are not over, or all; and declaring one."""
    reader, place = place_of(request, slug)
    error: WatchbillError | None = None
    if request.method == "POST":
        try:
            post = request.POST
            made = commands.declare_incident(
                by=reader.actor, workspace_id=place.id, title=post.get("title", ""), severity=post.get("severity", ""), summary=post.get("summary", ""),
                pages=post.get("pages", ""),
            )  # fmt: skip
            return redirect("incident", slug, made.number)
        except WatchbillError as problem:
            if problem.status not in {403, 409, 422}:
                raise
            error = problem
    show = "resolved" if request.GET.get("show") == "resolved" else "open"
    words, start = request.GET.get("q", "").replace("\0", "")[:100], start_of(request)
    if show == "open":
        wanted = access_urgent(reader.actor, place.id, words=words)
    else:
        wanted = access_incidents(reader.actor, place.id, state="resolved", words=words).order_by("-resolved_at", "-id")
    found, burning = list(wanted[start : start + FEED + 1]), access_burning(reader.actor, place.id, FEED)[1]
    policies = access_policies(reader.actor, place.id) if reader.actor.may("page.read", place.id) else []
    context = {
        "rows": incident_rows(reader, found[:FEED]),
        "show": show,
        "q": words,
        "error": error,
        "following": start + FEED if len(found) > FEED else None,
        "count": burning.total,
        "answer": _burning_words(burning),
        "levels": list(access_levels(reader.actor, place.id)),
        "policies": [one for one in policies if "#" not in one.key],
    }
    return render(request, "incidents/incidents.html", context, status=error.status if error else 200)


@dataclass(frozen=True)
class Row:
    """An incident in a list: the colour of its severity, how it stands, which clock is late, who has it."""

    incident: Incident
    tone: str
    state: tuple[str, str]
    late: str
    owner: str


def incident_rows(reader: Reader, found: Sequence[Incident]) -> list[Row]:
    """Incidents as a list shows them: one query for the names of all."""
    names = names_of(reader.actor, {one.acknowledged_by for one in found if one.acknowledged_by})
    rows = []
    for one in found:
        kind = getattr(one, "late_kind", None)
        late = WORDS.get(kind, kind) if kind else ""
        owner = names.get(one.acknowledged_by, "somebody who left") if one.acknowledged_by else ""
        rows.append(Row(one, tone_of(one.rank), STATES[one.state], late, owner))
    return rows


def _burning_words(burning: Burning) -> str:
    """How many are not over, and what is worst about them; empty where none is."""
    if not burning.total:
        return ""
    parts = [
        f"{burning.total} incident{'s are' if burning.total > 1 else ' is'} not over",
        f"{burning.waiting} not acknowledged" if burning.waiting else "",
        f"{burning.late} late" if burning.late else "",
        f"nobody could be reached about {burning.unreached}" if burning.unreached else "",
        f"nobody answered any page about {burning.unacknowledged}" if burning.unacknowledged else "",
        f"{burning.unpaged} page{'' if burning.unpaged > 1 else 's'} nobody" if burning.unpaged else "",
    ]
    return ", ".join(part for part in parts if part) + "."


@require_http_methods(["GET", "POST"])
def incident(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """One incident: what to do first, who was paged and why, its clocks, everything that happened."""
    reader, place = place_of(request, slug)
    found = access_incident(reader.actor, place.id, number)
    error: WatchbillError | None = None
    if request.method == "POST":
        try:
            _act(request, reader, place, found)
            back = request.POST.get("back", "")
            return redirect(back, slug) if back in _LISTS else redirect("incident", slug, number)
        except WatchbillError as problem:
            if problem.status not in {403, 409, 422}:
                raise
            error = problem
            found = access_incident(reader.actor, place.id, number)
    return render(
        request, "incidents/incident.html", _context(reader, place, found) | {"error": error}, status=error.status if error else 200
    )  # fmt: skip


def _context(reader: Reader, place: Place, found: Incident) -> dict[str, Any]:
    events = timeline(reader.actor, found)
    pages = (
        list(pages_about(reader.actor, place.id, ("incident", found.id)))
        if reader.actor.may("page.read", place.id)
        else []
    )
    page = pages[0] if pages else None
    ids = {one.by for one in events if one.by} | {
        one for one in (found.acknowledged_by, found.resolved_by, found.opened_by) if one
    }
    names = names_of(reader.actor, ids)
    guide, clocks = commands.guide_of(found), clocks_about(reader.actor, found)
    levels = list(access_levels(reader.actor, place.id))
    return {
        "incident": found, "pill": STATES[found.state], "events": [(one, names.get(one.by) if one.by else "") for one in reversed(events)],
        "clocks": [(one, WORDS.get(one.kind, one.kind), _CLOCKS[one.state]) for one in clocks],
        "page": page, "deliveries": list(page.deliveries.all()) if page else [], "answer": _answer(found, page, names.get(found.acknowledged_by) if found.acknowledged_by else ""),
        "guide": guide, "guide_url": f"{reverse('runbook', args=[place.slug, guide.path])}#L{guide.line}" if guide else "",
        "severity": found.policy.get("severity") or {}, "why": found.policy.get("why", ""), "levels": [one for one in levels if one.name != found.severity],
        "snoozes": SNOOZES, "calls": [(one, _CALLS[one.state]) for one in calling.calls_about(reader.actor, found)], "targets": _targets(reader, place, found),
        "can_wait": may_wait(found.state, found.waiting_for, [one.kind for one in clocks if one.state == "running"]), "route": found.route, "owes_brief": any(one.kind == "brief" and one.met_at is None for one in clocks),
        "safe_url": found.runbook_url if found.runbook_url.startswith(("https://", "http://")) else "",
    }  # fmt: skip


def _targets(reader: Reader, place: Place, found: Incident) -> Targets:
    """Who can be called in."""
    may = reader.actor.may("incident.respond", place.id) and reader.actor.may("page.read", place.id)
    return access_targets(reader.actor, place.id) if may and found.state != "resolved" else []


def _answer(found: Incident, page: Page | None, who: str | None) -> str:
    """The one sentence that matters."""
    if found.state == "resolved":
        return "It is over."
    if found.waiting_for:
        return f"{who or 'Somebody'} sees to it; it waits for something: {found.waiting_for}."
    if found.snoozed_until:
        return f"{who or 'Somebody'} snoozed it; it pages again when its rest is over."
    if found.state == "acknowledged":
        return f"{who or 'Somebody'} sees to it."
    if page is None:
        return "It pages nobody: see why below."
    if page.state == "exhausted":
        if outcome_of(page) == "unacknowledged":
            return "Nobody acknowledged: everybody was paged, and nobody answered. Acknowledge it, or call somebody."
        return "Nobody could be reached. Acknowledge it, or call somebody."
    steps = len(page.policy.get("steps", []))
    told = list(
        dict.fromkeys(one.target for one in page.deliveries.all() if one.step == page.step and one.state != "stopped")
    )
    if not told:
        stopped = next((one.reason for one in page.deliveries.all() if one.step == page.step and one.reason), "")
        return (
            f"Nobody acknowledged yet. Step {page.step} of {steps} reaches nobody{f': {stopped}' if stopped else ''}."
        )
    return f"Nobody acknowledged yet. Step {page.step} of {steps} pages {', '.join(told)}."


def _act(request: HttpRequest, reader: Reader, place: Place, found: Incident) -> None:
    post = request.POST
    common: dict[str, Any] = {"by": reader.actor, "workspace_id": place.id, "incident_id": found.id}
    match post.get("do"):
        case "acknowledge":
            commands.acknowledge(**common)
        case "resolve":
            commands.resolve(**common, text=post.get("text", ""))
        case "escalate":
            commands.escalate(**common, reason=post.get("text", ""))
        case "note":
            commands.add_note(**common, text=post.get("text", ""))
        case "brief":
            timing.briefed(**common)
        case "reopen":
            commands.reopen(**common, reason=post.get("text", ""))
        case "wait":
            timing.wait(**common, reason=post.get("text", ""))
        case "go_on":
            timing.go_on(**common)
        case "call":
            kind, _, target = post.get("target", "").partition(":")
            if not target:
                raise Invalid("Say who is to come.", field="target")
            calling.call_in(**common, target_kind=kind, target_id=as_uuid(target), reason=post.get("text", ""))
        case "severity":
            timing.change_severity(**common, severity=post.get("severity", ""))
        case "snooze":
            minutes = post.get("minutes", "")
            if not (minutes.isascii() and minutes.isdecimal() and len(minutes) < 7):
                raise Invalid("Say for how many minutes.", field="minutes")
            timing.snooze(**common, minutes=int(minutes))
        case other:
            raise Invalid(f"“{str(other)[:40]}” is nothing this page can do.")


@require_GET
def by_group(request: HttpRequest, slug: str, group_id: UUID) -> HttpResponse:
    """The incident of a group of alerts."""
    reader, place = place_of(request, slug)
    found = access_incidents(reader.actor, place.id).filter(group_id=group_id).first()
    if found is None:
        return redirect("alert_group", slug, group_id)
    return redirect("incident", slug, found.number)
