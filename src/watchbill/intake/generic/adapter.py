"""Reads any JSON by a declared mapping: pure. The mapping's values are JMESPath expressions (https://jmespath.org).

``alerts`` finds the list of alerts (“@”: the whole is one); of each alert: ``title``, ``fingerprint``, ``status``, ``severity``,
``url``, ``summary``, ``starts_at``, and ``labels`` (name → expression). An alert whose ``status`` is among ``resolved`` has ended.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from jmespath.exceptions import JMESPathError

from watchbill.base.errors import Invalid
from watchbill.intake.alertmanager.adapter import aware, clean
from watchbill.signals.mapping import RESOLVED, compiled
from watchbill.signals.rules import Incoming

MOST = 1000


def read(body: bytes, received_at: datetime, config: Mapping[str, Any]) -> list[Incoming]:
    """The alerts that the mapping finds. Raises Invalid saying which part finds nothing."""
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"This is no JSON: {error}") from None
    mapping = config.get("mapping") or {}
    found = _find(mapping.get("alerts", "@"), told)
    rows = found if isinstance(found, list) else [found] if isinstance(found, dict) else None
    if rows is None:
        raise Invalid(f"The mapping's alerts (“{mapping.get('alerts', '@')[:60]}”) finds no object and no list in it.")
    if len(rows) > MOST:
        raise Invalid(f"It has {len(rows):,} alerts; this hub reads up to {MOST:,} at once.")
    return [_one(mapping, row, received_at) for row in rows]


def _find(expression: str, told: Any) -> Any:
    try:
        return compiled(expression).search(told)
    except JMESPathError as error:
        raise Invalid(f"“{expression[:60]}” cannot be applied to it: {str(error).splitlines()[0][:120]}") from None


def _text(expression: str, row: Any) -> str:
    value = _find(expression, row) if expression else None
    if value is None:
        return ""
    return clean(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def _one(mapping: Mapping[str, Any], row: Any, received_at: datetime) -> Incoming:
    title = _text(mapping.get("title", ""), row)
    if not title:
        raise Invalid(f"The mapping's title (“{mapping.get('title', '')[:60]}”) finds nothing in an alert.")
    labels = {"alertname": title} | {
        name: value for name, expression in mapping.get("labels", {}).items() if (value := _text(expression, row))
    }
    if severity := _text(mapping.get("severity", ""), row):
        labels["severity"] = severity
    over = _text(mapping.get("status", ""), row).casefold() in mapping.get("resolved", RESOLVED)
    mark = _text(mapping.get("fingerprint", ""), row)
    summary = _text(mapping.get("summary", ""), row)
    return Incoming(
        labels=labels, firing=not over, received_at=received_at, starts_at=_when(_find(mapping["starts_at"], row) if mapping.get("starts_at") else None, received_at),
        ends_at=received_at if over else None, annotations={"summary": summary} if summary else {}, url=_text(mapping.get("url", ""), row), fingerprint=mark[:200],
        keeps=not mapping.get("starts_at"),
    )  # fmt: skip


def _when(value: Any, received_at: datetime) -> datetime:
    try:
        if isinstance(value, str) and value:
            return min(aware(datetime.fromisoformat(value)).astimezone(UTC), received_at)
        if isinstance(value, int | float) and not isinstance(value, bool):
            # Seconds, or milliseconds, since 1970.
            return min(datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC), received_at)
    except (ValueError, OverflowError, OSError):
        pass
    return received_at
