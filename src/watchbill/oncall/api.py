"""Who is on call, as JSON."""

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Router, Schema, Status
from pydantic import AwareDatetime, Field, StringConstraints

from watchbill.base.errors import Invalid
from watchbill.oncall import commands
from watchbill.oncall.queries import access_schedules
from watchbill.people.edge import place_of
from watchbill.people.queries import names_of
from watchbill.runtime.now import now
from watchbill.runtime.rest import ERRORS, Page

router = Router()


class ShiftOut(Schema):
    """Somebody from one instant until another; nobody is a gap."""

    start: datetime
    end: datetime
    person_id: UUID | None
    name: str
    layer: str


class ScheduleOut(Schema):
    """A schedule: who is on now, who is next, its shifts and gaps of the days that were asked for."""

    id: UUID
    name: str
    level: str
    source: str
    problems: list[str]
    now: ShiftOut | None
    next: ShiftOut | None
    shifts: list[ShiftOut]
    gaps: list[ShiftOut]


class SchedulesPage(Page):
    """Schedules by name."""

    items: list[ScheduleOut]


class OverrideIn(Schema):
    """Who takes over, from when until when."""

    person_id: UUID
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    reason: Annotated[str, StringConstraints(max_length=300)] = ""


class OverrideOut(Schema):
    """An override."""

    id: UUID
    person_id: UUID
    starts_at: datetime
    ends_at: datetime
    reason: str


@router.get("/workspaces/{slug}/oncall", response={200: SchedulesPage, **ERRORS})
def who_is_on_call(
    request: HttpRequest, slug: str, days: Annotated[int, Field(ge=1, le=92)] = 14, at: AwareDatetime | None = None
) -> dict[str, Any]:
    """Who is on call now and next, and all shifts of the coming days; with ``at``, as of that instant."""
    reader, place = place_of(request, slug)
    begin = at or now()
    if abs(begin - now()) > timedelta(days=3660):
        raise Invalid("That is more than ten years away.", field="at")
    watches = access_schedules(reader.actor, place.id, begin, days=days)
    ids = {
        UUID(one.who)
        for watch in watches
        for one in (*watch.shifts, watch.now, watch.next)
        if one is not None and one.who
    }
    names = names_of(reader.actor, ids)

    def shown(one: Any) -> dict[str, Any] | None:
        if one is None:
            return None
        who = UUID(one.who) if one.who else None
        return {
            "start": one.start,
            "end": one.end,
            "person_id": who,
            "name": names.get(who, "somebody who left") if who else "",
            "layer": one.layer,
        }

    items = [
        {
            "id": watch.schedule.id, "name": watch.schedule.name, "level": watch.schedule.level, "source": f"{watch.schedule.path}:{watch.schedule.line}",
            "problems": watch.schedule.problems, "now": shown(watch.now), "next": shown(watch.next), "shifts": [shown(one) for one in watch.shifts],
            "gaps": [shown(one) for one in watch.gaps],
        }
        for watch in watches
    ]  # fmt: skip
    return {"items": items, "next": None}


@router.post("/workspaces/{slug}/oncall/{schedule_id}/overrides", response={201: OverrideOut, **ERRORS})
def add_override(request: HttpRequest, slug: str, schedule_id: UUID, payload: OverrideIn) -> Status[Any]:
    """Let somebody take over for some time."""
    reader, place = place_of(request, slug)
    made = commands.add_override(
        by=reader.actor, workspace_id=place.id, schedule_id=schedule_id, person_id=payload.person_id, starts_at=payload.starts_at, ends_at=payload.ends_at,
        reason=payload.reason,
    )  # fmt: skip
    return Status(
        201,
        {
            "id": made.id,
            "person_id": made.person_id,
            "starts_at": made.starts_at,
            "ends_at": made.ends_at,
            "reason": made.reason,
        },
    )


@router.delete("/workspaces/{slug}/oncall/overrides/{override_id}", response={204: None, **ERRORS})
def end_override(request: HttpRequest, slug: str, override_id: UUID) -> Status[Any]:
    """Take an override back."""
    reader, place = place_of(request, slug)
    commands.end_override(by=reader.actor, workspace_id=place.id, override_id=override_id)
    return Status(204, None)
