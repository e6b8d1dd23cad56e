"""The time, as the database has it: `wb_now()`, so that a movable clock in tests moves everything."""

from datetime import datetime

from django.db import connections


def now(using: str = "default") -> datetime:
    """The database's time of the current transaction, timezone-aware UTC. It is asked for once in a transaction, in which it stands still."""
    connection = connections[using]
    # Django begins a new list of hooks after every transaction, however that ends: it says which one this is.
    known: tuple[object, datetime] | None = getattr(connection, "wb_now", None)
    if known is not None and connection.in_atomic_block and known[0] is connection.run_on_commit:
        return known[1]
    with connection.cursor() as cursor:
        cursor.execute("SELECT wb_now()")
        value: datetime = cursor.fetchone()[0]
    if connection.in_atomic_block:
        connection.wb_now = (connection.run_on_commit, value)  # type: ignore[attr-defined]
    return value
