"""Incidents as JSON."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router, Schema, Status
from pydantic import Field, StringConstraints

from watchbill.base.errors import Invalid
from watchbill.incidents import calling, commands, timing
from watchbill.incidents.models import Incident
from watchbill.incidents.queries import (
    access_incident,
    access_incidents,
    access_levels,
    access_urgent,
    clocks_about,
    timeline,
)
from watchbill.people.edge import place_of
from watchbill.runtime.rest import ERRORS, MOST, Page, cut, decode_cursor, encode_cursor

router = Router()
#: How far ``order=urgent`` counts.
MOST_URGENT = 100_000
Number = Annotated[int, Field(ge=1, lt=2**31)]
Text = Annotated[str, StringConstraints(max_length=4000)]


class IncidentIn(Schema):
    """An incident that a person saw first. ``pages`` names an escalation or contact; without it the severity says whom."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=300)]
    severity: Annotated[str, StringConstraints(max_length=200)] = ""
    summary: Annotated[str, StringConstraints(max_length=2000)] = ""
    pages: Annotated[str, StringConstraints(max_length=200)] = ""


class ActIn(Schema):
    """What to do: ``text`` is a note, or the reason; ``minutes`` how long to snooze; ``severity`` which one it becomes; ``target`` who is called in."""

    do: Literal[
        "acknowledge", "escalate", "note", "brief", "severity", "snooze", "resolve", "reopen", "wait", "go_on", "call"
    ]
    text: Text = ""
    severity: Annotated[str, StringConstraints(max_length=200)] = ""
    minutes: int = 0
    target_kind: Literal["", "policy", "person", "team", "schedule", "channel"] = ""
    target_id: UUID | None = None


class CallOut(Schema):
    """Somebody who was called in: who, why, by whom, and how the page about it stands."""

    name: str
    reason: str
    asked_by: UUID | None
    asked_at: datetime
    state: str
    answered_by: UUID | None


class IncidentOut(Schema):
    """An incident."""

    id: UUID
    number: int
    code: str
    title: str
    summary: str
    state: str
    severity: str
    labels: dict[str, str]
    why: str
    group_id: UUID | None
    opened_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: UUID | None
    snoozed_until: datetime | None
    waiting_for: str
    resolved_at: datetime | None
    reopened: int = Field(description="how often a person reopened it")
    fired_again: int = Field(description="how often its alerts fired again soon after they had ended")


class ClockOut(Schema):
    """A clock of an incident."""

    kind: str
    state: str
    due_at: datetime
    met_at: datetime | None
    breached_at: datetime | None


class EventOut(Schema):
    """One line of the timeline."""

    at: datetime
    what: str
    text: str
    by: UUID | None


class IncidentWhole(IncidentOut):
    """An incident with its clocks, who was called in, and its timeline."""

    calls: list[CallOut]
    clocks: list[ClockOut]
    timeline: list[EventOut]


class IncidentsPage(Page):
    """Incidents, the newest first."""

    items: list[IncidentOut]


class LevelOut(Schema):
    """A severity of the live handbook."""

    name: str
    rank: int
    definition: str
    source: str


class LevelsPage(Page):
    """Severities, the worst first."""

    items: list[LevelOut]


def _incident(one: Incident) -> dict[str, Any]:
    return {
        "id": one.id, "number": one.number, "code": one.code, "title": one.title, "summary": one.summary, "state": one.state, "severity": one.severity,
        "labels": one.labels, "why": one.policy.get("why", ""), "group_id": one.group_id, "opened_at": one.opened_at, "acknowledged_at": one.acknowledged_at,
        "acknowledged_by": one.acknowledged_by, "snoozed_until": one.snoozed_until, "waiting_for": one.waiting_for, "resolved_at": one.resolved_at,
        "reopened": one.reopened, "fired_again": one.flaps,
    }  # fmt: skip


