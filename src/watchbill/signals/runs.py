"""Runs of a job that were started and have not ended, told apart by the run id of their pings. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

#: So many are kept of one check. What is too many is not timed, the newest first; it can still end.
MOST = 100


@dataclass(frozen=True)
class Run:
    """A run: its id ("" where its pings name none), when it was started, and since when it is reported as late."""

    id: str
    at: datetime
    late: datetime | None = None


def read_runs(stored: Iterable[dict[str, Any]]) -> list[Run]:
    """Runs as they are stored."""
    return [
        Run(one["run"], datetime.fromisoformat(one["at"]), datetime.fromisoformat(one["late"]) if one["late"] else None)
        for one in stored
    ]


def write_runs(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """Runs to be stored."""
    return [{"run": one.id, "at": one.at.isoformat(), "late": one.late and one.late.isoformat()} for one in runs]


def begin(runs: Sequence[Run], run: str, at: datetime) -> list[Run]:
    """After a start. A run that is started again before it ended counts from its first start, until it was reported as late."""
    if any(one.id == run and one.late is None for one in runs):
        return list(runs)
    found = [*(one for one in runs if one.id != run), Run(run, at)]
    return sorted(found, key=lambda one: (one.late is not None, one.at))[:MOST]


def fail(runs: Sequence[Run], run: str) -> list[Run]:
    """After a bad end. One that names no run is for all of them."""
    return [one for one in runs if run and one.id != run]


def succeed(runs: Sequence[Run], run: str, at: datetime) -> list[Run]:
    """After a good end. One that names no run is for all of them; so is one of a run that began after others were reported as late:
    the job works again, and what was killed never ends."""
    began = next((one.at for one in runs if one.id == run), at)
    return [one for one in fail(runs, run) if one.late is None or one.late > began]


def report(runs: Sequence[Run], started_by: datetime, at: datetime) -> tuple[list[Run], Run | None]:
    """Marks what was started by an instant and has not ended as late; and the oldest of those that were not marked before."""
    late = [one for one in runs if one.late is None and one.at <= started_by]
    marked = [replace(one, late=at) if one in late else one for one in runs]
    return marked, min(late, key=lambda one: one.at, default=None)
