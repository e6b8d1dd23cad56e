"""A server of any kind that refuses for now: it answers every request with one status, headers and body, and counts them."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Refusing:
    """The server, while the `with` lasts. With ``times``, it takes what comes after so many refusals (200)."""

    def __init__(
        self, status: int = 429, *, headers: dict[str, str] | None = None, body: str = "{}", times: int = -1
    ) -> None:  # fmt: skip
        self.status, self.headers, self.body, self.times = status, dict(headers or {}), body, times
        self.asked: list[str] = []

    def __enter__(self) -> "Refusing":
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                refuses = peer.times < 0 or len(peer.asked) < peer.times
                peer.asked.append(self.path)
                body = (peer.body if refuses else '{"ok": true, "ts": "1.1", "sid": "SM1"}').encode()
                # No Date of its own unless a test says one.
                self.send_response_only(peer.status if refuses else 201)
                for name, value in peer.headers.items() if refuses else ():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                """Silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *args: Any) -> None:
        self.server.shutdown()
        self.server.server_close()
