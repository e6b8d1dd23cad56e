"""The senders of a worker: threads that send one message each, and who of them looks when there may be one."""

import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from watchbill.paging.rules import SENDERS
from watchbill.paging.sending import send_one


class _Sleeper(Protocol):
    """A loop that can be woken."""

    woken: threading.Event


class Senders:
    """Wakes one sender that has nothing to do, never one that waits for a server; whoever takes a message wakes the next."""

    def __init__(self, count: int = SENDERS, send: Callable[[Callable[[], None]], bool] = send_one) -> None:
        self.names = tuple(f"sender {number}" for number in range(1, count + 1))
        self._send, self._busy, self._loops = send, set[str](), dict[str, _Sleeper]()

    def attach(self, loops: Mapping[str, _Sleeper]) -> None:
        """The loops that run the steps, by name."""
        self._loops = {name: loops[name] for name in self.names}

    def call(self) -> bool:
        """Something may have become due: one that is free looks. This is no work, so it says False."""
        for name, loop in self._loops.items():
            if name not in self._busy:
                loop.woken.set()
                break
        return False

    def step(self, name: str) -> Callable[[], bool]:
        """One sender's step."""

        def taken() -> None:
            self._busy.add(name)
            self.call()

        def step() -> bool:
            try:
                return self._send(taken)
            finally:
                self._busy.discard(name)

        return step
