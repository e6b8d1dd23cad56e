"""Reads PagerDuty's Events API v2: pure. A trigger fires, a resolve ends; an acknowledgement at the sender acknowledges nobody here.

Source: https://developer.pagerduty.com/docs/send-alert-event (payload, severities, dedup_key up to 255 characters).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from watchbill.base.errors import Invalid
from watchbill.intake import fields
from watchbill.intake.events import faults, severity_of
from watchbill.intake.fields import clean, text
from watchbill.signals.rules import Incoming, Read

#: As PagerDuty keeps of a summary.
LONGEST_SUMMARY = 1024
MOST_DETAILS = 50


def read(body: bytes, received_at: datetime, config: Mapping[str, Any]) -> Read:
    """The one alert of an event; none for an acknowledgement. Raises Invalid with the reasons that its sender was told."""
    told = fields.decode(body)
    if found := faults(told):
        raise Invalid(f"Event object is invalid: {'; '.join(found)}")
    mark = text(told.get("dedup_key"))
    if told["event_action"] == "acknowledge":
        return Read()
    if told["event_action"] == "resolve":
        return Read(
            [
                Incoming(
                    labels={"alertname": mark}, firing=False, starts_at=received_at, ends_at=received_at, fingerprint=mark, keeps=True,
                    received_at=received_at,
                )
            ]
        )  # fmt: skip
    return Read([_trigger(told, told["payload"], mark, received_at)])


def _trigger(told: Mapping[str, Any], payload: Mapping[str, Any], mark: str, received_at: datetime) -> Incoming:
    summary, component = text(payload["summary"])[:LONGEST_SUMMARY], text(payload.get("component"))
    labels = {
        "alertname": text(payload.get("class")) or summary, "severity": severity_of(payload["severity"]), "instance": text(payload["source"]),
        "component": component, "service": text(payload.get("group")) or component,
    }  # fmt: skip
    details = payload.get("custom_details")
    rows = list(details.items())[:MOST_DETAILS] if isinstance(details, dict) else []
    starts = fields.moment(payload.get("timestamp"))
    return Incoming(
        labels={name: value for name, value in labels.items() if value}, firing=True, starts_at=min(starts, received_at) if starts else received_at,
        annotations={"summary": summary} | {clean(name)[:200]: text(value) if value is not None else "null" for name, value in rows},
        url=text(told.get("client_url")), fingerprint=mark, group_key=mark, keeps=True, received_at=received_at,
    )  # fmt: skip
