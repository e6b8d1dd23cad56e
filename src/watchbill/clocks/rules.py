"""When a clock warns and when it is breached: pure functions of its stamped policy and an instant."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any

from watchbill.base.calendar import Calendar, after, go_on, part_way, remaining
from watchbill.base.durations import Span, read_span
from watchbill.base.errors import Invalid

WARN = (50, 80)


@dataclass(frozen=True)
class Policy:
    """How long, in whose business time, and at which percentages of it somebody is warned."""

    duration: str
    business: bool = False
    warn: tuple[int, ...] = WARN
    calendar: Calendar = field(default_factory=Calendar)

    def __post_init__(self) -> None:
        read_span(self.duration)
        if any(not 0 < percent < 100 for percent in self.warn) or sorted(set(self.warn)) != list(self.warn):
            raise Invalid("Warnings are percentages between 1 and 99, rising.", field="warn")

    @property
    def span(self) -> Span:
        """Its length."""
        return read_span(self.duration, self.business)


def policy_json(policy: Policy) -> dict[str, Any]:
    """A policy as it is stamped on a clock: a later change of the handbook does not change it."""
    calendar = policy.calendar
    return {
        "duration": policy.duration,
        "business": policy.business,
        "warn": list(policy.warn),
        "calendar": {
            "zone": calendar.zone, "days": sorted(calendar.weekdays), "opens": f"{calendar.opens:%H:%M}", "closes": f"{calendar.closes:%H:%M}",
            "off": sorted(day.isoformat() for day in calendar.off), "short": {day.isoformat(): f"{at:%H:%M}" for day, at in sorted(calendar.short.items())},
        },
    }  # fmt: skip


def read_policy(data: Mapping[str, Any]) -> Policy:
    """The stamped policy of a clock."""
    told = data["calendar"]
    calendar = Calendar(
        told["zone"], frozenset(told["days"]), time.fromisoformat(told["opens"]), time.fromisoformat(told["closes"]),
        frozenset(date.fromisoformat(day) for day in told["off"]), {date.fromisoformat(day): time.fromisoformat(at) for day, at in told["short"].items()},
    )  # fmt: skip
    return Policy(data["duration"], data["business"], tuple(data["warn"]), calendar)


def due_at(policy: Policy, start: datetime) -> datetime:
    """When it is breached if nothing happens."""
    return after(start, policy.span, policy.calendar)


def warnings(policy: Policy, start: datetime, due: datetime) -> list[tuple[datetime, int]]:
    """When it warns, with the percentage that is over then."""
    return [(part_way(start, due, percent / 100, policy.span, policy.calendar), percent) for percent in policy.warn]


def left(policy: Policy, now: datetime, due: datetime) -> float:
    """Seconds of its own time that are left: what a pause keeps."""
    return remaining(now, due, policy.span, policy.calendar)


def resumed(policy: Policy, now: datetime, seconds: float) -> datetime:
    """When it is due after a pause with so many seconds left."""
    return go_on(now, seconds, policy.span, policy.calendar)


def next_event(warned: int, warns: list[tuple[datetime, int]], due: datetime) -> datetime:
    """When somebody has to look at it next: the first warning that was not given yet, else the deadline."""
    return min([at for at, percent in warns if percent > warned] + [due])
