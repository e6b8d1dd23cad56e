"""Calling somebody in: an expert, another team, whoever is on call elsewhere. Its line in the timeline is what the page is about."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.urls import reverse

from watchbill.base.actor import Actor
from watchbill.base.errors import NotFound
from watchbill.facts.subjects import Shown
from watchbill.incidents.commands import CALL, CALLED, changed, clean, incident_of, not_over, say, subject_of
from watchbill.incidents.models import Incident, IncidentEvent
from watchbill.ledger.command import command, record
from watchbill.ledger.quieter import harmless
from watchbill.paging import commands as paging
from watchbill.paging.models import Page
from watchbill.paging.queries import target_named
from watchbill.paging.unanswered import judged, outcomes_of
from watchbill.people.models import Person, Workspace


@dataclass(frozen=True)
class Called:
    """Somebody who was called in, and how the page about it stands: called, coming, no answer (it went out), not reached, over."""

    name: str
    reason: str
    asked_by: UUID | None
    asked_at: datetime
    state: str
    answered_by: UUID | None


_STATES = {
    "running": "called", "acknowledged": "coming", "unacknowledged": "no answer", "unreached": "not reached", "ended": "over",
}  # fmt: skip


@command("incident.call", needs="incident.respond", quieter=harmless("it pages more people"))
def call_in(
    *, by: Actor, workspace_id: UUID, incident_id: UUID, target_kind: str, target_id: UUID, reason: str = ""
) -> Incident:
    """Pages somebody about an incident who is not in its escalation. Where nobody answers, whoever asked hears so."""
    incident = incident_of(workspace_id, incident_id)
    not_over(incident)
    name, policy = target_named(workspace_id, target_kind, target_id)
    if not policy:
        raise NotFound("There is nobody such here to call in.")
    reason = clean(reason, 300)
    event = say(incident, CALLED, reason, by, {"kind": target_kind, "id": str(target_id), "name": name})
    who = Person.objects.filter(id=by.id).values_list("name", flat=True).first() or "Somebody"
    if not policy.get("otherwise"):
        policy = {
            **policy,
            "otherwise": [
                {"kind": "person", "id": str(by.id), "name": who, "why": f"you called in {name}, and nobody answered"}
            ],
        }
    slug = Workspace.objects.filter(id=workspace_id).values_list("slug", flat=True).get()
    head = f"[{incident.severity}] " if incident.severity else ""
    paging.start(
        by=by, workspace_id=workspace_id, subject=(CALL, event.id), title=f"{head}{who} calls you in: {incident.title} ({incident.code})",
        text="\n".join(part for part in (reason, incident.summary) if part), url=reverse("incident", args=[slug, incident.number]), policy=policy,
        why=f"{who} called in {name}{f': {reason}' if reason else ''}", urgency="high",
    )  # fmt: skip
    record(
        subject_of(incident),
        detail={"kind": target_kind, "target": str(target_id)},
        personal={"reason": reason} if reason else None,
    )
    changed(incident, CALLED)
    return incident


def _line(event_id: str) -> IncidentEvent | None:
    return IncidentEvent.objects.filter(id=int(event_id), what=CALLED).select_related("incident").first()


def answered(event_id: str, page: Page) -> None:
    """Somebody who was called in comes: the timeline says so."""
    line = _line(event_id)
    if line is not None and page.acknowledged_by is not None:
        about = {} if line.about["kind"] == "person" else line.about
        say(line.incident, "comes", by=page.acknowledged_by, about=about)
        changed(line.incident, "comes")


def unanswered(event_id: str, page: Page) -> None:
    """Nobody who was called in answered: they did not, or could not be reached."""
    line, unreached = _line(event_id), judged(page) == "unreached"
    if line is not None:
        what, why = ("unreached", "could not be reached") if unreached else ("no answer", "did not answer")
        say(line.incident, what, f"called in, and {why}", about=line.about)
        changed(line.incident, what)


def calls_about(reader: Actor, incident: Incident) -> list[Called]:
    """Who was called in, the latest first: two queries, and one more where somebody did not answer."""
    reader.require("incident.read", incident.workspace_id)
    lines = {str(one.id): one for one in IncidentEvent.objects.filter(incident=incident, what=CALLED).order_by("-id")}
    pages: Mapping[str, Any] = {
        one.subject_id: one for one in Page.objects.filter(workspace_id=incident.workspace_id, subject_kind=CALL, subject_id__in=list(lines))
    }  # fmt: skip
    outcomes = outcomes_of(pages.values())
    found = []
    for identifier, line in lines.items():
        page = pages.get(identifier)
        found.append(
            Called(
                line.about["name"],
                line.text,
                line.by,
                line.at,
                _STATES[outcomes.get(page.id, page.state)] if page else "called",
                page.acknowledged_by if page else None,
            )
        )
    return found


def resolve_calls(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Calls as subjects: they lead to their incident."""
    if not reader.may("incident.read", workspace_id):
        return {}
    rows = IncidentEvent.objects.filter(
        workspace_id=workspace_id, id__in=[int(one) for one in ids if one.isdecimal()]
    ).select_related("incident")
    return {
        str(one.id): Shown(CALL, str(one.id), f"{one.incident.code} {one.incident.title}", reverse("incident", args=[slug, one.incident.number]))
        for one in rows
    }  # fmt: skip
