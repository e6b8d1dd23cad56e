"""The worker's loops: threads that do one step again and again, and wake each other. What one of them raises stays with it."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

import psycopg
import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connections
from psycopg.conninfo import make_conninfo

from watchbill.runtime.isolation import clear_failure, describe, note_failure

log = structlog.get_logger("watchbill.worker")
PAUSE = 0.2
#: Seconds that a unit rests after an error of the database, and after any other.
AFTER_DATABASE_ERROR, AFTER_ERROR = 1.0, 2.0
#: Seconds that a unit lets others go first at most: a step that took long because the database was away is no reason to wait as long again.
LONGEST_REST = 0.5


@dataclass(frozen=True)
class Unit:
    """A unit of the worker's work: a loop of its own, whose failures hold up no other one.

    ``step`` does some of the work that waits and says how much it was; ``oldest`` names the kind in `runtime/lag.py` that says how long its work
    has waited. It is done again at once while a step does ``full`` or more, else after ``pause`` seconds. When it worked it wakes the units
    named in ``wakes``, who have the next step of the same matter: what another process leaves is found after a pause. ``nice`` and ``rest``
    (a share of the time that its work took) let others go first where the machine is busy.
    """

    name: str
    step: Callable[[], int | bool]
    oldest: str = ""
    pause: float = PAUSE
    wakes: tuple[str, ...] = ()
    full: int = 1
    nice: int = 0
    rest: float = 0.0


class Loop(threading.Thread):
    """Runs a unit until it is told to stop. It never ends by itself, whatever the step raises."""

    def __init__(self, unit: Unit, stop: threading.Event) -> None:
        super().__init__(name=unit.name, daemon=True)
        self.unit, self.stopping = unit, stop
        self.wakes: list[Loop] = []
        self.woken = threading.Event()
        #: Whether its last step failed, which is recorded until one works.
        self.failing = False

    def run(self) -> None:
        """Until told to stop."""
        if self.unit.nice and sys.platform == "linux":
            # On Linux a thread has a niceness of its own.
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self.unit.nice)
        while not self.stopping.is_set():
            try:
                wait = self._once()
            except BaseException:
                # Not even what is raised while a failure is reported ends a loop.
                wait = AFTER_ERROR
            if wait:
                self.woken.wait(wait)
        self._close()

    def _once(self) -> float:
        """One step. Answers how long there is nothing to do, in seconds, unless it is woken."""
        begun = time.monotonic()
        # What wakes it from here on is work that the step may not see.
        self.woken.clear()
        try:
            worked = int(self.unit.step())
        except BaseException as error:
            return self._failed(error)
        if self.failing:
            clear_failure(self.name, "")
            self.failing = False
        if not worked:
            return self.unit.pause
        for one in self.wakes:
            one.woken.set()
        if self.unit.rest:
            self.stopping.wait(min(LONGEST_REST, (time.monotonic() - begun) * self.unit.rest))
        return 0.0 if worked >= self.unit.full else self.unit.pause

    def _failed(self, error: BaseException) -> float:
        """Says so, in the log and in the database, and lets it rest."""
        database = isinstance(error, DatabaseError | psycopg.Error)
        if database:
            log.warning(f"{self.name}.database", error=describe(error))
        else:
            log.error(f"{self.name}.failed", error=describe(error), exc_info=error)
        self._close()
        self.failing = True
        with suppress(Exception):
            note_failure(self.name, "", error)
            self._close()
        return AFTER_DATABASE_ERROR if database else AFTER_ERROR

    def _close(self) -> None:
        for connection in connections.all(initialized_only=True):
            with suppress(Exception):
                connection.close()


def build(units: Iterable[Unit], stop: threading.Event) -> dict[str, Loop]:
    """A loop for each unit, by name; each knows the loops that it wakes."""
    loops = {unit.name: Loop(unit, stop) for unit in units}
    for loop in loops.values():
        loop.wakes = [loops[name] for name in loop.unit.wakes if name in loops]
    return loops


class Listener(threading.Thread):
    """Wakes a loop when the database says that there is something for it; one connection that listens."""

    def __init__(self, channel: str, loop: Loop, stop: threading.Event) -> None:
        super().__init__(name=f"listening for {channel}", daemon=True)
        self.channel, self.loop, self.stopping = channel, loop, stop

    def run(self) -> None:
        """Until told to stop; without it the loop finds its work after its pause."""
        while not self.stopping.is_set():
            try:
                self._listen()
            except BaseException as error:
                with suppress(Exception):
                    log.warning("listener.reconnect", error=type(error).__name__)
                self.stopping.wait(1.0)

    def _listen(self) -> None:
        database = settings.DATABASES["default"]
        where = make_conninfo(
            host=str(database["HOST"]), port=int(str(database["PORT"])), dbname=str(database["NAME"]), user=str(database["USER"]),
            password=str(database["PASSWORD"]), application_name="watchbill-listener", connect_timeout=10, **settings.DATABASE_OPTIONS,
        )  # fmt: skip
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(self.channel)))
            while not self.stopping.is_set():
                for _ in connection.notifies(timeout=1.0, stop_after=1):
                    self.loop.woken.set()
