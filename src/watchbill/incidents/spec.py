"""What this feature reads in a runbook: severities with their clocks."""

import re
from typing import Literal

from pydantic import Field

from watchbill.language.columns import Table
from watchbill.language.document import Block, Entry, Row, Section
from watchbill.language.inline import bold_lead, key_value, plain
from watchbill.language.items import Duration, Item, Targets, Time, Unit, duration, targets
from watchbill.language.keyed import CLOCKS, NUMBERED, clock_columns, key_column, set_clock
from watchbill.language.scope import Scope, headings
from watchbill.language.values.duration import read_deadline
from watchbill.language.values.gaps import is_gap
from watchbill.language.values.owner import read_chain, read_ways

_TITLE = re.compile(r"\bsev(?:erit(?:y|ies))?\b|\bpriorit(?:y|ies)\b|incident (?:level|classif|categor|priorit|types?)|impact levels?|classification|\bP[0-4]\b|urgency|triage", re.I)  # fmt: skip
_ALL_HANDS = re.compile(r"\ball[- ]hands\b|\bentire team\b|\beveryone\b|\ball (?:engineers|responders|stakeholders)\b", re.I)  # fmt: skip


class Severity(Item):
    """A severity. ``rank`` is its place in the document, 1 the worst; digits do not matter."""

    kind: Literal["severity"] = "severity"
    rank: int = Field(1, ge=1)
    definition: str = ""
    examples: str = ""
    acknowledge: Time = None
    respond: Time = None
    resolve: Time = None
    update: Time = None
    off_hours: dict[str, Duration] = Field(default_factory=dict)
    all_hands: bool = False
    escalate: list[str] = Field(default_factory=list)
    channels: Targets = Field(default_factory=list)


def table(table: Table, scope: Scope) -> list[Unit] | None:
    """Severity tables: definitions, response times, or both."""
    key = key_column(table)
    if key is None:
        return None
    clocks = clock_columns(table, key)
    taken: list[int | None] = [key, *clocks.values()]
    definition = table.column("definition", but=tuple(taken))
    if definition is not None:
        taken.append(definition)
    example = table.column("example", but=tuple(taken))
    escalate = table.column("escalate", but=tuple(taken))
    channel = table.column("channel", "contact", but=tuple(taken))
    if not clocks and definition is None and example is None:
        return None
    if not clocks and not (_TITLE.search(" ".join(headings(table.block)[:2])) or table.share(key, NUMBERED) > 0.6):
        return None
    units = []
    for rank, row in enumerate(table.rows, 1):
        units.append(_row(table, scope, row, rank, key, clocks, definition, example, escalate, channel))
    return units


def _row(
    table: Table, scope: Scope, row: Row, rank: int, key: int, clocks: dict[str, int], definition: int | None,
    example: int | None, escalate: int | None, channel: int | None,
) -> Unit:  # fmt: skip
    name = table.cell(row, key)
    text = " | ".join(plain(cell.raw) for cell in row.cells)
    if not name or is_gap(name):
        if name:
            scope.gap(row.cells[key])
        return Unit(row.line, row.line, "severity", text, "shown", "no verifiable outcome", finding=bool(name))
    if re.fullmatch(r"\W*\d\W*", name):
        # “Level: 1, 2, 3”: the digit alone names nothing.
        name = f"{table.headers[key].strip() or 'Severity'} {name}"
    item = Severity(name=name[:400], rank=rank, source=scope.source(row.line), text=text, map=["I4"])
    for what, index in clocks.items():
        cell = row.cells[index]
        set_clock(item, scope, what, plain(cell.raw), row.line, cell.column)
    item.definition, item.examples = table.cell(row, definition), table.cell(row, example)
    if escalate is not None:
        item.escalate = [step for step in read_chain(table.cell(row, escalate)) if not is_gap(step)]
        scope.gap(row.cells[escalate])
    if channel is not None and table.cell(row, channel):
        item.channels = targets(read_ways(table.cell(row, channel)))
    if _ALL_HANDS.search(text):
        item.all_hands = True
        item.map.append("I2")
    return Unit(row.line, row.line, "severity", text, "proposed", None, tuple(item.map), [item])


_LEADS = re.compile(r"^\W*(?P<key>(?:sev(?:erity)?|prio(?:rity)?|p|s)[\s_-]?[0-5])\b(?P<rest>.*)$", re.I | re.S)


def paragraph(block: Block, scope: Scope) -> list[Unit] | None:
    """Lines “**SEV1** – respond within 5 minutes” of one paragraph."""
    lines = [line for line in block.raw.split("\n") if line.strip()]
    leads = [_LEADS.match(plain((bold_lead(line) or (line, ""))[0])) for line in lines]
    if len(lines) < 2 or not all(leads) or not all(line.lstrip().startswith(("**", "__")) for line in lines):
        return None
    made = [Entry(block.line + number, block.line + number, line, 0) for number, line in enumerate(lines)]
    return entries(Block("list", block.line, block.end_line, block.section, entries=made), scope)


_SCALE = re.compile(
    r"^\W*(?P<key>(?:critical|very high|high|major|medium|moderate|low|minor|informational)[ -](?:severity|priority|impact))\b(?P<rest>.*)$",
    re.I | re.S,
)
_CLOCK_WORDS = {
    "acknowledge": re.compile(r"\back", re.I),
    "resolve": re.compile(r"resol|mitigat|fix|restor", re.I),
    "update": re.compile(r"update|communicat", re.I),
    "respond": re.compile(r"respon|initial|react|sla|page|time", re.I),
}  # fmt: skip


