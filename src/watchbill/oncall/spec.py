"""What this feature reads in a runbook: rotas."""

import re
from datetime import date, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from watchbill.base.zones import known, meant
from watchbill.language.columns import Table
from watchbill.language.document import Block
from watchbill.language.inline import bold_lead, plain
from watchbill.language.items import Item, Model, Target, Targets, Time, Unit, duration, targets
from watchbill.language.scope import Scope, headings
from watchbill.language.values.dates import calendar_week, read_days
from watchbill.language.values.duration import Length
from watchbill.language.values.frequency import read_frequency, times_of_day, weekdays, zone_of
from watchbill.language.values.gaps import is_gap
from watchbill.language.values.hours import read_hours
from watchbill.language.values.owner import read_owners

_TITLE = re.compile(r"on-?call|rota(?:tion)?\b|roster|shift|schedule|coverage|follow[- ]the[- ]sun", re.I)
_SLOT = re.compile(r"^\W*(?:mon|tue|wed|thu|fri|sat|sun)\w*|^\W*week\s*\w+|^\W*\d{4}-\d\d|^\W*(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\w*\b|^\W*(?:day|night|morning|evening|weekend|weekday|business|after|off|primary|secondary)\b|\d{1,2}:\d\d|^W\d+", re.I)  # fmt: skip


