"""Reads a webhook of Alertmanager (version 4), and Grafana's: pure. `endsAt` in year 1 means that the alert goes on.
Fields that are not needed may be anything.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from watchbill.base.errors import Invalid
from watchbill.intake import fields
from watchbill.intake.fields import Unusable, kind, moment, text, texts
from watchbill.signals.rules import Incoming, Read

_STATUS = {"firing": True, "alerting": True, "resolved": False, "ok": False}
#: Alertmanager's is 4, Grafana's 1; as text or number.
VERSIONS = ("", "4", "1")
_VERSION = re.compile(r"\s*v?(\d+)(?:\.0+)*\s*", re.IGNORECASE)


def read(body: bytes, received_at: datetime, config: Mapping[str, Any]) -> Read:
    """The alerts of a webhook, and what could not be used of it. Raises Invalid where none of it can."""
    told = fields.decode(body)
    if not isinstance(told, dict):
        raise Invalid(f"This is no webhook of Alertmanager: it is {kind(told)}, not an object.")
    rows = told.get("alerts")
    if not isinstance(rows, list):
        raise Invalid(f"This is no webhook of Alertmanager: its alerts are {kind(rows)}, not a list.")
    found: list[Incoming] = []
    problems: list[str] = []
    version, key, common = _version(told.get("version")), text(told.get("groupKey")), texts(told.get("groupLabels"))
    if version not in VERSIONS:
        problems.append(f"version: {version[:20]!r} of Alertmanager's webhook is not known; it was read as version 4")
    more = _left_out(told.get("truncatedAlerts"))
    for index, row in enumerate(rows):
        try:
            found.append(_incoming(row, key, common, more, received_at))
        except Unusable as error:
            problems.append(f"alerts[{index}].{error}")
    return Read(found, fields.problems(problems))


def _incoming(
    row: Any, group_key: str, group_labels: dict[str, str], left_out: dict[str, str], received_at: datetime
) -> Incoming:
    if not isinstance(row, dict):
        raise Unusable(f"is {kind(row)}, not an object")
    labels, mark = row.get("labels"), text(row.get("fingerprint"))
    if not isinstance(labels, dict) and not mark:
        raise Unusable(f"labels: is {kind(labels)}, not an object, and it has no fingerprint to know it by")
    ends = moment(row.get("endsAt"))
    firing = _fires(row.get("status"), ends, received_at)
    return Incoming(
        labels=fields.labels(labels), firing=firing, starts_at=fields.start(row.get("startsAt"), received_at) or received_at, ends_at=None if firing else ends,
        annotations=texts(row.get("annotations")) | left_out, url=text(row.get("generatorURL")), fingerprint=mark, group_key=group_key,
        group_labels=group_labels, received_at=received_at,
    )  # fmt: skip


def _fires(status: Any, ends: datetime | None, received_at: datetime) -> bool:
    """Whether an alert fires; where its status does not say so, by its end."""
    if isinstance(status, str) and status.strip():
        found = _STATUS.get(status.strip().casefold())
        if found is None:
            raise Unusable(f"status: is “firing” or “resolved”, not {status[:40]!r}")
        return found
    return ends is None or ends > received_at


def _version(value: Any) -> str:
    """The version as text, whether it came as text or as a number; empty where none is said."""
    told = text(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    found = _VERSION.fullmatch(told)
    return found[1] if found else told


def _left_out(value: Any) -> dict[str, str]:
    """What `max_alerts` of the sender cut off: said beside the alerts that came."""
    told = text(int(value) if isinstance(value, float) and value.is_integer() else value).strip()
    count = int(told) if told.isascii() and told.isdecimal() and len(told) < 10 else 0
    more = "alert" if count == 1 else "alerts"
    return {"left out": f"the sender left out {count:,} more {more} of this group (max_alerts)"} if count > 0 else {}
