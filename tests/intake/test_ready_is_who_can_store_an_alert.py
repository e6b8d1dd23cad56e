"""`/readyz` is 503 exactly where this process cannot take and store an alert: it tries what an alert does, on the same connections, and is back soon."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.conf import settings

from watchbill.intake import edge
from watchbill.intake.edge import MOST_WAITING, Door, _Waiting
from watchbill.intake.protocols import Answer, protocol_of
from watchbill.server.asgi import Hub
from watchbill.server.sharing import Shared

COLUMNS = "(source_id, workspace_id, received_at, body)"
FULL = "CREATE FUNCTION wb_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} RAISE SQLSTATE '53100' USING MESSAGE = 'could not extend file'; END $$"
FIRES = "CREATE TRIGGER wb_full BEFORE INSERT ON signals_arrival FOR EACH ROW EXECUTE FUNCTION wb_full()"


def intake() -> str:
    return f"{settings.ROLE_PREFIX}_intake"


def asked(steps: Callable[[Hub], Awaitable[Any]]) -> Any:
    """Within a web process whose door is open."""

    async def main() -> Any:
        hub = Hub()
        hub.door.start()
        try:
            return await steps(hub)
        finally:
            await hub.door.stop()

    return asyncio.run(main())


def ready() -> tuple[bool, dict[str, Any]]:
    begun = time.monotonic()
    found: tuple[bool, dict[str, Any]] = asked(lambda hub: hub._readiness())
    assert time.monotonic() - begun < 2.5
    return found


@contextmanager
def broken(db: Any, do: list[str], undo: list[str]) -> Iterator[None]:
    try:
        for query in do:
            db.run(query)
        yield
    finally:
        for query in undo:
            db.run(query)


def test_who_can_store_is_ready_and_leaves_nothing_behind(db: Any) -> None:
    with psycopg.connect(db.connection.info.dsn, password=db.connection.info.password, autocommit=True) as listener:
        listener.execute(f"LISTEN {edge.ARRIVED}")
        found, body = ready()
        assert (found, body["status"], body["checks"]["intake"]) == (True, "ready", "ok")
        assert list(listener.notifies(timeout=0.2)) == []
    assert db.run("SELECT count(*) FROM signals_arrival") == [(0,)]


BROKEN: dict[str, tuple[list[str], list[str], str]] = {
    "may not write": (
        [f"REVOKE INSERT {COLUMNS} ON signals_arrival FROM {{0}}"],
        [f"GRANT INSERT {COLUMNS} ON signals_arrival TO {{0}}"],
        "InsufficientPrivilege",
    ),
    "may not look up keys": (
        ["REVOKE SELECT (key_digest) ON signals_source FROM {0}"],
        ["GRANT SELECT (key_digest) ON signals_source TO {0}"],
        "InsufficientPrivilege",
    ),
    "a column is missing": (
        ["ALTER TABLE signals_arrival RENAME body TO other"],
        ["ALTER TABLE signals_arrival RENAME other TO body"],
        "UndefinedColumn",
    ),
    "the disk is full": (
        [FULL.format(""), FIRES],
        ["DROP TRIGGER wb_full ON signals_arrival", "DROP FUNCTION wb_full()"],
        "DiskFull",
    ),
    "no connection for the intake": (
        ["ALTER ROLE {0} CONNECTION LIMIT 0"],
        ["ALTER ROLE {0} CONNECTION LIMIT -1"],
        "OperationalError",
    ),
    "its role may not log in": (["ALTER ROLE {0} NOLOGIN"], ["ALTER ROLE {0} LOGIN"], "OperationalError"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_who_cannot_store_is_not_ready(db: Any, case: str) -> None:
    do, undo, word = BROKEN[case]
    with broken(db, [one.format(intake()) for one in do], [one.format(intake()) for one in undo]):
        found, body = ready()
        assert (found, body["status"]) == (False, "not ready")
        assert word in body["checks"]["intake"]
    assert ready()[0]


def test_who_is_not_answered_says_so_in_time(db: Any) -> None:
    dsn, password = db.connection.info.dsn, db.connection.info.password
    with psycopg.connect(dsn, password=password) as other:
        other.execute("LOCK TABLE signals_arrival IN ACCESS EXCLUSIVE MODE")

        async def steps(hub: Hub) -> None:
            for most in (2.0, 1.0, 1.0):
                begun = time.monotonic()
                assert not (await hub._readiness())[0]
                assert time.monotonic() - begun < most
            other.rollback()
            await asyncio.sleep(edge.ABLE)
            assert (await hub._readiness())[0]

        asked(steps)


def test_an_answer_of_the_moment_before_is_not_given_where_all_hangs(db: Any) -> None:
    dsn, password = db.connection.info.dsn, db.connection.info.password
    hangs = threading.Event()
    with psycopg.connect(dsn, password=password) as other:

        def look() -> None:
            hangs.wait()

        async def steps(hub: Hub) -> None:
            assert (await hub._readiness())[0]
            other.execute("LOCK TABLE signals_arrival IN ACCESS EXCLUSIVE MODE")
            hub.ready = Shared("test-look", look, lambda: None)
            begun = time.monotonic()
            assert not (await hub._readiness())[0]
            assert time.monotonic() - begun < 2
            other.rollback()

        try:
            asked(steps)
        finally:
            hangs.set()


def test_pages_that_reach_nothing_close_no_door(db: Any) -> None:
    rename = "ALTER FUNCTION {}() RENAME TO {}"

    async def steps(hub: Hub) -> tuple[bool, dict[str, Any]]:
        with broken(db, [rename.format("wb_health", "wb_ill")], [rename.format("wb_ill", "wb_health")]):
            return await hub._readiness()

    found, body = asked(steps)
    assert (found, body["checks"]["intake"]) == (True, "ok")
    assert "database: does not answer" in body["degraded"]


def waiting(body: bytes, told: Callable[[Answer], None], source: Any = None) -> _Waiting:
    protocol = protocol_of("/intake/k/alertmanager")
    assert protocol is not None
    return _Waiting(source, source, body, protocol, Answer(200), told)


def test_where_more_waits_than_it_takes_it_is_not_ready() -> None:
    async def steps() -> str:
        door = Door()
        for _ in range(MOST_WAITING):
            door.queue.put_nowait(waiting(b"", lambda answer: None))
        return await door.able(1)

    assert "more waits" in asyncio.run(steps())


def test_after_something_could_not_be_stored_as_much_is_tried(db: Any) -> None:
    """A disk that is full still has room for a few bytes, and a small try would say that all is well."""
    small = "IF octet_length(NEW.body) < 5000 THEN RETURN NEW; END IF;"
    undo = ["DROP TRIGGER IF EXISTS wb_full ON signals_arrival", "DROP FUNCTION IF EXISTS wb_full()"]

    async def steps(hub: Hub) -> None:
        assert await hub.door.able(1) == ""
        told: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        hub.door.queue.put_nowait(waiting(b"x" * 9000, told.set_result, edge.UUID(int=1)))
        assert (await told).status == 503
        await asyncio.sleep(edge.ABLE)
        for _ in range(2):
            assert "DiskFull" in await hub.door.able(1)
        for query in undo:
            db.run(query)
        await asyncio.sleep(edge.ABLE)
        assert await hub.door.able(1) == ""

    with broken(db, [FULL.format(small), FIRES], undo):
        asked(steps)


def test_many_who_ask_are_one_question(db: Any) -> None:
    async def steps(hub: Hub) -> int:
        asked = 0
        before = hub.door._try

        async def count() -> str:
            nonlocal asked
            asked += 1
            return await before()

        hub.door._try = count  # type: ignore[method-assign]
        assert set(await asyncio.gather(*(hub.door.able(1) for _ in range(50)))) == {""}
        assert await hub.door.able(1) == ""
        return asked

    assert asked(steps) == 1
