"""What this feature reads in a runbook: quality gates, sign-offs, entry and exit criteria, approvals of an area."""

import re
from typing import Literal

from pydantic import Field

from watchbill.language.document import Block
from watchbill.language.inline import key_value, plain
from watchbill.language.items import Item, Model, Targets, Unit, targets
from watchbill.language.scope import Scope, headings
from watchbill.language.values.gaps import is_gap
from watchbill.language.values.owner import read_owners

_TITLE = re.compile(r"\bgates?\b|sign-?offs?\b|(?:entry|exit|acceptance|completion|readiness|go/?no-?go|launch|release) (?:criteria|checklist|review)|definition of (?:done|ready)|go/no-go|readiness|missing information|pre-?(?:flight|launch|deployment|release)|prerequisites for (?:release|launch)", re.I)  # fmt: skip
_APPROVALS = re.compile(r"^\W*(?:required )?approvals?\W*$|^\W*approvers?\W*$", re.I)


class Condition(Model):
    """One condition of a gate."""

    text: str
    line: int = 0
    met: bool = False
    approvers: Targets = Field(default_factory=list)


class Gate(Item):
    """A gate: all conditions must hold, each with evidence or somebody's word."""

    kind: Literal["gate"] = "gate"
    conditions: list[Condition] = Field(default_factory=list)


def entries(block: Block, scope: Scope) -> list[Unit] | None:
    """Lists under a heading about gates or sign-off; approvals of an area."""
    titles = headings(block)
    near = titles[0] if titles else ""
    approvals = bool(_APPROVALS.match(near))
    above = next((title for title in titles if _TITLE.search(title)), "")
    if not approvals and not (above and (block.kind == "tasklist" or _TITLE.search(near))):
        return None
    item = Gate(
        name=(near or above)[:400],
        source=scope.source(block.line, block.end_line),
        text=near,
        map=["E6"],
        effect="later",
    )
    units: list[Unit] = []
    for entry in block.entries:
        pair = key_value(entry.raw) if approvals else None
        condition = Condition(
            text=plain(pair[1])[:1000] if pair else entry.text[:1000], line=entry.line, met=bool(entry.checked)
        )
        if pair:
            condition.approvers = targets(read_owners(pair[0]))
        item.conditions.append(condition)
        if is_gap(entry.raw):
            scope.find("WB101", entry.line, text=entry.text)
        for one in entry.walk():
            units.append(
                Unit(one.line, one.end_line, "gate", one.text, "later", None, ("E6",), [item] if not units else [])
            )
    return units


def frontmatter(name: str, values: list[tuple[str, int]], line: int, scope: Scope) -> list[Unit]:
    """Entry and exit criteria, dependencies of the frontmatter."""
    item = Gate(
        name=name.replace("_", " ").capitalize(), source=scope.source(line), text=name, map=["E6"], effect="later"
    )
    units = []
    for number, (text, at) in enumerate(values):
        item.conditions.append(Condition(text=text[:1000], line=at))
        units.append(Unit(at, at, "gate", text, "later", None, ("E6",), [item] if number == 0 else []))
    return units
