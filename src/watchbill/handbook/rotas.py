"""From a rota of the handbook to the layers of its schedules: explicit layers, tables of who is on when, and “rotates weekly”."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import time
from typing import TYPE_CHECKING, cast

from watchbill.base.calendar import DAYS
from watchbill.base.durations import read_span
from watchbill.oncall import rules as oncall

# The compiler is imported where it is used: a web process starts faster without it.
if TYPE_CHECKING:
    from watchbill.handbook.config import Config
    from watchbill.language.items import Duration, Target
    from watchbill.oncall.spec import Rota, RotaLayer, Slot

    #: The persons that a participant means now.
    Persons = Callable[[Target], list[str]]
#: A level of a rota (primary, secondary), its layers, and what could not be resolved.
Level = tuple[str, list[oncall.Layer], list[str]]


def layers_of(rota: Rota, config: Config, persons: Persons) -> list[Level]:
    """A rota's levels, each with its layers and what could not be resolved."""
    zone = rota.zone or config.time_zone
    if rota.layers:
        found: dict[str, tuple[list[oncall.Layer], list[str]]] = {}
        for one in rota.layers:
            layers, missing = found.setdefault(one.level, ([], []))
            layers.append(_explicit(rota, one, zone, persons, missing))
        return [(level, *both) for level, both in found.items()]
    problems: list[str] = []
    count, unit = _turn(rota.rotation) or (1, "week")
    handover = _handover(rota.handover)
    if rota.slots:
        return _slots(rota, config, handover, (count, unit), persons)
    people = _people(rota.participants, persons, problems)
    if not rota.participants:
        # “Platform engineer on-call (rotates weekly)”: the rota's own name says who takes turns.
        from watchbill.language.items import Target

        told = Target(name=rota.name)
        people = persons(told)
        problems += [] if people else [f"“{rota.name[:80]}” is not bound to a person or team"]
    return [
        ("primary", [oncall.Layer(tuple(people), count, unit, handover, zone, windows=_hours(rota.hours))], problems)
    ]


def _people(targets: Iterable[Target], persons: Persons, problems: list[str]) -> list[str]:
    found: list[str] = []
    for target in targets:
        here = persons(target)
        if not here:
            problems.append(f"“{target.name[:80]}” is not bound to a person or team")
        found += here
    return found


def _explicit(rota: Rota, one: RotaLayer, zone: str, persons: Persons, problems: list[str]) -> oncall.Layer:
    count, unit = _turn(one.rotation or rota.rotation) or (1, "week")
    windows = tuple(_window(w.days, w.start, w.end) for w in one.hours)
    people = _people(one.participants, persons, problems)
    start = one.starts or rota.starts
    return oncall.Layer(
        tuple(people),
        count,
        unit,
        time.fromisoformat(one.handover or "09:00"),
        one.zone or zone,
        start or oncall.ANCHOR,
        windows,
        one.name,
        start is not None,
    )


def _slots(rota: Rota, config: Config, handover: time, turn: tuple[int, oncall.Unit], persons: Persons) -> list[Level]:
    """A table of who is on when: a layer for each line that says when it is on; lines that do not, “Week 1, Week 2”, take turns."""
    zone = rota.zone or config.time_zone
    found: list[Level] = []
    for level in ("primary", "secondary"):
        problems = [f"“{slot.when[:80]}” cannot be placed: WB120" for slot in rota.slots if slot.unplaced]
        lines = [(slot, _people(getattr(slot, level), persons, problems)) for slot in rota.slots if not slot.unplaced]
        if not any(people for _, people in lines):
            if level == "primary":
                found.append((level, [], problems))
            continue
        if any(slot.starts or slot.hours or slot.part for slot, _ in lines):
            # Of layers that are on, the last one counts: what is said of some days before what is said of all.
            lines.sort(key=lambda line: _narrow(line[0]))
            layers = [_placed(slot, people, config, handover, zone) for slot, people in lines if people]
        else:
            people = [person for _, here in lines for person in here]
            layers = [oncall.Layer(tuple(people), *turn, handover, zone)]
        found.append((level, layers, problems))
    return found


def _narrow(slot: Slot) -> int:
    return 0 if slot.part == "rest" else 2 if any(one.days for one in slot.hours) else 1


def _placed(slot: Slot, people: list[str], config: Config, handover: time, zone: str) -> oncall.Layer:
    business = config.business_hours
    windows = (
        (_window(business.days, business.start, business.end),)
        if slot.part == "business"
        else tuple(_window(one.days, one.start, one.end) for one in slot.hours)
    )
    return oncall.Layer(
        tuple(people), 1, "week", handover, zone, slot.starts or oncall.ANCHOR, windows, slot.when[:80], slot.starts is not None, slot.ends
    )  # fmt: skip


def _window(days: Iterable[str], start: str, end: str) -> oncall.Window:
    return oncall.Window(frozenset(DAYS.index(day) for day in days), time.fromisoformat(start), time.fromisoformat(end))


def _turn(length: Duration | None) -> tuple[int, oncall.Unit] | None:
    """How long a turn is: so many hours, days, weeks or months; None where it is none of them."""
    if length is None:
        return None
    span = read_span(length.duration)
    count, unit = (
        (span.months, "month") if span.months else (span.days / 7, "week") if span.days and span.days % 7 == 0 else (span.days, "day") if span.days
        else (span.seconds / 3600, "hour")
    )  # fmt: skip
    whole = int(count)
    return (whole, cast("oncall.Unit", unit)) if whole == count and 1 <= whole <= 366 else None


def _handover(text: str) -> time:
    from watchbill.language.values.frequency import times_of_day

    found = times_of_day(text)
    return time.fromisoformat(found[0]) if found else time(9)


def _hours(text: str) -> tuple[oncall.Window, ...]:
    from watchbill.language.values.hours import read_hours

    found = read_hours(text) if text else None
    if found is None or found.kind != "stated":
        return ()
    return (_window(found.days, found.start, found.end),)
