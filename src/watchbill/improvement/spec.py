"""What this feature reads in a runbook: the improvement backlog by theme."""

import re
from typing import Literal

from watchbill.language.columns import Table
from watchbill.language.inline import plain
from watchbill.language.items import Item, Unit
from watchbill.language.scope import Scope, headings
from watchbill.language.values.gaps import is_gap


class Backlog(Item):
    """One theme of improvement and where it is tracked."""

    kind: Literal["backlog"] = "backlog"
    examples: str = ""
    tracking: str = ""


def table(table: Table, scope: Scope) -> list[Unit] | None:
    """Theme, examples, tracking."""
    theme = next(
        (
            i
            for i, header in enumerate(table.headers)
            if re.match(r"\W*(?:theme|initiative|improvement|area|epic|opportunity)", header, re.I)
        ),
        None,
    )
    tracking = table.column("tracking", but=(theme,))
    title = " ".join(headings(table.block)[:2])
    if (
        theme is None
        or tracking is None
        or not re.search(r"backlog|improve|enhancement|initiative|technical debt", title, re.I)
    ):
        return None
    examples = table.column("example", "changes", but=(theme, tracking))
    units = []
    for row in table.rows:
        text = " | ".join(plain(cell.raw) for cell in row.cells)
        name = table.cell(row, theme)
        if not name or is_gap(name):
            units.append(Unit(row.line, row.line, "backlog", text, "shown", "no verifiable outcome"))
            continue
        item = Backlog(
            name=name[:400],
            source=scope.source(row.line),
            text=text,
            map=["M1"],
            effect="later",
            examples=table.cell(row, examples),
            tracking=table.cell(row, tracking),
        )
        units.append(Unit(row.line, row.line, "backlog", text, "later", None, ("M1",), [item]))
    return units
