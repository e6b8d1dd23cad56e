"""Reads any JSON by a declared mapping: pure. The mapping's values are JMESPath expressions (https://jmespath.org).

``alerts`` finds the list of alerts (“@”: the whole is one); of each alert: ``title``, ``fingerprint``, ``status``, ``severity``,
``url``, ``summary``, ``starts_at``, and ``labels`` (name → expression). An alert whose ``status`` is among ``resolved`` has ended.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from watchbill.base.errors import Invalid
from watchbill.intake import fields
from watchbill.intake.fields import Unusable
from watchbill.signals.expressions import Budget, Failed, TooLarge, check_size, find
from watchbill.signals.mapping import RESOLVED, check_mapping
from watchbill.signals.rules import Incoming, Read

MOST = 1000


def read(body: bytes, received_at: datetime, config: Mapping[str, Any]) -> Read:
    """The alerts that the mapping finds, and what could not be used. Raises Invalid where it finds none at all."""
    told = fields.decode(body)
    mapping = config.get("mapping") or {}
    check_mapping(mapping)
    budget = Budget()
    try:
        found = _find(mapping.get("alerts", "@"), told, budget)
    except Unusable as error:
        raise Invalid(f"The mapping's alerts: {error}") from None
    rows = found if isinstance(found, list) else [found] if isinstance(found, dict) else None
    if rows is None:
        raise Invalid(f"The mapping's alerts (“{mapping.get('alerts', '@')[:60]}”) finds no object and no list in it.")
    alerts: list[Incoming] = []
    problems = [] if len(rows) <= MOST else [f"it has {len(rows):,} alerts; this hub reads the first {MOST:,}"]
    for index, row in enumerate(rows[:MOST]):
        try:
            alerts.append(_one(mapping, row, received_at, problems, index, budget))
        except Unusable as error:
            problems.append(f"[{index}]: {error}")
        if budget.left <= 0:
            # What was read so far counts; whatever the mapping costs, it costs it once.
            problems.insert(0, f"the mapping costs too much: {len(alerts):,} of {len(rows):,} alerts were read")
            break
    return Read(alerts, fields.problems(problems))


def _find(expression: str, told: Any, budget: Budget) -> Any:
    try:
        return find(expression, told, budget)
    except Failed as error:
        raise Unusable(f"“{expression[:60]}” cannot be applied to it: {error}") from None
    except TooLarge as error:
        raise Unusable(f"“{expression[:60]}” costs too much: {error}") from None


def _text(expression: str, row: Any, budget: Budget) -> str:
    found = _find(expression, row, budget)
    try:
        check_size(found, budget)
    except TooLarge as error:
        raise Unusable(f"“{expression[:60]}” costs too much: {error}") from None
    return fields.text(found)


def _one(
    mapping: Mapping[str, Any], row: Any, received_at: datetime, problems: list[str], index: int, budget: Budget
) -> Incoming:  # fmt: skip
    def optional(name: str, expression: str) -> str:
        """What is not needed costs no alert: it is left out, and shown."""
        try:
            return _text(expression, row, budget) if expression else ""
        except Unusable as error:
            problems.append(f"[{index}].{name}: {error}")
            return ""

    title = _text(mapping["title"], row, budget) if mapping.get("title") else ""
    if not title:
        raise Unusable(f"the mapping's title (“{mapping.get('title', '')[:60]}”) finds nothing in an alert")
    labels = {"alertname": title} | {
        name: value
        for name, expression in mapping.get("labels", {}).items()
        if (value := optional(f"labels.{name}", expression))
    }
    if severity := optional("severity", mapping.get("severity", "")):
        labels["severity"] = severity
    over = optional("status", mapping.get("status", "")).strip().casefold() in mapping.get("resolved", RESOLVED)
    summary = optional("summary", mapping.get("summary", ""))
    starts = fields.moment(_raw(mapping.get("starts_at", ""), row, budget))
    return Incoming(
        labels=labels, firing=not over, starts_at=min(starts, received_at) if starts else received_at, ends_at=received_at if over else None,
        annotations={"summary": summary} if summary else {}, url=optional("url", mapping.get("url", "")),
        fingerprint=optional("fingerprint", mapping.get("fingerprint", "")), keeps=not mapping.get("starts_at"), received_at=received_at,
    )  # fmt: skip


def _raw(expression: str, row: Any, budget: Budget) -> Any:
    try:
        return _find(expression, row, budget) if expression else None
    except Unusable:
        return None
