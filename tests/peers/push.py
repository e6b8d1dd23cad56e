"""A peer that behaves as a browser's push service does, and as the browser behind it: it checks VAPID and decrypts.

Sources: RFC 8030 (the request and its answers), RFC 8292 (the Authorization header), RFC 8291 (the encryption).
"""

import base64
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import http_ece
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Push:
    """The service, while the `with` lasts. ``status`` is what it answers; ``got`` has what the browser read."""

    def __init__(self) -> None:
        self.key, self.auth = ec.generate_private_key(ec.SECP256R1()), os.urandom(16)
        self.got: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.refused: list[str] = []
        self.status = 201

    def __enter__(self) -> "Push":
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = peer._take(dict(self.headers), body) if peer.status < 300 else peer.status
                self.send_response(status)
                if status == 201:
                    self.send_header("Location", f"{peer.url}/message/{len(peer.got)}")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *args: Any) -> None:
        self.server.shutdown()
        self.server.server_close()

    def subscription(self, name: str = "one") -> str:
        """As `JSON.stringify(pushSubscription)` gives it."""
        point = self.key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        keys = {"p256dh": b64(point), "auth": b64(self.auth)}
        return json.dumps({"endpoint": f"{self.url}/push/{name}", "expirationTime": None, "keys": keys})

    def _take(self, headers: dict[str, str], body: bytes) -> int:
        problem = self._problem(headers)
        if problem:
            self.refused.append(problem)
            return 403 if "signature" in problem or "vapid" in problem else 400
        if len(body) > 4096:
            return 413
        self.headers.append(headers)
        self.got.append(json.loads(http_ece.decrypt(body, private_key=self.key, auth_secret=self.auth)))
        return 201

    def _problem(self, headers: dict[str, str]) -> str:
        """RFC 8292, section 2: signed by the key it names, for this origin, for at most a day, with whom to write to."""
        scheme, _, rest = headers.get("Authorization", "").partition(" ")
        parts = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
        if scheme.lower() != "vapid" or not {"t", "k"} <= set(parts):
            return "no vapid header"
        head, claims, mark = parts["t"].split(".")
        signed, raw = f"{head}.{claims}".encode(), unb64(mark)
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unb64(parts["k"]))
        try:
            point.verify(
                encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")), signed, ec.ECDSA(hashes.SHA256())
            )  # fmt: skip
        except InvalidSignature:
            return "the signature is none"
        told = json.loads(unb64(claims))
        if (
            told["aud"] != self.url
            or not time.time() < told["exp"] <= time.time() + 86400
            or not told["sub"].startswith("mailto:")
        ):
            return f"vapid claims {told}"
        if not headers.get("TTL", "").isdigit() or headers.get("Content-Encoding") != "aes128gcm":
            return "TTL or Content-Encoding is missing"
        return ""
