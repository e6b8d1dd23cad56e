"""Reads of on-call schedules: who is on, who is next, what is not covered."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.urls import reverse

from watchbill.base.actor import Actor
from watchbill.base.errors import NotFound
from watchbill.base.ids import as_uuids
from watchbill.facts.subjects import Shown
from watchbill.oncall import rules
from watchbill.oncall.models import Feed, Override, Schedule

#: As long as a turn can be: 366 months.
_LONGEST_TURN = timedelta(days=366 * 31)


def layers_of(data: Iterable[Mapping[str, Any]]) -> tuple[rules.Layer, ...]:
    """A schedule's layers for the rules."""
    return tuple(
        rules.Layer(
            tuple(one["participants"]), one["count"], one["unit"], time.fromisoformat(one["handover"]), one["zone"], date.fromisoformat(one["start"]),
            tuple(rules.Window(frozenset(w["days"]), time.fromisoformat(w["start"]), time.fromisoformat(w["end"])) for w in one["windows"]),
            one["name"], one["begins"], date.fromisoformat(one["until"]) if one.get("until") else None,
        )
        for one in data
    )  # fmt: skip


def layer_json(layer: rules.Layer) -> dict[str, Any]:
    """A layer as it is kept."""
    return {
        "participants": list(layer.participants), "count": layer.count, "unit": layer.unit, "handover": f"{layer.handover:%H:%M}", "zone": layer.zone,
        "start": layer.start.isoformat(), "name": layer.name, "begins": layer.begins,
        "until": layer.until.isoformat() if layer.until else None,
        "windows": [{"days": sorted(w.days), "start": f"{w.start:%H:%M}", "end": f"{w.end:%H:%M}"} for w in layer.windows],
    }  # fmt: skip


def overrides_of(schedule: Schedule) -> list[rules.Override]:
    """The overrides that were loaded with a schedule, in the order in which they were made."""
    rows = sorted(schedule.overrides.all(), key=lambda one: one.id)
    return [rules.Override(one.starts_at, one.ends_at, str(one.person_id)) for one in rows if one.ended_at is None]


def _with_overrides(workspace_id: UUID, since: datetime) -> QuerySet[Schedule]:
    current = Override.objects.filter(ended_at=None, ends_at__gt=since)
    return Schedule.objects.filter(workspace_id=workspace_id, retired_at=None).prefetch_related(
        Prefetch("overrides", current)
    )


def current_schedules(workspace_id: UUID, at: datetime) -> QuerySet[Schedule]:
    """The schedules of the live handbook with the overrides that still count, by name. For rules; pages use access_schedules."""
    return _with_overrides(workspace_id, at).order_by("name", "key")


def who_is_on(workspace_id: UUID, schedule_id: UUID, at: datetime) -> UUID | None:
    """Who is on call in a schedule at an instant. For paging; pages use access_schedules."""
    schedule = _with_overrides(workspace_id, at).filter(id=schedule_id).first()
    if schedule is None:
        return None
    who, _ = rules.on_call(layers_of(schedule.layers), overrides_of(schedule), at)
    return UUID(who) if who else None


def who_is_on_between(workspace_id: UUID, schedule_id: UUID, start: datetime, end: datetime) -> list[UUID]:
    """Everybody who is on call in a schedule at some time from one instant until another, in the order of their first turn. For rules."""
    schedule = _with_overrides(workspace_id, start).filter(id=schedule_id).first()
    if schedule is None:
        return []
    found = rules.shifts(layers_of(schedule.layers), overrides_of(schedule), start, end)
    return [UUID(who) for who in dict.fromkeys(one.who for one in found if one.who)]


@dataclass(frozen=True)
class Watch:
    """A schedule as a page shows it: who is on now, until when, who is next, all shifts of the span, and the gaps in it."""

    schedule: Schedule
    shifts: list[rules.Shift]
    now: rules.Shift | None
    next: rules.Shift | None
    gaps: list[rules.Shift]


def access_schedules(
    reader: Actor,
    workspace_id: UUID,
    at: datetime,
    *,
    days: int = 14,
    start: datetime | None = None,
    whole: bool = False,
) -> list[Watch]:
    """All schedules with their shifts from ``start`` (now, unless told) for so many days; ``whole``: each uncut, and one for each turn."""
    reader.require("oncall.read", workspace_id)
    begin = start or at
    found = []
    make = rules.whole_shifts if whole else rules.shifts
    # A shift that began long ago may have begun where somebody's override ended.
    since = min(begin, at) - (_LONGEST_TURN if whole else timedelta(0))
    for schedule in _with_overrides(workspace_id, since).order_by("name", "key"):
        layers, overrides = layers_of(schedule.layers), overrides_of(schedule)
        all_shifts = make(layers, overrides, begin, begin + timedelta(days=days))
        # From now on, far enough for somebody to come after who is on.
        ahead = rules.shifts(layers, overrides, at, at + timedelta(days=62))
        current = ahead[0] if ahead else None
        following = next((one for one in ahead[1:] if one.who and (current is None or one.who != current.who)), None)
        found.append(Watch(schedule, all_shifts, current, following, rules.gaps(all_shifts)))
    return found


def schedule_names(reader: Actor, workspace_id: UUID) -> QuerySet[Schedule]:
    """The schedules by name, without their shifts."""
    reader.require("oncall.read", workspace_id)
    return Schedule.objects.filter(workspace_id=workspace_id, retired_at=None).order_by("name", "key")


def access_schedule(reader: Actor, workspace_id: UUID, schedule_id: UUID) -> Schedule:
    """One schedule. Raises NotFound."""
    reader.require("oncall.read", workspace_id)
    found = Schedule.objects.filter(workspace_id=workspace_id, id=schedule_id, retired_at=None).first()
    if found is None:
        raise NotFound("There is no such schedule here.")
    return found


def access_overrides(reader: Actor, schedule: Schedule, at: datetime) -> list[Override]:
    """Who takes over in a schedule, now or later."""
    reader.require("oncall.read", schedule.workspace_id)
    return list(Override.objects.filter(schedule=schedule, ended_at=None, ends_at__gt=at).order_by("starts_at"))


def own_feeds(reader: Actor, workspace_id: UUID) -> list[Feed]:
    """One's own calendar feeds; never what their keys are hashed from."""
    reader.require("oncall.read", workspace_id)
    rows = Feed.objects.filter(workspace_id=workspace_id, person_id=reader.id, revoked_at=None).defer("digest")
    return list(rows.select_related("schedule"))


def resolve_schedules(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Schedules as subjects."""
    if not reader.may("oncall.read", workspace_id):
        return {}
    rows = Schedule.objects.filter(workspace_id=workspace_id, id__in=as_uuids(ids))
    return {str(one.id): Shown("schedule", str(one.id), one.name, reverse("oncall", args=[slug])) for one in rows}


def search_schedules(reader: Actor, workspace_id: UUID, slug: str, words: str, limit: int) -> list[Shown]:
    """Schedules by name."""
    if not reader.may("oncall.read", workspace_id):
        return []
    rows = Schedule.objects.filter(workspace_id=workspace_id, retired_at=None)
    for word in words.split()[:6]:
        rows = rows.filter(name__icontains=word)
    return [
        Shown("schedule", str(one.id), one.name, reverse("oncall", args=[slug]), "on-call schedule") for one in rows.order_by("name")[:limit]
    ]  # fmt: skip
