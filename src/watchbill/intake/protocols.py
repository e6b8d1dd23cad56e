"""Which protocol a request speaks, where its key stands, what is kept of it, and what its sender expects as an answer: pure.

Nothing is understood here beyond that: what came is kept as it came, and read by the worker.
"""

import base64
import json
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import parse_qs

import msgspec

Headers = Iterable[tuple[bytes, bytes]]
#: What Healthchecks keeps of a ping's body, too.
LONGEST_PING = 100_000
_JSON = "application/json"


#: Where senders send to: how their addresses begin.
ADDRESSES = ("/intake/", "/ping/", "/v2/enqueue")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sender gets."""

    status: int
    body: bytes = b'{"status":"ok"}'
    media: str = _JSON
    retry: str = ""

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What goes before the body."""
        told = [
            (b"content-type", self.media.encode()),
            (b"content-length", str(len(self.body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        return [*told, (b"retry-after", self.retry.encode())] if self.retry else told


#: The answers that most senders get, made once.
_OK, _EMPTY, _PONG = Answer(200), Answer(200, b""), Answer(200, b"OK", "text/plain; charset=utf-8")


@dataclass(frozen=True, slots=True)
class Taken:
    """What is kept, under which key, and the answer once it is durable."""

    key: str
    body: bytes
    answer: Answer
    #: A ping by its check's slug: whether there is such a check shows in the answer; ``creates`` makes one.
    slug: str = ""
    creates: bool = False


def problem(status: int, words: str, retry: str = "") -> Answer:
    return Answer(status, json.dumps({"title": words, "status": status}).encode(), "application/problem+json", retry)


@dataclass(frozen=True)
class Protocol:
    """A protocol: the integrations that speak it, the methods it takes, and how a request of it is read and answered."""

    names: frozenset[str]
    methods: frozenset[str]
    key: Callable[[str], str]
    take: Callable[[str, str, str, Headers, bytes], Taken | Answer]
    refuse: Callable[..., Answer] = problem


# /intake/KEY/PROTOCOL: Alertmanager, Grafana, generic JSON


def _second(path: str) -> str:
    return path.split("/")[2]


def _plain(path: str, query: str, method: str, headers: Headers, body: bytes) -> Taken:
    return Taken(_second(path), body, _OK)


def _named(name: str) -> Protocol:
    return Protocol(frozenset({name}), frozenset({"POST"}), _second, _plain)


# /intake/KEY/slack: buttons


def _slack(path: str, query: str, method: str, headers: Headers, body: bytes) -> Taken:
    told = dict(headers)
    kept = {
        "timestamp": told.get(b"x-slack-request-timestamp", b"").decode("latin-1"), "signature": told.get(b"x-slack-signature", b"").decode("latin-1"),
        "body": base64.b64encode(body).decode(),
    }  # fmt: skip
    # Slack wants an empty 200 within three seconds.
    return Taken(_second(path), json.dumps(kept).encode(), _EMPTY)


# /intake/KEY/twilio: answers by text message


def _twilio(path: str, query: str, method: str, headers: Headers, body: bytes) -> Taken:
    told = dict(headers)
    # The signature is over the whole address: it is kept until it was checked.
    kept = {
        "path": f"{path}?{query}" if query else path, "signature": told.get(b"x-twilio-signature", b"").decode("latin-1"),
        "body": base64.b64encode(body).decode(),
    }  # fmt: skip
    nothing = b'<?xml version="1.0" encoding="UTF-8"?><Response></Response>'
    return Taken(_second(path), json.dumps(kept).encode(), Answer(200, nothing, "text/xml; charset=utf-8"))


# /intake/KEY/api/v2/alerts: Prometheus itself


def _prometheus(path: str, query: str, method: str, headers: Headers, body: bytes) -> Taken:
    # Alertmanager's API answers 200 with nothing; Prometheus takes any 2xx.
    return Taken(_second(path), body, _EMPTY)


# /v2/enqueue: PagerDuty Events v2


class _Event(msgspec.Struct):
    routing_key: str
    event_action: str
    dedup_key: str = ""


def _pagerduty_refuse(status: int, words: str, retry: str = "") -> Answer:
    told = {"status": "throttled" if status == 429 else "invalid event", "message": words, "errors": [words]}
    # PagerDuty knows no 404: an unknown routing key is an invalid event.
    return Answer(400 if status == 404 else status, json.dumps(told).encode(), _JSON, retry)


def _pagerduty(path: str, query: str, method: str, headers: Headers, body: bytes) -> Taken | Answer:
    try:
        found = msgspec.json.decode(body, type=_Event)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return _pagerduty_refuse(400, f"Event object is invalid: {str(error)[:200]}")
    if found.event_action not in ("trigger", "acknowledge", "resolve"):
        return _pagerduty_refuse(400, "Event object is invalid: event_action is trigger, acknowledge or resolve")
    if not found.dedup_key and found.event_action != "trigger":
        return _pagerduty_refuse(400, "Event object is invalid: dedup_key is missing")
    mark = found.dedup_key
    if not mark:
        # An event without a key is one of its own; its sender is told the key, to resolve it by.
        mark = uuid.uuid4().hex
        body = json.dumps({**json.loads(body), "dedup_key": mark}).encode()
    told = {"status": "success", "message": "Event processed", "dedup_key": mark}
    return Taken(found.routing_key, body, Answer(202, json.dumps(told).encode()))


# /ping/…: Healthchecks

_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")


def _text(status: int, words: str, retry: str = "") -> Answer:
    body = {404: b"not found", 405: b"method not allowed", 413: b"too large", 429: b"rate limited"}.get(
        status, words.encode()
    )
    return Answer(status, body, "text/plain; charset=utf-8", retry)


#: /ping/UUID or /ping/KEY/SLUG, then perhaps what happened; slashes more than once count once, as at Healthchecks.
_ADDRESS = re.compile(
    rf"/ping/+(?:(?P<code>{_UUID.pattern})|(?P<key>[^/]+)/+(?P<slug>[a-z0-9_-]{{1,100}}))(?:/+(?P<action>start|fail|log|\d{{1,3}}))?/*",
    re.ASCII,
)


def _ping_parts(path: str) -> tuple[str, str, str] | None:
    """The key, the slug and the action of a ping's address; None where it is none."""
    found = _ADDRESS.fullmatch(path)
    if found is None:
        return None
    code, key, slug, action = found.groups()
    if action and action.isdecimal() and int(action) > 255:
        return None
    return (code.lower() if code else key), slug or "", action or ""


def _ping_key(path: str) -> str:
    found = _ping_parts(path)
    return found[0] if found else ""


def _ping(path: str, query: str, method: str, headers: Headers, body: bytes) -> Taken | Answer:
    found = _ping_parts(path)
    if found is None:
        return Answer(400, b"invalid url format", "text/plain; charset=utf-8")
    key, slug, action = found
    told = parse_qs(query) if query else {}
    run = told.get("rid", [""])[0]
    if run and not _UUID.fullmatch(run):
        return Answer(400, b"invalid uuid format", "text/plain; charset=utf-8")
    agent = next((value for name, value in headers if name == b"user-agent"), b"")
    kept = {
        "key": "" if slug else key, "slug": slug, "action": action, "run": run.lower(), "method": method,
        "create": told.get("create", [""])[0] == "1", "agent": agent.decode("latin-1")[:200], "body": base64.b64encode(body[:LONGEST_PING]).decode(),
        "size": len(body),
    }  # fmt: skip
    return Taken(key, msgspec.json.encode(kept), _PONG, slug, bool(kept["create"]))


_ALERTMANAGER, _GRAFANA, _GENERIC = _named("alertmanager"), _named("grafana"), _named("json")
_SLACK = Protocol(frozenset({"slack"}), frozenset({"POST"}), _second, _slack)
_TWILIO = Protocol(frozenset({"twilio"}), frozenset({"POST"}), _second, _twilio)
_PROMETHEUS = Protocol(frozenset({"prometheus"}), frozenset({"POST"}), _second, _prometheus)
_PAGERDUTY = Protocol(frozenset({"pagerduty"}), frozenset({"POST"}), lambda path: "", _pagerduty, _pagerduty_refuse)
_PING = Protocol(frozenset({"healthchecks"}), frozenset({"GET", "POST", "HEAD"}), _ping_key, _ping, _text)


_BY_NAME = {
    "alertmanager": _ALERTMANAGER,
    "grafana": _GRAFANA,
    "json": _GENERIC,
    "slack": _SLACK,
    "twilio": _TWILIO,
}


def protocol_of(path: str) -> Protocol | None:
    """The protocol of an address; None where there is nothing."""
    if path == "/v2/enqueue":
        return _PAGERDUTY
    if path.startswith("/ping/"):
        return _PING
    parts = path.split("/")
    if len(parts) == 4 and parts[1] == "intake" and parts[2]:
        return _BY_NAME.get(parts[3])
    if len(parts) == 6 and parts[1] == "intake" and parts[2] and parts[3:] == ["api", "v2", "alerts"]:
        return _PROMETHEUS
    return None
