"""Live events: server-sent events over one LISTEN connection per process, however many viewers.

An event says only *that* something changed in a workspace; the page then asks for its part again, as its reader. So no
event needs an access rule, and none holds data. Who may listen to a workspace is checked when the stream opens and
again every minute.
"""

import asyncio
import contextlib
import http.cookies
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import psycopg
import structlog
from django.conf import settings
from django.db import connection, connections, transaction
from psycopg.conninfo import make_conninfo

from watchbill.people.models import Membership, Person
from watchbill.runtime.live import CHANNEL
from watchbill.runtime.metrics import LIVE
from watchbill.signin.models import Login
from watchbill.signin.sessions import PERSON, SessionStore

log = structlog.get_logger("watchbill.live")
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
KEEP_ALIVE = 25.0
RECHECK = 60.0
#: Seconds between two events to one viewer, at least.
PAUSE = 2.0
MOST = 2000


class Live:
    """The viewers of one process."""

    def __init__(self) -> None:
        self.viewers: dict[UUID, set[asyncio.Event]] = {}
        self.topics: dict[asyncio.Event, set[str]] = {}
        self.task: asyncio.Task[None] | None = None
        self.stopping = asyncio.Event()
        self.checks = asyncio.Semaphore(4)

    def start(self) -> None:
        """Begins to listen to the database."""
        self.task = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        """Ends all streams, so that the server can stop."""
        self.stopping.set()
        for events in self.viewers.values():
            for event in events:
                event.set()
        if self.task:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task

    async def _listen(self) -> None:
        while True:
            try:
                database = settings.DATABASES["default"]
                where = make_conninfo(
                    host=str(database["HOST"]), port=int(str(database["PORT"])), dbname=str(database["NAME"]), user=str(database["USER"]),
                    password=str(database["PASSWORD"]), application_name="watchbill-live", **settings.DATABASE_OPTIONS,
                )  # fmt: skip
                async with await psycopg.AsyncConnection.connect(where, autocommit=True) as listener:
                    await listener.execute(f"LISTEN {CHANNEL}")
                    async for notice in listener.notifies():
                        workspace, _, topic = notice.payload.partition(" ")
                        self._wake(UUID(workspace), topic)
            except (psycopg.Error, OSError, ValueError) as error:
                log.warning("live.reconnect", error=type(error).__name__)
                await asyncio.sleep(1)

    def _wake(self, workspace_id: UUID, topic: str) -> None:
        for event in self.viewers.get(workspace_id, ()):
            self.topics[event].add(topic)
            event.set()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One viewer's stream: GET /live?w=<workspace id>."""
        if len(self.topics) >= MOST:
            await _refuse(send, 503)
            return
        try:
            workspace_id = UUID(parse_qs(scope["query_string"].decode("latin-1")).get("w", [""])[0])
        except ValueError:
            await _refuse(send, 400)
            return
        key = _session_key(scope)
        if not key or not await self._allowed(key, workspace_id):
            # 204 tells an EventSource not to come again.
            await _refuse(send, 204)
            return
        event = asyncio.Event()
        self.viewers.setdefault(workspace_id, set()).add(event)
        self.topics[event] = set()
        LIVE.inc()
        gone = asyncio.create_task(_gone(receive))
        try:
            headers = [
                (b"content-type", b"text/event-stream"),
                (b"cache-control", b"no-store"),
                (b"x-accel-buffering", b"no"),
            ]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send(
                {"type": "http.response.body", "body": b"retry: 2000\nevent: hello\ndata: {}\n\n", "more_body": True}
            )
            await self._stream(event, gone, key, workspace_id, send)
            await send({"type": "http.response.body", "body": b""})
        except OSError:
            pass
        finally:
            gone.cancel()
            self.viewers[workspace_id].discard(event)
            del self.topics[event]
            LIVE.dec()

    async def _stream(
        self, event: asyncio.Event, gone: asyncio.Task[None], key: str, workspace_id: UUID, send: Send
    ) -> None:
        loop = asyncio.get_running_loop()
        checked = loop.time()
        while not gone.done() and not self.stopping.is_set():
            waiter = asyncio.create_task(event.wait())
            await asyncio.wait({waiter, gone}, timeout=KEEP_ALIVE, return_when=asyncio.FIRST_COMPLETED)
            waiter.cancel()
            if gone.done() or self.stopping.is_set():
                return
            if loop.time() - checked > RECHECK:
                if not await self._allowed(key, workspace_id):
                    return
                checked = loop.time()
            event.clear()
            topics, self.topics[event] = sorted(self.topics[event]), set()
            body = (
                b"".join(f"event: {topic}\ndata: {json.dumps({'topic': topic})}\n\n".encode() for topic in topics)
                or b": still here\n\n"
            )
            await send({"type": "http.response.body", "body": body, "more_body": True})
            # What happens meanwhile goes out as one: a storm does not make every open page ask again for each of its alerts.
            await asyncio.wait({gone}, timeout=PAUSE)

    async def _allowed(self, key: str, workspace_id: UUID) -> bool:
        async with self.checks:
            return await asyncio.to_thread(_may_listen, key, workspace_id)


def _may_listen(key: str, workspace_id: UUID) -> bool:
    """Whether the session's person is active and a member: the same checks as for a page, as the same principals."""
    try:
        data = SessionStore(key).load()
        person = data.get(PERSON)
        login = Login.objects.filter(pk=str(data.get("_auth_user_id"))).first() if person else None
        if login is None or data.get("_auth_user_hash") != login.get_session_auth_hash():
            return False
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('watchbill.person', %s, true)", [person])
            here = Membership.objects.filter(workspace_id=workspace_id, person_id=UUID(person), ended_at=None)
            return here.exists() and Person.objects.filter(id=UUID(person), active=True).exists()
    except (psycopg.Error, ValueError):
        return False
    finally:
        for each in connections.all(initialized_only=True):
            each.close()


def _session_key(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"cookie":
            with contextlib.suppress(http.cookies.CookieError):
                found = http.cookies.SimpleCookie(value.decode("latin-1")).get(settings.SESSION_COOKIE_NAME)
                return found.value if found else ""
    return ""


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(send: Send, status: int) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-length", b"0"), (b"cache-control", b"no-store")],
        }
    )
    await send({"type": "http.response.body", "body": b""})
