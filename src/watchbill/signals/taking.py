"""Taking in what came: from the inbox to groups. These are observations, so they have no ledger entries (docs/house.md).

What one arrival raises stays with that arrival, whatever it is: it is quarantined with its error, and everything else goes on.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from django.db import Error as DatabaseError
from django.db import connection, transaction

from watchbill.base.errors import WatchbillError
from watchbill.runtime.isolation import (
    clear_failure,
    database_is_gone,
    describe,
    failures,
    is_transient,
    note_failure,
    reraise_if_ending,
    together_or_apart,
)
from watchbill.runtime.live import tell_live
from watchbill.runtime.now import now
from watchbill.signals import checks
from watchbill.signals.batch import take_alerts
from watchbill.signals.models import Arrival, Source
from watchbill.signals.rules import Incoming, words_of_clock

log = structlog.get_logger("watchbill.intake")
#: Arrivals in one transaction of the worker.
BATCH = 500
#: Of one integration in one step: bytes of arrivals, alerts in them, and seconds of reading; at least one arrival. The rest has its next turn.
SHARE_BYTES, SHARE_ALERTS, SHARE_SECONDS = 500_000, 2000, 0.5
#: An integration with more bytes than these has a transaction of its own, after those with less.
LARGE = 64_000
#: Alerts of one arrival. No sender puts so many into one message; what is beyond is shown, and kept.
MOST_ALERTS = 5000
#: The units of work under which failures are recorded. Of the intake: whole integrations (source:ID), and single arrivals (arrival:NUMBER).
INTAKE, SWEEP = "intake", "checks"
#: An integration that fails for transient reasons waits as a whole; after so many times its arrivals are tried one by one.
PATIENCE = 3
#: An arrival that exhausts the memory again and again is the culprit itself.
MOST_MEMORY_ERRORS = 5
#: Adapters that write: in a savepoint of their own.
_WRITING = frozenset({"slack", "twilio"})
Adapter = Callable[[bytes, datetime, Mapping[str, Any]], list[Incoming]]


class Came(NamedTuple):
    """What came: its number, when, and what it was."""

    id: int
    at: datetime
    body: bytes | memoryview


class Problem(NamedTuple):
    """Why an arrival is quarantined; ``error`` is the type of what the hub raised, empty where its sender is to correct it."""

    text: str
    error: str = ""


def take_in(adapters: Mapping[str, Adapter], limit: int = BATCH) -> int:
    """Takes in what waits in the inbox; several workers share it. Answers how many arrivals were dealt with.

    Integrations take turns, each with a share. Those with little go together in one transaction, and again before each one with much,
    so that nobody waits for more than one share of another. Of one integration arrivals are taken in their order.
    """
    done, served, busy = 0, set[UUID](), set[UUID]()
    while True:
        small, large = _turns(limit, served | busy)
        if small:
            taken, others = _take(adapters, small)
            done += taken
            busy |= others
            if others and not taken:
                # All of these are another worker's: whether there is something behind them.
                continue
        if not large:
            return done
        source, numbers = large[0]
        taken, others = _take(adapters, {source: numbers})
        done += taken
        served.add(source)


def _turns(limit: int, without: set[UUID]) -> tuple[dict[UUID, list[int]], list[tuple[UUID, list[int]]]]:
    """What waits, by integration and no more of each than its share: those with little, and those with much."""
    shares: dict[UUID, list[int]] = {}
    sizes: dict[UUID, int] = {}
    full: set[UUID] = set()
    with transaction.atomic():
        for source, number, size in _look(limit, without):
            if source in full or (source in shares and sizes[source] + size > SHARE_BYTES):
                full.add(source)
                continue
            shares.setdefault(source, []).append(number)
            sizes[source] = sizes.get(source, 0) + size
    if len(shares) == 1:
        return shares, []
    small = {source: numbers for source, numbers in shares.items() if sizes[source] <= LARGE}
    return small, [(source, numbers) for source, numbers in shares.items() if source not in small]


def _take(adapters: Mapping[str, Adapter], shares: Mapping[UUID, list[int]]) -> tuple[int, set[UUID]]:
    """All together, in one transaction; where that raises, source by source, and arrival by arrival where a source raises.

    Answers how many arrivals were dealt with, and which integrations another worker takes in.
    """
    try:
        with transaction.atomic():
            mine = _lock(sorted(shares))
            waiting = _came([number for source in mine for number in shares[source]])
            taken = [(source, _take_source(adapters, source, came)) for source, came in waiting]
            _forgive(taken)
        return sum(len(came) for _, came in taken), set(shares) - mine
    except BaseException as error:
        reraise_if_ending(error)
        if database_is_gone():
            raise
        log.warning("intake.one_by_one", error=type(error).__name__)
    return _source_by_source(adapters, shares), set()


_WAITING = "SELECT source_id, id, octet_length(body) AS size FROM signals_arrival WHERE problem IS NULL AND source_id <> ALL(%s::uuid[]) AND id <> ALL(%s::bigint[])"
#: Where more waits than is looked at: the oldest of each integration first, so that none is hidden behind another's.
_IN_TURN = f"SELECT source_id, id, size FROM (SELECT *, row_number() OVER (PARTITION BY source_id ORDER BY id) AS place FROM ({_WAITING}) w) t ORDER BY place, id LIMIT %s"  # noqa: S608 - fixed text


def _look(limit: int, without: set[UUID]) -> list[tuple[UUID, int, int]]:
    """What waits, as (source, number, bytes): nothing of what pauses after a failure, nor of the integrations ``without``."""
    pausing = [item.partition(":") for item, (_, waits) in failures(INTAKE).items() if waits]
    paused = [UUID(value) for kind, _, value in pausing if kind == "source"]
    alone = [int(value) for kind, _, value in pausing if kind == "arrival"]
    skipped = [*paused, *without]
    with connection.cursor() as cursor:
        cursor.execute(f"{_WAITING} ORDER BY id LIMIT %s", [skipped, alone, limit])
        found: list[tuple[UUID, int, int]] = cursor.fetchall()
        if len(found) >= limit:
            cursor.execute(_IN_TURN, [skipped, alone, limit])
            found = cursor.fetchall()
    return found


def _lock(sources: Sequence[UUID]) -> set[UUID]:
    """One worker at a time for an integration, until the transaction ends: two that opened the same group would meet in the constraint."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s, pg_try_advisory_xact_lock(hashtext('signals.source'), hashtext(s::text)) FROM unnest(%s::uuid[]) s",
            [list(sources)],
        )
        return {source for source, mine in cursor if mine}


