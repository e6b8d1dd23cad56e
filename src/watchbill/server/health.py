"""Is the hub well: for /readyz, /metrics and `watchbill doctor`."""

import json
from typing import Any

from django.db import Error as DatabaseError
from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader

from watchbill.runtime.metrics import (
    CAN_PAGE,
    CAN_PAGE_REASONS,
    FACTS_FAILED,
    FACTS_WAITING,
    JOBS,
    LEDGER_SIZE,
    LEDGER_UNSEALED,
    WORKER_AGE,
)

STALE_WORKER = 30.0
_known: list[int] = []


def code_migrations() -> set[tuple[str, str]]:
    """The migrations that this version of the code brings."""
    loader = MigrationLoader(None, load=False)
    loader.load_disk()
    return set(loader.disk_migrations)


def readiness() -> tuple[bool, dict[str, Any]]:
    """Whether requests can be served, and the state of each part: database, migrations, worker heartbeat."""
    checks: dict[str, str] = {}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT migrations, worker_age FROM wb_health()")
            count, age = cursor.fetchone()
        checks["database"] = "ok"
        if not _known:
            _known.append(len(code_migrations()))
        checks["migrations"] = "ok" if count >= _known[0] else f"{_known[0] - count} not applied: run watchbill migrate"
        seconds = age.total_seconds() if age is not None else None
        WORKER_AGE.set(seconds if seconds is not None else -1)
        checks["worker"] = (
            "ok" if seconds is not None and seconds < STALE_WORKER else "no heartbeat: start watchbill worker"
        )
    except DatabaseError:
        checks["database"] = "does not answer"
    finally:
        for each in connections.all(initialized_only=True):
            each.close()
    return all(value == "ok" for value in checks.values()), {
        "status": "ready" if set(checks.values()) == {"ok"} else "not ready",
        "checks": checks,
    }


def refresh_gauges() -> None:
    """Brings the gauges that come from the database up to date; a database that does not answer leaves them as they were."""
    readiness()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT sealed, unsealed, facts_waiting, facts_failed, jobs FROM wb_stats()")
            sealed, unsealed, waiting, failed, jobs = cursor.fetchone()
        LEDGER_SIZE.set(sealed)
        LEDGER_UNSEALED.set(unsealed)
        FACTS_WAITING.set(waiting)
        FACTS_FAILED.set(failed)
        JOBS.clear()
        for status, number in (json.loads(jobs) if isinstance(jobs, str) else jobs).items():
            JOBS.labels(status).set(number)
        _refresh_can_page()
    except DatabaseError:
        return
    finally:
        connection.close()


def _refresh_can_page() -> None:
    """What the worker's last looks found, for every workspace that is no demo."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT workspace, can_page, counts FROM wb_can_page()")
        rows = cursor.fetchall()
    CAN_PAGE.clear()
    CAN_PAGE_REASONS.clear()
    for workspace, can_page, counts in rows:
        CAN_PAGE.labels(workspace).set(int(can_page))
        for code, number in (json.loads(counts) if isinstance(counts, str) else counts).items():
            CAN_PAGE_REASONS.labels(workspace, code).set(number)
