"""What this feature reads in a runbook: backup policies, recovery objectives, retention rules."""

import re
from typing import Literal

from watchbill.language.columns import Table
from watchbill.language.inline import plain
from watchbill.language.items import Item, Recurs, Time, Unit, duration, recurrence
from watchbill.language.scope import Scope, headings
from watchbill.language.values.duration import find_lengths, read_deadline
from watchbill.language.values.gaps import is_gap

_TITLE = re.compile(r"back-?ups?|retention|recovery|restor|disaster|\brpo\b|\brto\b|snapshot|archiv", re.I)


class Backup(Recurs):
    """A backup policy, a recovery objective or a retention rule for one kind of data or service."""

    kind: Literal["backup"] = "backup"
    retention: Time = None
    indefinite: bool = False
    location: str = ""
    method: str = ""
    verification: str = ""
    rpo: Time = None
    rto: Time = None


def table(table: Table, scope: Scope) -> list[Unit] | None:
    """Data with frequency, retention, location; services with RPO and RTO; retention tables."""
    if not table.rows or len(table.headers) < 2:
        return None
    title = " ".join(headings(table.block)[:2])
    retention, rpo, rto = table.column("retention"), table.column("rpo"), table.column("rto")
    if any("statistic" in meaning for meaning in table.meanings) or (
        table.column("current", but=(retention, rpo, rto)) is not None
        and (rpo is not None or rto is not None)
        and re.search(r"actual|achiev|result|drill", " ".join(table.headers), re.I)
    ):
        return None
    keyed = [
        i
        for i in range(min(2, len(table.headers)))
        if re.fullmatch(r"\W*(?:rpo|rto)\W*.*", table.cell(table.rows[0], i), re.I)
    ]
    often = table.column("frequency")
    location = table.column("location", but=(often, retention))
    told = retention is not None or rpo is not None or rto is not None or bool(keyed)
    if not told and not (often is not None and location is not None and re.search(r"back-?up|snapshot", title, re.I)):
        return None
    if retention is not None and rpo is None and rto is None and not _TITLE.search(title + " ".join(table.headers)):
        return None
    key = next(
        (
            i
            for i in range(len(table.headers))
            if i not in {retention, rpo, rto, often}
            and table.meanings[i] & {"data", "severity", "level", "role", "activity", "metric"}
        ),
        0,
    )
    method = table.column("method", but=(key, often, retention, location, rpo, rto))
    verification = table.column("verification", but=(key, often, retention, location, method))
    units = []
    for row in table.rows:
        text = " | ".join(plain(cell.raw) for cell in row.cells)
        name = table.cell(row, key)
        if not name or is_gap(name):
            units.append(Unit(row.line, row.line, "backup", text, "shown", "no verifiable outcome"))
            continue
        value = (
            scope.frequency(table.cell(row, often), row.line).value
            if often is not None and table.cell(row, often)
            else None
        )
        item = Backup(
            name=name[:400], source=scope.source(row.line), text=text, map=["B1"], effect="later", **recurrence(value)
        )
        for what, index in (("retention", retention), ("rpo", rpo), ("rto", rto)):
            if index is not None:
                found = read_deadline(table.cell(row, index))
                setattr(
                    item,
                    what,
                    duration(found.first)
                    or (
                        scope.deadline("Immediate", row.line)[1]
                        if what != "retention" and found.named in {"zero", "immediate"}
                        else None
                    ),
                )
                item.indefinite = item.indefinite or found.named == "indefinite"
        if keyed and (named := re.match(r"\W*(rpo|rto)\b", name, re.I)):
            other = next(
                (read_deadline(plain(c.raw)).first for c in row.cells if read_deadline(plain(c.raw)).first), None
            )
            setattr(item, named[1].lower(), duration(other))
        item.location, item.method, item.verification = (
            table.cell(row, location),
            table.cell(row, method),
            table.cell(row, verification),
        )
        units.append(Unit(row.line, row.line, "backup", text, "later", None, tuple(item.map), [item]))
    return units


_OBJECTIVE = re.compile(r"\b(RPO|RTO|Recovery (?:Point|Time) Objectives?)\b[^.;\n]{0,40}?[:=<≤–—-]", re.I)
_RETAIN = re.compile(r"\b(?:retention|retain(?:ed)?|kept?|stored?|preserved?)\b", re.I)


def sentence(text: str, line: int, end_line: int, scope: Scope) -> Item | None:
    """“**RTO**: 4 hours”; “audit exports stored per retention (1 year)”."""
    lengths = find_lengths(text)
    if not lengths or len(text) > 300:
        return None
    objective = _OBJECTIVE.search(text)
    if objective:
        after = next((one for one in lengths if one.start >= objective.end() - 2), None)
        if after is None:
            return None
        what = "rto" if "t" in objective[1].lower()[1:2] or "time" in objective[1].lower() else "rpo"
        item = Backup(name=text[:200], source=scope.source(line, end_line), text=text, map=["B2"], effect="later")
        setattr(item, what, duration(after.length))
        return item
    if (
        _RETAIN.search(text)
        and lengths[-1].length.unit in {"day", "week", "month", "year"}
        and re.search(r"retention|retain|\bkeep|\bkept\b|stored", text, re.I)
    ):
        return Backup(
            name=text[:200],
            source=scope.source(line, end_line),
            text=text,
            map=["E5"],
            effect="later",
            retention=duration(lengths[-1].length),
        )
    return None
