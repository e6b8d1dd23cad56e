"""Who is on call: pure functions of a definition and an instant. Times of day are local to the layer's zone; instants are aware.

A turn begins at the handover time of its day, whatever the clocks do that night: in the hour that does not exist the handover
is an hour later by the clock, in the hour that comes twice it is the first. Hourly turns count real hours from the start.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from watchbill.base.errors import Invalid

Unit = Literal["hour", "day", "week", "month"]
_DAY = timedelta(days=1)
#: A Monday: where turns are counted from when a runbook does not say when they began.
ANCHOR = date(2024, 1, 1)
#: Edges that are looked at for one calendar; a definition of hourly turns over years is cut here.
MOST_EDGES = 20_000


@dataclass(frozen=True, slots=True)
class Window:
    """When a layer is on: days (Monday is 0; none: every day) from one local time to another, the next day's where it is not later."""

    days: frozenset[int] = frozenset()
    start: time = time(0)
    end: time = time(0)

    def holds(self, local: datetime) -> bool:
        """Whether a local time lies inside."""
        at, day = local.time(), local.weekday()
        if self.start < self.end:
            return self.start <= at < self.end and self._on(day)
        return (at >= self.start and self._on(day)) or (at < self.end and self._on((day - 1) % 7))

    def _on(self, day: int) -> bool:
        return not self.days or day in self.days


@dataclass(frozen=True, slots=True)
class Layer:
    """One rotation: who takes turns, how long a turn is, when it begins; on only within its windows, where it has any.

    Where it ``begins``, nobody is on before ``start``; nobody is from ``until`` on, the day of a last handover.
    """

    participants: tuple[str, ...]
    count: int = 1
    unit: Unit = "week"
    handover: time = time(9)
    zone: str = "UTC"
    start: date = ANCHOR
    windows: tuple[Window, ...] = ()
    name: str = ""
    begins: bool = False
    until: date | None = None
    _hash: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 366:
            raise Invalid("A turn is 1 to 366 units long.", field="rotation")
        told = (
            self.participants,
            self.count,
            self.unit,
            self.handover,
            self.zone,
            self.start,
            self.windows,
            self.until,
        )
        object.__setattr__(self, "_hash", hash(told))

    def __hash__(self) -> int:
        # Boundaries are looked up by their layer, thousands of times a page: reckoned once.
        return self._hash


@dataclass(frozen=True, slots=True)
class Override:
    """Somebody takes over, or nobody has to be there (``who`` empty), from one instant until another."""

    start: datetime
    end: datetime
    who: str


@dataclass(frozen=True, slots=True)
class Shift:
    """Somebody (or nobody: a gap) from one instant until another."""

    start: datetime
    end: datetime
    who: str
    layer: str = ""


def boundary(layer: Layer, number: int) -> datetime:
    """The instant at which a turn begins; turn 0 begins at the start."""
    return _boundary(layer, number)


