"""What PagerDuty's Events API v2 takes and refuses, in its own words: pure. The door and the reader ask the same.

Source: https://developer.pagerduty.com/docs/events-api-v2-overview, and the answers that senders report.
"""

from typing import Any

ACTIONS = ("trigger", "acknowledge", "resolve")
SEVERITIES = ("critical", "error", "warning", "info")


def severity_of(value: Any) -> str:
    """A severity as PagerDuty writes it; empty where it is none. Capitals and space around it are read."""
    found = value.strip().lower() if isinstance(value, str) else ""
    return found if found in SEVERITIES else ""


def blank(value: Any) -> bool:
    """Whether a field says nothing: text and numbers say something."""
    if isinstance(value, str):
        return not value or value.isspace()
    return not isinstance(value, int | float) or isinstance(value, bool)


def faults(told: Any) -> list[str]:
    """Why an event cannot be used; nothing where it can."""
    if not isinstance(told, dict):
        return ["the event is not an object"]
    found = []
    if not isinstance(told.get("routing_key"), str | None):
        found.append("'routing_key' is invalid (must be a string)")
    action = told.get("event_action")
    if blank(action):
        return [*found, "'event_action' is missing or blank"]
    if action not in ACTIONS:
        return [
            *found, "'event_action' is invalid (must be one of the following: 'trigger', 'acknowledge' or 'resolve')",
        ]  # fmt: skip
    if action != "trigger":
        return [*found, "'dedup_key' is missing or blank"] if blank(told.get("dedup_key")) else found
    payload = told.get("payload")
    if not isinstance(payload, dict):
        return [
            *found,
            "'payload' is missing or blank" if payload is None else "'payload' is invalid (must be an object)",
        ]
    found += [f"'payload.{name}' is missing or blank" for name in ("summary", "source") if blank(payload.get(name))]
    severity = payload.get("severity")
    if blank(severity):
        found.append("'payload.severity' is missing or blank")
    elif not severity_of(severity):
        found.append(
            "'payload.severity' is invalid (must be one of the following: 'critical', 'warning', 'error' or 'info')"
        )
    return found
