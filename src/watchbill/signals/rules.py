"""What an incoming alert changes: pure. A state is never overtaken by an older one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Literal

Verdict = Literal["new", "fired", "resolved", "same", "older"]


@dataclass(frozen=True, slots=True)
class Incoming:
    """One alert as an adapter read it. ``group_key`` and ``group_labels`` are the sender's own grouping."""

    labels: Mapping[str, str]
    firing: bool
    starts_at: datetime
    ends_at: datetime | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    fingerprint: str = ""
    group_key: str = ""
    group_labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an alert: its state, since when, and the number of the arrival that said so."""

    firing: bool
    starts_at: datetime
    ends_at: datetime | None
    arrival: int


def fingerprint(alert: Incoming) -> str:
    """The sender's fingerprint, else one of the labels: the same labels are the same alert."""
    if alert.fingerprint:
        return alert.fingerprint[:200]
    return sha256(json.dumps(sorted(alert.labels.items()), ensure_ascii=False).encode("utf-8", "replace")).hexdigest()[
        :32
    ]


def weigh(known: Known | None, alert: Incoming, arrival: int) -> Verdict:
    """What an incoming alert says against what is known.

    Older is what came before the last arrival (workers overtake each other), what began before the present episode, and
    a firing of an episode that has ended: a repetition that was delayed on its way. What resolves an alert that nobody heard of is kept as resolved.
    """
    if known is None:
        return "new"
    if arrival <= known.arrival or alert.starts_at < known.starts_at:
        return "older"
    if alert.firing:
        if not known.firing and alert.starts_at == known.starts_at:
            return "older"
        return "same" if known.firing else "fired"
    return "resolved" if known.firing else "same"


def group_key(source: object, alert: Incoming) -> str:
    """What belongs together: the sender's own group; else everything of one alert name and service."""
    if alert.group_key:
        told = alert.group_key
    else:
        told = json.dumps([alert.labels.get("alertname", ""), alert.labels.get("service", "")])
    return f"{source}:{sha256(told.encode('utf-8', 'replace')).hexdigest()[:32]}"


def title(alert: Incoming) -> str:
    """A group's title: its alert's name and what it is about."""
    name = alert.labels.get("alertname") or alert.annotations.get("summary") or "An alert without a name"
    about = alert.labels.get("service") or alert.labels.get("job") or alert.labels.get("instance") or ""
    return f"{name}{f': {about}' if about else ''}"[:300]
