"""The worker's loops: threads that do one step again and again, and wake each other."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable

import psycopg
import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connections
from psycopg.conninfo import make_conninfo

log = structlog.get_logger("watchbill.worker")
PAUSE = 0.2


class Loop(threading.Thread):
    """A step, again and again: at once while there is work, after a pause when there is none, later after an error.

    When it worked it wakes those in ``wakes``, who have the next step of the same matter: what another process leaves is found after a
    pause. ``nice`` and ``rest`` (a share of the time that its work took) let others go first where the machine is busy.
    """

    def __init__(
        self, name: str, step: Callable[[], int | bool], stop: threading.Event, pause: float = PAUSE, *, wakes: Iterable["Loop"] = (),
        nice: int = 0, rest: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(name=name, daemon=True)
        self.step, self.stopping, self.pause, self.nice, self.rest = step, stop, pause, nice, rest
        self.wakes, self.woken = tuple(wakes), threading.Event()

    def run(self) -> None:
        """Until told to stop."""
        if self.nice and sys.platform == "linux":
            # On Linux a thread has a niceness of its own.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self.nice)
        while not self.stopping.is_set():
            if wait := self._once():
                self.woken.wait(wait)
        self._close()

    def _once(self) -> float:
        """One step. Answers how long there is nothing to do, in seconds, unless it is woken."""
        begun = time.monotonic()
        # What wakes it from here on is work that the step may not see.
        self.woken.clear()
        try:
            worked = self.step()
        except DatabaseError as error:
            log.warning(f"{self.name}.database", error=type(error).__name__)
            self._close()
            return 1.0
        except Exception:
            log.exception(f"{self.name}.failed")
            self._close()
            return 2.0
        if not worked:
            return self.pause
        for one in self.wakes:
            one.woken.set()
        if self.rest:
            self.stopping.wait((time.monotonic() - begun) * self.rest)
        return 0.0

    def _close(self) -> None:
        for connection in connections.all(initialized_only=True):
            connection.close()


class Listener(threading.Thread):
    """Wakes a loop when the database says that there is something for it; one connection that listens."""

    def __init__(self, channel: str, loop: Loop, stop: threading.Event) -> None:
        super().__init__(name=f"listening for {channel}", daemon=True)
        self.channel, self.loop, self.stopping = channel, loop, stop

    def run(self) -> None:
        """Until told to stop; without it the loop finds its work after its pause."""
        database = settings.DATABASES["default"]
        where = make_conninfo(
            host=str(database["HOST"]), port=int(str(database["PORT"])), dbname=str(database["NAME"]), user=str(database["USER"]),
            password=str(database["PASSWORD"]), application_name="watchbill-listener", connect_timeout=10, **settings.DATABASE_OPTIONS,
        )  # fmt: skip
        while not self.stopping.is_set():
            try:
                with psycopg.connect(where, autocommit=True) as connection:
                    connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(self.channel)))
                    while not self.stopping.is_set():
                        for _ in connection.notifies(timeout=1.0, stop_after=1):
                            self.loop.woken.set()
            except (psycopg.Error, OSError) as error:
                log.warning("listener.reconnect", error=type(error).__name__)
                self.stopping.wait(1.0)
