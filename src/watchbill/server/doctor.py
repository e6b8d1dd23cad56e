"""`watchbill doctor`: what a person would look at first."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from watchbill.base.config import Config
from watchbill.base.errors import WatchbillError
from watchbill.base.ids import HUB
from watchbill.server.processes import raise_open_files

LITTLE_SPACE = 1_000_000_000
SKEW = 2.0
FEW_FILES = 4_096


@dataclass
class Finding:
    """One thing looked at: level is ok, warning or wrong."""

    part: str
    level: str
    text: str
    remedy: str = ""


def examine(config: Config) -> list[Finding]:
    """Looks at settings, keys, disk, database, migrations, clock, worker, ledger. Never raises."""
    findings = [_folder(config), _disk(config), _keys(config), _anchor(config), _files()]
    try:
        findings += _database(config)
    except WatchbillError as error:
        findings.append(Finding("database", "wrong", error.detail, error.hint))
    except Exception as error:
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        findings.append(
            Finding(
                "database",
                "wrong",
                f"it does not answer: {text}",
                "Start the hub (watchbill serve), or check DATABASE_URL and that server.",
            )
        )
    if os.geteuid() == 0:
        findings.append(
            Finding(
                "user",
                "warning",
                "web and worker run as root (PostgreSQL does not)",
                "Run the hub as an ordinary user of its own; docs/operating.md has a systemd unit.",
            )
        )
    return findings


def _folder(config: Config) -> Finding:
    if not config.data.exists():
        return Finding(
            "data folder",
            "wrong",
            f"{config.data} does not exist",
            "Start the hub once, or set WATCHBILL_DATA to its folder.",
        )
    if not os.access(config.data, os.W_OK):
        return Finding("data folder", "wrong", f"{config.data} cannot be written", "Correct its permissions.")
    return Finding("data folder", "ok", str(config.data))


def _disk(config: Config) -> Finding:
    folder = config.data
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free at {folder}"
    if free < LITTLE_SPACE:
        return Finding(
            "disk",
            "wrong",
            text,
            "Free some space: PostgreSQL stops when it is full (nothing is lost then, but nothing is taken in).",
        )
    return Finding("disk", "ok", text)


def _files() -> Finding:
    """How many files, and so connections, a process may have open; the hub raises its own limit to this."""
    files = raise_open_files()
    if files < FEW_FILES:
        return Finding(
            "open files",
            "warning",
            f"a process may have {files:,} open: many callers at once use that up",
            f"Raise the hard limit to {FEW_FILES:,} or more (systemd: LimitNOFILE=65536).",
        )
    return Finding("open files", "ok", f"a process may have {files:,} open")


def _keys(config: Config) -> Finding:
    try:
        config.keys()
    except WatchbillError as error:
        return Finding("keys", "wrong", error.detail, error.hint)
    path = config.data / "keys" / "master"
    if path.exists() and path.stat().st_mode & 0o077:
        return Finding("keys", "wrong", f"{path} can be read by others", f"chmod 600 {path}")
    if path.exists():
        return Finding(
            "keys", "ok", f"master key in {path}; keep a copy outside, without it secrets and sign-ins are lost"
        )
    return Finding("keys", "ok", "master key from the environment")


def _anchor(config: Config) -> Finding:
    path = config.anchor
    if path.is_relative_to(config.data):
        return Finding(
            "anchor",
            "warning",
            f"{path} is inside of the data folder",
            "Point WATCHBILL_ANCHOR at another disk or machine: it is the witness.",
        )
    if not path.exists():
        return Finding(
            "anchor", "warning", f"{path} is not there yet", "The worker writes it within a minute of the first entry."
        )
    return Finding("anchor", "ok", str(path))


def _database(config: Config) -> list[Finding]:
    from watchbill.server.attach import attach

    attach()
    from django.db import connection

    with connection.cursor() as cursor:
        started = time.time()
        cursor.execute(
            "SELECT current_setting('server_version_num')::int, server_time, migrations, worker_age FROM wb_health()"
        )
        version, server_time, migrations, age = cursor.fetchone()
        middle = (started + time.time()) / 2
        findings = [
            Finding(
                "database",
                "ok" if version >= 150000 else "wrong",
                f"PostgreSQL {version // 10000}.{version % 10000}",
                "" if version >= 150000 else "Use PostgreSQL 15 or later.",
            )
        ]
        findings.append(_migrations(migrations))
        findings.append(_skew((server_time - datetime.fromtimestamp(middle, UTC)).total_seconds()))
        findings.append(_worker(age.total_seconds() if age is not None else None))
    return findings + _alone("ledger", _ledger) + _alone("waiting", _waiting) + _alone("can page", _can_page)


def _alone(part: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """A look that fails says so, and takes none of the other findings with it."""
    from watchbill.runtime.isolation import describe

    try:
        return look()
    except Exception as error:
        text = f"this look failed: {describe(error, 200)}"
        return [Finding(part, "wrong", text, "Please report it; everything else was looked at all the same.")]


def _can_page() -> list[Finding]:
    """“Can this hub page?” for every workspace that is no demo: one line where it can, one for each reason where it cannot."""
    from watchbill.paging.ability import ability, in_use
    from watchbill.people.models import Workspace
    from watchbill.runtime.now import now

    findings = []
    for workspace_id, slug in Workspace.objects.filter(demo=False).order_by("slug").values_list("id", "slug"):
        part, found = f"can page: {slug}", ability(workspace_id, now())
        if found.can_page and not found.alarms:
            findings.append(Finding(part, "ok", f"as far as it looked: {', '.join(found.looked)}"))
        # What is only just being set up is no fault yet.
        worst = "wrong" if workspace_id == HUB or in_use(workspace_id) else "warning"
        for one in found.broken + found.alarms + found.warnings:
            level = worst if one.level == "broken" else "warning"
            findings.append(Finding(part, level, one.text, f"{one.fix}: {one.url} in the console."))
    return findings


def _migrations(count: int) -> Finding:
    from watchbill.server.health import code_migrations

    missing = len(code_migrations()) - count
    if missing > 0:
        return Finding(
            "migrations", "wrong", f"{missing} are not applied", "Run watchbill migrate with the owner's DATABASE_URL."
        )
    if missing < 0:
        return Finding(
            "migrations",
            "warning",
            f"the database has {-missing} more than this version knows",
            "Install the newer version again.",
        )
    return Finding("migrations", "ok", f"{count} applied")


def _skew(seconds: float) -> Finding:
    if abs(seconds) > SKEW:
        return Finding(
            "clock",
            "wrong",
            f"this machine and the database differ by {seconds:+.1f} s",
            "Set up time synchronisation (chrony or systemd-timesyncd) on both. The database's clock is the one that counts.",
        )
    return Finding("clock", "ok", f"{seconds * 1000:+.0f} ms from the database's")


def _worker(age: float | None) -> Finding:
    from watchbill.runtime.lag import is_gone

    if age is None or is_gone(timedelta(seconds=age)):
        text = "no worker was ever seen" if age is None else f"the last heartbeat is {age:.0f} s old"
        return Finding("worker", "wrong", text, "Start one: watchbill serve, or watchbill worker.")
    return Finding("worker", "ok", f"heartbeat {age:.0f} s ago")


def _waiting() -> list[Finding]:
    """What waits for the worker longer than it should, and what holds it up."""
    from watchbill.runtime.lag import measure

    found = measure()
    late = [
        Finding("waiting", "wrong" if one.stops_all else "warning", one.reason, one.remedy)
        for one in found
        if one.late and one.kind != "entry"
    ]
    late += [Finding("quarantine", "warning", one.reason, one.remedy) for one in found if one.kind == "quarantined"]
    if any(one.late for one in found if one.kind == "entry"):
        # The finding about the ledger says it.
        return late
    return late or [Finding("waiting", "ok", "nothing waits longer than it should")]


def _ledger() -> list[Finding]:
    """Whether entries are sealed in time."""
    from django.db import connection

    from watchbill.runtime.lag import lag

    for one in lag():
        if one.kind == "entry":
            return [Finding("ledger", "warning", one.reason, one.remedy)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT unsealed, sealed FROM wb_stats()")
        unsealed, sealed = cursor.fetchone()
    return [Finding("ledger", "ok", f"{sealed} entries sealed, {unsealed} waiting")]
