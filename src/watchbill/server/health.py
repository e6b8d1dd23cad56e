"""Is the hub well: for /readyz, /metrics and `watchbill doctor`.

Ready is a process that can take and store an alert: the door tries that on its own connections (`Door.able`). Everything else that is not as it should be (age, quarantine, seals, a missing worker) is said
as degraded, and closes nothing: a load balancer that sends alerts elsewhere, or nowhere, would make it worse.
"""

import json
from typing import Any

import psycopg
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader
from psycopg.conninfo import make_conninfo

from watchbill.runtime.lag import KINDS, Lag, is_gone, lag, measure
from watchbill.runtime.metrics import (
    CAN_PAGE,
    CAN_PAGE_REASONS,
    FACTS_FAILED,
    FACTS_WAITING,
    JOBS,
    LEDGER_SIZE,
    LEDGER_UNSEALED,
    OLDEST,
    QUARANTINED,
    WAITING,
    WORKER_AGE,
)

_known: list[int] = []
#: What taking and storing an alert needs of the tables.
_INTAKE = (
    "SELECT id, workspace_id, protocol, key_digest, revoked_at FROM signals_source LIMIT 0",
    "SELECT source_id, workspace_id, received_at, body FROM signals_arrival LIMIT 0",
)


def code_migrations() -> set[tuple[str, str]]:
    """The migrations that this version of the code brings."""
    loader = MigrationLoader(None, load=False)
    loader.load_disk()
    return set(loader.disk_migrations)


def readiness() -> tuple[bool, dict[str, Any]]:
    """Whether the pages' database has what the intake needs, and what is not as it should be."""
    checks: dict[str, str] = {}
    degraded: list[str] = []
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT migrations, worker_age FROM wb_health()")
            count, age = cursor.fetchone()
        checks["database"] = "ok"
        checks["migrations"] = "ok"
        if missing := _missing(count):
            text = f"{missing} not applied: run watchbill migrate"
            if _can_store():
                degraded.append(f"migrations: {text}")
            else:
                checks["migrations"] = text
        seconds = age.total_seconds() if age is not None else None
        WORKER_AGE.set(seconds if seconds is not None else -1)
        if is_gone(age):
            degraded.append("worker: no heartbeat: start watchbill worker")
        degraded += late()
    except DatabaseError:
        checks["database"] = "does not answer"
        degraded = []
    finally:
        for each in connections.all(initialized_only=True):
            each.close()
    ready = all(value == "ok" for value in checks.values())
    return ready, {"status": "ready" if ready else "not ready", "checks": checks, "degraded": degraded}


def _missing(count: int) -> int:
    if not _known:
        _known.append(len(code_migrations()))
    return max(0, _known[0] - count)


def _can_store() -> bool:
    """Whether the tables have what the intake writes, though migrations are missing."""
    try:
        with connection.cursor() as cursor:
            for query in _INTAKE:
                cursor.execute(query)
    except DatabaseError:
        return False
    return True


def late() -> list[str]:
    """What waits longer than it should, in words that anybody may read. A look that fails is said, too, and closes nothing."""
    try:
        return [f"{one.kind}: {one.text}" for one in lag()]
    except DatabaseError as error:
        return [f"lag: it cannot be told what waits ({type(error).__name__})"]


def answers() -> bool:
    """Whether the database answers on a connection of its own: those of the pages may all be in use."""
    database = settings.DATABASES["default"]
    where = make_conninfo(
        host=str(database["HOST"]),
        port=int(str(database["PORT"])),
        dbname=str(database["NAME"]),
        user=str(database["USER"]),
        password=str(database["PASSWORD"]),
        application_name="watchbill-probe",
        connect_timeout=10,
        **settings.DATABASE_OPTIONS,
    )
    try:
        with psycopg.connect(where, autocommit=True) as probe:
            probe.execute("SELECT 1")
        return True
    except psycopg.Error:
        return False


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
        _set_lag(measure())
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


def _set_lag(found: list[Lag]) -> None:
    """The oldest and the number of each kind; 0 where nothing waits."""
    for kind in KINDS:
        mine = [one for one in found if one.kind == kind]
        OLDEST.labels(kind).set(max((one.oldest.total_seconds() for one in mine), default=0.0))
        WAITING.labels(kind).set(sum(one.count for one in mine))
    QUARANTINED.set(sum(one.count for one in found if one.kind == "quarantined"))