def _came(numbers: Sequence[int]) -> list[tuple[Source, list[Came]]]:
    rows = Arrival.objects.select_for_update(skip_locked=True).filter(id__in=numbers, problem=None).order_by("id")
    by_source: dict[UUID, list[Came]] = {}
    for source_id, number, at, body in rows.values_list("source_id", "id", "received_at", "body"):
        by_source.setdefault(source_id, []).append(Came(number, at, body))
    sources = Source.objects.in_bulk(by_source)
    return [(sources[source_id], came) for source_id, came in sorted(by_source.items())]


def _forgive(taken: Sequence[tuple[Source, list[Came]]]) -> None:
    """Forgets the failures of what was taken in now."""
    if known := failures(INTAKE):
        there = {f"source:{source.id}" for source, _ in taken} | {
            f"arrival:{one.id}" for _, came in taken for one in came
        }
        if worked := there & set(known):
            clear_failure(INTAKE, *worked)


def _source_by_source(adapters: Mapping[str, Adapter], shares: Mapping[UUID, list[int]]) -> int:
    """After a batch that failed: each integration in transactions of its own."""
    with transaction.atomic():
        known = failures(INTAKE)
    done = 0
    for source, numbers in shares.items():
        before = known.get(f"source:{source}", (0, False))[0]
        done += _halves(adapters, source, numbers, patient=before < PATIENCE)
    return done


def _halves(adapters: Mapping[str, Adapter], source: UUID, numbers: Sequence[int], *, patient: bool) -> int:
    """Arrivals of one integration together; where that raises, in halves, so that only the culprit is quarantined."""
    try:
        with transaction.atomic():
            if not _lock([source]):
                return 0
            found = _came(numbers)
            taken = [(one, _take_source(adapters, one, came)) for one, came in found]
            _forgive(taken)
        return sum(len(came) for _, came in taken)
    except BaseException as error:
        reraise_if_ending(error)
        if database_is_gone():
            raise
        if patient and is_transient(error):
            # The database's trouble: this integration waits a little, with all that came, and the others go on.
            note_failure(INTAKE, f"source:{source}", error)
            return 0
        if len(numbers) == 1:
            return _set_aside(source, numbers[0], error)
    middle = len(numbers) // 2
    halves = (numbers[:middle], numbers[middle:])
    return sum(_halves(adapters, source, half, patient=patient) for half in halves)


def _set_aside(source: UUID, number: int, error: BaseException) -> int:
    """Quarantines the culprit; what failed for transient reasons pauses instead, by itself."""
    try:
        with transaction.atomic():
            often = failures(INTAKE).get(f"arrival:{number}", (0, False))[0] + 1
            exhausts = isinstance(error, MemoryError) and often >= MOST_MEMORY_ERRORS
            if exhausts or not is_transient(error):
                log.error(
                    "intake.quarantined", source=str(source), arrival=number, error=describe(error), exc_info=error
                )
                _quarantine({number: Problem(describe(error), type(error).__name__[:100])})
                clear_failure(INTAKE, f"arrival:{number}")
                return 1
    except DatabaseError as trouble:
        if database_is_gone():
            raise
        error = trouble
    note_failure(INTAKE, f"arrival:{number}", error)
    return 0


