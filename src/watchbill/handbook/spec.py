"""What the handbook itself reads in a runbook: who owns a document, when it is reviewed, what is still to be written."""

import re
from datetime import date
from typing import Any, Literal

from pydantic import Field

from watchbill.language.columns import Table
from watchbill.language.document import Block
from watchbill.language.inline import key_value, plain
from watchbill.language.items import Item, Recurs, Targets, Unit, recurrence, targets
from watchbill.language.scope import Scope, headings, references
from watchbill.language.values.frequency import read_frequency
from watchbill.language.values.gaps import is_gap
from watchbill.language.values.owner import read_owners


class Metadata(Recurs):
    """One entry about the document: its owner, status, review cycle. A cycle recurs: “review this document”."""

    kind: Literal["metadata"] = "metadata"
    field: str
    value: str = ""
    owners: Targets = Field(default_factory=list)
    secondary_owners: Targets = Field(default_factory=list)
    participants: Targets = Field(default_factory=list)
    placeholder: bool = False


class Template(Item):
    """Something to be written: the tree of documents, or a group of questions."""

    kind: Literal["template"] = "template"
    documents: list[str] = Field(default_factory=list)
    questions: list[str] = Field(default_factory=list)


class Reference(Item):
    """A line that is kept, and that a later feature will act on: ``map`` says which."""

    kind: Literal["reference"] = "reference"


OWNER = re.compile(r"^\W*(?:document |runbook |primary |content |policy |process |service )?(?:owners?|maintainers?|maintained by|owned by|owner\(s\)|authors?|dri|responsible(?: team| party)?|point of contact|team|prepared by)\W*$", re.I)  # fmt: skip
SECOND = re.compile(r"^\W*(?:secondary|backup|deputy|co-?)[ _-]?owners?\W*$", re.I)
PARTICIPANTS = re.compile(r"^\W*(?:participants?|involved|stakeholders?|contributors?|reviewers?|approvers?|approved by|audience|distribution)\W*$", re.I)  # fmt: skip
REVIEW = re.compile(r"^\W*(?:next review(?: date| due)?|review (?:cycle|cadence|frequency|schedule|interval|period|date)|reviewed|review|update (?:cycle|frequency))\W*$", re.I)  # fmt: skip
OTHER = re.compile(
    r"^\W*(?:last[ _-]?(?:updated?|reviewed|modified|revised|tested|drill|verified|changed)(?: on| date| by)?|updated|version|document version|status|effective(?: date)?|created|date|revision|classification|document (?:id|type|status|classification)|doc id|target completion|confidentiality|scope|applies to|phase|severity|related(?: docs| documents)?|title|environment|service|system|product|company|organi[sz]ation|tags|category|priority|source|supersedes|approval(?: date)?|id|reference|entry point|exit point|previous phase|next phase|objective|on-?call|slack(?: channel)?|repo(?:sitory)?|sprint|issue|compliance|regulatory|standards?)\W*$",
    re.I,
)
STATUS_GAP = re.compile(
    r"\bplaceholder\b|\bdraft\b.*\btodo\b|needs? clarification|to be written|not (?:yet )?written", re.I
)
_LIVING = re.compile(r"\bliving document|\bkeep this (?:runbook|document|page) (?:up to date|current)|\bupdate (?:this (?:runbook|document) )?whenever\b", re.I)  # fmt: skip
_REVIEWED = re.compile(
    r"\bthis (?:document|runbook|plan|sla|policy|page|handbook|guide)\b[^.]{0,40}\breview(?:ed)?\b", re.I
)
_PATHLIKE = re.compile(r"[^\s│├└─|]+\.(?:md|markdown)\b")
_BRANCH = re.compile(r"[├└│]|^\s*\|--|^\s*`--")


def entry(name: str, raw: str, line: int, scope: Scope, values: list[str] | None = None) -> Unit:
    """One “Field: value” about the document."""
    value = plain(raw)
    text = f"{name}: {value}"
    label = name.replace("_", " ")
    item = Metadata(
        name=label[:400] or "field", field=label, value=value[:1000], source=scope.source(line), text=text, map=["H5"]
    )
    for year, month, day in re.findall(r"\b(\d{4})-(\d\d)-(\d\d)\b", value):
        try:
            date(int(year), int(month), int(day))
        except ValueError:
            scope.find("WB117", line, text=f"{year}-{month}-{day}", what="date")
    gap = is_gap(raw) or STATUS_GAP.search(value) is not None
    people = [one for part in (values or [value]) for one in targets(read_owners(part))] if not is_gap(raw) else []
    if OWNER.match(label):
        item.owners = people
        item.map.append("H8")
        if is_gap(raw):
            scope.find("WB101", line, text=value)
        return (
            Unit(line, line, "metadata", text, "proposed", None, ("H5", "H8"), [item])
            if people
            else Unit(line, line, "metadata", text, "shown", "no owner", finding=True)
        )
    if SECOND.match(label):
        item.secondary_owners, item.map = people, ["H8"]
        return Unit(line, line, "metadata", text, "proposed", None, ("H8",), [item])
    if PARTICIPANTS.match(label):
        item.participants, item.map = people, ["H8"]
        return Unit(line, line, "metadata", text, "proposed", None, ("H8",), [item])
    if REVIEW.match(label):
        often = read_frequency(value)
        if often.value and (often.value.every or often.value.trigger):
            made = Metadata(**(item.model_dump() | recurrence(often.value)))
            return Unit(line, line, "metadata", text, "proposed", None, ("H5",), [made])
        if is_gap(raw):
            scope.find("WB101", line, text=value)
        return Unit(
            line,
            line,
            "metadata",
            text,
            "proposed" if re.search(r"\d{4}", value) else "shown",
            None if re.search(r"\d{4}", value) else "reference",
            ("H5",),
            [item],
        )
    if re.match(r"\W*target completion", label, re.I):
        item.map, item.effect = ["H3"], "later"
        return Unit(line, line, "metadata", text, "later", None, ("H3",), [item])
    if re.match(r"\W*(?:previous|next) phase", label, re.I) and references(raw):
        item.map, item.effect = ["E6"], "later"
        return Unit(line, line, "metadata", text, "later", None, ("E6",), [item])
    if gap and re.match(r"\W*status", label, re.I):
        item.placeholder = True
        return Unit(line, line, "metadata", text, "proposed", None, ("H5",), [item], finding=True)
    if is_gap(raw):
        scope.find("WB101", line, text=value)
    item.effect, item.reason = "shown", "reference"
    return Unit(line, line, "metadata", text, "shown", "reference", ("H5",), [item])


