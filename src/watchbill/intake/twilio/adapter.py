"""Takes answers by text message: kept when the request is taken in, checked and carried out by a job of their own.

Source: https://www.twilio.com/docs/messaging/guides/webhook-request.
"""

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
    """No alert: an answer is put aside for its job. Raises Invalid."""
    try:
        told = json.loads(body)
        raw = base64.b64decode(told["body"])
        where, signature = str(told["path"])[:500], str(told["signature"])[:200]
    except (ValueError, KeyError, TypeError):
        raise Invalid("This is no request of Twilio's.") from None
    keep_press(UUID(config["workspace"]), raw, signature, received_at, kind="twilio", path=where)
    return []
