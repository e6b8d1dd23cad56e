"""Reads `POST /api/v2/alerts` as Prometheus sends it to Alertmanager: pure. An alert whose end has come is resolved; one whose end
is still to come fires until then, unless it is sent again. Source: Alertmanager's openapi.yaml, `postableAlerts`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from watchbill.base.errors import Invalid
from watchbill.intake.alertmanager.adapter import MOST_LABELS, aware, clean, texts
from watchbill.signals.rules import Incoming


class _Alert(msgspec.Struct, rename="camel"):
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    generator_url: str = msgspec.field(default="", name="generatorURL")


_DECODER = msgspec.json.Decoder(list[_Alert])


def read(body: bytes, received_at: datetime, config: Mapping[str, Any]) -> list[Incoming]:
    """The alerts of a request. Raises Invalid."""
    try:
        found = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise Invalid(f"These are no alerts of Prometheus: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"This is no JSON: {error}") from None
    made = []
    for one in found:
        if not one.labels or len(one.labels) > MOST_LABELS:
            raise Invalid(f"An alert has 1 to {MOST_LABELS} labels, not {len(one.labels):,}.")
        starts = aware(one.starts_at) if one.starts_at and one.starts_at.year > 1 else received_at
        ends = aware(one.ends_at) if one.ends_at and one.ends_at.year > 1 else None
        over = ends is not None and ends <= received_at
        made.append(
            Incoming(
                labels=texts(one.labels), firing=not over, received_at=received_at, replica=starts.isoformat() if one.starts_at and one.starts_at.year > 1 else "", starts_at=min(starts, ends) if over and ends else starts, ends_at=ends if over else None,
                annotations=texts(one.annotations), url=clean(one.generator_url), expires_at=None if over else ends,
            )
        )  # fmt: skip
    return made
