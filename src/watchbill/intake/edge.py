"""The front door for machines: native ASGI, one INSERT for all that came in the same moment, answered when it is durable.

A request is refused before it costs anything (unknown key, too large, too fast); what is taken is written to the inbox as it
came, and read by the worker. A crash at any moment loses nothing that was answered.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import structlog
from django.conf import settings
from psycopg.conninfo import make_conninfo

from watchbill.base.errors import TooMany
from watchbill.intake.protocols import Answer, Headers, Protocol, problem, protocol_of
from watchbill.people import tokens
from watchbill.runtime.ratelimit import Buckets

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
log = structlog.get_logger("watchbill.intake")
MAX_BODY = 2_000_000
#: Requests in one transaction, and requests that may wait for theirs; beyond, a sender is told to come again.
BATCH, MOST_WAITING = 256, 2048
#: How long a key that was found is believed without asking again: a revoked one is refused after that.
BELIEVED = 5.0
#: Requests a minute from one source, before it is told to slow down.
RATE = 600_000
#: Refused requests a minute from one source that are kept, to be shown: the others are only answered.
REFUSALS = 20
_FIND = "SELECT id, workspace_id, protocol FROM signals_source WHERE key_digest = %s AND revoked_at IS NULL"
_FIND_CHECK = (
    "SELECT s.id, s.workspace_id, s.protocol FROM signals_source s JOIN signals_check c ON c.source_id = s.id "
    "WHERE c.digest = %s AND c.removed_at IS NULL AND s.revoked_at IS NULL"
)
_SLUG = "SELECT 1 FROM signals_check WHERE source_id = %s AND slug = %s AND removed_at IS NULL"
#: Said to the worker when something has come.
ARRIVED = "wb_arrived"
_SILENT = "The hub's database does not answer; send it again."
_PUT = (
    "WITH put AS (INSERT INTO signals_arrival (source_id, workspace_id, received_at, body) SELECT s, w, wb_now(), b "
    "FROM unnest(%b::uuid[], %b::uuid[], %b::bytea[]) AS t(s, w, b) RETURNING 1) "
    "SELECT pg_notify(%s, '') FROM put LIMIT 1"
)


#: Seconds for which an answer to `Door.able` is believed; and bytes of what is tried after something could not be stored, at most.
ABLE, LARGEST_TRY = 0.5, 65_536
#: An integration: its id, its workspace's, its protocol.
_Found = tuple[UUID, UUID, str]


@dataclass(slots=True)
class _Waiting:
    source: UUID
    workspace: UUID
    body: bytes
    protocol: Protocol
    #: What the sender gets once it is durable, and how it is told.
    answer: Answer
    told: Callable[[Answer], None]


@dataclass(slots=True)
class _Question:
    """Whether an alert could be stored now; ``told`` gets why not, or nothing."""

    told: Callable[[str], None]


class Door:
    """Intake of one web process: one connection that finds keys, one that writes."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[_Waiting | _Question] = asyncio.Queue(MOST_WAITING)
        self.known: dict[bytes, tuple[float, _Found | None]] = {}
        self.slugs: dict[tuple[UUID, str], float] = {}
        self.salt = secrets.token_bytes(16)
        self.buckets = Buckets(RATE, RATE / 10)
        self.refusals = Buckets(REFUSALS, REFUSALS)
        self.writer: asyncio.Task[None] | None = None
        self.finder = _Line("watchbill-intake-keys")
        self.asked: tuple[float, asyncio.Task[str]] | None = None
        #: When something was stored last; and how large it was, while something could not be stored.
        self.stored, self.refused = -1e9, 0

    def start(self) -> None:
        """Begins to write."""
        # Asked for once: on Python 3.11 asking which loop runs costs a system call.
        self.loop = asyncio.get_running_loop()
        self.writer = asyncio.create_task(self._write())

    async def stop(self) -> None:
        """Ends; what was not written was not answered."""
        if self.writer:
            self.writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.writer
        if self.asked:
            self.asked[1].cancel()
        while not self.queue.empty():
            _fail([self.queue.get_nowait()])
        await self.finder.close()

    async def able(self, patience: float, since: float = 0.0) -> str:
        """Why this process can take and store no alert, asked on the way that an alert takes; empty where it can. Back after ``patience`` seconds.

        One question is under way, however many ask, and its answer holds for a moment, unless it was asked before ``since`` (as `time.monotonic`).
        """
        if self.queue.full():
            return "more waits than it takes"
        at = time.monotonic()
        if self.asked is None or (self.asked[1].done() and self.asked[0] < max(at - ABLE, since)):
            self.asked = at, asyncio.create_task(self._try())
        began, answer = self.asked
        await asyncio.wait({answer}, timeout=patience if at - began < patience else patience / 8)
        if answer.done():
            return answer.result()
        # A busy one is slow to answer this question, too; it stores meanwhile.
        return "" if time.monotonic() - self.stored < patience else "the database does not answer"

    async def _try(self) -> str:
        if self.writer is None or self.writer.done():
            return "nothing writes what comes"
        try:
            await self.finder.row(_FIND, b"")
        except (psycopg.Error, OSError) as error:
            return f"keys cannot be looked up ({type(error).__name__})"
        said: asyncio.Future[str] = self.loop.create_future()
        try:
            self.queue.put_nowait(_Question(partial(_settle, said)))
        except asyncio.QueueFull:
            return "more waits than it takes"
        return await said

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request of a sender: which protocol it is shows in the address (`protocols.py`)."""
        protocol = protocol_of(scope["path"])
        if protocol is None:
            await _send(send, problem(404, "Send it to /intake/KEY/PROTOCOL; docs/intake.md has every address."))
            return
        if scope["method"] not in protocol.methods:
            await _send(send, protocol.refuse(405, "Send it as POST."))
            return
        # Where the key stands in the address, a request is refused before its body is read.
        found: _Found | None = None
        if (key := protocol.key(scope["path"])) and (found := await self._known(key, protocol, send)) is None:
            return
        body = await _body(scope, receive)
        if body is None:
            await _send(send, protocol.refuse(413, f"The hub takes up to {MAX_BODY:,} bytes at once."))
            return
        taken = protocol.take(
            scope["path"], scope.get("query_string", b"").decode("latin-1"), scope["method"], scope["headers"], body
        )
        if isinstance(taken, Answer):
            await _send(send, taken)
            return
        if taken.key != key and (found := await self._known(taken.key, protocol, send)) is None:
            return
        assert found is not None  # noqa: S101 - a key that is not known was answered
        try:
            self.buckets.take(found[0])
        except TooMany as error:
            await _send(
                send, protocol.refuse(429, "This integration sends faster than the hub takes.", str(error.retry_after))
            )
            return
        if taken.refused and not self._keeps_refusal(found[0]):
            await _send(send, taken.answer)
            return
        if taken.slug:
            try:
                exists = await self._has(found[0], taken.slug)
            except (psycopg.Error, OSError):
                await _send(send, protocol.refuse(503, _SILENT, "5"))
                return
            if not exists and not taken.creates:
                await _send(send, protocol.refuse(404, "not found"))
                return
            if not exists:
                taken = replace(taken, answer=replace(taken.answer, status=201, body=b"Created"))
        done: asyncio.Future[Answer] = self.loop.create_future()
        try:
            self.queue.put_nowait(
                _Waiting(found[0], found[1], taken.body, protocol, taken.answer, partial(_settle, done))
            )
        except asyncio.QueueFull:
            await _send(send, protocol.refuse(503, "The hub is busy; send it again.", "2"))
            return
        await _send(send, await done)

    def at_once(
        self, path: str, query: str, method: str, headers: Headers, body: bytes, told: Callable[[Answer], None]
    ) -> bool:
        """Takes a request without waiting for anything, where all that it needs is known; ``told`` gets the answer when it is durable.

        False where it is to be served the long way, which knows every answer.
        """
        protocol = protocol_of(path)
        if protocol is None or method not in protocol.methods:
            return False
        taken = protocol.take(path, query, method, headers, body)
        if isinstance(taken, Answer) or taken.refused:
            return False
        believed = self._believed(self._mark(taken.key))
        found = believed[1] if believed else None
        if found is None or found[2] not in protocol.names or self.queue.full():
            return False
        if taken.slug and not self._has_lately(found[0], taken.slug):
            return False
        try:
            self.buckets.take(found[0])
        except TooMany:
            return False
        self.queue.put_nowait(_Waiting(found[0], found[1], taken.body, protocol, taken.answer, told))
        return True

    def _keeps_refusal(self, source: UUID) -> bool:
        try:
            self.refusals.take(source)
        except TooMany:
            return False
        return True

    def _has_lately(self, source: UUID, slug: str) -> bool:
        at = self.slugs.get((source, slug))
        return at is not None and time.monotonic() - at < BELIEVED

    async def _has(self, source: UUID, slug: str) -> bool:
        """Whether an integration has a check of a slug. That it has one is believed for a while."""
        if self._has_lately(source, slug):
            return True
        if not await self.finder.row(_SLUG, source, slug):
            return False
        if len(self.slugs) > 10_000:
            self.slugs.clear()
        self.slugs[source, slug] = time.monotonic()
        return True

    async def _known(self, key: str, protocol: Protocol, send: Send) -> _Found | None:
        """The integration of a key; None where it was answered already that there is none."""
        try:
            found = await self._find(key)
        except (psycopg.Error, OSError):
            await _send(send, protocol.refuse(503, _SILENT, "5"))
            return None
        if found is None or found[2] not in protocol.names:
            await _send(
                send, protocol.refuse(404, "There is no integration with this key and protocol, or it was revoked.")
            )
            return None
        return found

    def _mark(self, key: str) -> bytes:
        # What was found is kept by another digest than the database has: this one costs a tenth, and no key's text stays in memory.
        return blake2b(key.encode("utf-8", "replace"), key=self.salt, digest_size=16).digest()

    def _believed(self, mark: bytes) -> tuple[float, _Found | None] | None:
        """What was found lately by a key, which may be that there is nothing; None where it has to be asked again."""
        known = self.known.get(mark)
        return known if known and time.monotonic() - known[0] < BELIEVED else None

    async def _find(self, key: str) -> _Found | None:
        mark, at = self._mark(key), time.monotonic()
        if believed := self._believed(mark):
            return believed[1]
        row = await self.finder.row(_FIND_CHECK if _is_uuid(key) else _FIND, tokens.digest(key))
        if len(self.known) > 10_000:
            self.known.clear()
        found = (row[0], row[1], row[2]) if row else None
        self.known[mark] = (at, found)
        return found

    async def _write(self) -> None:
        """Group commit: everything that waits goes into one transaction; while it is written, the next ones gather."""
        line = _Line("watchbill-intake")
        while True:
            batch = [await self.queue.get()]
            while len(batch) < BATCH and not self.queue.empty():
                batch.append(self.queue.get_nowait())
            try:
                await self._store(line, [one for one in batch if isinstance(one, _Waiting)])
            except asyncio.CancelledError:
                _fail(batch)
                await line.close()
                raise
            except Exception as error:
                log.error("intake.not_stored", error=type(error).__name__, requests=len(batch))
                await line.close()
                _fail(batch, error)
            else:
                for one in batch:
                    if isinstance(one, _Question):
                        one.told("")
                    else:
                        one.told(one.answer)

    async def _store(self, line: "_Line", batch: list[_Waiting]) -> None:
        """Stores what came. Where nothing did, but somebody asks: tries to, as large as what could not be stored last, and takes it back."""
        if not batch:
            nobody = UUID(int=0)
            await line.row(_PUT, [nobody], [nobody], [secrets.token_bytes(self.refused)], ARRIVED, keep=False)
            self.refused = 0
            return
        sources, workspaces, bodies = zip(*((one.source, one.workspace, one.body) for one in batch), strict=True)
        try:
            await line.row(_PUT, list(sources), list(workspaces), list(bodies), ARRIVED)
        except Exception:
            self.refused = min(LARGEST_TRY, *(len(one) for one in bodies))
            raise
        self.stored, self.refused = time.monotonic(), 0


class _Line:
    """A connection that is made when it is needed, and once more where it was lost in between: the database was restarted.

    A statement whose answer was lost is said again, as the sender would after a refusal: an alert that comes twice is one.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.connection: psycopg.AsyncConnection[Any] | None = None
        self.lock = asyncio.Lock()

    async def row(self, query: str, *values: object, keep: bool = True) -> Any:
        """The first row that it answers with, or None. Without ``keep`` what it does is taken back."""
        async with self.lock:
            try:
                return await self._row(query, values, keep)
            except psycopg.OperationalError:
                if self.connection is None or not self.connection.closed:
                    raise
                return await self._row(query, values, keep)

    async def _row(self, query: str, values: tuple[object, ...], keep: bool) -> Any:
        if self.connection is None or self.connection.closed:
            self.connection = None
            self.connection = await _connect(self.name)
        async with contextlib.nullcontext() if keep else self.connection.transaction(force_rollback=True):
            return await (await self.connection.execute(query.encode(), values)).fetchone()

    async def close(self) -> None:
        if self.connection is not None:
            await self.connection.close()


