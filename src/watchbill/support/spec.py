"""What this feature reads in a runbook: support SLAs."""

import re
from typing import Literal

from pydantic import Field

from watchbill.language.columns import Table
from watchbill.language.inline import plain
from watchbill.language.items import Duration, Item, Time, Unit
from watchbill.language.keyed import NUMBERED, clock_columns, holds_times, key_column, set_clock
from watchbill.language.scope import Scope, headings
from watchbill.language.values.gaps import is_gap
from watchbill.language.values.owner import read_chain

_SUPPORT = re.compile(
    r"\bsupport\b|\bSLAs?\b|service[- ]level agreement|customers?\b|tickets?\b|help ?desk|\bplans?\b|\btiers?\b", re.I
)
_CUSTOMER = re.compile(r"\bsupport\b|customers?\b|tickets?\b|help ?desk|\bplans?\b|service[- ]level agreement", re.I)
_INCIDENT = re.compile(r"incident|severit|outage|on-?call|escalation|classification|alert|pager", re.I)
_CHANNEL = re.compile(r"e-?mail|chat|phone|ticket|portal|discord|slack|forum|github|intercom|form|social|community|in-app", re.I)  # fmt: skip
_PLAN = re.compile(r"\b(?:free|community|starter|basic|standard|pro(?:fessional)?|business|premium|enterprise|team|growth|platinum|gold|silver|bronze|dedicated|self-hosted|trial|paid)\b", re.I)  # fmt: skip


class Sla(Item):
    """A support SLA: by when a ticket of this tier, channel or plan is answered, updated and resolved."""

    kind: Literal["sla"] = "sla"
    definition: str = ""
    acknowledge: Time = None
    respond: Time = None
    resolve: Time = None
    update: Time = None
    off_hours: dict[str, Duration] = Field(default_factory=dict)
    hours: str = ""
    plan: str = ""
    escalate: list[str] = Field(default_factory=list)


def about_support(table: Table) -> bool:
    """Whether the nearest heading that says anything speaks of support rather than of incidents."""
    for title in headings(table.block):
        incident, support = _INCIDENT.search(title), _SUPPORT.search(title)
        if incident and support and re.search(r"severit|^p$|\bsev\b", table.headers[0], re.I):
            return False
        if support and re.search(r"severit", table.headers[0], re.I) and not _CUSTOMER.search(title):
            # “Acknowledgment SLAs” by severity are the on-call's, not a customer's.
            continue
        if support and not (incident and re.search(r"severit|incident", title, re.I)):
            return True
        if incident:
            return False
    return False


def table(table: Table, scope: Scope) -> list[Unit] | None:
    """Tiers or priorities with response and resolution; channels with response; plans as columns."""
    if not table.rows or len(table.headers) < 2:
        return None
    if not about_support(table):
        return None
    key = key_column(table)
    if key is not None:
        by_plan = [i for i in range(len(table.headers)) if i != key and _PLAN.search(table.headers[i])]
        clocks = clock_columns(table, key) if len(by_plan) < 2 else {}
        if clocks:
            return _rows(table, scope, key, clocks)
        return _plans(table, scope, key)
    if any("statistic" in meaning for meaning in table.meanings):
        return None
    by_channel = (
        table.share(0, _CHANNEL) >= 0.6
        or table.share(0, _PLAN) >= 0.6
        or re.search(r"tier|plan|request|issue|categor|type|channel", table.headers[0], re.I)
    )
    respond = next(
        (i for i in range(1, len(table.headers)) if "respond" in table.meanings[i] and holds_times(table, i)), None
    )
    if by_channel and respond is not None:
        clocks = {"respond": respond}
        for name in ("resolve", "update"):
            index = table.column(name, but=(respond, 0))
            if index is not None and holds_times(table, index):
                clocks[name] = index
        return _rows(table, scope, 0, clocks)
    return None


def _rows(table: Table, scope: Scope, key: int, clocks: dict[str, int]) -> list[Unit]:
    taken: tuple[int | None, ...] = (key, *clocks.values())
    definition = table.column("definition", "example", but=taken)
    hours, escalate = table.column("hours", but=taken), table.column("escalate", but=taken)
    plan = next((title for title in headings(table.block)[:1] if _PLAN.search(title)), "")
    units = []
    for row in table.rows:
        text = " | ".join(plain(cell.raw) for cell in row.cells)
        name = table.cell(row, key)
        if not name or is_gap(name):
            units.append(
                Unit(
                    row.line,
                    row.line,
                    "sla",
                    text,
                    "shown",
                    "no verifiable outcome",
                    finding=bool(name) and scope.gap(row.cells[key]),
                )
            )
            continue
        item = Sla(
            name=name[:400],
            source=scope.source(row.line),
            text=text,
            map=["T1"],
            plan=plan,
            definition=table.cell(row, definition),
            hours=table.cell(row, hours),
        )
        for what, index in clocks.items():
            set_clock(item, scope, what, table.cell(row, index), row.line, row.cells[index].column)
        if escalate is not None:
            item.escalate = list(read_chain(table.cell(row, escalate)))
        units.append(Unit(row.line, row.line, "sla", text, "proposed", None, ("T1",), [item]))
    return units


def _plans(table: Table, scope: Scope, key: int) -> list[Unit] | None:
    """Plans as columns: one SLA for each cell."""
    plans = [
        i for i in range(len(table.headers)) if i != key and _PLAN.search(table.headers[i]) and holds_times(table, i)
    ]
    if not plans or (table.share(key, NUMBERED) < 0.5 and len(plans) < 2):
        return None
    units = []
    for row in table.rows:
        text = " | ".join(plain(cell.raw) for cell in row.cells)
        items: list[Item] = []
        for index in plans:
            item = Sla(
                name=f"{table.cell(row, key)} ({table.headers[index]})",
                source=scope.source(row.line),
                text=text,
                map=["T1"],
                plan=table.headers[index],
            )
            set_clock(item, scope, "respond", table.cell(row, index), row.line, row.cells[index].column)
            items.append(item)
        units.append(Unit(row.line, row.line, "sla", text, "proposed", None, ("T1",), items))
    return units
