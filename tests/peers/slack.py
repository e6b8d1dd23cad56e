"""A peer that behaves as Slack's Web API does, as far as its own SDK and our channel go: chat.postMessage, users.info, auth.test; and it presses
buttons with requests that the vendor's own verifier accepts.

Sources: https://docs.slack.dev/reference/methods, /authentication/verifying-requests-from-slack, /reference/interaction-payloads/block_actions-payload.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode

from slack_sdk.signature import SignatureVerifier

TOKEN, SIGNING = "xoxb-token-of-the-tests", "signing-secret-of-the-tests"
CHANNEL = "C0123456789"


class Slack:
    """The API, while the `with` lasts. ``users`` maps a member id to an e-mail address; ``error`` is what it answers to everything."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.users: dict[str, str] = {}
        self.error = ""

    def __enter__(self) -> "Slack":
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                kind = self.headers.get("Content-Type", "")
                fields = json.loads(raw or b"{}") if "json" in kind else dict(parse_qsl(raw.decode()))
                token = self.headers.get("Authorization", "").removeprefix("Bearer ") or fields.get("token", "")
                body = json.dumps(peer._answer(self.path.rpartition("/")[2].partition("?")[0], fields, token)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST

            def log_message(self, *args: Any) -> None:
                """Silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/api"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *args: Any) -> None:
        self.server.shutdown()
        self.server.server_close()

    def config(self) -> dict[str, str]:
        """How a hub is set up with it."""
        return {"channel": CHANNEL, "base": self.url}

    def _answer(self, method: str, fields: dict[str, Any], token: str) -> dict[str, Any]:
        if token != TOKEN:
            return {"ok": False, "error": "invalid_auth" if token else "not_authed"}
        if self.error:
            return {"ok": False, "error": self.error}
        if method == "auth.test":
            return {"ok": True, "team": "T", "user": "watchbill", "bot_id": "B1"}
        if method == "users.info":
            email = self.users.get(str(fields.get("user")))
            return (
                {"ok": True, "user": {"id": fields["user"], "profile": {"email": email}}}
                if email
                else {"ok": False, "error": "user_not_found"}
            )
        if method != "chat.postMessage":
            return {"ok": False, "error": "unknown_method"}
        if fields.get("channel") not in (CHANNEL, "#incidents"):
            return {"ok": False, "error": "channel_not_found"}
        if not fields.get("text") and not fields.get("blocks"):
            return {"ok": False, "error": "no_text"}
        if len(fields.get("blocks") or []) > 50 or any(
            len(one.get("text", {}).get("text", "")) > 3000 for one in fields.get("blocks") or []
        ):
            return {"ok": False, "error": "invalid_blocks"}
        number = f"{1700000000 + len(self.posted)}.000100"
        self.posted.append({**fields, "ts": number})
        return {"ok": True, "channel": CHANNEL, "ts": number, "message": {"text": fields.get("text", "")}}

    def press(
        self, message: dict[str, Any], action: str, user: str, *, at: float | None = None
    ) -> tuple[bytes, dict[str, str]]:
        """What Slack sends when a member presses a button of a message: body and headers."""
        (button,) = [
            one
            for block in message["blocks"]
            if block["type"] == "actions"
            for one in block["elements"]
            if one["action_id"] == action
        ]
        payload = {
            "type": "block_actions", "user": {"id": user, "username": "x"}, "team": {"id": "T"}, "channel": {"id": CHANNEL}, "container": {"message_ts": message["ts"]},
            "actions": [{"type": "button", "action_id": action, "block_id": "b", "value": button["value"], "action_ts": str(time.time())}],
        }  # fmt: skip
        body = urlencode({"payload": json.dumps(payload)}).encode()
        stamp = str(int(at if at is not None else time.time()))
        signature = SignatureVerifier(SIGNING).generate_signature(timestamp=stamp, body=body)
        assert signature
        return body, {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature}