def entries(block: Block, scope: Scope) -> list[Unit] | None:
    """Bullets that begin with a severity's key: “**P0**: site down, respond in 15 minutes”."""
    leads = [_LEADS.match(plain((bold_lead(entry.raw) or (entry.raw, ""))[0])) for entry in block.entries]
    if len(block.entries) < 2 or sum(1 for lead in leads if lead) < max(2, len(block.entries) - 1):
        return None
    title = " ".join(headings(block)[:2])
    if not _TITLE.search(title) and not re.search(r"response|sla|incident|escalat|alert", title, re.I):
        return None
    units = []
    rank = 0
    for entry, lead in zip(block.entries, leads, strict=True):
        if lead is None:
            units.append(Unit(entry.line, entry.end_line, "reference", entry.text, "shown", "reference"))
            continue
        rank += 1
        below = "\n".join(one.text for one in entry.walk())
        name = (bold_lead(entry.raw) or (plain(entry.raw), ""))[0]
        name = re.split(r"\s*[:–—]\s+|\s+-\s+", name)[0].strip()[:80]
        item = Severity(
            name=name, rank=rank, source=scope.source(entry.line, entry.end_line), text=entry.text, map=["I4"]
        )
        _clocks_of(item, scope, entry)
        item.definition = (bold_lead(entry.raw) or ("", ""))[1][:400] or entry.text[len(name) :].strip(" :-–—")[:400]
        item.all_hands = bool(_ALL_HANDS.search(below))
        for one in entry.walk():
            units.append(Unit(one.line, one.end_line, "severity", one.text, "proposed", None, ("I4",), [item] if one is entry else []))  # fmt: skip
    return units


def _clocks_of(item: Severity, scope: Scope, entry: Entry) -> None:
    """Clocks from the entry itself and from the “Response: 15 min” bullets below it."""
    for one in entry.walk():
        for label, value in [key_value(one.raw) or ("", one.raw)] if one is not entry else [("", one.raw)]:
            text = plain(value)
            for found in read_deadline(text).clocks:
                what = found.what or next(
                    (name for name, words in _CLOCK_WORDS.items() if words.search(label or text)), ""
                )
                if what in CLOCKS and getattr(item, what) is None:
                    setattr(item, what, duration(found.length))


def section(section: Section, scope: Scope) -> dict[int, list[Unit]] | None:
    """Headings “SEV-1: critical” beside each other, their clocks in the bullets below. Answers units by block line."""
    keyed = [child for child in section.sections if _LEADS.match(child.title) or _SCALE.match(child.title)]
    if len(keyed) < 2 or not (
        _TITLE.search(" ".join(reversed([section.title, *section.path[-2:]]))) or len(keyed) >= 3
    ):
        return None
    found: dict[int, list[Unit]] = {}
    for rank, child in enumerate(keyed, 1):
        if child.sections:
            continue
        name = re.split(r"\s*[:–—(]\s*|\s+-\s+", child.title)[0].strip()
        item = Severity(name=name or child.title[:80], rank=rank, source=scope.source(child.line), text=child.title, map=["I4"])  # fmt: skip
        clocked = False
        for block in child.blocks:
            for entry in block.entries:
                before = [getattr(item, name) for name in CLOCKS]
                pair = key_value(entry.raw)
                label, value = pair if pair else ("", entry.raw)
                what = next((name for name, words in _CLOCK_WORDS.items() if words.search(label)), "")
                if what and getattr(item, what) is None and read_deadline(plain(value)).named != "unread":
                    set_clock(item, scope, what, plain(value), entry.line)
                clocked = clocked or before != [getattr(item, name) for name in CLOCKS]
                if re.match(r"(?:definition|description|criteria|impact)", label, re.I) and not item.definition:
                    item.definition = plain(value)[:400]
                if re.match(r"examples?", label, re.I):
                    item.examples = plain(value)[:400]
            if block.kind == "paragraph":
                pair = key_value(block.raw)
                if pair and (what := next((n for n, words in _CLOCK_WORDS.items() if words.search(pair[0])), "")):
                    for line in block.raw.split("\n"):
                        pair = key_value(line)
                        what = next((n for n, w in _CLOCK_WORDS.items() if pair and w.search(pair[0])), "")
                        if pair and what and getattr(item, what) is None and read_deadline(plain(pair[1])).clocks:
                            set_clock(item, scope, what, plain(pair[1]), block.line)
                            clocked = True
                elif not item.definition:
                    item.definition = block.text[:400]
        if not clocked and not item.definition and not any(block.entries for block in child.blocks):
            continue
        for block in child.blocks:
            if block.kind not in {"heading", "list", "paragraph"} or (
                block.kind == "paragraph" and block.raw.rstrip().endswith(":")
            ):
                continue
            if block.kind == "heading":
                found[block.line] = [
                    Unit(block.line, block.end_line, "severity", child.title, "proposed", None, ("I4",), [item])
                ]
            else:
                lines = [e for top in block.entries for e in top.walk()]
                found[block.line] = [
                    Unit(one.line, one.end_line, "severity", one.text, "proposed", None, ("I4",)) for one in lines
                ] or [Unit(block.line, block.end_line, "severity", block.text, "proposed", None, ("I4",))]
    return found or None
