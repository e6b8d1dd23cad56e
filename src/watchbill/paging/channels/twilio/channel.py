"""Text messages and calls through Twilio's REST API (2010-04-01); a call asks for a key: 1 acknowledges, 2 escalates.

Sources: https://www.twilio.com/docs/voice/api/call-resource, /docs/messaging/api/message-resource, /docs/usage/security
(signatures), /docs/voice/twiml/gather.
"""

import base64
import hmac
import json
import re
from collections.abc import Iterable
from hashlib import sha1
from urllib.parse import urlencode
from xml.sax.saxutils import escape, quoteattr

from watchbill.base.errors import Invalid
from watchbill.outbound.ahead import host_of
from watchbill.outbound.client import fetch
from watchbill.paging.channels.base import Config, Field, Kind, going_out, pause_of
from watchbill.paging.message import Message, Permanent, Sent, Temporary
from watchbill.paging.shorten import shorten

#: Errors of Twilio that no retry mends: not a number, not reachable from this number, unsubscribed, not a mobile, blocked country.
#: https://www.twilio.com/docs/api/errors
_NEVER = {
    21211,
    21214,
    21217,
    21219,
    21408,
    21421,
    21601,
    21604,
    21610,
    21611,
    21612,
    21614,
    21617,
    13223,
    13224,
    13226,
    13227,
}
_UNSPOKEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: A title longer than this nobody listens to; its number is said at the end.
SPOKEN = 200
#: How long the phone rings.
RINGS = 30


def _send(method: str, address: str, message: Message, config: Config, secret: str) -> Sent:
    base = f"{config['base'].rstrip('/')}/2010-04-01/Accounts/{config['account_sid']}"
    form = {"To": address, "From": config["from"]}
    # Whom nobody replies for (a number in a runbook) gets what it is, and no keys.
    reply = message.reply_url
    if method == "voice":
        where = f"{base}/Calls.json"
        if reply:
            form |= {
                "Url": f"{reply}/voice",
                "StatusCallback": f"{reply}/status",
                "StatusCallbackEvent": "completed",
                "Timeout": str(RINGS),
            }
        else:
            form |= {"Twiml": twiml(say(shorten(message.title, SPOKEN)), hangup()), "Timeout": str(RINGS)}
    else:
        where = f"{base}/Messages.json"
        form |= {"Body": message.short()}
        if reply:
            form["StatusCallback"] = f"{reply}/status"
    credentials = base64.b64encode(f"{config['account_sid']}:{secret}".encode()).decode()
    headers = {
        "Authorization": f"Basic {credentials}",
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
    }
    with going_out():
        answer = fetch("POST", where, headers=headers, body=urlencode(form).encode())
    return _read(answer.status, answer.body, pause_of(answer.headers))


def _read(status: int, body: bytes, pause: float | None) -> Sent:
    try:
        told = json.loads(body)
    except ValueError:
        told = {}
    told = told if isinstance(told, dict) else {}
    if status in (200, 201) and isinstance(told.get("sid"), str):
        return Sent(told["sid"], receipt=True)
    code, words = told.get("code"), str(told.get("message") or "no reason given")[:200]
    words = f"Twilio said {status}{f' ({code})' if code else ''}: {words}"
    if code in _NEVER:
        # 21601 and 21612 are about the number that it comes from.
        raise Permanent(words, contact=code not in (21601, 21612))
    raise Temporary(words, retry_after=pause)


def signature(token: str, url: str, params: Iterable[tuple[str, str]]) -> str:
    """What Twilio puts into X-Twilio-Signature: HMAC-SHA1 over the address and the sorted form, in base64."""
    text = url + "".join(f"{name}{value}" for name, value in sorted(set(params)))
    return base64.b64encode(hmac.new(token.encode(), text.encode(), sha1).digest()).decode()


def say(text: str) -> str:
    """One spoken sentence."""
    # XML 1.0 has no place for control characters and halves of surrogate pairs; nobody can hear them either.
    return f"<Say>{escape(_UNSPOKEN.sub(' ', text))}</Say>"


def hangup() -> str:
    """The end of a call."""
    return "<Hangup/>"


def gather(action: str, *words: str) -> str:
    """Says something twice and waits for one key."""
    spoken = "".join(say(one) for one in words)
    return f'<Gather numDigits="1" timeout="8" method="POST" action={quoteattr(action)}>{spoken}<Pause length="1"/>{spoken}</Gather>'


def twiml(*verbs: str) -> str:
    """A document of TwiML."""
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{"".join(verbs)}</Response>'


def _check(config: dict[str, str]) -> None:
    if not re.fullmatch(r"AC[0-9a-fA-F]{32}", config["account_sid"]):
        raise Invalid("The account is AC and 32 hexadecimal digits.", field="account_sid")
    if not re.fullmatch(r"\+[1-9]\d{5,18}", config["from"]):
        raise Invalid("The number begins with + and the country, without spaces.", field="from")
    if not re.fullmatch(r"https?://[^\s/?#@]+", config["base"]):
        raise Invalid("The API's address is https:// and a host.", field="base")


TWILIO = Kind(
    "twilio", "Twilio (texts and calls)", ("sms", "voice"),
    (
        Field("account_sid", "Account SID"), Field("from", "Number", hint="+15005550006"),
        Field("base", "API", "https://api.twilio.com", hint="another region, or a proxy"),
    ),
    _send, asks="Auth token", check=_check, hosts=lambda config, secret: [host_of(config["base"])], contact="phone",
)  # fmt: skip
