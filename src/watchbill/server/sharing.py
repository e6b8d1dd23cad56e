"""A look at the database that may hang, asked for by many: one is under way at a time, and nobody waits long for it.

A database that is stopped (not down: stopped, or behind a network that drops packets) answers nothing and refuses nothing. A thread
that asks it waits for as long as that lasts, so no request may have a thread of its own to ask.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Calls ``look`` in a thread; all who ask meanwhile get the same result, or ``silent`` where it does not come in time."""

    #: Seconds that somebody waits who asks first, and who asks while it is known to hang.
    patience, while_silent = 1.5, 0.2
    #: Seconds until a look is given up for another one, and how many may hang at once: connections that nobody answers any more
    #: (the database has moved) must not hide one that does.
    give_up, most = 10.0, 4

    def __init__(self, name: str, look: Callable[[], T], silent: Callable[[], T]) -> None:
        self.name, self.look, self.silent = name, look, silent
        self.result: asyncio.Future[T] | None = None
        self.began = 0.0
        self.under_way = 0

    async def ask(self, patience: float | None = None) -> T:
        """What the look found, or ``silent`` where it is not back after ``patience`` seconds (less while it is known to hang)."""
        loop = asyncio.get_running_loop()
        age = loop.time() - self.began
        if self.result is None or self.result.done() or (age > self.give_up and self.under_way < self.most):
            self._begin(loop)
            age = 0.0
        result = self.result
        assert result is not None  # noqa: S101 - _begin makes one
        patience = self.patience if patience is None else patience
        await asyncio.wait({result}, timeout=self.while_silent if age > self.patience else patience)
        return result.result() if result.done() else self.silent()

    def hangs(self) -> bool:
        """Whether the look that is under way should have been back; a new one is begun when it is time for it."""
        if self.result is None or self.result.done():
            return False
        loop = asyncio.get_running_loop()
        age = loop.time() - self.began
        if age > self.give_up and self.under_way < self.most:
            self._begin(loop)
        return age > self.patience

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        result: asyncio.Future[T] = loop.create_future()
        self.result, self.began = result, loop.time()
        self.under_way += 1

        def ended(found: T | None, error: BaseException | None) -> None:
            self.under_way -= 1
            if result.cancelled():
                return
            if error is not None:
                result.set_exception(error)
                # Who asked may have gone: it is no error that nobody reads it.
                result.exception()
            else:
                result.set_result(found)  # type: ignore[arg-type]

        def run() -> None:
            found, error = None, None
            try:
                found = self.look()
            except Exception as caught:
                error = caught
            # The process may be stopping: then nobody waits.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(ended, found, error)

        # A daemon: the process can stop while it hangs.
        threading.Thread(target=run, name=self.name, daemon=True).start()