@router.get("/workspaces/{slug}/incidents", response={200: IncidentsPage, **ERRORS})
def list_incidents(
    request: HttpRequest, slug: str, state: Literal["", "open", "acknowledged", "resolved"] = "", order: Literal["newest", "urgent"] = "newest", limit: Annotated[int, Field(ge=1, le=MOST)] = 50,
    cursor: Annotated[str, Query(max_length=100)] = "",
) -> dict[str, Any]:  # fmt: skip
    """Incidents, the newest first; ``state=open`` are all that are not over. ``order=urgent`` are those that are not over, as the
    console lists them: the worst severity first, then what nobody has acknowledged, then what is late, then the oldest; its pages are counted, so that one may move."""
    reader, place = place_of(request, slug)
    if order == "urgent":
        if state in ("acknowledged", "resolved"):
            raise Invalid(
                "order=urgent lists what is not over.", hint="Leave out state, or say state=open.", field="order"
            )
        start = min(max(decode_cursor(cursor, int) or 0, 0), MOST_URGENT)
        rows = list(access_urgent(reader.actor, place.id)[start : start + limit + 1])
        following = encode_cursor(start + limit) if len(rows) > limit else None
        return {"items": [_incident(one) for one in rows[:limit]], "next": following}
    found = access_incidents(reader.actor, place.id, state=state)
    before = decode_cursor(cursor, UUID)
    if before is not None:
        found = found.filter(id__lt=before)
    items, following = cut(list(found[: limit + 1]), limit, lambda one: one.id)
    return {"items": [_incident(one) for one in items], "next": following}


@router.post("/workspaces/{slug}/incidents", response={201: IncidentOut, **ERRORS})
def declare_incident(request: HttpRequest, slug: str, payload: IncidentIn) -> Status[Any]:
    """Declare an incident; it pages at once."""
    reader, place = place_of(request, slug)
    made = commands.declare_incident(
        by=reader.actor, workspace_id=place.id, title=payload.title, severity=payload.severity, summary=payload.summary, pages=payload.pages
    )  # fmt: skip
    return Status(201, _incident(made))


@router.get("/workspaces/{slug}/incidents/{number}", response={200: IncidentWhole, **ERRORS})
def get_incident(request: HttpRequest, slug: str, number: Number) -> dict[str, Any]:
    """One incident with its clocks and timeline."""
    reader, place = place_of(request, slug)
    found = access_incident(reader.actor, place.id, number)
    clocks = [
        {
            "kind": one.kind,
            "state": one.state,
            "due_at": one.due_at,
            "met_at": one.met_at,
            "breached_at": one.breached_at,
        }
        for one in clocks_about(reader.actor, found)
    ]
    events = [
        {"at": one.at, "what": one.what, "text": one.words, "by": one.by} for one in timeline(reader.actor, found)
    ]
    calls = [asdict(one) for one in calling.calls_about(reader.actor, found)]
    return _incident(found) | {"calls": calls, "clocks": clocks, "timeline": events}


@router.post("/workspaces/{slug}/incidents/{number}", response={200: IncidentOut, **ERRORS})
def act_on_incident(request: HttpRequest, slug: str, number: Number, payload: ActIn) -> dict[str, Any]:
    """Acknowledge, escalate, note, brief, change the severity, snooze, wait, go on, call somebody in, resolve or reopen."""
    reader, place = place_of(request, slug)
    found = access_incident(reader.actor, place.id, number)
    common: dict[str, Any] = {"by": reader.actor, "workspace_id": place.id, "incident_id": found.id}
    match payload.do:
        case "acknowledge":
            found = commands.acknowledge(**common)
        case "escalate":
            found = commands.escalate(**common, reason=payload.text)
        case "note":
            found = commands.add_note(**common, text=payload.text)
        case "brief":
            found = timing.briefed(**common)
        case "severity":
            found = timing.change_severity(**common, severity=payload.severity)
        case "snooze":
            found = timing.snooze(**common, minutes=payload.minutes)
        case "resolve":
            found = commands.resolve(**common, text=payload.text)
        case "reopen":
            found = commands.reopen(**common, reason=payload.text)
        case "wait":
            found = timing.wait(**common, reason=payload.text)
        case "go_on":
            found = timing.go_on(**common)
        case "call":
            if payload.target_id is None or not payload.target_kind:
                raise Invalid("Say who is to come.", field="target_id")
            calling.call_in(**common, target_kind=payload.target_kind, target_id=payload.target_id, reason=payload.text)
    return _incident(found)


@router.get("/workspaces/{slug}/severities", response={200: LevelsPage, **ERRORS})
def list_severities(request: HttpRequest, slug: str) -> dict[str, Any]:
    """The severities of the live handbook."""
    reader, place = place_of(request, slug)
    rows = access_levels(reader.actor, place.id)
    return {
        "items": [
            {"name": one.name, "rank": one.rank, "definition": one.definition, "source": f"{one.path}:{one.line}"}
            for one in rows
        ],
        "next": None,
    }