def _is_uuid(key: str) -> bool:
    return len(key) == 36 and key.count("-") == 4


_T = TypeVar("_T")


def _settle(done: "asyncio.Future[_T]", answer: _T) -> None:
    """Answers the task that waits, unless its sender has gone."""
    if not done.done():
        done.set_result(answer)


def _fail(batch: Iterable[_Waiting | _Question], error: Exception | None = None) -> None:
    """Tells those who wait that it was not stored: their senders come again."""
    for one in batch:
        if isinstance(one, _Question):
            one.told(f"what comes cannot be stored ({type(error).__name__})" if error else "it stops")
        else:
            one.told(one.protocol.refuse(503, "It could not be stored; send it again.", "5"))


async def _connect(name: str) -> psycopg.AsyncConnection[Any]:
    database = settings.DATABASES["default"]
    where = make_conninfo(
        host=str(database["HOST"]), port=int(str(database["PORT"])), dbname=str(database["NAME"]), user=f"{settings.ROLE_PREFIX}_intake",
        password=settings.KEYS.text("database-role/intake"), application_name=name, connect_timeout=10, **settings.DATABASE_OPTIONS,
    )  # fmt: skip
    return await psycopg.AsyncConnection.connect(where, autocommit=True)


async def _body(scope: Scope, receive: Receive) -> bytes | None:
    """The whole body; None where it is larger than the hub takes, or where the sender went away."""
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    if length.isdigit() and int(length) > MAX_BODY:
        return None
    pieces, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        piece = message.get("body", b"")
        size += len(piece)
        if size > MAX_BODY:
            return None
        pieces.append(piece)
        if not message.get("more_body"):
            return b"".join(pieces)


async def _send(send: Send, answer: Answer) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers()})
    await send({"type": "http.response.body", "body": answer.body})
