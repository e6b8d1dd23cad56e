"""What a handbook would make fall due in the coming days: pure in (handbook, first day, number of days).

A slot that has no fixed day takes the first: Monday of the week, the 1st of the month, the first month of a quarter or
year. Periods of so many days are counted from Monday, 1 January 2024, so that every run agrees.
"""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from watchbill.base.calendar import DAYS
from watchbill.base.cron import times_on
from watchbill.base.durations import Span, read_span
from watchbill.base.errors import Invalid
from watchbill.handbook.compile import Handbook
from watchbill.handbook.config import Config
from watchbill.language.items import Recurs

MOST_DAYS = 3660
_ANCHOR = date(2024, 1, 1)
_NTH = {"first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4, "last": -1}


@dataclass(frozen=True, slots=True)
class Slot:
    """One thing that would fall due: its local day and time (none: by the end of business hours), how often that day."""

    at: datetime
    timed: bool
    key: str
    kind: str
    name: str
    owners: tuple[str, ...]
    source: str
    times: int = 1
    collides: str = ""
    hours: float = 0.0


@dataclass(slots=True)
class Forecast:
    """All slots in order; what has no slot, with the reason; load by owner."""

    slots: list[Slot] = field(default_factory=list)
    without: list[tuple[str, str]] = field(default_factory=list)
    load: dict[str, tuple[int, float]] = field(default_factory=dict)


def simulate(book: Handbook, first: date, days: int) -> Forecast:
    """What falls due from ``first`` on, for ``days`` days, in the handbook's time zone."""
    found = Forecast()
    for item in book.items:
        if (
            not isinstance(item, Recurs)
            or item.kind not in {"duty", "metadata", "change-policy"}
            or item.effect == "shown"
        ):
            continue
        if item.kind != "duty" and item.every is None:
            continue
        if item.every is None and not item.cron:
            why = f"on an event: {item.trigger}" if item.trigger else "continuous" if item.continuous else "no time"
            found.without.append((item.name, why))
            continue
        found.slots += _slots(item, book.config, first, days)
    found.slots.sort(key=lambda slot: (slot.at, slot.key))
    for slot in found.slots:
        for owner in slot.owners or ("nobody",):
            count, hours = found.load.get(owner, (0, 0.0))
            found.load[owner] = (count + slot.times, hours + slot.times * slot.hours)
    return found


def _slots(item: Recurs, config: Config, first: date, days: int) -> Iterator[Slot]:
    zone = ZoneInfo(config.time_zone)
    closing = _time(config.business_hours.end)
    owners = tuple(one.name for one in getattr(item, "owners", []))
    takes = getattr(item, "takes", None)
    hours = _hours(takes.high) if takes else 0.0
    for number in range(days):
        day = first + timedelta(days=number)
        times, count = _on(item, day, config)
        for at in times:
            moment = datetime.combine(day, at or closing, zone)
            yield Slot(
                moment, at is not None, item.key, item.kind, item.name, owners, f"{item.source.path}:{item.source.line}", count, collides(day, config), hours,
            )  # fmt: skip


def _on(item: Recurs, day: date, config: Config) -> tuple[list[time | None], int]:
    """The times of day at which an item is due on a day, and how often at each."""
    if item.cron:
        return list(times_on(item.cron, config.time_zone, day)), 1
    span = _span(item.every.duration, item.every.business) if item.every else Span()
    if not _falls(item, span, day, config):
        return [], 0
    if not span.months and not span.days and span.seconds < 86400:
        return [None], max(1, int(86400 // max(span.seconds, 1)))
    times: list[time | None] = [_time(text) for text in item.at] or [None]
    return times, item.times if len(times) == 1 else 1


def _span(text: str, business: bool = False) -> Span:
    """A length of time; none at all where it is none (“0 days”)."""
    try:
        return read_span(text, business)
    except Invalid:
        return Span()


def _falls(item: Recurs, every: Span, day: date, config: Config) -> bool:
    if every == Span(business=every.business):
        return False
    if not every.months and not every.days:
        whole = int(every.seconds // 86400)
        return whole <= 1 or (day - _ANCHOR).days % whole == 0
    if not every.months:
        count = max(1, int(every.days))
        if count % 7 == 0:
            weeks = count // 7
            wanted = item.days or ["monday"]
            monday = day - timedelta(days=day.weekday())
            return DAYS[day.weekday()] in wanted and ((monday - _ANCHOR).days // 7) % weeks == 0
        if count == 1:
            if every.business and collides(day, config):
                return False
            return not item.days or DAYS[day.weekday()] in item.days
        return (day - _ANCHOR).days % count == 0
    if item.months:
        if day.month not in item.months:
            return False
    elif (day.year * 12 + day.month - 1) % every.months:
        return False
    return day == _day_in_month(item, day)


def _day_in_month(item: Recurs, day: date) -> date:
    last = calendar.monthrange(day.year, day.month)[1]
    if item.days:
        wanted = DAYS.index(item.days[0])
        fitting = [n for n in range(1, last + 1) if date(day.year, day.month, n).weekday() == wanted]
        nth = _NTH.get(item.nth, 1)
        return date(day.year, day.month, fitting[-1] if nth < 0 else fitting[min(nth, len(fitting)) - 1])
    number = item.day or 1
    return date(day.year, day.month, last if number < 0 else min(number, last))


def _time(text: str) -> time:
    hour, _, minute = text.partition(":")
    return time(min(23, int(hour)), min(59, int(minute or 0)))


def _hours(iso: str) -> float:
    """Hours of work: a day has eight."""
    span = _span(iso)
    return span.seconds / 3600 + span.days * 8


@lru_cache(maxsize=64)
def holidays_of(country: str, subdivision: str, year: int) -> dict[date, str]:
    """A country's public holidays of a year, by day."""
    import holidays

    return dict(holidays.country_holidays(country, subdiv=subdivision or None, years=year).items())


def collides(day: date, config: Config) -> str:
    """What speaks against a day: a holiday's name, or that it is no business day. Empty on a business day."""
    if day in config.holidays.also:
        return "a day off"
    if config.holidays.country:
        name = holidays_of(config.holidays.country, config.holidays.subdivision, day.year).get(day)
        if name:
            return name
    return "" if DAYS[day.weekday()] in config.business_hours.days else "no business day"


def as_json(book: Handbook, forecast: Forecast, first: date, days: int) -> dict[str, Any]:
    """The forecast for other programs."""
    return {
        "version": 1,
        "workspace": book.slug,
        "time_zone": book.config.time_zone,
        "from": first.isoformat(),
        "days": days,
        "slots": [
            {
                "at": slot.at.isoformat(), "timed": slot.timed, "key": slot.key, "kind": slot.kind, "name": slot.name, "owners": list(slot.owners),
                "source": slot.source, "times": slot.times, "collides": slot.collides,
            }
            for slot in forecast.slots
        ],
        "without": [{"name": name, "why": why} for name, why in forecast.without],
        "load": {owner: {"times": count, "hours": round(hours, 2)} for owner, (count, hours) in sorted(forecast.load.items())},
    }  # fmt: skip


def as_text(book: Handbook, forecast: Forecast, first: date, days: int) -> Iterator[str]:
    """The forecast for people."""
    yield f"{book.config.name or book.slug}: {first.isoformat()} and {days} days, {book.config.time_zone}"
    last = None
    for slot in forecast.slots:
        if slot.at.date() != last:
            last = slot.at.date()
            yield ""
            yield f"{last:%a %d %b %Y}" + (f"  ({slot.collides})" if slot.collides else "")
        at = f"{slot.at:%H:%M}" if slot.timed else "     "
        often = f" ({slot.times} times)" if slot.times > 1 else ""
        yield f"  {at}  {slot.name[:90]}{often}  [{', '.join(slot.owners) or 'nobody'}]  {slot.source}"
    if not forecast.slots:
        yield "  Nothing falls due."
    if forecast.without:
        yield ""
        yield "Without a slot:"
        for name, why in forecast.without:
            yield f"  {name[:90]}: {why}"
    if forecast.load:
        yield ""
        yield "Load:"
        for owner, (count, hours) in sorted(forecast.load.items(), key=lambda one: -one[1][0]):
            yield f"  {owner}: {count} times" + (f", up to {hours:.0f} h" if hours else "")
