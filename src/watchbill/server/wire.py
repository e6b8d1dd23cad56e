"""HTTP on the one port: uvicorn's, but for what a sender sends in one piece, which is taken without a task of its own.

A storm is many small requests. For each of them uvicorn makes an event, a task and two walks through the application; here the
parser's last callback puts it into the queue, and the commit that made it durable writes the answer. What is large, comes in
pieces, needs the database to be judged, or is anything else goes uvicorn's way, unchanged.
"""

from typing import Any, ClassVar

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from watchbill.intake.edge import Door
from watchbill.intake.protocols import ADDRESSES, Answer

#: A body larger than this goes uvicorn's way, which can refuse it before it is here.
SMALL = 65_536
_DOORS = tuple(one.encode() for one in ADDRESSES)


class Wire(HttpToolsProtocol):  # type: ignore[misc]  # its parser has no types
    """A connection. ``door`` is set before the server starts."""

    door: ClassVar[Door]
    #: The body so far of a request that may be taken at once; None while it goes uvicorn's way.
    pieces: list[bytes] | None = None
    cycle: Any

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.flow = _Flow(transport, self)

    def on_message_begin(self) -> None:
        self.pieces = None
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self._may_be_direct():
            self.pieces = []
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self.pieces is None:
            super().on_body(body)
        else:
            self.pieces.append(body)

    def on_message_complete(self) -> None:
        pieces, self.pieces = self.pieces, None
        if pieces is None:
            super().on_message_complete()
        elif not self._direct(b"".join(pieces)):
            super().on_headers_complete()
            for piece in pieces:
                super().on_body(piece)
            super().on_message_complete()

    def _may_be_direct(self) -> bool:
        if not self.url.startswith(_DOORS) or self.expect_100_continue or self.parser.should_upgrade():
            return False
        # Who does not read the answers waits for them, uvicorn's way.
        if self.flow.write_paused:
            return False
        # What came before it on this connection is answered before it.
        if self.cycle is not None and not self.cycle.response_complete:
            return False
        length = b"0"
        for name, value in self.headers:
            if name == b"content-length":
                length = value
            elif name == b"transfer-encoding":
                return False
        return length.isdigit() and int(length) <= SMALL

    def _direct(self, body: bytes) -> bool:
        """Gives it to the door, which answers when it is durable. Says whether the door took it."""
        path, _, query = self.url.partition(b"?")
        if b"%" in path or b"#" in self.url or not path.isascii():
            return False
        method = self.parser.get_method().decode("ascii")
        if method == "HEAD":
            # Its answer has no body, but the length of one; uvicorn knows how.
            return False
        before = self.cycle
        self.cycle = turn = _Turn(self, self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive())
        if self.door.at_once(path.decode(), query.decode("latin-1"), method, self.headers, body, turn.answer):
            return True
        self.cycle = before
        return False


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
