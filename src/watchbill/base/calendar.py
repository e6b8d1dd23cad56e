"""Business time: when it runs, and when a span of it is over. Pure; no clock, no database.

A span of business *hours* counts only while business runs. A span of business *days* counts days: it is over at the same local
time on the n-th business day after the one it began on; what begins outside of business hours begins when they next open. A span
of months or years is over on the same day of the month, or on its last. Plain hours and days are elapsed time: “24 h” is 24 hours also when the
clocks change, “P1D” is the same local time tomorrow. Of a length in several units the months come first, then the days, then the rest.
Lengths are ISO 8601 durations (`base.durations`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from watchbill.base.durations import Span
from watchbill.base.errors import Invalid

#: The days of the week, Monday first, as settings and runbooks name them.
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
#: No deadline is looked for further away than this many days: a calendar without any business day must end, too.
HORIZON = 4000


@dataclass(frozen=True)
class Calendar:
    """When business runs: weekdays (Monday is 0) from ``opens`` to ``closes`` in ``zone``, but for days ``off``; ``short`` days close earlier."""

    zone: str = "UTC"
    weekdays: frozenset[int] = frozenset(range(5))
    opens: time = time(9)
    closes: time = time(17)
    off: frozenset[date] = frozenset()
    short: Mapping[date, time] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.zone, self.weekdays, self.opens, self.closes, self.off, tuple(sorted(self.short.items()))))

    def window(self, day: date) -> tuple[datetime, datetime] | None:
        """Business time of a day, as two instants; None on a day off."""
        return _window(self, day)

    def is_open(self, at: datetime) -> bool:
        """Whether business runs at an instant."""
        found = self.window(self.local(at).date())
        return found is not None and found[0] <= at < found[1]

    def local(self, at: datetime) -> datetime:
        """The instant in the calendar's zone."""
        return at.astimezone(ZoneInfo(self.zone))

    def opening(self, at: datetime) -> datetime:
        """``at`` where business runs then; else when it next opens. Raises Invalid where it never does."""
        at, day = at.astimezone(UTC), self.local(at).date()
        for _ in range(HORIZON):
            found = self.window(day)
            if found and at < found[1]:
                return max(at, found[0])
            day += timedelta(days=1)
        raise Invalid(
            "This calendar has no business time.", hint="Look at business_hours and holidays in watchbill.yaml."
        )

    def between(self, start: datetime, end: datetime) -> float:
        """Seconds of business time from one instant to another; nothing where the end is not after the start."""
        total, day, last = 0.0, self.local(start).date(), self.local(end).date()
        # In one zone Python subtracts what clocks show, not what passed.
        start, end = start.astimezone(UTC), end.astimezone(UTC)
        while day <= last:
            found = self.window(day)
            if found:
                total += max(0.0, (min(end, found[1]) - max(start, found[0])).total_seconds())
            day += timedelta(days=1)
        return total


@lru_cache(maxsize=8192)
def _window(calendar: Calendar, day: date) -> tuple[datetime, datetime] | None:
    if day.weekday() not in calendar.weekdays or day in calendar.off:
        return None
    zone = ZoneInfo(calendar.zone)
    opens, closes = (
        datetime.combine(day, at, zone).astimezone(UTC)
        for at in (calendar.opens, calendar.short.get(day, calendar.closes))
    )
    return (opens, closes) if opens < closes else None


def _same_time(local: datetime, day: date) -> datetime:
    """The same local time on another day; in the hour that does not exist, the instant an hour later by the clock."""
    return datetime.combine(day, local.time(), local.tzinfo).replace(fold=local.fold).astimezone(UTC)


def after(start: datetime, span: Span, calendar: Calendar) -> datetime:
    """When a span that begins at ``start`` is over, in UTC. ``start`` is aware."""
    start = start.astimezone(UTC)
    if span.months:
        start = _months(start, span.months, calendar)
    if span.business and (span.seconds or span.days):
        begun = calendar.opening(start)
        if span.days:
            begun = _business_days(begun, span.days, calendar)
        if not span.seconds:
            return begun
        return _business_seconds(begun if calendar.is_open(begun) else calendar.opening(begun), span.seconds, calendar)
    if span.days:
        whole, part = int(span.days), span.days % 1
        local = calendar.local(start)
        start = _same_time(local, local.date() + timedelta(days=whole)) + timedelta(days=part)
    return start + timedelta(seconds=span.seconds)


def _there(calendar: Calendar, day: date) -> tuple[datetime, datetime]:
    found = calendar.window(day)
    if found is None:
        raise Invalid("This deadline is further away than ten years of business time.")
    return found


def _business_seconds(start: datetime, seconds: float, calendar: Calendar) -> datetime:
    at, left = start, seconds
    for _ in range(HORIZON):
        found = _there(calendar, calendar.local(at).date())
        there = (found[1] - at).total_seconds()
        if left <= there:
            return (at + timedelta(seconds=left)).astimezone(UTC)
        left -= there
        at = calendar.opening(found[1])
    raise Invalid("This deadline is further away than ten years of business time.")


def _business_days(start: datetime, days: float, calendar: Calendar) -> datetime:
    """The same local time, the n-th business day on; on a shorter day its closing. Half a day is half of a day's business time."""
    local, day, left = calendar.local(start), calendar.local(start).date(), int(days)
    for _ in range(HORIZON):
        if left == 0:
            break
        day += timedelta(days=1)
        left -= calendar.window(day) is not None
    found = _there(calendar, day)
    at = min(max(_same_time(local, day), found[0]), found[1])
    part = days % 1
    if not part:
        return at
    return _business_seconds(at if at < found[1] else calendar.opening(at), part * _day_length(calendar), calendar)


def _day_length(calendar: Calendar) -> float:
    return (
        datetime.combine(date(2000, 1, 3), calendar.closes) - datetime.combine(date(2000, 1, 3), calendar.opens)
    ).total_seconds()


def _months(start: datetime, months: int, calendar: Calendar) -> datetime:
    local = calendar.local(start)
    number = local.year * 12 + local.month - 1 + months
    year, month = divmod(number, 12)
    month += 1
    last = (date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)).day
    return _same_time(local, date(year, month, min(local.day, last)))


def part_way(start: datetime, due: datetime, share: float, span: Span, calendar: Calendar) -> datetime:
    """The instant at which a share (0.5: half) of a span's own time is over: of its business time where it counts business time."""
    start, due = start.astimezone(UTC), due.astimezone(UTC)
    if not (span.business and (span.seconds or span.days)):
        return start + (due - start) * share
    begun = calendar.opening(start)
    return _business_seconds(begun, calendar.between(begun, due) * share, calendar)


def remaining(now: datetime, due: datetime, span: Span, calendar: Calendar) -> float:
    """Seconds of a span's own time that are left."""
    if span.business and (span.seconds or span.days):
        return calendar.between(now, due)
    return max(0.0, (due.astimezone(UTC) - now.astimezone(UTC)).total_seconds())


def go_on(now: datetime, seconds: float, span: Span, calendar: Calendar) -> datetime:
    """When ``seconds`` of a span's own time, left at a pause, are over."""
    if span.business and (span.seconds or span.days):
        return _business_seconds(calendar.opening(now), seconds, calendar)
    return now.astimezone(UTC) + timedelta(seconds=seconds)
