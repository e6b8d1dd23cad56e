"""HTTP on the one port: uvicorn's, but for what a sender sends in one piece, which is taken without a task of its own.

A storm is many small requests. For each of them uvicorn makes an event, a task and two walks through the application; here the
parser's last callback puts it into the queue, and the commit that made it durable writes the answer. What is large, comes in
pieces, needs the database to be judged, or is anything else goes uvicorn's way.

Both ways keep the limits of `connections.py`, which uvicorn does not have: of a head's size, of a body's, of the time that either
may take, and of how long an answer may wait to be read. A refusal comes after the answers that are owed before it, and ends the
connection so that its sender can read it.
"""

import json
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from watchbill.intake.edge import MAX_BODY, Door
from watchbill.intake.protocols import ADDRESSES, Answer
from watchbill.server.connections import BETWEEN, BODY, CLOSING, EVERY, HEAD, Connections

#: A body larger than this goes uvicorn's way, which can refuse it before it is here.
SMALL = 65_536
#: Bodies of everything else: files, and the API and the pages.
MAX_FILE, MAX_API_BODY = 55_000_000, 2_500_000
#: From here on the pieces of a head are gathered before the parser gets them: it copies an unfinished field for each piece.
_GATHER = 4_096
_DOORS = tuple(one.encode() for one in ADDRESSES)
_VERSIONS = ("1.1", "1.0")


class _Stop(Exception):
    """Raised in a callback of the parser to end it."""


