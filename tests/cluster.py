"""The tests' PostgreSQL: migrated once for all sessions of a machine, then copied, since a hundred migrations take longer than most tests."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from watchbill.base.config import Config, read_config
from watchbill.server.postgres import Postgres, find_binaries, superuser_password
from watchbill.server.supervisor import open_data_folder

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / ".test-cluster"
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}


def start(home: Path) -> Postgres:
    """A running, migrated server in ``home``; sets DATABASE_URL for this process. Access rules are always those of the code at hand."""
    config = read_config()
    kept = KEPT / _digest(config)
    KEPT.mkdir(exist_ok=True)
    with (KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.is_dir():
            for old in KEPT.glob("*-*"):
                shutil.rmtree(old, ignore_errors=True)
            postgres = _run(config, home)
            postgres.stop()
            fresh = kept.with_name(f"fresh-{os.getpid()}")
            _copy(config.data, fresh)
            fresh.rename(kept)
        else:
            _copy(kept, config.data)
    return _run(config, home)


def _run(config: Config, home: Path) -> Postgres:
    open_data_folder(config)
    config.keys(create=True)
    postgres = Postgres(config, settings=FAST, auth_password=superuser_password(config))
    postgres.prepare()
    postgres.start(log=home / "postgres.log")
    database = postgres.database
    os.environ["DATABASE_URL"] = (
        f"postgresql://{database.user}:{database.password}@localhost/{database.name}?host={database.host}"
    )
    command = [sys.executable, "-m", "watchbill.cli.main", "migrate"]
    done = subprocess.run(command, env={**os.environ, "WATCHBILL_PROCESS": "migrate"}, capture_output=True, text=True)
    if done.returncode:
        postgres.stop()
        raise RuntimeError(done.stdout + done.stderr)
    return postgres


def _copy(source: Path, target: Path) -> None:
    """A data folder with owners and modes; a socket's folder is not part of it."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)
    shutil.rmtree(target / "run", ignore_errors=True)


def _digest(config: Config) -> str:
    """Everything that makes the schema: the migrations, the server and who owns its files."""
    found = hashlib.sha256(f"{find_binaries(config)} {os.geteuid()}".encode())
    for path in sorted((ROOT / "src").glob("**/migrations/*")):
        if path.is_file():
            found.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return f"schema-{found.hexdigest()[:16]}"
