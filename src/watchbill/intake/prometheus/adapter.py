"""Reads `POST /api/v2/alerts` as Prometheus sends it to Alertmanager: pure. An alert whose end has come is resolved; one whose end
is still to come fires until then, unless it is sent again. Source: Alertmanager's openapi.yaml, `postableAlerts`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from watchbill.base.errors import Invalid
from watchbill.intake import fields
from watchbill.intake.fields import Unusable, kind, moment, text, texts
from watchbill.signals.rules import Incoming, Read


def read(body: bytes, received_at: datetime, config: Mapping[str, Any]) -> Read:
    """The alerts of a request, and what could not be used of it. Raises Invalid where none of it can."""
    rows = fields.decode(body)
    if not isinstance(rows, list):
        raise Invalid(f"These are no alerts of Prometheus: it is {kind(rows)}, not a list.")
    found: list[Incoming] = []
    problems: list[str] = []
    for index, row in enumerate(rows):
        try:
            found.append(_incoming(row, received_at))
        except Unusable as error:
            problems.append(f"[{index}].{error}")
    return Read(found, fields.problems(problems))


def _incoming(row: Any, received_at: datetime) -> Incoming:
    if not isinstance(row, dict):
        raise Unusable(f"is {kind(row)}, not an object")
    labels = fields.labels(row.get("labels"))
    if not labels:
        raise Unusable("labels: an alert has at least one label with a value")
    said, ends = fields.start(row.get("startsAt"), received_at), moment(row.get("endsAt"))
    over = ends is not None and ends <= received_at
    starts = said or (min(received_at, ends) if ends is not None else received_at)
    return Incoming(
        labels=labels, firing=not over, starts_at=starts,
        # An end before the start is one all the same.
        ends_at=max(ends, starts) if over and ends else None,
        annotations=texts(row.get("annotations")), url=text(row.get("generatorURL")), expires_at=None if over else ends, received_at=received_at,
        promise=ends,
        # Replicas evaluate at different moments, so that an episode has another start at each.
        replica=said.isoformat() if said else "",
    )  # fmt: skip
