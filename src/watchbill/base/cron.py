"""Cron lines: the one reading of them in the whole product, pure. The grammar is Debian cron's, as ``cronsim`` reads it.

A job at fixed times ("30 2 * * *") runs once a day: in the hour that does not exist it runs when the hour is over, in the
hour that comes twice it runs the first time. A job at intervals ("*/20 2 * * *", a star first in the minute or the hour)
runs whenever the clock on the wall fits: not at all in the hour that does not exist, twice in the hour that comes twice.
"""

import itertools
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from cronsim.cronsim import Field

from watchbill.base.errors import Invalid

LONGEST = 100
#: How far a step can go in each field, and what starts it anew.
_SPANS = ((60, "an hour"), (24, "a day"), (31, "a month"), (12, "a year"), (7, "a week"))
_ZONE_BEFORE = re.compile(r"(?:CRON_)?TZ=(\S*)", re.IGNORECASE)
#: What comes due less often than this is a mistake rather than a schedule. 29 February comes every four years.
RAREST = timedelta(days=5 * 366)
_ALIASES = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}  # fmt: skip
_FIELDS = (
    (Field.MINUTE, "a minute", "0 to 59"),
    (Field.HOUR, "an hour", "0 to 23"),
    (Field.DAY, "a day of the month", "1 to 31, L (the last day) or LW (the last weekday)"),
    (Field.MONTH, "a month", "1 to 12 or JAN to DEC"),
    (Field.DOW, "a day of the week", "0 to 7 or SUN to SAT, FRI#2 (the second Friday) or 5L (the last one)"),
)
#: Weekdays, month lengths and leap years repeat after 28 years: what does not come due within these never does.
_CYCLE = range(2001, 2029)
_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)


def read_cron(text: str) -> str:
    """A cron line in its usual form: five fields, or what an alias such as ``@daily`` stands for.

    Raises Invalid with the reason where it cannot be read, or where it would (almost) never come due.
    """
    line = normal(text)
    if reason := problem(line):
        raise Invalid(reason, field="cron")
    return line


def normal(text: str) -> str:
    """A line with single spaces, its alias spelled out; not checked."""
    line = " ".join(text.split())
    return _ALIASES.get(line.lower(), line)


@lru_cache(maxsize=2048)
def problem(text: str) -> str:
    """Why a cron line cannot be used, as a sentence; empty where it can."""
    line = normal(text)
    shown = f"“{line[:60]}”"
    if line.startswith("@"):
        return f"{shown} is no schedule. Use five fields, or one of {', '.join(_ALIASES)}."
    if zone := _ZONE_BEFORE.match(line):
        return (
            f"“{zone[0][:60]}” is no part of a cron line here: leave it out, and give the time zone in its own place."
        )
    parts = line.upper().split()
    if len(parts) != len(_FIELDS):
        more = " Seconds are not supported." if len(parts) == len(_FIELDS) + 1 else ""
        return (
            f"{shown} has {len(parts)} fields; a cron line has five: minute, hour, day, month, day of the week.{more}"
        )
    if len(line) > LONGEST:
        return f"{shown}… is longer than {LONGEST} characters."
    for part, (field, name, allowed) in zip(parts, _FIELDS, strict=True):
        if not _readable(part, field):
            return f"{shown}: “{part[:30]}” is not {name}. It takes {allowed}; *, lists, ranges from low to high and steps (*/2)."
    return _rare(line, shown)


def long_step(line: str) -> str:
    """Why a step means another thing than it says: “*/90” is not every 90 minutes but once an hour, as each hour starts it anew.

    Only for lines that somebody types: one that is stored comes due as it always did, and handbooks are read again from what is stored.
    """
    for part, (most, unit) in zip(normal(line).split(), _SPANS, strict=False):
        for one in part.split(","):
            step = one.partition("/")[2]
            if step.isdecimal() and int(step) > most:
                return (
                    f"“{line[:60]}”: a step of {step} is longer than {unit}, and each starts it anew: “{one[:30]}” comes once {unit}. "
                    "Give the times one by one, or a period."
                )
    return ""


def _readable(part: str, field: Field) -> bool:
    try:
        return bool(field.parse(part))
    except (CronSimError, ValueError, AssertionError, RecursionError):
        return False