def _clock(value: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError(f"“{value}” is no time of day; write 09:00")
    return value


def _zone(value: str) -> str:
    if value and not known(value):
        raise ValueError(f"“{value[:60]}” is no time zone; write {meant(value) or 'one such as Europe/Berlin'}")
    return value


def _day(value: Any) -> Any:
    found = weekdays(value) if isinstance(value, str) else ()
    if len(found) != 1:
        raise ValueError(f"“{value}” is no weekday")
    return found[0]


Clock = Annotated[str, AfterValidator(_clock)]


class Hours(Model):
    """Part of a week: days (none: every day) from one local time to another, the next day's where it is not later."""

    days: list[Annotated[str, BeforeValidator(_day)]] = Field(default_factory=list)
    start: Clock = "00:00"
    end: Clock = "00:00"


class RotaLayer(Model):
    """One rotation of an explicit schedule. Of layers that are on, the last one counts; ``hours`` narrows one (follow-the-sun, nights)."""

    name: str = ""
    level: Literal["primary", "secondary"] = "primary"
    participants: Annotated[Targets, Field(min_length=1, max_length=200)]
    rotation: Time = None
    handover: Clock = "09:00"
    zone: Annotated[str, AfterValidator(_zone)] = ""
    starts: date | None = None
    hours: list[Hours] = Field(default_factory=list, max_length=50)


class Slot(Model):
    """One line of a rota: a day, week or shift with who is on.

    ``starts`` and ``ends`` (the day of the handover to the next line) are days of the calendar; ``hours`` parts of every week, or what of it
    is (``business``) or is not (``rest``) business hours. A line with none of them is a turn; one that is ``unplaced`` puts nobody on call.
    """

    when: str
    primary: Targets = Field(default_factory=list)
    secondary: Targets = Field(default_factory=list)
    starts: date | None = None
    ends: date | None = None
    hours: list[Hours] = Field(default_factory=list)
    part: Literal["", "business", "rest"] = ""
    unplaced: bool = False


class Rota(Item):
    """An on-call schedule. ``rotation`` is how long a turn takes; ``slots`` the lines as written; ``layers`` what an explicit one has."""

    kind: Literal["rota"] = "rota"
    rotation: Time = None
    participants: Targets = Field(default_factory=list)
    slots: list[Slot] = Field(default_factory=list)
    handover: str = ""
    zone: str = ""
    hours: str = ""
    starts: date | None = None
    layers: list[RotaLayer] = Field(default_factory=list, max_length=50)


def table(table: Table, scope: Scope) -> list[Unit] | None:
    """Week or day with primary and secondary; rotation tables."""
    if not table.rows or len(table.headers) < 2:
        return None
    title = " ".join(headings(table.block)[:2])
    near = " ".join(headings(table.block)[:1])
    slot = next((i for i in (0, 1) if i < len(table.headers) and "day" in table.meanings[i]), None)
    primary = table.column("primary", but=(slot,))
    if slot is None and re.search(r"rota|roster|shift", near, re.I) and table.share(0, _SLOT) >= 0.6:
        slot = 0
    if primary is None and slot is not None:
        primary = _who(table, slot, near)
    second = table.column("secondary", but=(slot, primary))
    if second is None and re.search(
        r"activit|task|test|drill|deliverable|check|review|topic|milestone|action|item|frequency",
        " ".join(table.headers),
        re.I,
    ):
        return None
    people = slot is not None and primary is not None and (second is not None or _TITLE.search(title) is not None)
    layers = None if people else _layer_columns(table, near)
    if not people and layers is None:
        return None
    if table.column("version") is not None or any("statistic" in meaning for meaning in table.meanings):
        return None
    if layers:
        return _by_layers(table, scope, *layers)
    units: list[Unit] = []
    item = Rota(name=(headings(table.block) or ["On-call"])[0][:200] or "On-call", source=scope.source(table.block.line, table.block.end_line), map=["I1"])  # fmt: skip
    item.rotation = duration(_turn(table, slot))
    for number, row in enumerate(table.rows):
        text = " | ".join(plain(cell.raw) for cell in row.cells)
        for cell in row.cells:
            scope.gap(cell)
        line = Slot(
            when=table.cell(row, slot), primary=targets(read_owners(table.cell(row, primary))),
            secondary=targets(read_owners(table.cell(row, second))),
        )  # fmt: skip
        item.slots.append(line)
        for one in [*line.primary, *line.secondary]:
            if one not in item.participants:
                item.participants.append(one)
        units.append(Unit(row.line, row.line, "rota", text, "proposed", None, ("I1",), [item] if number == 0 else []))
    item.text = " ".join(table.headers)
    _place(item, [row.line for row in table.rows], scope)
    return units


def _who(table: Table, slot: int, near: str) -> int | None:
    """The column of who is on, where none is headed “primary”."""
    found = table.column("name", "role", "team", "owner", but=(slot,)) if _TITLE.search(near) else None
    if found is not None or not re.search(r"on-?call|rota|primary", near, re.I):
        return found
    says = re.compile(r"coverage|engineer|person|who|assigned|on-?call|covered by", re.I)
    return next((i for i, header in enumerate(table.headers) if i != slot and says.search(header)), None)


def _layer_columns(table: Table, near: str) -> tuple[int, int] | None:
    """The columns of who and of how turns go, in a table with a line for each layer: role, who, rotation or coverage."""
    says = re.compile(r"rotation|hand-?over|coverage|shift|on-?call", re.I)
    rotation = next((i for i, header in enumerate(table.headers) if i and says.search(header)), None)
    who = table.column("role", "level", "team", "name")
    if rotation is None or who is None or who == rotation or not re.search(r"on-?call|rota|roster|shift", near, re.I):
        return None
    found = [read_frequency(text).value for text in table.texts(rotation)]
    return (who, rotation) if sum(1 for one in found if one and one.every) * 2 >= len(found) else None


def _by_layers(table: Table, scope: Scope, who: int, rotation: int) -> list[Unit]:
    """A rota for each line."""
    units = []
    for row in table.rows:
        text = " | ".join(plain(cell.raw) for cell in row.cells)
        often = read_frequency(table.cell(row, rotation)).value
        name, turn = table.cell(row, who) or "On-call", duration(often.every) if often else None
        item = Rota(name=name[:200], source=scope.source(row.line), text=text, map=["I1"], rotation=turn)
        units.append(Unit(row.line, row.line, "rota", text, "proposed", None, ("I1",), [item]))
    return units


_WEEKEND = re.compile(r"\bweek-?ends?\b", re.I)
#: A part of the day that says no hours.
_PART = re.compile(
    r"\b(?:(?<!business )(?<!working )(?<!every )(?<!each )days?|nights?|mornings?|evenings?|afternoons?|overnight)\b",
    re.I,
)
_REASONS = {
    "no year": "says no year",
    "two readings": "can be read day first or month first",
    "no such day": "is no day that exists",
    "backwards": "ends before it begins",
}


def _place(rota: Rota, lines: list[int], scope: Scope) -> None:
    """Says of each line of a table when it is on. What cannot be placed beside lines that can is no turn, but a finding."""
    found = [(slot, line, read_days(slot.when)) for slot, line in zip(rota.slots, lines, strict=True)]
    weeks = [calendar_week(slot.when) or 0 for slot in rota.slots]
    if any(days for _, _, days in found) or max(weeks, default=0) > len(weeks):
        # Days of the calendar, or weeks of a year; “Week 1 … Week 4” of a table of four lines are turns.
        for slot, line, days in found:
            if days and days.start:
                slot.starts, slot.ends = days.start, days.end and days.end + timedelta(days=1)
                slot.hours = _hours_of(slot.when)
            else:
                why = _REASONS.get(days.named, "") if days else "says no year" if calendar_week(slot.when) else ""
                _unplaced(slot, line, why or "names no day of the calendar", scope)
        _end_turns(rota)
        return
    for slot in rota.slots:
        slot.hours, slot.part = _hours_of(slot.when), _part_of(slot.when)
    by_time = any(slot.hours or slot.part or _PART.search(slot.when) for slot in rota.slots)
    for slot, line, _ in found:
        if by_time and not (slot.hours or slot.part):
            _unplaced(slot, line, "says no hours", scope)


def _unplaced(slot: Slot, line: int, why: str, scope: Scope) -> None:
    slot.unplaced = True
    scope.find("WB120", line, text=slot.when, why=why)


def _hours_of(text: str) -> list[Hours]:
    """The parts of a week that a line names: “Mon–Fri 09:00–17:00”, “Night (20:00–08:00)”, “Weekend”."""
    days = [*weekdays(text)] or (["sat", "sun"] if _WEEKEND.search(text) else [])
    found = read_hours(text)
    if found and found.kind == "stated":
        return [Hours(days=days, start=found.start, end=found.end)]
    return [Hours(days=days)] if days and not _part_of(text) and not _PART.search(text) else []


def _part_of(text: str) -> Literal["", "business", "rest"]:
    found = read_hours(text)
    return (
        "business" if found and found.kind == "business" else "rest" if found and found.kind == "out of hours" else ""
    )


def _end_turns(rota: Rota) -> None:
    """Ends each dated line where the next one begins, if it says no end or names the day of the handover as its last one."""
    dated = sorted((slot for slot in rota.slots if slot.starts), key=lambda slot: str(slot.starts))
    days = {"P7D": 7, "P14D": 14}.get(rota.rotation.duration, 1) if rota.rotation else 1
    shared = False
    for number, slot in enumerate(dated):
        starts, after = slot.starts, dated[number + 1].starts if number + 1 < len(dated) else None
        if starts is None:
            continue
        if slot.ends is None:
            slot.ends = after if after and after > starts else starts + timedelta(days=days)
        elif after and starts < after == slot.ends - timedelta(days=1):
            shared, slot.ends = True, after
        elif after is None and shared and slot.ends - starts > timedelta(days=1):
            slot.ends -= timedelta(days=1)
        days = (slot.ends - starts).days


def _turn(table: Table, slot: int | None) -> Length | None:
    header = table.headers[slot].lower() if slot is not None else ""
    texts = table.texts(slot)
    if re.search(r"week|sprint", header) or any(re.match(r"\W*w(?:ee)?k", text, re.I) for text in texts):
        return Length(1, "week")
    if re.search(r"month", header):
        return Length(1, "month")
    return Length(1, "day") if any(weekdays(text) for text in texts) or re.search(r"\bday|date", header) else None


_ROTATES = re.compile(
    r"\brotat(?:e[sd]?|ion|ing)\b[^.;]{0,60}?\b(?:weekly|daily|monthly|bi-?weekly|fortnightly|every [\w ]{1,20}?(?:weeks?|days?|months?|hours?|monday|sprints?)|\d+[- ](?:weeks?|days?|hours?))"
    r"|\b(?:weekly|daily|monthly|bi-?weekly|\d+[- ](?:week|day|hour)|one[- ]week|two[- ]week|week-?long|24/7)\b[^.;]{0,30}?\b(?:on-?call )?(?:rotation|rota|shifts?)\b"
    r"|\bon-?call\b[^.;]{0,50}?\b(?:for (?:a|one|two|\d+) (?:weeks?|days?)|weekly|(?:one|two|\d+)[- ](?:week|day))\b",
    re.I,
)
_PLAIN = re.compile(r"^\W*(?:rotation|hand-?(?:over|off)|shift(?: length| duration| change)?|rotation (?:length|schedule|period|cadence|frequency)|on-?call (?:rotation|schedule|shift)|schedule|coverage|duration|time ?zone)\W*$", re.I)  # fmt: skip


def rotation(text: str, line: int, end_line: int, scope: Scope, name: str) -> Item | None:
    """A rotation that a bullet or sentence states: “(rotates weekly)”, “1-week rotation”."""
    match = _ROTATES.search(text)
    if (
        not match
        or is_gap(text)
        or re.search(
            r"key|secret|credential|token|log|certificate|password|backup", match[0] + text[: match.start()][-40:], re.I
        )
    ):
        return None
    often = read_frequency(match[0])
    length = often.value.every if often.value else None
    if length is None:
        found = re.search(r"(\d+|one|two|a)[- ](week|day|hour|month)", match[0], re.I)
        count = {"one": 1.0, "two": 2.0, "a": 1.0}.get(found[1].lower(), 0.0) if found else 0.0
        if found:
            length = Length(count or float(found[1]), found[2].lower())  # type: ignore[arg-type]
        elif re.search(r"week-?long", match[0], re.I):
            length = Length(1, "week")
    if length is None:
        return None
    return Rota(
        name=name[:200],
        source=scope.source(line, end_line),
        text=text,
        map=["I1"],
        rotation=duration(length),
        participants=_takes_turns(text),
        zone=zone_of(text),
    )


_TURNS = re.compile(r"^(?:[^:()]{2,60}:\s*)?(?P<who>[^:;.()]{3,80}?)\s*\([^()]*\brotat", re.I)


def _takes_turns(text: str) -> list[Target]:
    """Who takes turns where it stands before the bracket: “Engineering liaison: Platform engineer on-call (rotates weekly)”."""
    match = _TURNS.match(" ".join(text.split()))
    return targets(read_owners(match["who"])) if match else []


def entries(block: Block, scope: Scope) -> list[Unit] | None:
    """Bullets that describe one rotation: “**Rotation:** weekly”, “**Handover:** Mondays 10:00”, “**Primary:** …”."""
    titles = headings(block)
    if not titles or not re.search(r"on-?call|rota(?:tion)?\b|roster|shift", titles[0], re.I):
        return None
    pairs = [bold_lead(entry.raw) for entry in block.entries]
    told = [(entry, pair) for entry, pair in zip(block.entries, pairs, strict=True) if pair and _PLAIN.match(pair[0])]
    if not told:
        return None
    item = Rota(
        name=titles[0][:200], source=scope.source(block.line, block.end_line), text=block.entries[0].text, map=["I1"]
    )
    for _, (label, raw) in told:
        value = plain(raw)
        often = read_frequency(value).value
        if (
            re.search(r"rotation|shift|schedule|duration", label, re.I)
            and often
            and often.every
            and item.rotation is None
        ):
            item.rotation = duration(often.every)
        if re.search(r"hand", label, re.I):
            item.handover = value[:200]
            item.zone = item.zone or zone_of(value)
        hours = read_hours(value)
        if hours and not item.hours:
            item.hours = value[:200]
        if times_of_day(value) and not item.zone:
            item.zone = zone_of(value)
    if item.rotation is None and not item.handover:
        return None
    units: list[Unit] = []
    for entry, pair in zip(block.entries, pairs, strict=True):
        if (
            pair
            and re.match(r"\W*(?:primary|secondary|backup|participants|members)", pair[0], re.I)
            and not is_gap(pair[1])
        ):
            item.participants += [one for one in targets(read_owners(plain(pair[1]))) if one not in item.participants]
        units.append(
            Unit(entry.line, entry.end_line, "rota", entry.text, "proposed", None, ("I1",), [] if units else [item])
        )
    return units
