"""What this feature reads in a runbook: objectives and metric targets, thresholds, error-budget policies."""

import re
from typing import Any, Literal

from watchbill.language.columns import Table
from watchbill.language.document import Row
from watchbill.language.inline import plain
from watchbill.language.items import Item, Time, Unit, duration
from watchbill.language.scope import Scope, headings
from watchbill.language.values.gaps import is_gap
from watchbill.language.values.target import Target, read_target

_TITLE = re.compile(
    r"metric|\bslos?\b|\bslis?\b|\bkpis?\b|objective|target|service[- ]level|performance|indicator|availability|success",
    re.I,
)


class Objective(Item):
    """A target for a metric: ``operator`` and ``value`` in ``unit`` (or ``of`` a scale), or a ``duration``."""

    kind: Literal["objective"] = "objective"
    operator: str = "="
    value: float | None = None
    unit: str = ""
    of: float | None = None
    high: float | None = None
    duration: Time = None
    percentile: str = ""
    window: str = ""
    current: str | None = None


class Threshold(Item):
    """A bound of a metric beyond which something is done."""

    kind: Literal["threshold"] = "threshold"
    operator: str = ""
    value: float | None = None
    unit: str = ""
    per: Time = None
    warning: str = ""
    critical: str = ""
    action: str = ""


class BudgetPolicy(Item):
    """What happens at a state of the error budget."""

    kind: Literal["budget-policy"] = "budget-policy"
    consumed: str = ""
    remaining: str = ""
    action: str = ""


def _target(found: Target) -> dict[str, Any]:
    return {
        "operator": found.operator, "value": found.value, "unit": found.unit, "of": found.of, "high": found.high,
        "duration": duration(found.duration), "percentile": found.percentile,
    }  # fmt: skip


def table(table: Table, scope: Scope) -> list[Unit] | None:
    """Budget policies, thresholds with warning and critical, metrics with targets."""
    if not table.rows or len(table.headers) < 2:
        return None
    title = " ".join(headings(table.block)[:2])
    budget = table.column("budget")
    action = table.column("action", but=(budget,))
    if (
        budget is not None
        and action is not None
        and budget < 2
        and table.share(budget, re.compile(r"%|exhaust|remaining|consumed|healthy")) >= 0.5
    ):
        return [_budget(table, scope, row, budget, action) for row in table.rows]
    warning, critical = table.column("warning"), table.column("critical")
    if warning is not None and critical is not None and warning != critical:
        return [_threshold(table, scope, row, warning, critical) for row in table.rows]
    if any(meaning & {"version"} for meaning in table.meanings) or re.search(
        r"result|trend|history|incident recovery|growth|cost", title, re.I
    ):
        return None
    key = next(
        (
            i
            for i, header in enumerate(table.headers)
            if re.search(r"metric|\bsli\b|\bslo\b|kpi|indicator|objective|measure\b", header, re.I)
            and _figures(table, i) < 0.5
        ),
        0,
    )
    target = next(
        (
            i
            for i in range(len(table.headers))
            if i != key
            and "target" in table.meanings[i]
            and _figures(table, i) >= 0.5
            and not re.search(r"current|actual", table.headers[i], re.I)
        ),
        None,
    )
    if target is None:
        return None
    if not (
        re.search(r"metric|sli|slo|kpi|indicator|objective|measure", table.headers[key], re.I)
        or (_TITLE.search(title) and "metric" in table.meanings[key])
    ):
        return None
    current = next(
        (
            i
            for i in range(len(table.headers))
            if i not in {key, target} and re.search(r"current|actual|status|baseline", table.headers[i], re.I)
        ),
        None,
    )
    window = table.column("window", but=(key, target, current))
    units = []
    for row in table.rows:
        text = " | ".join(plain(cell.raw) for cell in row.cells)
        name, aim = table.cell(row, key), read_target(table.cell(row, target))
        if not name or is_gap(name) or aim.value is None:
            if aim.named == "gap":
                scope.gap(row.cells[target])
            elif aim.named == "verbal":
                scope.find("WB107", row.line, row.cells[target].column, text=table.cell(row, target))
            units.append(
                Unit(
                    row.line,
                    row.line,
                    "objective",
                    text,
                    "shown",
                    "no verifiable outcome",
                    finding=aim.named in {"gap", "verbal"},
                )
            )
            continue
        item = Objective(
            name=name[:400],
            source=scope.source(row.line),
            text=text,
            map=["O2"],
            effect="later",
            window=table.cell(row, window),
            **_target(aim.value),
        )
        if current is not None:
            if is_gap(row.cells[current].raw):
                item.current = None
                scope.find("WB118", row.line, row.cells[current].column, name=name)
            else:
                item.current = table.cell(row, current) or None
        units.append(Unit(row.line, row.line, "objective", text, "later", None, tuple(item.map), [item]))
    return units


