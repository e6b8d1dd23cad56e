"""What has waited longer than it should, and what holds it up: for doctor, /metrics, /readyz, the console and the dead man's switch.

These are findings. None of them closes the intake or stops a page (`server/health.py`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection


@dataclass(frozen=True)
class Kind:
    """A kind of thing that waits for the worker: its words, how long it may wait, and what to do when it waits longer."""

    one: str
    many: str
    limit: timedelta
    remedy: str
    #: Nothing of this kind gets through while the oldest waits: the dead man's switch stops.
    stops_all: bool = False


_WORKER = "Is a worker running, and has it the machine to itself? Its log says what it does: watchbill worker."
_CHANNELS = "Does a channel's server hang? See Channels in the console."
#: In the order in which they follow each other, from an alert to a message.
KINDS: dict[str, Kind] = {
    "arrival": Kind("arrival", "arrivals", timedelta(seconds=60), _WORKER, stops_all=True),
    "fact": Kind("event", "events", timedelta(seconds=60), _WORKER, stops_all=True),
    "page": Kind("page's next step", "pages' next steps", timedelta(seconds=30), _WORKER, stops_all=True),
    "delivery": Kind("message", "messages", timedelta(seconds=60), _CHANNELS, stops_all=True),
    # In a storm it goes last, by design.
    "low_delivery": Kind("message that can wait", "messages that can wait", timedelta(minutes=10), _CHANNELS),
    "clock": Kind("clock", "clocks", timedelta(seconds=30), _WORKER, stops_all=True),
    "check": Kind("missing ping", "missing pings", timedelta(seconds=60), _WORKER, stops_all=True),
    "subscriber": Kind(
        "event that is tried again", "events that are tried again", timedelta(minutes=10), "See Settings → Events for the error."
    ),
    "job": Kind("job", "jobs", timedelta(seconds=120), _WORKER),
    "entry": Kind(
        "unsealed ledger entry", "unsealed ledger entries", timedelta(seconds=60),
        "A transaction that stays open holds the sealer up (pg_stat_activity shows it); else the worker's log says why it does not seal.",
    ),
    "failing": Kind(
        "item that fails again and again", "items that fail again and again", timedelta(seconds=60),
        "They are set aside and tried again after a pause of at most a minute; nothing waits for them. The worker's log has the errors: please report them.",
    ),
    "quarantined": Kind(
        "quarantined arrival", "quarantined arrivals", timedelta.max,
        "Integrations in the console lists them with the error; replay them after the fix.",
    ),
}  # fmt: skip
#: Those that each workspace is told of by itself.
DELIVERIES = frozenset({"delivery", "low_delivery"})
_MOST = 10_000
#: How long a worker may give no sign of life before it counts as gone, everywhere.
WORKER_SILENT = timedelta(seconds=30)


def is_gone(age: timedelta | None) -> bool:
    """Whether no worker runs: the last sign of life is too old, or there never was one."""
    return age is None or age > WORKER_SILENT


@dataclass(frozen=True)
class Lag:
    """Things of one kind that wait: how many, how long the oldest has, how long it may, and what holds it up where that is known."""

    kind: str
    count: int
    oldest: timedelta
    limit: timedelta
    why: str = ""

    @property
    def late(self) -> bool:
        """Whether the oldest has waited longer than it should."""
        return self.oldest > self.limit

    @property
    def stops_all(self) -> bool:
        """Whether nothing of its kind gets through meanwhile."""
        return KINDS[self.kind].stops_all

    @property
    def remedy(self) -> str:
        """What to do."""
        return KINDS[self.kind].remedy

    @property
    def text(self) -> str:
        """One sentence without ids and names: for those who may know only that something is late."""
        kind, seconds = KINDS[self.kind], round(self.oldest.total_seconds())
        number = f"{_MOST:,} or more" if self.count > _MOST else f"{self.count:,}"
        what = kind.one if self.count == 1 else kind.many
        verb = "has" if self.count == 1 else "have"
        if self.kind == "quarantined":
            return f"{number} {what}"
        allowed = round(self.limit.total_seconds())
        if self.count == 1:
            return f"{number} {what} {verb} waited {seconds:,} s (limit {allowed} s)"
        return f"{number} {what} wait, the oldest for {seconds:,} s (limit {allowed} s)"

    @property
    def reason(self) -> str:
        """The same with what holds it up: for operators."""
        return f"{self.text}: {self.why}" if self.why else self.text


def measure() -> list[Lag]:
    """All that waits, late or not, in the order of KINDS. Hub-wide numbers, the same for every principal."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT kind, count, age, why FROM wb_lag()")
        return _read(cursor.fetchall())


def due_deliveries(workspace_id: UUID) -> list[Lag]:
    """The messages of one workspace that are due and wait for a sender, late or not: critical ones, and those that can wait."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT kind, count, age, why FROM wb_due_deliveries(%s)", [workspace_id])
        return _read(cursor.fetchall())


def _read(rows: Iterable[tuple[Any, ...]]) -> list[Lag]:
    order = list(KINDS)
    found = [
        # What is asked for between two moments of the clock has not waited less than no time.
        Lag(kind, count, max(age or timedelta(), timedelta()), KINDS[kind].limit, why or "")
        for kind, count, age, why in rows
        if kind in KINDS
    ]
    return sorted(found, key=lambda one: (order.index(one.kind), -one.oldest))


def lag() -> list[Lag]:
    """What waits longer than it should, and what holds it up."""
    return [one for one in measure() if one.late]


def stops_all() -> list[Lag]:
    """What is late and lets nothing of its kind through: alerts or pages of everybody wait."""
    return [one for one in lag() if one.stops_all]
