"""Tables keyed by severity or priority: which column is the key, which columns hold clocks. Shared by severities and SLAs."""

import re
from typing import Protocol

from watchbill.language.columns import Table
from watchbill.language.document import Block, Cell, Row
from watchbill.language.inline import plain
from watchbill.language.items import Duration, duration
from watchbill.language.scope import Scope, headings
from watchbill.language.values.duration import read_deadline

CLOCKS = ("acknowledge", "respond", "resolve", "update")
#: A severity's key: SEV-1, P0, S2, Severity 3, Critical …
KEY = re.compile(
    r"^\W*(?:(?:sev(?:erity)?|prio(?:rity)?|p|s|level|lvl|tier|l|class|t|d|code|category)[\s_-]?(?:[0-5]|[iv]{1,3}\b)\b(?!\.\d)"
    r"|(?:critical|very high|highest?|major|medium|moderate|normal|minor|lowest|low|emergency|urgent|blocker|severe|warning|info(?:rmational)?|cosmetic|trivial|red|orange|yellow|green)\b)",
    re.I,
)
NUMBERED = re.compile(r"^\W*(?:(?:sev(?:erity)?|prio(?:rity)?|p|s)[\s_-]?(?:[0-5]|[iv]{1,3}\b))\b", re.I)
_ESCALATION = re.compile(r"escalat|support (?:level|tier)|on-?call", re.I)


def key_column(table: Table) -> int | None:
    """The column of severity keys; None where the table has none, or is statistics."""
    if not 1 <= len(table.rows) <= 12 or len(table.headers) < 2:
        return None
    statistic = sum(1 for meaning in table.meanings if "statistic" in meaning)
    if statistic * 2 >= len(table.headers):
        return None
    for index, meaning in enumerate(table.meanings):
        named = meaning & {"severity", "priority", "level"}
        share = table.share(index, KEY)
        numbered = table.share(index, NUMBERED)
        if named and table.share(index, _DIGIT) == 1.0:
            # “Severity level: 1, 2, 3”.
            share = numbered = 1.0
        if not (numbered >= 0.6 or (named and share >= 0.7)):
            continue
        texts = [text.lower() for text in table.texts(index) if text]
        if index > 0 and _NAMES_THINGS.search(table.headers[0]):
            continue
        if index > 0 and not (named and len(set(texts)) == len(texts) >= 2 and _ordered(texts)):
            # Further right it may be what an alert or an incident type has, not what the table is about.
            continue
        if len(texts) - len(set(texts)) > len(texts) // 2:
            return None
        title = " ".join(headings(table.block)[:1])
        if _ESCALATION.search(title) and not numbered and table.column("role", "name", "contact", "team"):
            return None
        return index
    return None


#: First columns that name something which *has* a severity.
_NAMES_THINGS = re.compile(
    r"alert|incident|issue|problem|scenario|service|event|system|component|\btype\b|error|trigger|metric|check|role|\bname\b|step|rule|category|source|failure|symptom|asset|vulnerab|risk|threat",
    re.I,
)
_DIGIT = re.compile(r"^\W*[0-5]\W*$")
_WORDS = (
    "emergency",
    "critical",
    "urgent",
    "highest",
    "severe",
    "blocker",
    "high",
    "major",
    "medium",
    "moderate",
    "normal",
    "low",
    "minor",
    "lowest",
    "info",
    "cosmetic",
    "trivial",
)


def _ordered(keys: list[str]) -> bool:
    """Whether keys rise or fall as the ranks of one scale do."""
    ranks = []
    for key in keys:
        digit = re.search(r"\d", key)
        word = next((n for n, name in enumerate(_WORDS) if name in key), None)
        ranks.append(int(digit[0]) if digit else word if word is not None else -1)
    return -1 not in ranks and (ranks == sorted(ranks) or ranks == sorted(ranks, reverse=True))


def holds_times(table: Table, index: int) -> bool:
    """Whether most cells of a column are deadlines."""
    texts = [text for text in table.texts(index) if text]
    if not texts:
        return False
    timed = [read_deadline(text) for text in texts]
    good = sum(1 for one in timed if one.clocks or one.named in {"immediate", "none", "gap", "zero"})
    return good * 2 >= len(texts) and any(one.clocks or one.named in {"immediate", "gap"} for one in timed)


_PLAN = re.compile(
    r"^\W*(?:free|community|starter|basic|standard|pro(?:fessional)?|business|premium|enterprise|team|growth|platinum|gold|silver|bronze|dedicated|tier \w+)\b",
    re.I,
)
_FIELD = re.compile(
    r"respon|resol|acknowledg|update|definition|descri|impact|example|criteria|escalat|channel|hours|coverage|first reply|restor|workaround|sla\b",
    re.I,
)


def transposed(block: Block) -> Block | None:
    """The same table with a row for each severity or plan, where they stand in the header and the fields in the first column."""
    if block.header is None or not 2 <= len(block.header.cells) - 1 <= 8 or len(block.rows) < 1:
        return None
    keys = [plain(cell.raw) for cell in block.header.cells[1:]]
    if not all(KEY.search(key) or _PLAN.search(key) for key in keys) or any(len(key) > 40 for key in keys):
        return None
    labels = [plain(row.cells[0].raw) for row in block.rows if row.cells]
    if sum(1 for label in labels if _FIELD.search(label)) * 2 < len(labels) or any(
        KEY.search(label) for label in labels
    ):
        return None
    first = "Severity" if all(KEY.search(key) for key in keys) else "Plan"
    head = [Cell(first, block.header.line, 1), *[row.cells[0] for row in block.rows]]
    rows = [
        Row(
            block.header.line,
            [
                block.header.cells[number],
                *[row.cells[number] if number < len(row.cells) else Cell("", row.line, 1) for row in block.rows],
            ],
        )
        for number in range(1, len(keys) + 1)
    ]
    return Block(block.kind, block.line, block.end_line, block.section, header=Row(block.header.line, head), rows=rows)


def clock_columns(table: Table, key: int) -> dict[str, int]:
    """Which column holds which clock."""
    others = tuple(index for index in range(len(table.headers)) if index != key)
    clocks: dict[str, int] = {}
    taken: list[int | None] = [key]
    for name in ("acknowledge", "resolve", "update", "respond"):
        index = table.column(name, but=tuple(taken))
        if index is not None and holds_times(table, index):
            clocks[name] = index
            taken.append(index)
    if "respond" not in clocks:
        index = next((i for i in others if i not in taken and holds_times(table, i) and "escalate" not in table.meanings[i]), None)  # fmt: skip
        header = table.headers[index].lower() if index is not None else ""
        if index is not None and not re.search(
            r"rto|rpo|downtime|retention|duration|count|average|time to detect", header
        ):
            clocks["respond"] = index
            taken.append(index)
    return clocks


class Clocked(Protocol):
    """An item with clocks, in hours and out of hours."""

    off_hours: dict[str, Duration]


def set_clock(item: Clocked, scope: Scope, what: str, text: str, line: int, column: int = 1) -> None:
    """Writes what a cell says about time to an item's clock: the first length to ``what``, others to the clocks they name."""
    found, first = scope.deadline(text, line, column)
    if not found.clocks:
        if first:
            setattr(item, what, first)
        return
    for number, clock in enumerate(found.clocks):
        name = clock.what if clock.what in CLOCKS and len(found.clocks) > 1 else what
        value = duration(clock.length)
        if value is None:
            continue
        if clock.when == "out of hours":
            item.off_hours[name] = value
        elif number == 0 or getattr(item, name) is None:
            setattr(item, name, value)
