"""Takes presses of buttons in Slack: kept when the request is taken in, checked and carried out by a job of its own, since Slack is asked who pressed."""

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from watchbill.base.errors import Invalid
from watchbill.paging.presses import keep_press
from watchbill.signals.rules import Incoming


def read(body: bytes, received_at: datetime, config: Mapping[str, Any]) -> list[Incoming]:
    """No alert: a press is put aside for its job. Raises Invalid."""
    try:
        told = json.loads(body)
        raw = base64.b64decode(told["body"])
        keep_press(
            UUID(config["workspace"]),
            raw,
            str(told["signature"])[:200],
            received_at,
            timestamp=str(told["timestamp"])[:40],
        )
    except (ValueError, KeyError, TypeError):
        raise Invalid("This is no request of Slack's.") from None
    return []
