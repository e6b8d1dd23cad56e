"""Slack: a message with buttons in a channel; what happens to the page follows in its thread.

Sources: https://docs.slack.dev/reference/methods/chat.postMessage, /reference/methods/users.info, /authentication/verifying-requests-from-slack,
/reference/interaction-payloads/block_actions-payload. The secret is the bot's token and the app's signing secret.
"""

import hmac
import json
import re
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from watchbill.base.errors import Invalid
from watchbill.outbound.ahead import host_of
from watchbill.outbound.client import fetch
from watchbill.paging.channels.base import Config, Field, Kind, going_out, pause_of
from watchbill.paging.message import Message, Permanent, Sent, Temporary
from watchbill.paging.shorten import shorten

#: What no retry mends: https://docs.slack.dev/reference/methods/chat.postMessage (errors). Tokens and scopes are mended by an admin.
_NEVER = {
    "channel_not_found",
    "is_archived",
    "msg_too_long",
    "no_text",
    "invalid_blocks",
    "restricted_action",
    "message_not_found",
    "user_not_found",
    "user_not_visible",
}
THREAD = "thread:"
#: How old a signed request may be, in seconds.
FRESH = 300


def secrets_of(secret: str) -> tuple[str, str]:
    """The bot's token and the signing secret. Raises Temporary: an admin mends it."""
    parts = secret.split()
    if len(parts) != 2:
        raise Temporary("the secret is not a bot token and a signing secret, with a space between")
    return parts[0], parts[1]


def call(method: str, config: Config, token: str, **fields: Any) -> dict[str, Any]:
    """One method of Slack's Web API. Raises Temporary or Permanent with Slack's own word."""
    url = f"{config['base'].rstrip('/')}/{method}"
    read = method == "users.info"
    body = urlencode(fields).encode() if read else json.dumps(fields).encode()
    kind = "application/x-www-form-urlencoded" if read else "application/json; charset=utf-8"
    with going_out():
        answer = fetch("POST", url, headers={"Authorization": f"Bearer {token}", "Content-Type": kind}, body=body)
    pause = pause_of(answer.headers)
    try:
        told = json.loads(answer.body)
    except ValueError:
        raise Temporary(f"Slack answered {answer.status} with something that is no JSON", retry_after=pause) from None
    if isinstance(told, dict) and told.get("ok"):
        return told
    word = str(told.get("error") if isinstance(told, dict) else "")[:80] or str(answer.status)
    if word in _NEVER:
        raise Permanent(f"Slack said: {word}")
    raise Temporary(f"Slack said: {word}", retry_after=pause)


def escape(text: str) -> str:
    """Text for mrkdwn: only these three signs mean something (https://docs.slack.dev/messaging/formatting-message-text)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def blocks_of(message: Message) -> list[dict[str, Any]]:
    """The message with its buttons."""
    link = f"<{message.page_url}|Open it in the hub>" if message.page_url else ""
    # The text gives way, never the number of the incident or the link. An escaped sign is five characters.
    for room in (2000, 500, 200, 0):
        lines = [
            f"*{escape(shorten(message.title, 300))}*",
            escape(message.text[:room]),
            f"_{escape(message.why[: room or 100])}_" if message.why else "",
            escape(message.tail),
            link,
        ]
        text = "\n".join(line for line in lines if line)
        if len(text) <= 3000:
            break
    buttons: list[dict[str, Any]] = [
        {
            "type": "button",
            "action_id": "acknowledge",
            "value": message.id,
            "style": "primary",
            "text": {"type": "plain_text", "text": "Acknowledge"},
        },
        {
            "type": "button",
            "action_id": "escalate",
            "value": message.id,
            "text": {"type": "plain_text", "text": "Escalate"},
        },
    ]
    return [
        {"type": "section", "text": {"type": "mrkdwn", "text": text[:3000]}},
        {"type": "actions", "elements": buttons},
    ]


def _send(method: str, address: str, message: Message, config: Config, secret: str) -> Sent:
    token, _ = secrets_of(secret)
    fields: dict[str, Any] = {
        "channel": config["channel"],
        "text": escape(shorten(message.title, 600)),
        "unfurl_links": False,
    }
    if address.startswith(THREAD):
        fields["thread_ts"] = address.removeprefix(THREAD)
    else:
        fields["blocks"] = blocks_of(message)
    told = call("chat.postMessage", config, token, **fields)
    return Sent(f"slack:{told.get('channel', '')}:{told.get('ts', '')}")


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What Slack puts into X-Slack-Signature."""
    return (
        "v0="
        + hmac.new(secret.encode(), b"v0:" + timestamp.encode("latin-1", "replace") + b":" + body, sha256).hexdigest()
    )


def is_signed(secret: str, timestamp: str, given: str, body: bytes, at: float) -> bool:
    """Whether a request carries the signature, and is not an old one sent again."""
    if not (timestamp.isascii() and timestamp.isdecimal()) or abs(at - int(timestamp)) > FRESH:
        return False
    return hmac.compare_digest(signature(secret, timestamp, body).encode(), given.encode("utf-8", "replace"))


def _check(config: dict[str, str]) -> None:
    if not re.fullmatch(r"#?[A-Za-z0-9_.-]{1,80}", config["channel"]):
        raise Invalid("The channel is its id (C0123…) or its name (#incidents).", field="channel")
    if not re.fullmatch(r"https?://[^\s?#@]+", config["base"]):
        raise Invalid("The API's address is https:// and a host.", field="base")


SLACK = Kind(
    "slack", "Slack", (),
    (Field("channel", "Channel", hint="C0123456789 or #incidents; the bot is a member of it"), Field("base", "API", "https://slack.com/api", hint="or a proxy")),
    _send, asks="Bot token, a space, signing secret", target=True, check=_check, hosts=lambda config, secret: [host_of(config["base"])],
)  # fmt: skip
