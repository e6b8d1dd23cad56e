"""Signed webhooks by Standard Webhooks (https://www.standardwebhooks.com, specification 1.0): id, time and signature in the headers.

The same message has the same id however often it is tried, so that its receiver can drop what it has seen.
"""

import base64
import binascii
import hmac
import json
import re
import time
from hashlib import sha256

from watchbill.base.errors import Invalid
from watchbill.outbound.ahead import host_of
from watchbill.outbound.client import fetch
from watchbill.paging.channels.base import Config, Field, Kind, going_out, pause_of
from watchbill.paging.message import Message, Permanent, Sent, Temporary


def sign(secret: str, identifier: str, timestamp: int, body: str) -> str:
    """The header webhook-signature: HMAC-SHA256 over “id.timestamp.body”. Raises Permanent where the secret is none."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise Permanent("the signing secret is no base64 after whsec_") from None
    mark = hmac.new(key, f"{identifier}.{timestamp}.{body}".encode(), sha256).digest()
    return f"v1,{base64.b64encode(mark).decode()}"


def _send(method: str, address: str, message: Message, config: Config, secret: str) -> Sent:
    data = {
        "title": message.title, "text": message.text, "why": message.why, "url": message.page_url, "urgency": message.urgency, "workspace": message.workspace,
        "more": message.more,
    }  # fmt: skip
    stamp = int(time.time())
    body = json.dumps(
        {"type": "page.sent", "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(stamp)), "data": data},
        ensure_ascii=False,
    )
    identifier = f"msg_{message.id}"
    headers = {
        "Content-Type": "application/json", "User-Agent": "Watchbill", "webhook-id": identifier, "webhook-timestamp": str(stamp),
        "webhook-signature": sign(secret, identifier, stamp, body),
    }  # fmt: skip
    with going_out():
        answer = fetch("POST", config["url"], headers=headers, body=body.encode(), redirects=0)
    if 200 <= answer.status < 300:
        return Sent(identifier)
    words = f"the receiver answered {answer.status}"
    # The specification: 410 says that nobody wants it any more; everything else is tried again.
    if answer.status == 410:
        raise Permanent(words)
    raise Temporary(words, retry_after=pause_of(answer.headers))


def _check(config: dict[str, str]) -> None:
    if not re.fullmatch(r"https?://[^\s@]+", config["url"]):
        raise Invalid("The address begins with https://.", field="url")


WEBHOOK = Kind(
    "webhook", "Signed webhook (Standard Webhooks)", (), (Field("url", "Address"),), _send, asks="Signing secret (whsec_…)", target=True, check=_check,
    hosts=lambda config, secret: [host_of(config["url"])],
)  # fmt: skip
