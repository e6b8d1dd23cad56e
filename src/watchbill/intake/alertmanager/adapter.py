"""Reads a webhook of Alertmanager (version 4): pure. `endsAt` in year 1 means that the alert goes on."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from watchbill.base.errors import Invalid
from watchbill.signals.rules import Incoming

#: Beyond these an alert is not taken in: nobody could read it, and somebody is at fault.
MOST_LABELS = 200
LONGEST = 4000


class _Alert(msgspec.Struct, rename="camel"):
    status: str
    labels: dict[str, str]
    starts_at: datetime
    ends_at: datetime | None = None
    annotations: dict[str, str] = {}
    generator_url: str = msgspec.field(default="", name="generatorURL")
    fingerprint: str = ""


class _Webhook(msgspec.Struct, rename="camel"):
    alerts: list[_Alert]
    version: str = ""
    group_key: str = ""
    group_labels: dict[str, str] = {}
    truncated_alerts: int = 0


_DECODER = msgspec.json.Decoder(_Webhook)


def read(body: bytes, received_at: datetime, config: Mapping[str, Any]) -> list[Incoming]:
    """The alerts of a webhook. Raises Invalid, saying what is wrong with it and where."""
    try:
        found = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise Invalid(f"This is no webhook of Alertmanager: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"This is no JSON: {error}") from None
    if found.version not in ("", "4", "1"):
        raise Invalid(
            f"Version {found.version[:20]!r} of Alertmanager's webhook is not known; this hub reads version 4."
        )
    return [_incoming(found, alert, received_at) for alert in found.alerts]


def _incoming(webhook: _Webhook, alert: _Alert, received_at: datetime) -> Incoming:
    if alert.status not in ("firing", "resolved"):
        raise Invalid(f"An alert's status is “firing” or “resolved”, not {alert.status[:40]!r}.")
    if len(alert.labels) > MOST_LABELS:
        raise Invalid(f"An alert has {len(alert.labels):,} labels; this hub reads up to {MOST_LABELS}.")
    starts = aware(alert.starts_at)
    ends = aware(alert.ends_at) if alert.ends_at and alert.ends_at.year > 1 else None
    return Incoming(
        labels=texts(alert.labels), firing=alert.status == "firing", received_at=received_at, starts_at=starts if starts.year > 1 else received_at,
        ends_at=ends if alert.status == "resolved" else None, annotations=texts(alert.annotations) | _left_out(webhook), url=clean(alert.generator_url),
        fingerprint=clean(alert.fingerprint), group_key=clean(webhook.group_key), group_labels=texts(webhook.group_labels),
    )  # fmt: skip


def _left_out(webhook: _Webhook) -> dict[str, str]:
    """What `max_alerts` of the sender cut off: said beside the alerts that came."""
    count = webhook.truncated_alerts
    more = "alert" if count == 1 else "alerts"
    return {"left out": f"the sender left out {count:,} more {more} of this group (max_alerts)"} if count > 0 else {}


def aware(at: datetime) -> datetime:
    """An instant; without a zone it is UTC."""
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def clean(text: str) -> str:
    """Without NUL, which the database cannot hold, and not longer than anybody reads."""
    return text.replace("\0", "\ufffd")[:LONGEST]


def texts(found: dict[str, str]) -> dict[str, str]:
    """Names and values that the database can hold."""
    return {clean(name)[:200]: clean(value) for name, value in found.items()}
