"""A peer that behaves as Twilio does, as far as its own SDK and our channel go: it takes calls and text messages, fetches TwiML, presses keys,
signs what it sends, and reports what became of it.

Sources: https://www.twilio.com/docs/voice/api/call-resource, /docs/messaging/api/message-resource, /docs/voice/twiml/gather, /docs/usage/security.
Signatures are made by the vendor's own RequestValidator.
"""

import base64
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode
from xml.etree import ElementTree

import httpx
from twilio.request_validator import RequestValidator

SID = "AC" + "0123456789abcdef" * 2
TOKEN = "twilio-token-of-the-tests"
NUMBER = "+15005550006"


@dataclass
class Script:
    """What happens at a number: ``answer`` after so many rings, the keys pressed; or busy, no-answer, failed; ``error`` is refused at once; of “silence” nothing is heard again.

    ``early``: it reports what became of it before it answers the request; ``dies``: then it gives no answer at all.
    """

    outcome: str = "no-answer"
    keys: str = ""
    error: int = 0
    early: bool = False
    dies: bool = False


@dataclass
class Twilio:
    """The peer. ``public`` maps the hub's public address to where it listens; with ``post``, requests wait for ``work`` and go through it."""

    public: tuple[str, str] = ("", "")
    post: Callable[[str, dict[str, str], dict[str, str]], tuple[int, str]] | None = None
    waiting: list[Callable[[], None]] = field(default_factory=list)
    scripts: dict[str, Script] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    texted: list[dict[str, str]] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    answers: list[tuple[str, int]] = field(default_factory=list)

    def __enter__(self) -> "Twilio":
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                peer._post(self)

            def log_message(self, *args: Any) -> None:
                """Silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.threads: list[threading.Thread] = []
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *args: Any) -> None:
        self.server.shutdown()
        self.server.server_close()
        for thread in self.threads:
            thread.join(10)

    def config(self) -> dict[str, str]:
        """How a hub is set up with it."""
        return {"account_sid": SID, "from": NUMBER, "base": self.url}

    def _post(self, handler: BaseHTTPRequestHandler) -> None:
        form = dict(
            parse_qsl(handler.rfile.read(int(handler.headers["Content-Length"])).decode(), keep_blank_values=True)
        )
        match = re.fullmatch(rf"/2010-04-01/Accounts/{SID}/(Calls|Messages)\.json", handler.path)
        wanted = "Basic " + base64.b64encode(f"{SID}:{TOKEN}".encode()).decode()
        if handler.headers["Authorization"] != wanted:
            self._answer(
                handler,
                401,
                {
                    "code": 20003,
                    "message": "Authenticate",
                    "more_info": "https://www.twilio.com/docs/errors/20003",
                    "status": 401,
                },
            )
        elif match is None:
            self._answer(
                handler,
                404,
                {"code": 20404, "message": f"The requested resource {handler.path} was not found", "status": 404},
            )
        elif not re.fullmatch(r"\+[1-9]\d{5,14}", form.get("To", "")):
            self._answer(
                handler,
                400,
                {"code": 21211, "message": f"Invalid 'To' Phone Number: {form.get('To', '')}", "status": 400},
            )
        elif match[1] == "Calls" and not (form.get("Url") or form.get("Twiml")):
            self._answer(handler, 400, {"code": 21205, "message": "Url parameter is required", "status": 400})
        elif match[1] == "Messages" and not form.get("Body"):
            self._answer(handler, 400, {"code": 21602, "message": "Message body is required.", "status": 400})
        elif (script := self.scripts.get(form["To"], Script())).error:
            self._answer(handler, 400, {"code": script.error, "message": "refused", "status": 400})
        else:
            self._take(handler, match[1], form, script)

    def _take(self, handler: BaseHTTPRequestHandler, kind: str, form: dict[str, str], script: Script) -> None:
        there = self.calls if kind == "Calls" else self.messages
        sid = ("CA" if kind == "Calls" else "SM") + f"{len(there):032x}"
        there.append({**form, "sid": sid, "at": time.monotonic()})
        state = "queued"
        # Field by field what the vendor's SDK reads of an answer.
        body = {
            "sid": sid,
            "account_sid": SID,
            "to": form["To"],
            "from": form["From"],
            "status": state,
            "uri": handler.path,
            "api_version": "2010-04-01",
        }
        work = self._call if kind == "Calls" else self._message
        if script.early:
            work(sid, form, script)
        if script.dies:
            return
        self._answer(handler, 201, body)
        if script.outcome == "silence" or script.early:
            return
        if self.post is not None:
            self.waiting.append(lambda: work(sid, form, script))
            return
        thread = threading.Thread(target=work, args=(sid, form, script), daemon=True)
        self.threads.append(thread)
        thread.start()

    def text(self, number: str, words: str, url: str, sid: str = "", **more: str) -> tuple[bytes, dict[str, str]]:
        """What it sends to a number's webhook when a text comes in: body and headers, signed for that address."""
        sid = sid or f"SM{len(self.texted):032x}"
        form = {
            "ToCountry": "US", "MessageSid": sid, "SmsMessageSid": sid, "SmsSid": sid, "NumMedia": "0", "NumSegments": "1", "SmsStatus": "received",
            "AccountSid": SID, "From": number, "To": NUMBER, "Body": words, "ApiVersion": "2010-04-01", "MessagingServiceSid": "", **more,
        }  # fmt: skip
        self.texted.append(form)
        headers = {
            "X-Twilio-Signature": RequestValidator(TOKEN).compute_signature(url, form),
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        }
        return urlencode(form).encode(), headers

    def work(self) -> bool:
        """Carries out one call or message that waits. Says whether there was one."""
        if not self.waiting:
            return False
        self.waiting.pop(0)()
        return True

    def _answer(self, handler: BaseHTTPRequestHandler, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    def _send(self, url: str, form: dict[str, str]) -> str:
        """A signed request to the hub, as Twilio sends it: signed for the public address."""
        headers = {"X-Twilio-Signature": RequestValidator(TOKEN).compute_signature(url, form)}
        if self.post is not None:
            status, text = self.post(url, form, headers)
        else:
            where = url.replace(*self.public) if self.public[0] else url
            answer = httpx.post(where, data=form, headers=headers, timeout=20)
            status, text = answer.status_code, answer.text
        self.answers.append((url.rpartition("/")[2], status))
        return text

    def _call(self, sid: str, form: dict[str, str], script: Script) -> None:
        base = {
            "CallSid": sid,
            "AccountSid": SID,
            "From": form["From"],
            "To": form["To"],
            "Direction": "outbound-api",
            "ApiVersion": "2010-04-01",
        }
        if script.outcome == "answer":
            text = form.get("Twiml") or self._send(form["Url"], {**base, "CallStatus": "in-progress"})
            for key in [*script.keys, ""]:
                root = ElementTree.fromstring(text)
                self.heard += [one.text or "" for one in root.iter("Say")]
                gather = root.find("Gather")
                if gather is None or not key:
                    break
                assert gather.get("method", "POST") == "POST"
                text = self._send(
                    str(gather.get("action")), {**base, "CallStatus": "in-progress", "Digits": key, "msg": "Gather End"}
                )
        state = "completed" if script.outcome == "answer" else script.outcome
        if form.get("StatusCallback"):
            self._send(
                form["StatusCallback"],
                {**base, "CallStatus": state, "CallDuration": "7" if state == "completed" else "0"},
            )

    def _message(self, sid: str, form: dict[str, str], script: Script) -> None:
        if not form.get("StatusCallback"):
            return
        base = {
            "MessageSid": sid,
            "SmsSid": sid,
            "AccountSid": SID,
            "From": form["From"],
            "To": form["To"],
            "ApiVersion": "2010-04-01",
        }
        self._send(form["StatusCallback"], {**base, "MessageStatus": "sent", "SmsStatus": "sent"})
        state = "undelivered" if script.outcome == "failed" else "delivered"
        more = {"ErrorCode": "30003"} if state == "undelivered" else {}
        self._send(form["StatusCallback"], {**base, "MessageStatus": state, "SmsStatus": state, **more})