@lru_cache(maxsize=65536)
def _boundary(layer: Layer, number: int) -> datetime:
    if layer.unit == "hour":
        return _handover(layer, layer.start) + timedelta(hours=number * layer.count)
    if layer.unit == "month":
        months = layer.start.year * 12 + layer.start.month - 1 + number * layer.count
        year, month = divmod(months, 12)
        last = (date(year + (month + 1) // 12, (month + 1) % 12 + 1, 1) - timedelta(days=1)).day
        day = date(year, month + 1, min(layer.start.day, last))
    else:
        day = layer.start + timedelta(days=number * layer.count * (7 if layer.unit == "week" else 1))
    return _handover(layer, day)


def _handover(layer: Layer, day: date) -> datetime:
    return datetime.combine(day, layer.handover, ZoneInfo(layer.zone)).astimezone(UTC)


def turn(layer: Layer, at: datetime) -> int:
    """The number of the turn that runs at an instant; negative before the start."""
    at = at.astimezone(UTC)
    if layer.unit == "hour":
        return int((at - boundary(layer, 0)).total_seconds() // (3600 * layer.count))
    days = (at.astimezone(ZoneInfo(layer.zone)).date() - layer.start).days
    size = {"day": 1.0, "week": 7.0, "month": 30.436875}[layer.unit] * layer.count
    number = int(days // size)
    # The guess is off by one at most around a handover, and where months are not of one length.
    while boundary(layer, number) > at:
        number -= 1
    while boundary(layer, number + 1) <= at:
        number += 1
    return number


def is_on(layer: Layer, at: datetime) -> bool:
    """Whether a layer is on at an instant: within its windows, and not before it begins."""
    if not layer.participants or (layer.begins and at < boundary(layer, 0)):
        return False
    if layer.until and at >= _handover(layer, layer.until):
        return False
    local = at.astimezone(ZoneInfo(layer.zone))
    return not layer.windows or any(window.holds(local) for window in layer.windows)


def on_call(layers: Sequence[Layer], overrides: Iterable[Override], at: datetime) -> tuple[str, str]:
    """Who is on at an instant, and through which layer; nobody is "". An override comes before all layers, the last one made first;
    of layers that are on, the last one counts."""
    for one in reversed(list(overrides)):
        if one.start <= at < one.end:
            return one.who, "override"
    for layer in reversed(layers):
        if is_on(layer, at):
            return layer.participants[turn(layer, at) % len(layer.participants)], layer.name
    return "", ""


def _edges(layer: Layer, start: datetime, end: datetime) -> Iterable[datetime]:
    first = turn(layer, start) + 1
    number = first
    while (at := boundary(layer, number)) < end and number - first < MOST_EDGES:
        yield at
        number += 1
    if layer.begins:
        yield boundary(layer, 0)
    if layer.until:
        yield _handover(layer, layer.until)
    if not layer.windows:
        return
    zone = ZoneInfo(layer.zone)
    day, last = start.astimezone(zone).date() - timedelta(days=1), end.astimezone(zone).date() + timedelta(days=1)
    clocks = [
        (_days(clock, layer.windows), clock) for clock in {c for one in layer.windows for c in (one.start, one.end)}
    ]
    before = datetime.combine(day, time(0), zone).utcoffset() or timedelta(0)
    while day <= last:
        following = day + _DAY
        after = datetime.combine(following, time(0), zone).utcoffset() or timedelta(0)
        if after == before:
            # On most days a local time is an instant by one subtraction.
            weekday = day.weekday()
            for days, clock in clocks:
                if weekday in days:
                    yield datetime.combine(day, clock, UTC) - before
        else:
            for _, clock in clocks:
                at = datetime.combine(day, clock, zone)
                yield at.astimezone(UTC)
                # A local time that comes twice.
                yield at.replace(fold=1).astimezone(UTC)
            # Where the clocks change, a window opens or closes at the change itself.
            yield from _changes(datetime.combine(day, time(0), zone).astimezone(UTC), zone)
        day, before = following, after


def _days(clock: time, windows: Iterable[Window]) -> frozenset[int]:
    """The days of the week on which a window opens or closes at a time of day."""
    found: set[int] = set()
    for one in windows:
        days = one.days or frozenset(range(7))
        if one.start == clock:
            found |= days
        if one.end == clock:
            found |= days if one.start < one.end else {(day + 1) % 7 for day in days}
    return frozenset(found)


def _changes(begin: datetime, zone: ZoneInfo) -> Iterable[datetime]:
    """The minute of a day at which the clocks change."""
    before = begin.astimezone(zone).utcoffset()
    for minute in range(1, 26 * 60):
        at = begin + timedelta(minutes=minute)
        if at.astimezone(zone).utcoffset() != before:
            yield at
            return


class _Walk:
    """A layer asked at instants that only rise: its turns and its windows are followed, not looked for anew each time."""

    __slots__ = ("begins", "ends", "layer", "number", "until", "zone")

    def __init__(self, layer: Layer, at: datetime) -> None:
        self.layer, self.zone = layer, ZoneInfo(layer.zone)
        self.begins = boundary(layer, 0) if layer.begins else None
        self.ends = _handover(layer, layer.until) if layer.until else None
        self.number = turn(layer, at)
        self.until = boundary(layer, self.number + 1)

    def whom(self, at: datetime) -> str | None:
        """Who is on at an instant, as ``is_on`` and ``turn`` say; None where the layer is not."""
        layer = self.layer
        if (self.begins is not None and at < self.begins) or (self.ends is not None and at >= self.ends):
            return None
        if layer.windows:
            local = at.astimezone(self.zone)
            for window in layer.windows:
                if window.holds(local):
                    break
            else:
                return None
        while at >= self.until:
            self.number += 1
            self.until = boundary(layer, self.number + 1)
        return layer.participants[self.number % len(layer.participants)]


def shifts(layers: Sequence[Layer], overrides: Iterable[Override], start: datetime, end: datetime) -> list[Shift]:
    """Everything from one instant until another without a hole: at every instant whom ``on_call`` answers; a gap has nobody."""
    start, end, told = start.astimezone(UTC), end.astimezone(UTC), list(overrides)
    edges = {start}
    for layer in layers:
        edges.update(at for at in _edges(layer, start, end) if start < at < end)
    for one in told:
        edges.update(at for at in (one.start.astimezone(UTC), one.end.astimezone(UTC)) if start < at < end)
    # The last layer counts first, as for ``on_call``.
    walks = [_Walk(layer, start) for layer in reversed(layers) if layer.participants]
    found: list[Shift] = []
    marks = [*sorted(edges), end]
    since, who, name = start, "", ""
    for begin, until in itertools.pairwise(marks):
        now_on, now_in = _first(walks, told, begin)
        if (now_on, now_in) != (who, name) and begin > start:
            # A turn that comes to the same person again is one shift.
            found.append(Shift(since, begin, who, name))
            since = begin
        who, name = now_on, now_in
        if until == end:
            found.append(Shift(since, end, who, name))
    return found


def _first(walks: Iterable[_Walk], overrides: Sequence[Override], at: datetime) -> tuple[str, str]:
    for one in reversed(overrides):
        if one.start <= at < one.end:
            return one.who, "override"
    for walk in walks:
        who = walk.whom(at)
        if who is not None:
            return who, walk.layer.name
    return "", ""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Who is on at an instant, and the most that this may last: from its turn, override or month until that ends."""

    key: tuple[object, ...]
    who: str
    layer: str
    start: datetime
    end: datetime


def _stretch(layers: Sequence[Layer], overrides: Sequence[Override], at: datetime) -> _Stretch:
    for number in reversed(range(len(overrides))):
        one = overrides[number]
        if one.start <= at < one.end:
            return _Stretch(
                ("override", number), one.who, "override", one.start.astimezone(UTC), one.end.astimezone(UTC)
            )
    for number in reversed(range(len(layers))):
        layer = layers[number]
        if is_on(layer, at):
            here = turn(layer, at)
            who = layer.participants[here % len(layer.participants)]
            return _Stretch(("layer", number, here), who, layer.name, boundary(layer, here), boundary(layer, here + 1))
    month = _month(at)
    return _Stretch(("nobody", month), "", "", month, _month(month + 32 * _DAY))


def _month(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def whole_shifts(layers: Sequence[Layer], overrides: Iterable[Override], start: datetime, end: datetime) -> list[Shift]:
    """The shifts that touch a span, each from where it truly began until where it truly ends, whatever the span: for calendars.

    Here a shift is one turn, so that somebody who is always on has a shift for each turn; an override is one of its own, and a
    gap ends at the latest with its month (UTC). Any two spans answer the same about what touches both.
    """
    told = list(overrides)
    first, until = _stretch(layers, told, start).start, _stretch(layers, told, end).end
    edges = {first, until}
    for layer in layers:
        edges.update(_edges(layer, first, until))
    edges.update(at.astimezone(UTC) for one in told for at in (one.start, one.end))
    month = _month(first)
    while (month := _month(month + 32 * _DAY)) < until:
        edges.add(month)
    found: list[Shift] = []
    last: tuple[object, ...] = ()
    for begin, following in itertools.pairwise(sorted(at for at in edges if first <= at <= until)):
        here = _stretch(layers, told, begin)
        if here.key == last:
            found[-1] = replace(found[-1], end=following)
        else:
            found.append(Shift(begin, following, here.who, here.layer))
        last = here.key
    return [one for one in found if one.start < end and one.end > start]


def gaps(found: Iterable[Shift]) -> list[Shift]:
    """When nobody is on."""
    return [one for one in found if not one.who]


def both(one: Iterable[Shift], other: Iterable[Shift]) -> list[Shift]:
    """When the same person is on in two schedules at once: a double booking."""
    found = []
    for a in one:
        for b in other:
            start, end = max(a.start, b.start), min(a.end, b.end)
            if a.who and a.who == b.who and start < end:
                found.append(Shift(start, end, a.who))
    return found
