"""Notifications of browsers: Web Push (RFC 8030), encrypted for the browser alone (RFC 8291), identified by VAPID (RFC 8292).

No relay stands between: the message goes from the hub to the push service that the browser itself named, so what fails there is that
contact's and not the channel's. The key that identifies the hub is computed from the hub's key, so it is the same after a restart, and
stored nowhere.
"""

import json
import time
from base64 import urlsafe_b64encode
from functools import lru_cache
from urllib.parse import urlsplit

import http_ece
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from py_vapid import Vapid02

from watchbill.base.errors import Invalid
from watchbill.outbound.client import fetch
from watchbill.paging.channels.base import Config, Field, Kind, going_out, pause_of
from watchbill.paging.message import Gone, Message, Permanent, Sent, Temporary
from watchbill.paging.shorten import shorten
from watchbill.people.values import Subscription, clean_contact, read_subscription

#: A page that comes later than this concerns nobody any more; the push service drops it, in seconds.
TTL = {"high": 4 * 3600, "low": 24 * 3600}
#: A token serves for so long; RFC 8292 allows a day.
TOKEN = 12 * 3600
#: One record of 4,096 bytes less what encryption adds.
LONGEST = 3900
#: The order of P-256.
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@lru_cache(maxsize=4)
def _key(seed: bytes) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(seed, "big") % (_ORDER - 1) + 1, ec.SECP256R1())


def hub_key() -> ec.EllipticCurvePrivateKey:
    """The key that identifies this hub to push services."""
    return _key(settings.KEYS.derive("web-push", 48))


def public_key() -> str:
    """What a browser is told when it subscribes: the public point, base64url without padding."""
    point = (
        hub_key().public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    )
    return urlsafe_b64encode(point).decode().rstrip("=")


def payload(message: Message) -> bytes:
    """What the browser shows: short enough for one record of 4,096 bytes."""
    for room in (500, 200, 60, 0):
        told = {
            "id": message.id, "title": shorten(message.title, room or 40), "body": "\n".join(part for part in (message.text[:room], message.why[:room], message.tail) if part),
            "url": message.page_url, "reply": message.reply_url, "acknowledge": f"{message.reply_url}/acknowledge" if message.reply_url else "", "urgency": message.urgency, "silent": message.silent,
        }  # fmt: skip
        text = json.dumps(told, ensure_ascii=False).encode()
        if len(text) <= LONGEST:
            break
    return text


def encrypt(content: bytes, to: Subscription) -> bytes:
    """The content as only that browser can read it (aes128gcm)."""
    sealed: bytes = http_ece.encrypt(
        content, private_key=ec.generate_private_key(ec.SECP256R1()), dh=to.p256dh, auth_secret=to.auth, version="aes128gcm"
    )  # fmt: skip
    return sealed


def _send(method: str, address: str, message: Message, config: Config, secret: str) -> Sent:
    try:
        to = read_subscription(address)
        where = urlsplit(to.endpoint)
        claims = {
            "aud": f"{where.scheme}://{where.netloc}", "exp": int(time.time()) + TOKEN, "sub": f"mailto:{config['contact']}"
        }  # fmt: skip
        headers = {
            **Vapid02(private_key=hub_key()).sign(claims), "Content-Encoding": "aes128gcm", "Content-Type": "application/octet-stream",
            "TTL": str(TTL[message.urgency]), "Urgency": "high" if message.urgency == "high" else "low" if message.silent else "normal",
        }  # fmt: skip
        with going_out(contact=True):
            answer = fetch("POST", to.endpoint, headers=headers, body=encrypt(payload(message), to), redirects=0)
    except Invalid as error:
        raise Temporary(error.detail, contact=True) from None
    except ValueError as error:
        raise Permanent(f"the browser's keys are none: {error}", contact=True) from None
    if 200 <= answer.status < 300:
        return Sent(answer.headers.get("location", "")[:200])
    if answer.status in (404, 410):
        raise Gone("the browser takes no notifications any more")
    words = f"the push service answered {answer.status}: {answer.body[:200].decode('utf-8', 'replace')}"
    if answer.status in (400, 401, 403, 413):
        raise Permanent(words, contact=True)
    raise Temporary(words, retry_after=pause_of(answer.headers), contact=True)


def _check(config: dict[str, str]) -> None:
    clean_contact("email", config["contact"])


PUSH = Kind(
    "push", "Notifications of browsers (Web Push)", ("push",),
    (Field("contact", "Contact", hint="an e-mail address: push services write there when something is wrong with the hub"),), _send, check=_check, contact="push",
)  # fmt: skip
