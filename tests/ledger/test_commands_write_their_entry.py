"""The one write path: keyword-only, an actor, atomic, an entry or nothing."""

import json
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction

from tests.cast import Cast, acting, seal_all
from watchbill.base.actor import Actor, system
from watchbill.base.errors import Broken
from watchbill.base.ids import HUB
from watchbill.ledger.command import COMMANDS, command, record
from watchbill.ledger.quieter import harmless
from watchbill.people.models import Team
from watchbill.runtime.now import now


@pytest.fixture(autouse=True)
def registry() -> Any:
    before = dict(COMMANDS)
    yield
    COMMANDS.clear()
    COMMANDS.update(before)


def test_a_command_without_an_entry_is_rolled_back(cast: Cast) -> None:
    @command("test.silent", needs=None, quieter=harmless("a test"))
    def silent(*, by: Actor) -> None:
        """Changes something and says nothing."""
        Team(workspace_id=cast.main, slug="ghost", name="Ghost", created_at=now()).save(force_insert=True)

    with acting(cast.ada):
        with pytest.raises(Broken, match="without an entry"):
            silent(by=system("cli"))
        assert not Team.objects.filter(slug="ghost").exists()


def test_the_entry_goes_with_the_transaction(cast: Cast, db: Any) -> None:
    @command("test.fails", needs=None, quieter=harmless("a test"))
    def fails(*, by: Actor) -> None:
        """Records, then breaks."""
        record(("x", 1), workspace_id=cast.main)
        raise ValueError("after the entry")

    before = db.run("SELECT count(*) FROM ledger_entry")
    with acting(cast.ada), pytest.raises(ValueError, match="after"):
        fails(by=Actor("person", cast.ada, "web"))
    assert db.run("SELECT count(*) FROM ledger_entry") == before


def test_shapes_that_are_refused_at_import() -> None:
    with pytest.raises(Broken, match="keyword-only"):

        @command("test.positional", needs=None, quieter=harmless("a test"))
        def positional(by: Actor) -> None:
            """Wrong."""

    with pytest.raises(Broken, match="docstring"):

        @command("test.silent2", needs=None, quieter=harmless("a test"))
        def undocumented(*, by: Actor) -> None:
            pass

    @command("test.taken", needs=None, quieter=harmless("a test"))
    def taken(*, by: Actor) -> None:
        """The first of its name."""

    with pytest.raises(Broken, match="twice"):

        @command("test.taken", needs=None, quieter=harmless("a test"))
        def twice(*, by: Actor) -> None:
            """Taken."""


def test_a_command_without_an_actor_is_refused() -> None:
    with pytest.raises(Broken, match="without an actor"):
        COMMANDS_run("team.create")


def COMMANDS_run(name: str) -> None:
    from watchbill.people.teams import create_team

    create_team(by=None, workspace_id=HUB, name="x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "query",
    [
        "UPDATE ledger_entry SET body = body",
        "DELETE FROM ledger_entry",
        "TRUNCATE ledger_entry CASCADE",
        "UPDATE ledger_payload SET body = 'x'",
        "DELETE FROM ledger_payload",
    ],
)
def test_not_even_the_owner_changes_the_ledger_by_accident(cast: Cast, db: Any, query: str) -> None:
    from watchbill.people.teams import create_team

    with cast.acts(cast.ada) as by:
        create_team(by=by, workspace_id=cast.main, name="A")
    db.run("SET session_replication_role = origin")
    try:
        with pytest.raises(Exception, match=r"append-only|only be erased"):
            db.run(query)
    finally:
        db.run("SET session_replication_role = replica")


def test_the_app_role_may_not_forge_an_entry_of_another_workspace_or_change_one(cast: Cast) -> None:
    from watchbill.ledger.append import append

    with pytest.raises(DatabaseError, match="row-level security"), acting(cast.sam):
        append(workspace_id=cast.main, by=Actor("person", cast.sam, "web"), action="x.y", subject=("a", "b"))
    with pytest.raises(DatabaseError, match="permission denied"), acting(cast.ada):
        connection.cursor().execute("UPDATE ledger_entry SET body = '{}'")


def test_nothing_is_sealed_while_an_older_transaction_runs(cast: Cast, db: Any) -> None:
    """An entry gets its place only when nothing can come before it any more; the older one comes first then."""
    import os

    import psycopg

    from watchbill.ledger.append import append

    with psycopg.connect(os.environ["DATABASE_URL"]) as slow:
        slow.execute("SELECT pg_current_xact_id()")
        with acting(cast.ada):
            append(workspace_id=cast.main, by=Actor("person", cast.ada, "web"), action="late.one", subject=("a", "b"))
        assert seal_all() == 0
        slow.commit()
    assert seal_all() == 1


def test_many_writers_one_log_without_gaps(cast: Cast, db: Any) -> None:
    import threading

    from django.db import connections

    from watchbill.ledger.append import append

    def write() -> None:
        for _ in range(20):
            with acting(cast.ada):
                append(workspace_id=cast.main, by=Actor("person", cast.ada, "web"), action="x.y", subject=("a", "b"))
        connections.close_all()

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seal_all()
    for thread in threads:
        thread.join()
    seal_all()
    places = [
        row[0] for row in db.run("SELECT index FROM ledger_place WHERE workspace_id = %s ORDER BY index", cast.main)
    ]
    assert places == list(range(120))