def lines_of(block: Block) -> list[tuple[str, str, int]] | None:
    """The “**Field**: value” lines of a paragraph with their lines; None unless most lines are such."""
    lines = block.raw.split("\n")
    found = []
    for number, line in enumerate(lines):
        parts = [line] if "|" not in line else [part for part in line.split("|") if part.strip()]
        for part in parts:
            text = part.strip().rstrip("\\")
            if text[:1] in "_*" and text[:2] not in {"**", "__"} and text.endswith(text[:1]):
                # “_Owner: Jane Roe_”
                text = text[1:-1]
            pair = key_value(text)
            if pair and len(pair[0]) <= 40:
                found.append((pair[0], pair[1], block.line + number))
    return found if found and len({line for *_, line in found}) * 2 >= len(lines) else None


def is_field(name: str) -> bool:
    """Whether a label is one of a document's own fields."""
    return bool(
        OWNER.match(name) or SECOND.match(name) or PARTICIPANTS.match(name) or REVIEW.match(name) or OTHER.match(name)
    )


_PAIR = re.compile(r"^(?:field|property|attribute|item|key|metadata|element|document|detail)s?\b", re.I)


def table(table: Table, scope: Scope) -> list[Unit] | None:
    """“Field, Value” about the document, near its top; also without a header of its own."""
    if len(table.headers) != 2 or not table.rows:
        return None
    first = [table.headers[0], *table.texts(0)]
    known = sum(1 for text in first if is_field(text))
    top = table.block.section.level <= 2 and (
        table.block.line <= 40
        or re.search(
            r"document (?:control|info|history)|metadata|about this", " ".join(headings(table.block)[:1]), re.I
        )
    )
    if not top or (
        (known * 2 < len(first) or known < 2) and not (re.match(r"\W*field\W*$", table.headers[0], re.I) and known)
    ):
        return None
    units: list[Unit] = []
    if is_field(table.headers[0]) and table.block.header is not None and not _PAIR.match(table.headers[0]):
        units.append(entry(table.headers[0], table.block.header.cells[1].raw, table.block.header.line, scope))
    return units + [
        entry(table.cell(row, 0), table.raw(row, 1), row.line, scope) for row in table.rows if table.cell(row, 0)
    ]


def living(text: str, line: int, end_line: int, scope: Scope) -> Item | None:
    """“Maintain this runbook as living documentation”: a review when things change."""
    cycle = _REVIEWED.search(text)
    often = read_frequency(text[cycle.start() :]) if cycle else None
    if often and often.value and often.value.every:
        return Metadata(
            name="Review",
            field="review",
            value=text[:400],
            source=scope.source(line, end_line),
            text=text,
            map=["H5"],
            **recurrence(often.value),
        )
    if not _LIVING.search(text):
        return None
    values: dict[str, Any] = {
        "trigger": "when tooling, cadence or ownership changes" if "whenever" in text else "on change"
    }
    return Metadata(
        name="Review on change",
        field="review",
        value=text[:400],
        source=scope.source(line, end_line),
        text=text,
        map=["H5"],
        **values,
    )


def tree(block: Block, scope: Scope) -> Template | None:
    """A tree of documents to be written, in a fence."""
    lines = block.raw.split("\n")
    if sum(1 for line in lines if _BRANCH.search(line)) < 3:
        return None
    paths: list[str] = []
    stack: list[tuple[int, str]] = []
    for line in lines:
        body = line.split("#")[0].rstrip()
        name = body.lstrip("│├└─ |`-\t\u00a0")
        if not name:
            continue
        indent = len(body) - len(name)
        while stack and stack[-1][0] >= indent:
            stack.pop()
        if name.endswith("/"):
            stack.append((indent, name))
        elif _PATHLIKE.fullmatch(name):
            paths.append("".join(part for _, part in stack) + name)
    if len(paths) < 3:
        return None
    title = (headings(block) or ["Documents"])[0]
    return Template(
        name=title[:400],
        source=scope.source(block.line, block.end_line),
        text=title,
        map=["H3"],
        effect="later",
        documents=paths[:500],
    )


def questions(block: Block, scope: Scope) -> list[Unit] | None:
    """An ordered list of questions with what each asks for."""
    if not block.entries or sum(1 for e in block.entries if e.text.rstrip().endswith("?")) * 2 < len(block.entries):
        return None
    units = []
    for one in block.entries:
        item = Template(
            name=one.text[:400],
            source=scope.source(one.line, one.end_line),
            text=one.text,
            map=["H3"],
            effect="later",
            questions=[e.text[:400] for e in one.entries],
        )
        for number, below in enumerate(one.walk()):
            units.append(
                Unit(
                    below.line,
                    below.end_line,
                    "template",
                    below.text,
                    "later",
                    None,
                    ("H3",),
                    [item] if number == 0 else [],
                )
            )
    return units