def _figures(table: Table, index: int) -> float:
    texts = [text for text in table.texts(index) if text]
    good = sum(1 for text in texts if (aim := read_target(text)).value is not None or aim.named == "gap")
    return good / len(texts) if texts else 0.0


def _budget(table: Table, scope: Scope, row: Row, budget: int, action: int) -> Unit:
    text = " | ".join(plain(cell.raw) for cell in row.cells)
    state = table.cell(row, budget)
    spent = re.search(r"consum|spent|used|burn", state + table.headers[budget], re.I)
    item = BudgetPolicy(
        name=state[:200] or "Budget",
        source=scope.source(row.line),
        text=text,
        map=["C7"],
        effect="later",
        action=table.cell(row, action),
    )
    setattr(item, "consumed" if spent else "remaining", state)
    return Unit(row.line, row.line, "budget-policy", text, "later", None, ("C7",), [item])


def _threshold(table: Table, scope: Scope, row: Row, warning: int, critical: int) -> Unit:
    text = " | ".join(plain(cell.raw) for cell in row.cells)
    action = table.column("action", but=(warning, critical, 0))
    item = Threshold(
        name=(table.cell(row, 0) or "Threshold")[:400], source=scope.source(row.line), text=text, map=["O1"], effect="later", warning=table.cell(row, warning),
        critical=table.cell(row, critical), action=table.cell(row, action),
    )  # fmt: skip
    return Unit(row.line, row.line, "threshold", text, "later", None, ("O1",), [item])


_RATE = re.compile(
    r"(?P<op>[<>≤≥]=?|more than|over|at least)\s*(?P<value>\d[\d,.]*)\s+(?P<what>[\w -]{2,40}?)\s*(?:/|per|an?)\s*(?P<per>second|minute|hour|day|week|month)\b",
    re.I,
)
_BUDGET = re.compile(
    r"(?P<share>\d+(?:\.\d+)?\s?%)\s+of\s+(?:the |its |their )?(?:monthly |weekly )?error budget|error budget[^.;]{0,40}?(?P<other>\d+(?:\.\d+)?\s?%)",
    re.I,
)
_ISO = {"second": "PT1S", "minute": "PT1M", "hour": "PT1H", "day": "P1D", "week": "P7D", "month": "P1M"}


def sentence(text: str, line: int, end_line: int, scope: Scope) -> Item | None:
    """“more than 10 deletions per hour”; “when 80% of the error budget is spent”."""
    budget = _BUDGET.search(text)
    if budget:
        share = (budget["share"] or budget["other"]).replace(" ", "")
        return BudgetPolicy(
            name=text[:200],
            source=scope.source(line, end_line),
            text=text,
            map=["O1"],
            effect="later",
            consumed=share,
            action=text[:400],
        )
    rate = _RATE.search(text)
    if rate and re.search(r"alert|raise|notif|block|page|trigger|warn|anomal|limit", text, re.I):
        operator = {"more than": ">", "over": ">", "at least": ">=", "≥": ">=", "≤": "<="}.get(
            rate["op"].lower(), rate["op"]
        )
        return Threshold(
            name=text[:200], source=scope.source(line, end_line), text=text, map=["A5"] if re.search(r"destructive|action|delet", rate["what"], re.I) else ["O1"],
            effect="later", operator=operator, value=float(rate["value"].replace(",", "").rstrip(".")), unit=rate["what"].strip(), per=_ISO[rate["per"].lower()],
        )  # fmt: skip
    return None
