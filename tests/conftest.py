"""The test house: one real PostgreSQL for the session, migrated once, emptied after each test; a movable clock; a small cast.

There is no test database magic: rows are committed, principals are the real roles, and row-level security is on.
"""

import contextlib
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

_home = Path(tempfile.mkdtemp(prefix="watchbill-test-"))
_home.chmod(0o711)
for _name in [name for name in os.environ if name.startswith("WATCHBILL_") and name != "WATCHBILL_SOAK"] + [
    "DATABASE_URL"
]:
    os.environ.pop(_name, None)
SOAK = os.environ.pop("WATCHBILL_SOAK", "")
EXTERNAL = os.environ.get("WB_TEST_POSTGRES_BIN", "")
os.environ |= {
    "WATCHBILL_DATA": str(_home / "data"),
    "WATCHBILL_ANCHOR": str(_home / "outside" / "checkpoints"),
    "WATCHBILL_URL": "http://testserver",
    "WATCHBILL_RATE": "100000",
    "WATCHBILL_PROCESS": "web",
    "WATCHBILL_OUTBOUND": "127.0.0.1,localhost",
    "DJANGO_SETTINGS_MODULE": "watchbill.server.settings",
    **({"WATCHBILL_POSTGRES_BIN": EXTERNAL} if EXTERNAL else {}),
}

from tests.cluster import start  # noqa: E402
from watchbill.server.postgres import Postgres  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    """Starts PostgreSQL and sets Django up before anything is imported that needs settings."""
    config.watchbill_postgres = start(_home)
    import django

    django.setup()
    from django.contrib.auth.hashers import PBKDF2PasswordHasher

    PBKDF2PasswordHasher.iterations = 1000


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stops what was started."""
    with contextlib.suppress(Exception):
        from django.db import connections

        for connection in connections.all(initialized_only=True):
            connection.close()
            if getattr(connection, "pool", None):
                connection.close_pool()
    postgres = getattr(config, "watchbill_postgres", None)
    if postgres:
        postgres.stop()
        shutil.rmtree(postgres.socket, ignore_errors=True)
    shutil.rmtree(_home, ignore_errors=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `tools/flakes.py` asks for."""
    parser.addoption("--shuffle", type=int, default=None, metavar="SEED", help="run the tests in a random order")
    parser.addoption("--times", type=int, default=1, metavar="N", help="run each test N times")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeats each test as often as `--times` says."""
    if (times := metafunc.config.getoption("--times")) > 1:
        metafunc.fixturenames.append("_time")
        metafunc.parametrize("_time", range(times))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long rounds run only under `make soak`; slow kinds come last, so that a failure shows early."""
    if not SOAK:
        kept = [item for item in items if "soak" not in item.keywords]
        config.hook.pytest_deselected(items=[item for item in items if "soak" in item.keywords])
        items[:] = kept
    if (seed := config.getoption("--shuffle")) is not None:
        random.Random(seed).shuffle(items)
        return
    items.sort(key=lambda item: ("process" in item.keywords) + 2 * ("browser" in item.keywords))


@pytest.fixture(scope="session")
def home() -> Path:
    """The folder of this run."""
    return _home


class Owner:
    """A superuser's connection: for what no principal of the hub may do, such as emptying tables or attacking the ledger."""

    def __init__(self, postgres: Postgres) -> None:
        import psycopg

        self.connection = psycopg.connect(
            host=str(postgres.socket), user="postgres", password=postgres.password, dbname="watchbill", autocommit=True
        )

    def run(self, query: str, *args: Any) -> list[tuple[Any, ...]]:
        """Runs SQL; answers rows where there are any."""
        with self.connection.cursor() as cursor:
            cursor.execute(query, args or None)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="session")
def owner(request: pytest.FixtureRequest) -> Iterator[Owner]:
    """The owner's connection."""
    found = Owner(request.config.watchbill_postgres)
    found.run("SET session_replication_role = replica")
    yield found
    found.connection.close()


_KEEP = {"django_migrations", "django_content_type", "auth_permission", "runtime_meta"}


@pytest.fixture
def db(owner: Owner) -> Iterator[Owner]:
    """A hub with its own workspace and nothing else; empty again afterwards."""
    _empty(owner)
    yield owner
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        connection.close()


#: Empties what is not empty, in one round trip. Rows go one by one, which is quick for a few; a table that has grown is cut off.
_EMPTY = """
DO $$ DECLARE name text; dirty boolean; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND NOT tablename = ANY ({kept}) LOOP
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I)', name) INTO dirty;
        IF dirty AND pg_relation_size(quote_ident(name)::regclass) > 65536 THEN
            EXECUTE format('TRUNCATE %I CASCADE', name);
        ELSIF dirty THEN
            EXECUTE format('DELETE FROM %I', name);
        END IF;
    END LOOP;
    DELETE FROM runtime_meta WHERE key NOT IN ('access', 'hub_id');
    CREATE OR REPLACE FUNCTION wb_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT now()';
    INSERT INTO people_workspace (id, slug, name, time_zone, require_mfa, created_at)
        VALUES ('00000000-0000-7000-8000-000000000001', 'hub', 'This hub', 'UTC', false, now());
END $$
""".format(kept="ARRAY['" + "', '".join(sorted(_KEEP)) + "']::text[]")


def _empty(owner: Owner) -> None:
    """Needs a connection on which no trigger fires (``session_replication_role``): foreign keys and append-only tables."""
    owner.run(_EMPTY)


class Clock:
    """A clock that can be moved; the database moves with it."""

    def __init__(self, owner: Owner) -> None:
        self.owner, self.offset = owner, timedelta()

    def forward(self, **kwargs: float) -> None:
        """Moves it by a timedelta's arguments."""
        self.offset += timedelta(**kwargs)
        seconds = self.offset.total_seconds()
        body = f"SELECT now() + interval ''{seconds} seconds''"
        self.owner.run(
            f"CREATE OR REPLACE FUNCTION wb_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS '{body}'"
        )

    def now(self) -> datetime:
        """The moved time."""
        return datetime.now(UTC) + self.offset


@pytest.fixture
def clock(db: Owner) -> Clock:
    """The movable clock."""
    return Clock(db)


@pytest.fixture
def cast(db: Owner) -> Any:
    """Ada (admin), Edo (editor), Apo (approver), Vera (viewer), Aud (auditor) in “Main”; Sam, a stranger, admin of “Other”; Hob of the hub."""
    from tests.cast import Cast

    return Cast()


@pytest.fixture
def client_of(cast: Any) -> Callable[..., Any]:
    """A signed-in Django test client for a member of the cast."""
    from tests.cast import signed_in

    return signed_in
