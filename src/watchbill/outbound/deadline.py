"""The end of an outgoing exchange: one timer that shuts its sockets, whatever they are waiting for.

A socket's own timeout starts anew with every byte, so a server that sends one byte every few seconds would hold its caller for ever.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar, Token
from types import TracebackType

from watchbill.base.errors import Unavailable

#: Look-ups of names that may be under way at once. One that hangs cannot be interrupted: its caller leaves, its thread stays.
LOOKUPS = 64
#: Addresses of one name that are tried.
ADDRESSES = 8
Resolve = Callable[[str, int], list[str]]
_current: ContextVar["Deadline | None"] = ContextVar("deadline", default=None)
_slots = threading.BoundedSemaphore(LOOKUPS)


class Deadline:
    """``with Deadline(seconds) as deadline``: whatever goes out inside ends by then, and by the deadline around this one.

    Code further down need not know: it makes its own ``Deadline``, which never ends later than this one.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.end = seconds, 0.0
        self._lock, self._sockets = threading.Lock(), list[socket.socket]()
        self._timer: threading.Timer | None = None
        self._fired = False
        self._token: Token[Deadline | None] | None = None

    def __enter__(self) -> "Deadline":
        outer = _current.get()
        self.end = time.monotonic() + self.seconds
        if outer is not None:
            self.end = min(self.end, outer.end)
        self._token = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _current.reset(self._token)
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            for one in self._sockets:
                one.close()
            self._sockets.clear()

    @property
    def passed(self) -> bool:
        """Whether it is over; what was read until then is not a whole answer."""
        return self._fired or time.monotonic() >= self.end

    def left(self) -> float:
        """The seconds that are left. Raises Unavailable when there are none."""
        left = self.end - time.monotonic()
        if self._fired or left <= 0:
            raise self.late()
        return left

    def late(self) -> Unavailable:
        """The error of an exchange that was ended."""
        return Unavailable("No whole answer came in time.", hint="The other side is too slow, or does not answer.")

    def watch(self, connected: socket.socket) -> None:
        """Shuts this socket down at the end. A duplicate is kept: TLS takes over the original, and a closed number may be reused."""
        with self._lock:
            self._sockets.append(connected.dup())
            if self._timer is None:
                self._timer = threading.Timer(max(0.0, self.end - time.monotonic()), self._cut)
                self._timer.daemon = True
                self._timer.start()
        if self.passed:
            self._cut()

    def watch_again(self, other: "Deadline") -> None:
        """Watches what another deadline watches: a part of an exchange that is to end sooner."""
        with other._lock:
            sockets = [one.dup() for one in other._sockets]
        for one in sockets:
            with one:
                self.watch(one)

    def _cut(self) -> None:
        with self._lock:
            self._fired = True
            for one in self._sockets:
                with contextlib.suppress(OSError):
                    # Unlike closing it, this wakes whoever is reading or writing.
                    one.shutdown(socket.SHUT_RDWR)


def pause(seconds: float) -> None:
    """Sleeps, but never past the deadline around it. Raises Unavailable at once where it would."""
    outer = _current.get()
    if outer is not None and outer.left() < seconds:
        raise outer.late()
    time.sleep(seconds)


def look_up(resolve: Resolve, host: str, port: int, deadline: Deadline) -> list[str]:
    """A host's addresses, or Unavailable at the deadline. What hangs is left behind, and so many may hang, not more."""
    if not _slots.acquire(blocking=False):
        raise Unavailable(f"{host} was not looked up: {LOOKUPS} look-ups hang already.", hint="Check the hub's DNS.")
    done, found, failed = threading.Event(), list[str](), list[Exception]()

    def ask() -> None:
        try:
            found.extend(resolve(host, port))
        except Exception as error:
            failed.append(error)
        finally:
            _slots.release()
            done.set()

    try:
        threading.Thread(target=ask, name="look-up", daemon=True).start()
    except RuntimeError:
        _slots.release()
        raise Unavailable(f"{host} was not looked up: this process can start no more threads.") from None
    if not done.wait(deadline.left()):
        raise Unavailable(f"The name {host} did not resolve in time.", hint="Check the hub's DNS.")
    if failed:
        raise failed[0]
    return found


def shares(addresses: Sequence[str], deadline: Deadline) -> Iterator[tuple[str, float]]:
    """The addresses to try in turn, each with its share of the time: one that hangs leaves some for those behind it."""
    tried = addresses[:ADDRESSES]
    for number, address in enumerate(tried):
        left = deadline.left()
        yield address, max(left / (len(tried) - number), min(left, 1.0))