class Wire(HttpToolsProtocol):  # type: ignore[misc]  # its parser has no types
    """A connection. ``door`` and ``connections`` are set before the server starts."""

    door: ClassVar[Door]
    registry: ClassVar[Connections] = Connections()
    #: The body so far of a request that may be taken at once; None while it goes uvicorn's way.
    pieces: list[bytes] | None = None
    cycle: Any
    #: uvicorn's cycle that is being answered.
    running: Any = None
    stage: int = HEAD
    #: When this stage began; 0.0 until the first bytes of it were handled.
    since: float = 0.0
    #: Bytes of the head that the parser gave out, and bytes that it was fed since the head (or the body) began.
    head: int = 0
    fed: int = 0
    #: Bytes of the body, how many there may be, and how many at the last look.
    received: int = 0
    longest: int = MAX_API_BODY
    counted: int = 0
    #: Bytes of bodies that are held for this connection's requests.
    held: int = 0
    #: Messages that came whole.
    completed: int = 0
    #: Why the request that is being read is refused, and a refusal that waits for earlier answers.
    verdict: tuple[int, str] | None = None
    owed: tuple[int, str] | None = None
    #: What was read after a refusal.
    discarded: int = 0
    #: The part of a head that the parser has not got yet.
    gathered: bytearray | None = None
    #: When an answer was last seen to be unread, and how much of it.
    unread: tuple[float, int] | None = None

    # What the server calls

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.limits = self.registry.limits
        self.head_limit, self.fields_limit = self.limits.head, self.limits.fields
        self.flow = _Flow(transport, self)
        self.since = self.loop.time()
        if not self.registry.admit(self, self.loop):
            self._write(503, "There are too many connections; try again.")
            transport.close()
            self.stage = CLOSING

    def connection_lost(self, exc: Exception | None) -> None:
        self.registry.remove(self)
        self._release()
        self.stage = CLOSING
        self.gathered = None
        super().connection_lost(exc)
        # uvicorn tells the newest request only; the one that is being answered is another where requests are pipelined.
        if self.running is not None:
            self.running.disconnected = True
            self.running.message_event.set()
            self.running = None
        self.pipeline.clear()

    def data_received(self, data: bytes) -> None:
        if self.stage == CLOSING:
            self._discard(len(data))
            return
        self._unset_keepalive_if_required()
        if self.fed > _GATHER and self.stage == HEAD:
            if self._gather(data):
                return
            data, self.gathered = bytes(self.gathered or b""), None
        before = self.completed
        self._feed(data)
        if self.stage != BETWEEN or self.cycle is None or self.cycle.response_complete:
            self._account(len(data), self.completed == before)

    def shutdown(self) -> None:
        if self.stage == CLOSING and not self.owed:
            self.transport.close()
        else:
            super().shutdown()

    # What the parser calls

    def on_message_begin(self) -> None:
        self.pieces = None
        self.stage, self.since = HEAD, 0.0
        self.head = self.fed = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self.head += len(url)
        if self.head > self.limits.line:
            self._stop_parsing(414, f"The address is longer than the {self.limits.line:,} bytes that this hub takes.")
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.head += len(name) + len(value) + 4
        if self.head > self.head_limit:
            self._head_too_large()
        if self.stage != HEAD:
            # A trailer: nobody here reads one, and it must not pass for a header.
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.fed = self.received = 0
        self.counted = -1
        if len(self.headers) > self.fields_limit:
            self._head_too_large()
        if self._may_be_direct():
            self.pieces = []
        else:
            self._start_cycle()
        self.stage, self.since = BODY, 0.0

    def on_body(self, body: bytes) -> None:
        self.received += len(body)
        if self.pieces is None:
            self.held += len(body)
            self.registry.held += len(body)
            super().on_body(body)
        else:
            self.pieces.append(body)

    def on_message_complete(self) -> None:
        pieces, self.pieces = self.pieces, None
        self.stage = BETWEEN
        self.completed += 1
        if pieces is None:
            super().on_message_complete()
        elif not self._direct(b"".join(pieces)):
            self._start_cycle()
            for piece in pieces:
                super().on_body(piece)
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self._release()
        if self.stage != CLOSING:
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self.owed:
            self._answer_and_close(*self.owed)

    def _release(self) -> None:
        self.registry.held -= self.held
        self.held = 0

    # Taken at once

    def _may_be_direct(self) -> bool:
        if not self.url.startswith(_DOORS) or self.expect_100_continue or self.parser.should_upgrade():
            return False
        # Who does not read the answers waits for them, uvicorn's way.
        if self.flow.write_paused:
            return False
        # What came before it on this connection is answered before it.
        if self.cycle is not None and not self.cycle.response_complete:
            return False
        length, hosts = b"0", 0
        for name, value in self.headers:
            if name == b"content-length":
                length = value
            elif name == b"transfer-encoding":
                return False
            elif name == b"host":
                hosts += 1
        return hosts < 2 and length.isdigit() and int(length) <= SMALL

    def _direct(self, body: bytes) -> bool:
        """Gives it to the door, which answers when it is durable. Says whether the door took it."""
        path, _, query = self.url.partition(b"?")
        if b"%" in path or b"#" in self.url or not path.isascii():
            return False
        method = self.parser.get_method().decode("ascii")
        if method == "HEAD":
            # Its answer has no body, but the length of one; uvicorn knows how.
            return False
        version = self.parser.get_http_version()
        if version not in _VERSIONS:
            return False
        before = self.cycle
        self.cycle = turn = _Turn(self, version != "1.0" and self.parser.should_keep_alive())
        if self.door.at_once(path.decode(), query.decode("latin-1"), method, self.headers, body, turn.answer):
            return True
        self.cycle = before
        return False

    # uvicorn's way

    def _start_cycle(self) -> None:
        """Begins uvicorn's cycle, where the head is one that cannot be read in two ways."""
        length, hosts = b"", 0
        encodings: list[bytes] = []
        for name, value in self.headers:
            if name == b"content-length":
                length = value
            elif name == b"transfer-encoding":
                encodings.append(value)
            elif name == b"host":
                hosts += 1
        if encodings and (len(encodings) > 1 or encodings[0].strip().lower() != b"chunked"):
            self._stop_parsing(400, "The only Transfer-Encoding that is read here is chunked.")
        version, chunked = self.parser.get_http_version(), bool(encodings)
        if version not in _VERSIONS:
            self._stop_parsing(505, "Speak HTTP/1.1.")
        if hosts > 1:
            self._stop_parsing(400, "There is more than one Host header.")
        if chunked and version == "1.0":
            self._stop_parsing(400, "HTTP/1.0 knows no Transfer-Encoding.")
        has_body, upgrade = chunked or bool(length.strip(b"0")), self.parser.should_upgrade()
        if has_body and upgrade:
            # The parser takes such a body for the other protocol's: the request would be stored without it.
            self._stop_parsing(400, "Send the body without Upgrade: this hub speaks HTTP/1.1 here.")
        if len(self.pipeline) >= self.limits.pipelined:
            self._stop_parsing(400, "Too many requests wait on this connection; read the answers first.")
        path = self.url.partition(b"?")[0]
        self.longest = _longest(path)
        super().on_headers_complete()
        cycle = self.cycle
        # A request that asks before it sends, or that wants another protocol, is the last one: what follows could be read in two ways.
        if self.expect_100_continue or upgrade:
            cycle.keep_alive = False
        if has_body:
            cycle.transport = _BodyTransport(self)
            if not chunked and length.isdigit() and int(length) > self.longest:
                cycle.keep_alive = False

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self.running = cycle
        super()._start_asgi_task(cycle, app)

    def _should_upgrade(self) -> bool:
        return False

    # Reading within the limits

    def _gather(self, data: bytes) -> bool:
        """Keeps a piece of a head back from the parser; False when there is enough, or a line has ended."""
        if self.gathered is None:
            self.gathered = bytearray()
        self.gathered += data
        return b"\n" not in data and len(self.gathered) < _GATHER

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Nothing is upgraded here. Whatever follows such a request is not read: it is the connection's last one.
            self.stage, self.since = CLOSING, 0.0
        except httptools.HttpParserError:
            verdict, self.verdict = self.verdict, None
            self.refuse(*(verdict or (400, "This is no HTTP request that can be read in one way only.")))

    def _account(self, size: int, one_message: bool) -> None:
        """Counts what came for a message that is not whole yet, and looks when it began."""
        if one_message:
            self.fed += size
        if not self.since:
            self.since = self.loop.time()
        if self.stage == HEAD:
            if self.fed > self.limits.head:
                self.refuse(431, f"The head is larger than the {self.limits.head:,} bytes that this hub takes.")
        elif self.stage == BODY:
            self._account_body()
        elif self.stage == BETWEEN and self.timeout_keep_alive_task is None and not self.transport.is_closing():
            # Empty lines before a request, or the rest of one that was answered before its end: without this, nothing would
            # ever close the connection.
            self.stage, self.since = HEAD, self.loop.time()
            self.fed = self.head = self.received = 0

    def _account_body(self) -> None:
        if self.received != self.counted:
            self.counted, self.fed = self.received, 0
        elif self.fed > self.limits.framing:
            self.refuse(400, "There is too much between two pieces of the body.")
            return
        if self.received > SMALL and self.registry.held > self.limits.bodies and self.held:
            self.refuse(503, "Too many large requests come at once; try again.")
        elif self.received > self.longest and self.cycle is not None and self.pieces is None:
            if self.cycle.response_complete:
                # It was answered already, and goes on sending.
                self.finish()
            else:
                self.cycle.keep_alive = False

    def _stop_parsing(self, status: int, words: str) -> None:
        """Ends the parser, within one of its callbacks."""
        self.verdict = (status, words)
        raise _Stop

    def _head_too_large(self) -> None:
        limits = self.limits
        self._stop_parsing(
            431, f"The head is larger than the {limits.head:,} bytes and {limits.fields} fields that this hub takes."
        )

    # Refusing, and ending a connection

    def refuse(self, status: int, words: str) -> None:
        """Answers what cannot be taken, after the answers that are owed for earlier requests, and ends the connection."""
        if self.stage == CLOSING or self.transport.is_closing():
            return
        cycle, started = self.cycle, self.stage == BODY and self.pieces is None
        if started and self.pipeline and self.pipeline[0][0] is cycle:
            # Its turn has not come: it will not.
            self.pipeline.popleft()
        elif started and cycle is not None:
            if cycle.response_complete:
                self.finish()
                return
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.abort()
                return
            self._answer_and_close(status, words)
            return
        if self.pipeline or (cycle is not None and not cycle.response_complete):
            self.owed, self.stage, self.since = (status, words), CLOSING, 0.0
        else:
            self._answer_and_close(status, words)

    def _answer_and_close(self, status: int, words: str) -> None:
        self.owed = None
        self._write(status, words)
        self.finish()

    def _write(self, status: int, words: str) -> None:
        body = json.dumps({"title": words, "status": status}).encode()
        pieces = [STATUS_LINE[status]]
        for name, value in self.server_state.default_headers:
            pieces += (name, b": ", value, b"\r\n")
        pieces += (
            b"content-type: application/problem+json\r\ncache-control: no-store\r\n",
            b"retry-after: 5\r\n" if status == 503 else b"",
            b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body),
            body,
        )
        self.transport.write(b"".join(pieces))

    def finish(self) -> None:
        """Ends the connection so that what was said can be read: one that is closed while its peer still sends is reset."""
        self.stage, self.since = CLOSING, self.loop.time()
        self.owed = self.gathered = None
        self.pipeline.clear()
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()

    def _discard(self, size: int) -> None:
        self.discarded += size
        if self.discarded > self.limits.discard:
            self.transport.abort()

    # What `connections.py` asks

    def waits_for_us(self) -> bool:
        """Whether a request of it is being answered: all of its body is here, or its sender waits for us to read on."""
        if self.transport.is_closing():
            return False
        under_way = self.cycle is not None and not self.cycle.response_complete
        return under_way and (self.stage != BODY or self.flow.read_paused)

    def evict(self) -> None:
        """Closes it, since others need its place."""
        if self.stage in (HEAD, BODY) and not self.transport.is_closing():
            self.refuse(503, "There are too many connections; try again.")
        self.transport.close()

    def drop(self) -> None:
        """Closes it at once, whatever has not been sent yet."""
        self.transport.abort()

    def check_deadlines(self, now: float) -> None:
        """Closes what is beyond its deadline; a second more or less does not matter."""
        limits = self.limits
        waiting = self.transport.get_write_buffer_size()
        if not waiting:
            self.unread = None
        elif self.unread is None:
            self.unread = (now, waiting)
        elif now - self.unread[0] > limits.reader_seconds:
            if self.unread[1] - waiting < limits.reader_rate * limits.reader_seconds:
                self.transport.abort()
                return
            self.unread = (now, waiting)
        if self.stage == BETWEEN or not self.since:
            return
        age = now - self.since
        if self.stage == CLOSING:
            if age > limits.linger_seconds and not waiting:
                self.transport.abort()
        elif self.flow.read_paused:
            # It is we who do not read: the time does not count.
            self.since += EVERY
        elif self.stage == HEAD and age > limits.head_seconds:
            self._timed_out(f"The head was not complete after {limits.head_seconds:g} s.")
        elif self.stage == BODY and age > limits.body_seconds + self.received / limits.body_rate:
            self._timed_out("The body came too slowly.")

    def _timed_out(self, words: str) -> None:
        if self.fed or self.head or self.received or self.stage == BODY:
            self.refuse(408, words)
        else:
            # It never said anything: a browser that connected for later.
            self.transport.close()


