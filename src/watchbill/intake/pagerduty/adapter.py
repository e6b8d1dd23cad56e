"""Reads PagerDuty's Events API v2: pure. A trigger fires, a resolve ends; an acknowledgement at the sender acknowledges nobody here.

Source: https://developer.pagerduty.com/docs/send-alert-event (payload, severities, dedup_key up to 255 characters).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from watchbill.base.errors import Invalid
from watchbill.intake.alertmanager.adapter import aware, clean
from watchbill.signals.rules import Incoming


class _Payload(msgspec.Struct):
    summary: str = ""
    source: str = ""
    severity: str = ""
    timestamp: str = ""
    component: str = ""
    group: str = ""
    class_: str = msgspec.field(default="", name="class")
    custom_details: Any = None


class _Event(msgspec.Struct):
    event_action: str
    dedup_key: str
    payload: _Payload | None = None
    client: str = ""
    client_url: str = ""
    links: list[dict[str, Any]] = []


_DECODER = msgspec.json.Decoder(_Event)
SEVERITIES = ("critical", "error", "warning", "info")


def read(body: bytes, received_at: datetime, config: Mapping[str, Any]) -> list[Incoming]:
    """The one alert of an event; none for an acknowledgement. Raises Invalid."""
    try:
        found = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise Invalid(f"This is no event of PagerDuty's API v2: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"This is no JSON: {error}") from None
    if found.event_action == "acknowledge":
        return []
    if found.event_action == "resolve":
        return [
            Incoming(
                labels={"alertname": clean(found.dedup_key)[:255]},
                firing=False,
                starts_at=received_at,
                ends_at=received_at,
                fingerprint=_mark(found),
                keeps=True,
            )
        ]
    if found.event_action != "trigger":
        raise Invalid(f"An event's action is trigger, acknowledge or resolve, not {found.event_action[:40]!r}.")
    told = found.payload
    if told is None or not told.summary or not told.source:
        raise Invalid("A trigger's payload has a summary and a source.")
    if told.severity not in SEVERITIES:
        raise Invalid(f"A payload's severity is one of {', '.join(SEVERITIES)}, not {told.severity[:40]!r}.")
    labels = {"alertname": told.class_ or told.summary, "severity": told.severity, "instance": told.source}
    labels |= {
        name: value
        for name, value in (("component", told.component), ("service", told.group or told.component))
        if value
    }
    details = told.custom_details if isinstance(told.custom_details, dict) else {}
    annotations = {
        "summary": told.summary,
        **{
            str(name): value if isinstance(value, str) else msgspec.json.encode(value).decode()
            for name, value in list(details.items())[:50]
        },
    }
    return [
        Incoming(
            labels={name: clean(value) for name, value in labels.items()}, firing=True, starts_at=_when(told.timestamp, received_at),
            annotations={clean(name)[:200]: clean(value) for name, value in annotations.items()}, url=clean(found.client_url), fingerprint=_mark(found),
            group_key=_mark(found), keeps=True,
        )
    ]  # fmt: skip


def _mark(found: _Event) -> str:
    return clean(found.dedup_key)[:255]


def _when(text: str, received_at: datetime) -> datetime:
    try:
        found = aware(datetime.fromisoformat(text)).astimezone(UTC) if text else received_at
    except ValueError:
        return received_at
    return min(found, received_at)
