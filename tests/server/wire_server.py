"""A web server in this process, with the wire's protocol or uvicorn's own, and an application that says what reached it."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from watchbill.intake.protocols import Answer
from watchbill.server.connections import Connections, Limits
from watchbill.server.wire import Wire

#: Short enough for a test that waits for them, long enough for a busy machine.
QUICK = Limits(head_seconds=1.0, body_seconds=1.0, body_rate=1_000_000, reader_seconds=1.0, linger_seconds=1.0)


class Recorder:
    """An application that keeps what reached it, and answers with it; ``/slow`` waits for ``go``, ``/large`` answers much."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes]] = []
        self.headers: list[tuple[bytes, bytes]] = []
        self.go = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/early":
            headers = [(b"content-length", b"7"), (b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 413, "headers": headers})
            await send({"type": "http.response.body", "body": b'"early"'})
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.seen.append((scope["method"], scope["path"], body))
        self.headers = list(scope["headers"])
        if scope["path"] == "/slow":
            while not self.go.is_set():
                await asyncio.sleep(0.01)
        told = json.dumps([scope["method"], scope["path"], body.decode("latin-1")]).encode()
        told = b"x" * 20_000_000 if scope["path"] == "/large" else told
        headers = [(b"content-length", b"%d" % len(told)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": told})


class TakenAtOnce(Answer):
    """An answer that shows which way its request went."""

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [*super().headers(), (b"x-at-once", b"yes")]


class Doorman:
    """Where the hub has its door: takes what is sent to /intake/KEY/…, keeps it, and answers a moment later as a commit would."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def at_once(self, path: str, query: str, method: str, headers: Any, body: bytes, told: Any) -> bool:
        if not path.startswith("/intake/at-once/"):
            return False
        self.recorder.seen.append((method, path, body))
        answer = TakenAtOnce(200, json.dumps([method, path, body.decode("latin-1")]).encode())
        asyncio.get_running_loop().call_later(0.001, told, answer)
        return True


class Served:
    """A server that runs."""

    def __init__(
        self, port: int, recorder: Recorder, protocol: type[HttpToolsProtocol], server: uvicorn.Server
    ) -> None:
        self.port, self.recorder, self.protocol, self.server = port, recorder, protocol, server

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    def dial(self, source: str = "127.0.0.1") -> socket.socket:
        line = socket.create_connection(("127.0.0.1", self.port), timeout=20, source_address=(source, 0))
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return line

    def say(self, *pieces: bytes) -> bytes:
        """Sends pieces, ends the sending half, answers all that came back."""
        with self.dial() as line:
            for piece in pieces:
                line.sendall(piece)
            return everything(line)


def everything(line: socket.socket, seconds: float = 20) -> bytes:
    """All that comes until the other side ends; a reset ends it too."""
    found, deadline = b"", time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            piece = line.recv(65536)
        except ConnectionError:
            return found
        if not piece:
            return found
        found += piece
    raise AssertionError(f"the connection stayed open; it said {found[:200]!r}")


@contextmanager
def served(
    protocol: type[HttpToolsProtocol] | None = None, *, limits: Limits = QUICK, proxies: Any = ()
) -> Iterator[Served]:
    """A server on a port of its own; without a protocol it is the wire's, with these limits."""
    recorder = Recorder()
    if protocol is None:
        protocol = type("TestedWire", (Wire,), {"door": Doorman(recorder), "registry": Connections(limits, proxies)})
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    server = uvicorn.Server(
        uvicorn.Config(
            recorder, http=protocol, log_config=None, access_log=False, server_header=False, proxy_headers=False,
            lifespan="off", ws="none", timeout_keep_alive=30, timeout_graceful_shutdown=1, backlog=256,
        )
    )  # fmt: skip
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.01)
    try:
        yield Served(listener.getsockname()[1], recorder, protocol, server)
    finally:
        recorder.go.set()
        server.should_exit = True
        thread.join(20)
        listener.close()