def _take_source(adapters: Mapping[str, Adapter], source: Source, came: list[Came]) -> list[Came]:
    """A share of what waits of one integration, within a transaction that holds its lock. Answers what it was: the rest waits on."""
    problems: dict[int, Problem] = {}
    if source.protocol == checks.PROTOCOL:
        read, refused = checks.take_pings(source, [(one.id, bytes(one.body), one.at) for one in came])
        problems = {number: Problem(text) for number, text in refused.items()}
    else:
        read, problems, count = _understood(adapters, source, came)
        came = came[:count]
    skew = take_alerts(source, read)
    _quarantine(problems)
    if skew is not None and (wrong := words_of_clock(skew)):
        # Said on the integration; nothing of it is quarantined, since it could be read.
        Source.objects.filter(id=source.id).update(last_problem=wrong, last_problem_at=came[-1].at)
    Arrival.objects.filter(id__in=[one.id for one in came if one.id not in problems]).delete()
    Source.objects.filter(id=source.id).update(last_received_at=came[-1].at)
    tell_live(source.workspace_id, "alerts")
    return came


def _quarantine(problems: Mapping[int, Problem]) -> None:
    """Keeps arrivals with the reason why they could not be taken in. Nothing waits for them, and nothing of them is lost."""
    for number, problem in sorted(problems.items()):
        row = Arrival.objects.filter(id=number).defer("body").first()
        if row is None:
            continue
        row.problem, row.error, row.problem_at = problem.text, problem.error, now()
        row.save(update_fields=["problem", "error", "problem_at"])
        Source.objects.filter(id=row.source_id).update(last_problem=problem.text, last_problem_at=row.received_at)
        tell_live(row.workspace_id, "alerts")


def _understood(
    adapters: Mapping[str, Adapter], source: Source, came: list[Came]
) -> tuple[list[tuple[int, list[Incoming]]], dict[int, Problem], int]:
    """What an adapter makes of it; what it cannot understand, with why; and how many arrivals that were, up to its share."""
    read: list[tuple[int, list[Incoming]]] = []
    problems: dict[int, Problem] = {}
    config = {**source.config, "workspace": str(source.workspace_id)}
    adapter = adapters.get(source.protocol)
    alerts, until = 0, time.monotonic() + SHARE_SECONDS
    for count, one in enumerate(came):
        if count and (alerts >= SHARE_ALERTS or time.monotonic() > until):
            return read, problems, count
        if adapter is None:
            problems[one.id] = Problem(f"Nothing reads {source.protocol}.")
            continue
        try:
            with transaction.atomic() if source.protocol in _WRITING else nullcontext():
                found = adapter(bytes(one.body), one.at, config)
                read.append((one.id, found[:MOST_ALERTS]))
                alerts += len(found[:MOST_ALERTS])
                partly = list(getattr(found, "problems", ()))
                if len(found) > MOST_ALERTS:
                    partly.insert(0, f"it has {len(found):,} alerts; this hub reads the first {MOST_ALERTS:,}")
                if partly:
                    # What could be used of it was taken; the rest is kept and shown.
                    problems[one.id] = Problem(describe(WatchbillError("; ".join(partly))))
        except WatchbillError as error:
            problems[one.id] = Problem(describe(error))
        except (DatabaseError, MemoryError):
            # The transaction is over, or the machine is full: tried again by itself.
            raise
        except Exception as error:
            log.error("intake.quarantined", source=str(source.id), arrival=one.id, error=describe(error), exc_info=True)
            problems[one.id] = Problem(describe(error), type(error).__name__[:100])
    return read, problems, len(came)


def sweep(limit: int = BATCH) -> int:
    """Pings that are missing become alerts, alerts that their sender forgot end, and those held back are believed; several workers share the work."""

    def due(skip: list[str]) -> list[str]:
        return [key for key in checks.due(limit + len(skip)) if key not in skip]

    return together_or_apart(SWEEP, due, _sweep)


def _sweep(keys: Sequence[str]) -> int:
    done = 0
    for source, alerts in checks.missing(keys):
        take_alerts(source, [(0, alerts)], again=True)
        tell_live(source.workspace_id, "alerts")
        done += len(alerts)
    for source, told in (*checks.forgotten(keys), *checks.held(keys)):
        take_alerts(source, [(number, [alert]) for number, alert in told], again=True)
        tell_live(source.workspace_id, "alerts")
        done += len(told)
    return done + checks.announce_stopped(keys)
