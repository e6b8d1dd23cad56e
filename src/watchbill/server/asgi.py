"""One port: health, metrics and live events answered natively, everything else by Django on threads (a2wsgi)."""

import asyncio
import gc
import hmac
import ipaddress
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog
from a2wsgi import WSGIMiddleware
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from watchbill.intake.edge import Door
from watchbill.intake.protocols import ADDRESSES
from watchbill.server.health import answers, readiness, refresh_gauges
from watchbill.server.live import Live
from watchbill.server.sharing import Shared
from watchbill.server.wire import MAX_API_BODY, MAX_FILE

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
log = structlog.get_logger("watchbill.asgi")

THREADS = 10
#: Files that are received at once.
UPLOADS = 4
#: Seconds until it is asked whether the database hangs, where a page takes that long.
PATIENCE = 2.0
#: Seconds that `/readyz` waits for what it asks; and for the look at the hub's state, before it asks the door anew.
PROMPT, GLANCE = 1.5, 0.4
_LATE = "The look at the hub's state takes more than a second and a half."


class Hub:
    """The ASGI application."""

    def __init__(self, *, live: Live | None = None) -> None:
        self.django = WSGIMiddleware(WSGIHandler(), workers=THREADS, send_queue_size=32)
        self.live = live or Live()
        self.door = Door()
        self.uploads = asyncio.Semaphore(UPLOADS)
        self.ready: Shared[tuple[bool, dict[str, Any]] | None] = Shared("readiness", readiness, lambda: None)
        self.database = Shared("database", answers, lambda: False)
        self.gauges = Shared("gauges", refresh_gauges, lambda: None)
        #: Pages whose caller was told that the database does not answer; their threads wait for it.
        self.abandoned: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one connection."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1003})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/healthz":
            await answer(send, 200, b'{"status":"ok"}')
        elif path == "/readyz":
            ready, body = await self._readiness()
            await answer(send, 200 if ready else 503, json.dumps(body).encode())
        elif path == "/metrics":
            await self._metrics(scope, send)
        elif path == "/live":
            await self.live.serve(scope, receive, send)
        elif path.startswith(ADDRESSES):
            await self.door.serve(scope, receive, send)
        else:
            await self._django(scope, receive, send)

    async def _readiness(self) -> tuple[bool, dict[str, Any]]:
        """Ready is what can take and store an alert, which is tried on the intake's own connections; whatever else the look at the hub's state
        finds is said, and closes nothing. Back within two seconds."""
        began = time.monotonic()
        problem, found = await asyncio.gather(self.door.able(PROMPT), self.ready.ask(GLANCE))
        if found is None and (left := began + PROMPT - time.monotonic()) > GLANCE:
            # The door's answer may be of the moment before; where the look hangs, what it hangs on may be what an alert needs.
            problem, found = await asyncio.gather(self.door.able(left, since=began), self.ready.ask(left))
        checks, degraded = (found[1]["checks"], found[1]["degraded"]) if found else ({}, [_LATE])
        if problem:
            checks = {"intake": problem, **(checks or {"database": "does not answer"})}
            return False, {"status": "not ready", "checks": checks, "degraded": []}
        wrong = [f"{name}: {value}" for name, value in checks.items() if value != "ok"]
        fine = {name: value for name, value in checks.items() if value == "ok"}
        return True, {"status": "ready", "checks": {"intake": "ok", **fine}, "degraded": [*wrong, *degraded]}

    async def _metrics(self, scope: Scope, send: Send) -> None:
        if not _may_read_metrics(scope):
            await answer(
                send,
                403,
                b'{"title":"Metrics are open to loopback, or with WATCHBILL_METRICS_TOKEN."}',
                "application/problem+json",
            )
            return
        await self.gauges.ask()
        await answer(send, 200, generate_latest(), CONTENT_TYPE_LATEST)

    async def _django(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = MAX_FILE if scope["path"].endswith("/files") else MAX_API_BODY
        problem = _bad_request(scope, limit)
        if problem:
            await answer(
                send,
                problem[0],
                json.dumps({"title": problem[1], "status": problem[0]}).encode(),
                "application/problem+json",
            )
            return
        scope["headers"] = [pair for pair in scope["headers"] if b"_" not in pair[0]]
        if limit == MAX_FILE:
            # A file is read by the thread that stores it: its sender may hold some of the threads, never all.
            async with self.uploads:
                await self.django(scope, receive, send)
            return
        body = await _whole(receive, limit)
        if body is not None:
            await self._page(scope, _again(body, receive), send)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers by Django; where the database hangs, says so after a few seconds, and takes no thread while that is known."""
        if scope["path"].startswith("/static/"):
            await self.django(scope, receive, send)
            return
        if self.database.hangs():
            await _say_silent(scope, send)
            return
        begun = given_up = False

        async def told(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            if not given_up:
                begun = True
                await send(message)

        task = asyncio.create_task(self.django(scope, receive, told))
        try:
            await asyncio.wait({task}, timeout=PATIENCE)
            while not (task.done() or begun):
                if not await self.database.ask(2.5) and not begun:
                    break
                await asyncio.wait({task}, timeout=PATIENCE)
            if begun or task.done():
                await task
                return
        except asyncio.CancelledError:
            task.cancel()
            raise
        given_up = True
        self.abandoned.add(task)
        task.add_done_callback(self._forget)
        await _say_silent(scope, send)

    def _forget(self, task: "asyncio.Task[None]") -> None:
        self.abandoned.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.warning("request.abandoned", error=type(task.exception()).__name__)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.live.start()
                self.door.start()
                await asyncio.to_thread(_warm_up)
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.live.stop()
                await self.door.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return


async def _say_silent(scope: Scope, send: Send) -> None:
    """What a page or the API says while the database hangs."""
    title = "The database does not answer"
    advice = "The hub waits for it and goes on by itself. What you sent just now may or may not have been stored: look before you send it again."
    if scope["path"].startswith("/api/"):
        problem = {"title": title, "status": 503, "detail": advice}
        await answer(send, 503, json.dumps(problem).encode(), "application/problem+json", retry=True)
        return
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"></head><body><main><h1>The database does not answer</h1>'
        f"<p>Watchbill runs, but its database does not answer. {advice}</p>"
        "<p>Alerts that are sent now wait, and are answered when they are stored. The log of the database and "
        "<code>watchbill doctor</code> say more.</p></main></body></html>"
    )
    await answer(send, 503, page.encode(), "text/html; charset=utf-8", retry=True)


async def _whole(receive: Receive, limit: int) -> bytes | None:
    """The whole body, before a thread is given to the request: who sends slowly holds none, and half a body reaches nobody.

    None where the sender went away, or sends more than it may (a server's protocol holds it to its Content-Length).
    """
    pieces, size = [], 0
    while True:
        message = await receive()
        piece = message.get("body", b"")
        size += len(piece)
        if message["type"] == "http.disconnect" or size > limit:
            return None
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives the body once, and after it what the connection says."""
    given = False

    async def first() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return first


def _bad_request(scope: Scope, limit: int) -> tuple[int, str] | None:
    length, chunked = None, False
    for name, value in scope["headers"]:
        if name == b"content-length":
            length = value
        if name == b"transfer-encoding":
            chunked = True
    if length is not None and not length.isdigit():
        return 400, "The Content-Length header is no number."
    if length is not None and int(length) > limit:
        return 413, f"The request is larger than the {limit:,} bytes that this hub takes."
    if chunked and length is not None:
        return 400, "Content-Length and Transfer-Encoding do not go together."
    # A WSGI application reads a body by its length; without one it would see, and store, nothing.
    if chunked:
        return 411, "Say how long the request is: send Content-Length."
    if "\0" in scope["path"]:
        return 400, "The address holds a NUL byte."
    return None


def _may_read_metrics(scope: Scope) -> bool:
    token = settings.METRICS_TOKEN
    if token:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return hmac.compare_digest(given, f"Bearer {token}".encode())
    client = (scope.get("client") or ("", 0))[0]
    forwarded = any(name == b"x-forwarded-for" for name, _ in scope["headers"])
    try:
        return ipaddress.ip_address(client).is_loopback and not forwarded
    except ValueError:
        return False


def _warm_up() -> None:
    """Loads what the first page would load, so that it is as fast as the second."""
    from django.template.loader import get_template
    from django.urls import reverse

    start = time.perf_counter()
    reverse("signin")
    for name in ("console/overview.html", "console/signin.html", "console/audit.html"):
        get_template(name)
    # What was loaded stays: the collector need not look at it again, nor as often at what each request leaves.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    log.debug("warm", ms=round((time.perf_counter() - start) * 1000))


async def answer(
    send: Send, status: int, body: bytes, media_type: str = "application/json", *, retry: bool = False
) -> None:
    """A small whole answer."""
    headers = [
        (b"content-type", media_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if retry:
        headers.append((b"retry-after", b"5"))
    headers += [
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def close_connections() -> None:
    """Gives this thread's connections back."""
    for connection in connections.all(initialized_only=True):
        connection.close()
