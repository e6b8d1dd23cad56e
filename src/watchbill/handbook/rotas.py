"""From a rota of the handbook to the layers of its schedules: explicit layers, tables of who is on when, and “rotates weekly”."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import time
from typing import TYPE_CHECKING, cast

from watchbill.base.calendar import DAYS, read_span
from watchbill.oncall import rules as oncall

# The compiler is imported where it is used: a web process starts faster without it.
if TYPE_CHECKING:
    from watchbill.language.items import Duration, Target
    from watchbill.oncall.spec import Rota, RotaLayer

    #: The persons that a participant means now.
    Persons = Callable[[Target], list[str]]
#: A level of a rota (primary, secondary), its layers, and what could not be resolved.
Level = tuple[str, list[oncall.Layer], list[str]]


def layers_of(rota: Rota, zone: str, persons: Persons) -> list[Level]:
    """A rota's levels, each with its layers and what could not be resolved."""
    zone = rota.zone or zone
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
        return _slots(rota, zone, handover, (count, unit), persons)
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
    windows = tuple(
        oncall.Window(
            frozenset(DAYS.index(day) for day in w.days), time.fromisoformat(w.start), time.fromisoformat(w.end)
        )
        for w in one.hours
    )
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


def _slots(
    rota: Rota, zone: str, handover: time, turn: tuple[int, oncall.Unit], persons: Persons
) -> list[Level]:  # fmt: skip
    """A table of who is on when: a layer for each weekday, day or night where its lines say so; else the lines take turns."""
    from watchbill.language.values.frequency import weekdays

    found: list[Level] = []
    for level in ("primary", "secondary"):
        problems: list[str] = []
        lines = [(slot.when, _people(getattr(slot, level), persons, problems)) for slot in rota.slots]
        if not any(people for _, people in lines):
            if level == "primary":
                found.append((level, [], problems))
            continue
        layers: list[oncall.Layer] = []
        by_day = all(weekdays(when) for when, _ in lines)
        if by_day:
            for when, people in lines:
                days = frozenset(DAYS.index(day) for day in weekdays(when))
                layers.append(
                    oncall.Layer(
                        tuple(people), 1, "week", handover, zone, windows=(oncall.Window(days),), name=when[:80]
                    )
                )
        else:
            people = [person for _, here in lines for person in here]
            layers.append(oncall.Layer(tuple(people), *turn, handover, zone))
        found.append((level, layers, problems))
    return found


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
    days = frozenset(DAYS.index(day) for day in found.days)
    return (oncall.Window(days, time.fromisoformat(found.start), time.fromisoformat(found.end)),)
