"""The time, as the database has it: `wb_now()`, so that a movable clock in tests moves everything."""

from datetime import datetime

from django.db import connections


def now(using: str = "default") -> datetime:
    """The database's time of the current transaction, timezone-aware UTC."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT wb_now()")
        value: datetime = cursor.fetchone()[0]
    return value
