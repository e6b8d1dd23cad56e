"""Background jobs: Procrastinate, behind one helper. A job is deferred in the caller's transaction; its arguments are ids."""

import json
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from django.db import connections, transaction

from watchbill.base.errors import Broken

P = ParamSpec("P")
R = TypeVar("R")
JOBS: dict[str, Callable[..., Any]] = {}
_DEFER = "SELECT wb_defer('default', %s, %s, NULL, %s)"


def job(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Declares a job. It must bear being run twice: a worker may die after its effect and before its note of it."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if name in JOBS:
            raise Broken(f"job {name} is declared twice")
        JOBS[name] = function
        return function

    return decorate


def defer(name: str, *, lock: str | None = None, **ids: UUID | int) -> None:
    """Puts a job into the queue, in the current transaction: it exists exactly when the transaction commits.

    Arguments are ids only, so that the queue holds no data of any workspace. ``lock``: at most one such job waits.
    """
    if name not in JOBS:
        raise Broken(f"job {name} is not declared")
    if wrong := [key for key, value in ids.items() if not isinstance(value, UUID | int)]:
        raise Broken(f"job {name}: arguments must be ids, not {wrong}")
    if not transaction.get_connection().in_atomic_block:
        raise Broken(f"job {name} was deferred outside of a transaction")
    args = json.dumps({key: str(value) if isinstance(value, UUID) else value for key, value in ids.items()})
    with connections["default"].cursor() as cursor:
        cursor.execute(_DEFER, [name, args, lock])
