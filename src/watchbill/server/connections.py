"""How much a connection may send and how long it may take, and which ones are closed when there are too many.

Nobody signs in before these limits apply, so they hold for everybody: senders, browsers and strangers. `docs/security.md` lists them.
"""

import asyncio
import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

import structlog

log = structlog.get_logger("watchbill.connections")

#: What a connection is doing: nothing (or waiting for our answer), sending a request's head, sending its body, or being closed.
BETWEEN, HEAD, BODY, CLOSING = range(4)
#: How often deadlines are looked at, in seconds.
EVERY = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one connection; ``connections`` and ``per_address`` are those of the whole process."""

    #: Bytes of an address, of a request's head, and how many header fields.
    line: int = 8_192
    head: int = 65_536
    fields: int = 128
    #: Bytes between two pieces of a chunked body: chunk sizes with their extensions, and trailers.
    framing: int = 16_384
    #: Requests that wait behind another one on the same connection.
    pipelined: int = 128
    #: Seconds from the first byte of a head to its end (also from connecting to the first byte).
    head_seconds: float = 20.0
    #: Seconds for a body, and bytes a second that it has to come with beyond them.
    body_seconds: float = 30.0
    body_rate: int = 16_384
    #: An answer that is not read: bytes a second, looked at over so many seconds.
    reader_seconds: float = 30.0
    reader_rate: int = 1_024
    #: What is read and thrown away after a refusal, so that its sender sees the answer and not a reset.
    discard: int = 64_000_000
    linger_seconds: float = 5.0
    #: Bytes of bodies that a process holds for requests that are not answered yet; beyond, only small ones are taken.
    bodies: int = 256_000_000
    connections: int = 4_096
    per_address: int = 256


class Line(Protocol):
    """A connection, as much as has to be known of it here."""

    client: tuple[str, int] | None
    stage: int

    def waits_for_us(self) -> bool:
        """Whether we owe it an answer."""
        ...

    def check_deadlines(self, now: float) -> None:
        """Closes it where it is beyond a deadline."""
        ...

    def evict(self) -> None:
        """Closes it, since others need its place."""
        ...

    def drop(self) -> None:
        """Closes it at once, whatever has not been sent yet."""
        ...


class Connections:
    """All connections of a process, the oldest first."""

    def __init__(self, limits: Limits | None = None, proxies: Collection[str] = ()) -> None:
        self.limits = limits or Limits()
        #: Behind these stand many callers: they are not counted by address.
        self.proxies = frozenset(proxies)
        self.all: dict[Line, None] = {}
        self.by_address: dict[str, dict[Line, None]] = {}
        #: Those that had to go: they have a second to take what was said to them.
        self.leaving: dict[Line, None] = {}
        self.timer: asyncio.TimerHandle | None = None
        self.warned = 0.0
        #: Bytes of bodies that are held for requests that are not answered yet.
        self.held = 0

    def admit(self, line: Line, loop: asyncio.AbstractEventLoop) -> bool:
        """Counts a new connection in. Where there are too many, an older one that does nothing goes first; False where none does."""
        address = self._address(line)
        same = self.by_address.get(address, {})
        if len(same) >= self.limits.per_address and not self._make_room(same, loop, address):
            return False
        if len(self.all) >= self.limits.connections and not self._make_room(self.all, loop, ""):
            return False
        self.all[line] = None
        if address:
            self.by_address.setdefault(address, {})[line] = None
        if self.timer is None:
            self.timer = loop.call_later(EVERY, self._sweep, loop)
        return True

    def remove(self, line: Line) -> None:
        """Counts a connection out; once is enough."""
        self.all.pop(line, None)
        self.leaving.pop(line, None)
        address = self._address(line)
        same = self.by_address.get(address)
        if same is not None:
            same.pop(line, None)
            if not same:
                del self.by_address[address]

    def _address(self, line: Line) -> str:
        """What a caller is counted by: its address, of IPv6 the network of a customer; empty where it is not counted."""
        text = line.client[0] if line.client else ""
        if not text or text in self.proxies:
            return ""
        if ":" in text:
            address = ipaddress.IPv6Address(text.partition("%")[0])
            if address.ipv4_mapped:
                return "" if str(address.ipv4_mapped) in self.proxies else str(address.ipv4_mapped)
            return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
        return text

    def _make_room(self, among: dict[Line, None], loop: asyncio.AbstractEventLoop, address: str) -> bool:
        """Closes some at once, so that a flood does not make us look at all of them for each newcomer: those that are being
        closed and those that do nothing first, then those without a whole head, then those whose body is under way; never
        one that waits for our answer."""
        ranks: dict[int, list[Line]] = {CLOSING: [], BETWEEN: [], HEAD: [], BODY: []}
        for line in among:
            if not line.waits_for_us():
                ranks[line.stage].append(line)
        candidates = [line for rank in ranks.values() for line in rank]
        for line in candidates[: max(1, len(among) // 16)]:
            self.remove(line)
            self.leaving[line] = None
            line.evict()
        if loop.time() - self.warned > 60:
            self.warned = loop.time()
            log.warning(
                "connections.too_many",
                address=address or "all",
                limit=self.limits.per_address if address else self.limits.connections,
                remedy="WATCHBILL_CONNECTIONS_PER_ADDRESS, or WATCHBILL_TRUSTED_PROXIES where this is your proxy"
                if address
                else "WATCHBILL_CONNECTIONS",
            )
        return bool(candidates)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        leaving, self.leaving = self.leaving, {}
        for line in leaving:
            line.drop()
        self.timer = loop.call_later(EVERY, self._sweep, loop) if self.all or leaving else None
        now = loop.time()
        for line in list(self.all):
            try:
                line.check_deadlines(now)
            except Exception as error:
                # One connection that cannot be judged stops no deadline of another.
                log.error("connections.deadlines", error=type(error).__name__)
