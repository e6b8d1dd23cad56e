"""Which protocol a request speaks, where its key stands, what is kept of it, and what its sender expects as an answer: pure.

Nothing is understood here beyond whether it can be used at all: what came is kept as it came, and read by the worker.
"""

import base64
import json
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import msgspec

from watchbill.base.errors import Invalid
from watchbill.intake import fields
from watchbill.intake.events import blank, faults

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
    #: The answer is a refusal: what came is kept all the same, to be shown with the reason, but not without end.
    refused: bool = False


def problem(status: int, words: str, retry: str = "") -> Answer:
    return Answer(status, json.dumps({"title": words, "status": status}).encode(), "application/problem+json", retry)


Take = Callable[[str, str, str, Headers, bytes], "Taken | Answer"]


@dataclass(frozen=True)
class Protocol:
    """A protocol: the integrations that speak it, the methods it takes, and how a request of it is read and answered."""

    names: frozenset[str]
    methods: frozenset[str]
    key: Callable[[str], str]
    take: Take
    refuse: Callable[..., Answer] = problem


# /intake/KEY/PROTOCOL: Alertmanager, Grafana, generic JSON


def _second(path: str) -> str:
    return path.split("/")[2]


class _Webhook(msgspec.Struct):
    # Only where they stand: nothing of them is read here.
    alerts: msgspec.Raw = msgspec.Raw()


_WEBHOOK = msgspec.json.Decoder(_Webhook)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_ANY = msgspec.json.Decoder(msgspec.Raw)


def _fault(decoder: "msgspec.json.Decoder[Any]", body: bytes, wanted: str) -> str:
    """Why a body is not what its sender speaks at all; empty where it is. Its parts are read by the worker."""
    try:
        if not body.isascii():
            body.decode()
        found = decoder.decode(body)
    except msgspec.ValidationError:
        return wanted
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _fault_of_odd(decoder, body, wanted)
    return wanted if isinstance(found, _Webhook) and bytes(memoryview(found.alerts)[:1]) != b"[" else ""


def _fault_of_odd(decoder: "msgspec.json.Decoder[Any]", body: bytes, wanted: str) -> str:
    """The same of what only a lenient reader can read, as the worker does: what it cannot read either is refused here."""
    try:
        told = fields.decode(body)
    except Invalid as error:
        return error.detail
    if decoder is _WEBHOOK:
        return "" if isinstance(told, dict) and isinstance(told.get("alerts"), list) else wanted
    return wanted if decoder is _LIST and not isinstance(told, list) else ""


def _json(decoder: "msgspec.json.Decoder[Any]", wanted: str, answer: Answer) -> "Take":
    def take(path: str, query: str, method: str, headers: Headers, body: bytes) -> Taken:
        fault = _fault(decoder, body, wanted)
        return Taken(_second(path), body, problem(400, fault) if fault else answer, refused=bool(fault))

    return take


def _named(name: str, decoder: "msgspec.json.Decoder[Any]", wanted: str, answer: Answer = _OK) -> Protocol:
    return Protocol(frozenset({name}), frozenset({"POST"}), _second, _json(decoder, wanted, answer))


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


# /v2/enqueue: PagerDuty Events v2


#: As much as PagerDuty takes of an event.
LONGEST_EVENT = 512 * 1024


class _Payload(msgspec.Struct):
    summary: Any = None
    source: Any = None
    severity: Any = None


class _Event(msgspec.Struct):
    routing_key: Any = None
    event_action: Any = None
    dedup_key: Any = None
    payload: _Payload | None = None


_EVENT = msgspec.json.Decoder(_Event)
_INVALID = "Event object is invalid"


def _pagerduty_refuse(status: int, words: str, retry: str = "") -> Answer:
    return _pagerduty_answer(status, words, [words], retry)


def _pagerduty_answer(status: int, words: str, errors: list[str], retry: str = "") -> Answer:
    told = {"status": "throttled" if status == 429 else "invalid event", "message": words, "errors": errors}
    # PagerDuty knows no 404: an unknown routing key is an invalid event.
    return Answer(400 if status == 404 else status, json.dumps(told).encode(), _JSON, retry)


def _event(body: bytes) -> Any:
    """What of an event decides whether it is taken. Where a part has another shape, the whole of it. Raises Invalid."""
    try:
        if not body.isascii():
            body.decode()
        found = _EVENT.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return fields.decode(body)
    told = {"routing_key": found.routing_key, "event_action": found.event_action, "dedup_key": found.dedup_key}
    if (part := found.payload) is not None:
        told["payload"] = {"summary": part.summary, "source": part.source, "severity": part.severity}
    return told


def _pagerduty(path: str, query: str, method: str, headers: Headers, body: bytes) -> Taken | Answer:
    if len(body) > LONGEST_EVENT:
        return _pagerduty_answer(413, _INVALID, ["the event is larger than 512 KB"])
    try:
        told = _event(body)
    except Invalid as error:
        return _pagerduty_answer(400, _INVALID, [error.detail.replace("This is no JSON", "JSON is invalid")])
    found = faults(told)
    key = told.get("routing_key") if isinstance(told, dict) else None
    if not isinstance(key, str) or not key:
        return _pagerduty_answer(400, _INVALID, found or ["'routing_key' is missing or blank"])
    if found:
        return Taken(key, body, _pagerduty_answer(400, _INVALID, found), refused=True)
    mark = told.get("dedup_key")
    if blank(mark):
        # An event without a key is one of its own; its sender is told the key, to resolve it by.
        mark = uuid.uuid4().hex
        try:
            body = msgspec.json.encode({**fields.decode(body), "dedup_key": mark})
        except (Invalid, msgspec.MsgspecError, RecursionError, ValueError) as error:
            return _pagerduty_answer(400, _INVALID, [f"JSON is invalid: {str(error)[:200]}"])
    answer = {"status": "success", "message": "Event processed", "dedup_key": str(mark)}
    return Taken(key, body, Answer(202, msgspec.json.encode(answer)))


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


_NO_WEBHOOK = "This is no webhook of Alertmanager: it is an object with a list of alerts."
_ALERTMANAGER, _GRAFANA = (_named(name, _WEBHOOK, _NO_WEBHOOK) for name in ("alertmanager", "grafana"))
_GENERIC = _named("json", _ANY, "This is no JSON.")
_SLACK = Protocol(frozenset({"slack"}), frozenset({"POST"}), _second, _slack)
_TWILIO = Protocol(frozenset({"twilio"}), frozenset({"POST"}), _second, _twilio)
# /intake/KEY/api/v2/alerts. Alertmanager's API answers 200 with nothing; Prometheus takes any 2xx.
_PROMETHEUS = _named("prometheus", _LIST, "These are no alerts of Prometheus: they are a list.", _EMPTY)
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
    """The protocol of an address; None where there is nothing. Slashes at its end count for nothing."""
    if path.startswith("/ping/"):
        return _PING
    path = path.rstrip("/")
    if path == "/v2/enqueue":
        return _PAGERDUTY
    parts = path.split("/")
    if len(parts) == 4 and parts[1] == "intake" and parts[2]:
        return _BY_NAME.get(parts[3])
    # Version 1 of Alertmanager's API, by which Loki's ruler sends by default before 3.2, takes the same list.
    if len(parts) == 6 and parts[1] == "intake" and parts[2] and parts[3] == "api" and parts[5] == "alerts":
        return _PROMETHEUS if parts[4] in ("v1", "v2") else None
    return None
