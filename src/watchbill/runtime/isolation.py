"""Keeping a failure with the item that raised it: everything else goes on, and what failed is tried again later.

A worker's step takes several items at once, in one transaction. When that raises, the items are tried in smaller and smaller parts until the
culprit is alone. The culprit is set aside: recorded with its error, and tried again after a growing pause.
"""

from collections.abc import Callable, Hashable, Sequence
from datetime import datetime
from typing import TypeVar, cast

import psycopg
import structlog
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connection, transaction

from watchbill.base.errors import WatchbillError
from watchbill.base.mask import mask_text

log = structlog.get_logger("watchbill.isolation")
Item = TypeVar("Item", bound=Hashable)
#: Seconds until something that was set aside is tried again: doubled by each failure, up to the longest.
LONGEST_PAUSE = 60
#: The database was away, busy or full, rather than the item wrong: it is tried again sooner.
LONGEST_TRANSIENT_PAUSE = 8
#: SQLSTATE classes of the database's own troubles: connection, transaction rollback, resources, object in use, operator intervention, system.
_TRANSIENT_CLASSES = ("08", "40", "53", "55", "57", "58")
#: Read-only (a failover), a transaction that failed before or waited too long; no privilege, no such table, column or function: the database
#: is not as this version needs it.
_TRANSIENT_CODES = ("25006", "25P02", "25P03", "25P04", "42501", "42P01", "42703", "42883")

_NOTE = """
INSERT INTO runtime_failure (unit, item, error, count, first_at, last_at, retry_at)
VALUES (%(unit)s, %(item)s, %(error)s, 1, wb_now(), wb_now(), wb_now() + interval '1 second')
ON CONFLICT (unit, item) DO UPDATE SET error = excluded.error, count = runtime_failure.count + 1, last_at = excluded.last_at,
  retry_at = wb_now() + least(%(longest)s, power(2, least(runtime_failure.count, 16))) * interval '1 second'
RETURNING retry_at
"""


def is_transient(error: BaseException) -> bool:
    """Whether the database or the machine is why, rather than what was worked on: tried again, never held against the input."""
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, DatabaseError | psycopg.Error):
        return False
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    state = getattr(cause, "sqlstate", None)
    if state:
        return state[:2] in _TRANSIENT_CLASSES or state in _TRANSIENT_CODES
    return isinstance(error, OperationalError | InterfaceError | psycopg.OperationalError | psycopg.InterfaceError)


def reraise_if_ending(error: BaseException) -> None:
    """Lets through what ends a program or a generator; anything else belongs to the item that raised it."""
    if isinstance(error, KeyboardInterrupt | GeneratorExit):
        raise error


def describe(error: BaseException, longest: int = 500) -> str:
    """An error as text that can always be stored: masked, without NUL and lone surrogates, whatever its own text does."""
    try:
        text = (
            error.detail if isinstance(error, WatchbillError) else f"{type(error).__name__}: {error}".removesuffix(": ")
        )
    except Exception:
        text = type(error).__name__
    text = text.replace("\0", "").encode("utf-8", "replace").decode()
    # Masked before it is cut, so that no half of an address remains; but not megabytes of it.
    return mask_text(text[: 20 * longest])[:longest]


def database_is_gone() -> bool:
    """Whether the connection of this thread no longer answers: then nothing can be tried item by item."""
    return not connection.is_usable()


def note_failure(unit: str, item: str, error: BaseException) -> datetime:
    """Records that an item failed, and pauses it; answers until when. Only the error's type is kept: its text may name persons, and is in the log."""
    transient = is_transient(error)
    most = LONGEST_TRANSIENT_PAUSE if transient else LONGEST_PAUSE
    if transient:
        log.warning("unit.item_waits", unit=unit, item=item, error=describe(error))
    else:
        log.error("unit.item_failed", unit=unit, item=item, error=describe(error), exc_info=error)
    values: dict[str, str | int] = {
        "unit": unit,
        "item": item[:200],
        "error": type(error).__name__[:100],
        "longest": most,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_NOTE, values)
        return cast(datetime, cursor.fetchall()[0][0])


def clear_failure(unit: str, *items: str) -> None:
    """Forgets that these failed: they worked."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM runtime_failure WHERE unit = %s AND item = ANY(%s)", [unit, [one[:200] for one in items]]
        )


def failures(unit: str) -> dict[str, tuple[int, bool]]:
    """What failed in a unit of work: how often in a row, and whether it still pauses."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT item, count, retry_at > wb_now() FROM runtime_failure WHERE unit = %s", [unit])
        return {item: (count, waits) for item, count, waits in cursor}


def together_or_apart(
    unit: str, due: Callable[[list[str]], Sequence[Item]], work: Callable[[Sequence[Item]], int]
) -> int:
    """Works on all that is due in one transaction; where that raises, in halves, until what raises is alone and set aside.

    ``due(skip)`` answers the keys of what is due, without those in ``skip``; ``work(keys)`` claims and does these, as long as they are still due.
    Answers how many were done. Raises only when the database is gone.
    """
    keys, known = _due(unit, due)
    return _halves(unit, keys, work, known) if keys else 0


def one_by_one(unit: str, due: Callable[[list[str]], Sequence[Item]], work: Callable[[Item], int]) -> int:
    """The same for items that take long, or share nothing: each in a transaction of its own, so that none keeps another's locks."""
    keys, known = _due(unit, due)
    return sum(_halves(unit, [key], lambda one: work(one[0]), known) for key in keys)


def _due(
    unit: str, due: Callable[[list[str]], Sequence[Item]]
) -> tuple[Sequence[Item], dict[str, tuple[int, bool]]]:  # fmt: skip
    """What is due and does not pause, and what failed before."""
    with transaction.atomic():
        keys = due([])
        if not keys:
            return [], {}
        known = failures(unit)
        skip = [item for item, (_, waits) in known.items() if waits]
        return due(skip) if skip else keys, known


def _halves(
    unit: str, keys: Sequence[Item], work: Callable[[Sequence[Item]], int], known: dict[str, tuple[int, bool]]
) -> int:
    try:
        with transaction.atomic():
            done = work(keys)
            if failed_before := [str(key) for key in keys if str(key) in known]:
                clear_failure(unit, *failed_before)
            return done
    except BaseException as error:
        reraise_if_ending(error)
        if database_is_gone():
            raise
        if len(keys) == 1:
            note_failure(unit, str(keys[0]), error)
            return 0
    middle = len(keys) // 2
    return _halves(unit, keys[:middle], work, known) + _halves(unit, keys[middle:], work, known)