def test_a_second_sealer_waits(cast: Cast) -> None:
    import psycopg
    from django.conf import settings

    from tests.cast import ensure_alias
    from watchbill.ledger.sealer import _LOCK, Sealer

    ensure_alias("sealer")
    first = Sealer(settings.KEYS)
    assert first.take()
    database = settings.DATABASES["default"]
    with psycopg.connect(
        host=database["HOST"],
        dbname=database["NAME"],
        user=f"{settings.ROLE_PREFIX}_sealer",
        password=settings.KEYS.text("database-role/sealer"),
    ) as other:
        assert other.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK]).fetchone() == (False,)
        first.drop()
        assert other.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK]).fetchone() == (True,)
        other.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def test_a_restored_database_begins_a_new_epoch(cast: Cast, db: Any, tmp_path: Any) -> None:
    """The server's identity differs from the one that sealed last: said in every log, and sealing goes on."""
    from django.conf import settings

    from tests.cast import ensure_alias
    from watchbill.ledger.sealer import Sealer
    from watchbill.people.teams import create_team

    ensure_alias("sealer")
    anchor = tmp_path / "anchor"
    with cast.acts(cast.ada) as by:
        create_team(by=by, workspace_id=cast.main, name="Before")
    seal_all()
    sealer = Sealer(settings.KEYS)
    assert sealer.check_epoch(anchor) == []
    db.run("UPDATE runtime_meta SET value = '42/1' WHERE key = 'incarnation'")
    reasons = sealer.check_epoch(anchor)
    assert len(reasons) == 1
    assert "server changed" in reasons[0]
    assert sealer.check_epoch(anchor) == []
    with cast.acts(cast.ada) as by:
        create_team(by=by, workspace_id=cast.main, name="After")
    sealer.drop()
    assert seal_all() == 2
    assert db.run("SELECT action FROM ledger_entry WHERE action = 'ledger.epoch'") == [("ledger.epoch",)]
    assert db.run("SELECT epoch FROM ledger_log WHERE workspace_id = %s", cast.main) == [(2,)]


def test_a_database_cut_back_is_told_by_the_anchor(cast: Cast, db: Any, tmp_path: Any) -> None:
    from django.conf import settings

    from tests.cast import ensure_alias
    from watchbill.ledger.queries import hub_id
    from watchbill.ledger.sealer import Sealer, origin
    from watchbill.people.teams import create_team

    ensure_alias("sealer")
    with cast.acts(cast.ada) as by:
        create_team(by=by, workspace_id=cast.main, name="Before")
    seal_all()
    anchor = tmp_path / "anchor"
    anchor.write_text(f"{origin(hub_id(), cast.main)}\n99\nAAAA\n\n— x y\n\ngarbage\n")
    sealer = Sealer(settings.KEYS)
    assert "knows 99 entries, the database has 1" in sealer.check_epoch(anchor)[0]
    assert sealer.check_epoch(anchor) == []
    sealer.drop()


def test_a_transaction_rolled_back_leaves_no_gap(cast: Cast) -> None:
    from watchbill.ledger.append import append

    by = Actor("person", cast.ada, "web")
    with acting(cast.ada):
        append(workspace_id=cast.main, by=by, action="x.y", subject=("a", "b"))
    with acting(cast.ada):
        append(workspace_id=cast.main, by=by, action="x.y", subject=("a", "b"))
        transaction.set_rollback(True)
    assert seal_all() == 1


def test_a_column_says_what_the_sealed_bytes_say_whatever_was_given(cast: Cast, db: Any) -> None:
    body = {
        "v": 1, "id": "00000000-0000-7000-8000-0000000000aa", "workspace": str(cast.main), "at": "2026-01-01T00:00:00.000000Z",
        "actor_kind": "person", "actor": str(cast.ada), "via": "web", "action": "role.grant", "subject_kind": "person",
        "subject": "s", "request": "r", "payload": None,
    }  # fmt: skip
    # As the owner, who may name every column: the trigger reads the body all the same.
    found = db.run(
        "INSERT INTO ledger_entry (body, id, workspace_id, at, actor_id, action, subject_kind, subject_id, xid) "
        "VALUES (%s, gen_random_uuid(), gen_random_uuid(), 'x', gen_random_uuid(), 'role.none', 'x', 'x', '3') "
        "RETURNING concat_ws(' ', id, workspace_id, at, actor_id, action, subject_kind, subject_id, xid = pg_current_xact_id())",
        json.dumps(body),
    )
    expected = [body[key] for key in ("id", "workspace", "at", "actor", "action", "subject_kind", "subject")]
    assert found[0][0] == " ".join([*map(str, expected), "t"])


@pytest.mark.parametrize("broken", ["no json", "[]", '{"id": "x"}', '{"v": 1}'])
def test_an_entry_that_is_no_entry_is_refused(cast: Cast, db: Any, broken: str) -> None:
    with pytest.raises(psycopg.Error):
        db.run("INSERT INTO ledger_entry (body) VALUES (%s)", broken)
