"""What this feature reads in a runbook: approvals of changes, freezes, maintenance windows, release rules."""

import re
from typing import Literal

from pydantic import Field

from watchbill.language.columns import Table
from watchbill.language.inline import plain
from watchbill.language.items import Recurs, Targets, Time, Unit, duration, recurrence, targets
from watchbill.language.scope import Scope, headings
from watchbill.language.values.duration import find_lengths
from watchbill.language.values.frequency import find_frequency
from watchbill.language.values.gaps import is_gap
from watchbill.language.values.owner import read_owners


class ChangePolicy(Recurs):
    """A rule about changes: who approves, what is frozen, how long ahead it is announced, the calendar's length."""

    kind: Literal["change-policy"] = "change-policy"
    approvers: Targets = Field(default_factory=list)
    announce: Time = None
    calendar: Time = None
    freeze: bool = False
    window: str = ""


def table(table: Table, scope: Scope) -> list[Unit] | None:
    """Type of change with its approver."""
    approver = table.column("approver")
    if approver is None or not table.rows:
        return None
    key = next((i for i in range(len(table.headers)) if i != approver and "change" in table.meanings[i]), None)
    title = " ".join(headings(table.block)[:2])
    if (
        key is None
        or not re.search(
            r"change|release|deploy|approv|freeze|access|maintenance|environment", title + " ".join(table.headers), re.I
        )
        or table.column("version", "date") is not None
    ):
        return None
    window = table.column("freeze", "window", but=(approver, key))
    units = []
    for row in table.rows:
        text = " | ".join(plain(cell.raw) for cell in row.cells)
        name = table.cell(row, key)
        if not name or is_gap(name):
            units.append(Unit(row.line, row.line, "change-policy", text, "shown", "no verifiable outcome"))
            continue
        item = ChangePolicy(
            name=name[:400],
            source=scope.source(row.line),
            text=text,
            map=["C1"],
            effect="later",
            window=table.cell(row, window),
        )
        item.approvers = targets(read_owners(table.cell(row, approver))) if not scope.gap(row.cells[approver]) else []
        units.append(Unit(row.line, row.line, "change-policy", text, "later", None, ("C1",), [item]))
    return units


_ABOUT = re.compile(
    r"\bfreeze (?:window|period)s?\b|\b(?:code|change|deployment|release) freeze\b|\bchange calendar\b|\bmaintenance window|\bannounce\b[^.;]{0,20}\b\d|\bschedule (?:upgrades|maintenance)\b"
    r"|\bschema changes?\b|\bfeature flags?\b[^.;]{0,60}\b(?:approv|intended|document|log)|\bapproval queue\b|\b(?:changes?|releases?|deployments?)\b[^.;]{0,60}\b(?:require|need|must)\b[^.;]{0,40}\bapprov",
    re.I,
)
_APPROVER = re.compile(
    r"\b(?:require[sd]?|needs?|with|after|subject to)\s+(?:the |an? )?([A-Z][\w ]{1,30}?)\s+(?:approval|sign-?off|authori[sz]ation)"
)
_CALENDAR = re.compile(r"\b(\d+)[- ]day\b[^.;]{0,20}\bcalendar\b", re.I)
_ANNOUNCE = re.compile(r"\bannounc\w*|\bnotice\b|\bprior\b|\bin advance\b|\bahead\b", re.I)


def sentence(text: str, line: int, end_line: int, scope: Scope) -> ChangePolicy | None:
    """“freeze windows require partner approval”, “announce 24 h ahead”, “schema changes flow through migrations”."""
    if not _ABOUT.search(text) or len(text) > 500:
        return None
    often = find_frequency(text).value
    item = ChangePolicy(
        name=text[:200],
        source=scope.source(line, end_line),
        text=text,
        map=["C1"],
        effect="later",
        **recurrence(often if often and often.every else None),
    )
    approver = _APPROVER.search(text)
    if approver:
        item.approvers = targets(read_owners(approver[1]))
    calendar = _CALENDAR.search(text)
    lengths = list(find_lengths(text))
    if calendar:
        item.calendar = duration(next(one.length for one in lengths if one.start <= calendar.start(1) < one.end))
    elif lengths and _ANNOUNCE.search(text):
        item.announce = duration(lengths[0].length)
    item.freeze = bool(re.search(r"\bfreeze", text, re.I))
    return item