def _rare(line: str, shown: str) -> str:
    """Whether it comes due at all, and often enough; over all years that a calendar can have."""
    never, seldom = 0, False
    for year in _CYCLE:
        first = datetime(year, 1, 1)  # noqa: DTZ001 - a reading of the wall clock, in no zone
        found = _following(line, first - _SECOND)
        never += found is None
        seldom = seldom or found is None or found - first > RAREST
    if never == len(_CYCLE):
        return f"{shown} can never come due: none of its months has such a day."
    return f"{shown} comes due less than once in five years." if seldom else ""


def _following(line: str, after: datetime) -> datetime | None:
    """The next time on the wall clock, both naive."""
    try:
        return next(CronSim(line, after), None)
    except (CronSimError, ValueError, AssertionError, OverflowError):
        return None


def next_after(line: str, zone: str, instant: datetime) -> datetime | None:
    """When a cron line comes due next after an instant, in UTC; None where it never does. Raises nothing but for an unknown zone."""
    place, line = ZoneInfo(zone), normal(line)
    if problem(line):
        return None
    try:
        return (_at_intervals if _is_interval(line) else _at_fixed_times)(
            line, place, instant.astimezone(UTC).replace(microsecond=0)
        )
    except OverflowError:
        return None


def _is_interval(line: str) -> bool:
    minute, hour, *_ = line.split()
    return minute.startswith("*") or hour.startswith("*")


def _at_fixed_times(line: str, zone: ZoneInfo, instant: datetime) -> datetime | None:
    wall: datetime | None = instant.astimezone(zone).replace(tzinfo=None)
    while wall is not None and (wall := _following(line, wall)) is not None:
        found = _first_instant(wall, zone)
        # In the second pass of an hour that comes twice, its times have been.
        if found > instant:
            return found
    return None


def _first_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """When the wall clock shows a time first; where it never does, the instant at which the clocks change past it."""
    found = wall.replace(tzinfo=zone).astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None) == wall:
        return found
    return _change(found - _DAY, found, zone) or found


def _at_intervals(line: str, zone: ZoneInfo, instant: datetime) -> datetime | None:
    """As long as the clocks do not change, the wall clock is the instant and a constant: one such stretch after the other."""
    after, begin = instant, instant
    while True:
        offset = begin.astimezone(zone).utcoffset() or timedelta(0)
        wall = _following(line, (after + offset).replace(tzinfo=None))
        if wall is None:
            return None
        found = wall.replace(tzinfo=UTC) - offset
        changes = _change(begin, found, zone)
        if changes is None:
            return found
        after, begin = changes - _SECOND, changes


def _change(begin: datetime, end: datetime, zone: ZoneInfo) -> datetime | None:
    """The first second after an instant, up to another, at which a zone's clocks change; None where they do not."""
    before, low = begin.astimezone(zone).utcoffset(), begin
    while low < end:
        high = min(low + _DAY, end)
        if high.astimezone(zone).utcoffset() != before:
            while high - low > _SECOND:
                middle = low + timedelta(seconds=(high - low) // _SECOND // 2)
                low, high = (middle, high) if middle.astimezone(zone).utcoffset() == before else (low, middle)
            return high
        low = high
    return None


def times_on(line: str, zone: str, day: date) -> list[time]:
    """The local times of a day at which a cron line comes due; none where it cannot be used."""
    line, place = normal(line), ZoneInfo(zone)
    if problem(line):
        return []
    noon = datetime.combine(day, time(12))
    sim = CronSim(line, noon)
    begin, end = (one.replace(tzinfo=place).astimezone(UTC) for one in (noon - _DAY, noon + _DAY))
    if _change(begin, end, place) is None:
        # On most days: every hour with every minute.
        if day.month not in sim.months or not sim.match_day(day):
            return []
        return [time(hour, minute) for hour, minute in itertools.product(sorted(sim.hours), sorted(sim.minutes))]
    return list(_one_by_one(line, place, day, begin))


def _one_by_one(line: str, zone: ZoneInfo, day: date, at: datetime | None) -> Iterator[time]:
    while at is not None and (at := next_after(line, zone.key, at)) is not None:
        local = at.astimezone(zone)
        if local.date() > day:
            return
        if local.date() == day:
            yield local.time()