def _longest(path: bytes) -> int:
    """How many bytes a body for an address may have."""
    if path.startswith(_DOORS):
        return MAX_BODY
    return MAX_FILE if path.endswith(b"/files") else MAX_API_BODY


class _Flow(FlowControl):  # type: ignore[misc]  # as above
    """Reads no further requests of a connection while earlier ones wait there: else one that sends without end would fill the memory.

    uvicorn reads on when a request asks for its body, which those that wait behind another have whole.
    """

    def __init__(self, transport: Any, wire: Wire) -> None:
        super().__init__(transport)
        self.wire = wire

    def resume_reading(self) -> None:
        if not self.wire.pipeline:
            super().resume_reading()


class _BodyTransport:
    """The connection as a request with a body sees it: closed before all of the body came, it is read to its end first."""

    __slots__ = ("is_closing", "wire", "write")

    def __init__(self, wire: Wire) -> None:
        self.wire, self.write, self.is_closing = wire, wire.transport.write, wire.transport.is_closing

    def close(self) -> None:
        """Ends the connection."""
        if self.wire.stage == BODY:
            self.wire.finish()
        else:
            self.wire.transport.close()


class _Turn:
    """Stands where uvicorn has its cycle, so that a later request on the connection waits, and a stop knows that one is under way."""

    __slots__ = ("disconnected", "keep_alive", "response_complete", "wire")

    def __init__(self, wire: Wire, keep_alive: bool) -> None:
        self.wire, self.keep_alive = wire, keep_alive
        self.disconnected = self.response_complete = False

    @property
    def message_event(self) -> "_Turn":
        """What uvicorn sets when the connection is lost: nobody waits for it here."""
        return self

    def set(self) -> None:
        """See ``message_event``."""

    def answer(self, answer: Answer) -> None:
        """Writes it, if the sender is still there, and lets the next request begin."""
        if self.disconnected:
            return
        self.response_complete = True
        wire = self.wire
        pieces: list[bytes] = [STATUS_LINE[answer.status]]
        for name, value in (*answer.headers(), *wire.server_state.default_headers):
            pieces += (name, b": ", value, b"\r\n")
        pieces += (b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n", answer.body)
        wire.transport.write(b"".join(pieces))
        if not self.keep_alive:
            wire.transport.close()
        wire.on_response_complete()
