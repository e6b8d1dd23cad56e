"""Reading a table that a comment names, where no column says what it holds: the first column names the item, values say the rest. Pure."""

import re
from collections.abc import Callable, Iterator

from watchbill.cadence.spec import Duty
from watchbill.incidents.spec import Severity
from watchbill.language.columns import Table
from watchbill.language.document import Row
from watchbill.language.inline import plain
from watchbill.language.items import Item, Unit, duration, recurrence, targets
from watchbill.language.scope import Scope
from watchbill.language.values.duration import read_deadline
from watchbill.language.values.frequency import read_frequency
from watchbill.language.values.gaps import is_gap
from watchbill.language.values.owner import read_owners, read_ways
from watchbill.people.spec import Contact, Role
from watchbill.runbooks.spec import Troubleshooting
from watchbill.support.spec import Sla

Made = Callable[[str, list[tuple[str, str]], int, Scope, Row], Item | None]
_DO = re.compile(r"\bdo\b|fix|action|remed|mitigat|resol|respon|solution|step", re.I)


def rows(table: Table, kind: str, scope: Scope) -> list[Unit] | None:
    """Each row as an item of the kind; None where the kind cannot be read from a bare table."""
    make = _MAKERS.get(kind)
    if make is None or len(table.headers) < 2:
        return None
    units = []
    for number, row in enumerate(table.rows, 1):
        name = table.cell(row, 0)
        text = " | ".join(cell.text for cell in row.cells)
        cells = [(table.headers[at], table.cell(row, at)) for at in range(1, len(table.headers)) if table.cell(row, at)]
        if not name or is_gap(name):
            units.append(Unit(row.line, row.line, kind, text, "shown", "template", finding=True))
            continue
        item = make(name, cells, number, scope, row)
        if item is None:
            units.append(Unit(row.line, row.line, kind, text, "shown", "no time or trigger"))
            continue
        item.source, item.text = scope.source(row.line, row.line), text
        units.append(Unit(row.line, row.line, kind, text, "proposed", None, tuple(item.map), [item]))
    return units


def _words(cells: list[tuple[str, str]]) -> Iterator[str]:
    """The cells that are neither a time nor a gap."""
    return (text for _, text in cells if read_deadline(text).first is None and not is_gap(text))


def _severity(name: str, cells: list[tuple[str, str]], number: int, scope: Scope, row: Row) -> Item:
    made = Severity(name=name[:400], rank=number, definition="; ".join(_words(cells))[:2000], map=["I4"])
    times = [found for _, text in cells if (found := duration(read_deadline(text).first))]
    made.respond, made.resolve = (*times, None, None)[:2]
    return made


def _sla(name: str, cells: list[tuple[str, str]], number: int, scope: Scope, row: Row) -> Item | None:
    times = [found for _, text in cells if (found := duration(read_deadline(text).first))]
    if not times:
        return None
    made = Sla(name=name[:400], definition="; ".join(_words(cells))[:2000], map=["T1"])
    made.respond, made.resolve = (*times, None)[:2]
    return made


def _contact(name: str, cells: list[tuple[str, str]], number: int, scope: Scope, row: Row) -> Item | None:
    ways = [way for _, text in cells for way in targets(read_ways(text))]
    if not ways:
        return None
    return Contact(name=name[:400], primary=ways[:1], secondary=ways[1:2], map=["I2"])


def _role(name: str, cells: list[tuple[str, str]], number: int, scope: Scope, row: Row) -> Item:
    return Role(name=name[:400], responsibilities=[text[:1000] for _, text in cells], map=["H8"])


def _troubleshooting(name: str, cells: list[tuple[str, str]], number: int, scope: Scope, row: Row) -> Item | None:
    does = [text for header, text in cells if _DO.search(header)] or [text for _, text in cells[-1:]]
    checks = [text for _, text in cells if text not in does]
    return Troubleshooting(name=name[:400], symptom=name, checks=checks, mitigation=does, map=["H7"]) if does else None


def _duty(name: str, cells: list[tuple[str, str]], number: int, scope: Scope, row: Row) -> Item | None:
    often = [(text, found) for _, text in cells if (found := read_frequency(text).value)]
    if not often:
        return None
    rest = [text for _, text in cells if text != often[0][0]]
    owners = [one for text in rest for one in targets(read_owners(plain(text)))][:3]
    return Duty(name=name[:400], owners=owners or list(scope.owners), map=["D1"], **recurrence(often[0][1]))


_MAKERS: dict[str, Made] = {
    "severity": _severity, "sla": _sla, "contact": _contact, "role": _role, "troubleshooting": _troubleshooting, "duty": _duty,
}  # fmt: skip
