"""The walk: every table of the database, filled with rows, seen by a stranger and by a bare session of the app role."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import DatabaseError, connection

from tests.cast import Cast, acting, as_worker, seal_all, signed_in
from watchbill.base.actor import system
from watchbill.base.ids import uuid7
from watchbill.runtime.principals import PRINCIPALS, declared_tables

ROOT = Path(__file__).resolve().parents[2]
#: A value for each type, for tables that no command of this version fills (allauth's lists, the queue's workers).
VALUES = {
    "uuid": "gen_random_uuid()", "text": "'x'", "character varying": "'x'", "integer": "1", "bigint": "1", "smallint": "1", "boolean": "true",
    "timestamp with time zone": "now()", "jsonb": "'{}'", "bytea": "'x'", "USER-DEFINED": "NULL",
}  # fmt: skip


def fill_by_type(db: Any, table: str) -> None:
    """One row as the owner, without foreign keys: the walk needs something that could be read."""
    columns = db.run(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s AND is_generated = 'NEVER' AND is_identity = 'NO' "
        "AND column_default IS NULL",
        table,
    )
    names, values = ", ".join(f'"{name}"' for name, _ in columns), ", ".join(VALUES[kind] for _, kind in columns)
    db.run(f'INSERT INTO "{table}" ({names}) VALUES ({values})' if columns else f'INSERT INTO "{table}" DEFAULT VALUES')


@pytest.fixture
def filled(cast: Cast, db: Any) -> Cast:
    """Rows in every table, through the real commands where there are any."""
    from watchbill.blobs.commands import add_file
    from watchbill.catalogue.commands import create_environment, create_service
    from watchbill.facts.publish import deliver_one
    from watchbill.gates.commands import answer
    from watchbill.gates.models import Request
    from watchbill.handbook.bindings import bind_name
    from watchbill.handbook.cast import read_cast
    from watchbill.handbook.commands import apply_draft, apply_handbook, choose, files_of, keep_draft
    from watchbill.handbook.files import load
    from watchbill.handbook.queries import access_review
    from watchbill.intake.adapters import ADAPTERS
    from watchbill.oncall import commands as oncall
    from watchbill.oncall.models import Schedule
    from watchbill.paging import own, setup
    from watchbill.paging.alarm import sweep as look_whether_we_can_page
    from watchbill.paging.sending import send_one
    from watchbill.people import commands as people
    from watchbill.people import teams
    from watchbill.people.models import ContactMethod
    from watchbill.runtime.now import now
    from watchbill.secrets.commands import open_secret, store_secret
    from watchbill.signals.checks import create_check
    from watchbill.signals.commands import create_source, take_in
    from watchbill.signals.silences import create_silence

    with cast.acts(cast.ada) as by:
        here = cast.main
        team = teams.create_team(by=by, workspace_id=here, name="Platform")
        teams.add_team_member(by=by, workspace_id=here, team_id=team.id, person_id=cast.edo)
        environment = create_environment(by=by, workspace_id=here, name="Production")
        create_service(
            by=by,
            workspace_id=here,
            name="Checkout",
            owner_id=team.id,
            environment_ids=[environment.id],
            links=[("Docs", "https://example.org/")],
        )
        store_secret(by=by, workspace_id=here, name="api-key", value="s3cret")
        open_secret(by=by, workspace_id=here, name="api-key", purpose="test")
        people.label_role(by=by, workspace_id=here, role="viewer", label="Reader")
        people.map_group(by=by, workspace_id=here, group="ops_viewer", role="viewer")
        people.create_token(by=by, workspace_id=here, name="t", scopes=["team.read"])
        add_file(by=by, workspace_id=here, name="a.txt", content=iter([b"hello"]))
        example = load(ROOT / "examples" / "handbooks" / "ledger-and-agents")
        for name in read_cast(
            (ROOT / "examples" / "handbooks" / "ledger-and-agents" / "cast.yaml").read_text()
        ).bindings:
            bind_name(by=by, workspace_id=here, name=name, target_kind="team", target_id=team.id)
        apply_handbook(
            by=by, workspace_id=here, slug="main", files=[(one.path, one.text) for one in example.sources], lock=example.lock or "", config=example.config or "",
        )  # fmt: skip
        weaker = [(one.path, one.text.replace("2 hours", "8 hours")) for one in example.sources]
        drafted = keep_draft(
            by=by, workspace_id=here, slug="main", files=weaker, lock=example.lock or "", config=example.config or ""
        )
        choose(by=by, workspace_id=here, version=drafted.version, keys=["severity/sev2"], choice="live")
        review = access_review(by, here)
        assert review is not None
        asked = apply_draft(
            by=by, workspace_id=here, slug="main", version=drafted.version, lock_digest=review.lock_digest, reason="x"
        )
        assert isinstance(asked, Request)
    with cast.acts(cast.apo) as by:
        answer(by=by, workspace_id=here, request_id=asked.id, approves=True, digest=asked.digest)
    with cast.acts(cast.ada) as by:
        review = access_review(by, here)
        assert review is not None
        files = files_of(review.draft)
        apply_handbook(
            by=by, workspace_id=here, slug="main", files=files.documents, lock=files.lock, config=files.config
        )
        keep_draft(by=by, workspace_id=here, slug="main", files=files.documents, lock=files.lock, config=files.config)
        sender, _ = create_source(by=by, workspace_id=here, protocol="alertmanager", name="Prometheus")
        people.deactivate_person(by=by, workspace_id=here, person_id=cast.vera)
    with cast.acts(cast.ada) as by:
        setup.set_channel(
            by=by, workspace_id=here, kind="email", name="Mail", config={"host": "127.0.0.1", "port": "9", "tls": "none", "from": "hub@example.org"}
        )  # fmt: skip
        own.set_rules(by=by, workspace_id=here, urgency="high", steps=[{"method": "email", "delay": 0}])
        own.set_notices(by=by, workspace_id=here, on=False)
        own.send_code(by=by, workspace_id=here, contact_id=ContactMethod.objects.get(person_id=cast.ada).id)
        create_silence(
            by=by, workspace_id=here, match=["service=x"], reason="x", starts_at=now(), ends_at=now() + timedelta(hours=1)
        )  # fmt: skip
        pings, _ = create_source(by=by, workspace_id=here, protocol="healthchecks", name="Jobs")
        create_check(by=by, workspace_id=here, source_id=pings.id, name="Backup")
        watch = Schedule.objects.get()
        oncall.create_feed(by=by, workspace_id=here, schedule_id=watch.id)
        oncall.add_override(
            by=by, workspace_id=here, schedule_id=watch.id, person_id=cast.edo, starts_at=now(), ends_at=now() + timedelta(hours=8), reason="x"
        )  # fmt: skip
    alert = {"status": "firing", "labels": {"alertname": "Slow"}, "startsAt": "2026-11-21T16:00:00Z"}
    told = {"slug": "backup", "action": "", "run": "", "method": "GET", "agent": "", "body": "", "size": 0}
    db.run(
        "INSERT INTO signals_arrival (source_id, workspace_id, received_at, body) VALUES (%s, %s, now(), %s)", pings.id, here, json.dumps(told).encode()
    )  # fmt: skip
    for body in (json.dumps({"alerts": [alert]}).encode(), b"nonsense"):
        db.run(
            "INSERT INTO signals_arrival (source_id, workspace_id, received_at, body) VALUES (%s, %s, now(), %s)",
            sender.id,
            here,
            body,
        )
    with as_worker():
        take_in(ADAPTERS)
        look_whether_we_can_page()
        while deliver_one() or send_one():
            pass
    db.run(
        "INSERT INTO incidents_guide (id, workspace_id, key, alert, exact, title, meaning, steps, path, line) VALUES (%s, %s, 'x', 'x', true, 'x', '', '[]', 'x', 1)",
        uuid7(), here,
    )  # fmt: skip
    db.run(
        "INSERT INTO paging_texts_stopped (id, workspace_id, person_id, contact_id, at) VALUES (%s, %s, gen_random_uuid(), gen_random_uuid(), now())",
        uuid7(), here,
    )  # fmt: skip
    signed_in(cast.ada)
    token = cast.token(cast.ada)
    from tests.cast import api

    assert api(token).post(
        "/api/v1/workspaces/main/teams", {"name": "Again"}, content_type="application/json", headers={"Idempotency-Key": "k1"}
    ).status_code == 201  # fmt: skip
    seal_all()
    db.run("INSERT INTO runtime_heartbeat VALUES ('worker@x/1', 'worker', '0', now()) ON CONFLICT DO NOTHING")
    for table in tables(db):
        if db.run(f'SELECT count(*) FROM "{table}"')[0][0] == 0:
            fill_by_type(db, table)
    return cast


def tables(db: Any) -> list[str]:
    return [row[0] for row in db.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")]


def bare(role: str, **kwargs: Any) -> psycopg.Connection[Any]:
    """A plain SQL session of a principal: no middleware, no person."""
    database = settings.DATABASES["default"]
    return psycopg.connect(
        host=database["HOST"], dbname=database["NAME"], user=f"{settings.ROLE_PREFIX}_{role}",
        password=settings.KEYS.text(f"database-role/{role}"), **kwargs,
    )  # fmt: skip


def count(session: psycopg.Connection[Any], table: str) -> int | None:
    """How many rows this session sees; None when it may not even ask."""
    try:
        with session.transaction():
            columns = session.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND has_column_privilege(%s, column_name, 'SELECT')",
                [table, table],
            ).fetchall()
            if not columns:
                session.execute(f'SELECT 1 FROM "{table}"')
            row = session.execute(f'SELECT count("{columns[0][0] if columns else 1}") FROM "{table}"').fetchone()
            return int(row[0]) if row else 0
    except psycopg.errors.InsufficientPrivilege:
        return None


def write_attempts(session: psycopg.Connection[Any], table: str, columns: list[str]) -> list[str]:
    """Tries to copy, change and delete every row; answers what got through."""
    through = []
    first = columns[0]
    for verb, query in (
        ("update", f'UPDATE "{table}" SET "{first}" = "{first}"'),
        ("delete", f'DELETE FROM "{table}"'),
        ("truncate", f'TRUNCATE "{table}" CASCADE'),
    ):
        try:
            with session.transaction():
                if session.execute(query).rowcount:
                    through.append(verb)
                raise _Undo
        except _Undo:
            pass
        except psycopg.Error:
            continue
    return through


class _Undo(Exception):
    pass


def test_every_table_has_rows(filled: Cast, db: Any) -> None:
    assert [table for table in tables(db) if db.run(f'SELECT count(*) FROM "{table}"')[0][0] == 0] == []


def test_every_table_is_declared_and_under_row_level_security(filled: Cast, db: Any) -> None:
    declared = declared_tables()
    assert set(tables(db)) == set(declared)
    unguarded = db.run(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND NOT relrowsecurity"
    )
    assert unguarded == []
    for table in declared.values():
        assert table.scope != "none" or table.reason


def test_a_bare_session_of_the_app_role_reads_and_writes_nothing(filled: Cast, db: Any) -> None:
    with bare("app") as session:
        for table in tables(db):
            assert count(session, table) in (0, None), table
            columns = [
                row[0]
                for row in db.run(
                    "SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position",
                    table,
                )
            ]
            assert write_attempts(session, table, columns) == [], table
        for call in (
            "SELECT wb_defer('default', 'blobs.scan', '{}', NULL, NULL)",
            "SELECT * FROM procrastinate_fetch_job_v2(NULL, 1)",
            f"SELECT wb_places_of('{filled.ada}')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                with session.transaction():
                    session.execute(call)


def test_a_stranger_reads_and_writes_nothing_of_another_workspace(filled: Cast, db: Any) -> None:
    """Sam is admin of “Other”; every row that Sam can see must be of Other, or Sam's own."""
    for table in tables(db):
        with acting(filled.sam), connection.cursor() as cursor:
            try:
                cursor.execute(f'SELECT t::text FROM (SELECT {readable(table, db)} FROM "{table}") t')
            except DatabaseError as error:
                if "permission denied" not in str(error):
                    raise
                continue
            rows = [row[0] for row in cursor.fetchall()]
        for secret in (str(filled.main), str(filled.ada), "ada@example.org", "Platform", "Checkout"):
            assert not [row for row in rows if secret in row], (table, secret)


def test_a_stranger_cannot_insert_into_another_workspace(filled: Cast, db: Any) -> None:
    """Every row of Main, copied under a new id by Sam, is refused."""
    for table in tables(db):
        row = db.run(f'SELECT to_jsonb(t) FROM "{table}" t WHERE t::text LIKE %s LIMIT 1', f"%{filled.main}%")
        if not row:
            continue
        data = dict(row[0][0])
        generated = {
            r[0]
            for r in db.run(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND is_generated = 'ALWAYS'",
                table,
            )
        }
        if "id" in data and isinstance(data["id"], str):
            fresh = str(uuid7())
            data = {
                key: value.replace(data["id"], fresh) if isinstance(value, str) else value
                for key, value in data.items()
            }
        elif "id" in data:
            data["id"] = 10**9
        columns = [column for column in data if column not in generated]
        names = ", ".join(f'"{column}"' for column in columns)
        query = f'INSERT INTO "{table}" ({names}) SELECT {names} FROM jsonb_populate_record(NULL::"{table}", %s::jsonb)'
        with pytest.raises(DatabaseError, match=r"(?i)permission denied|row-level security"), acting(filled.sam):
            connection.cursor().execute(query, [json.dumps(data)])


def test_a_stranger_cannot_change_or_delete_in_another_workspace(filled: Cast, db: Any) -> None:
    """Every table that the app role may change or delete from: no row of Main is touched by Sam."""
    role = f"{settings.ROLE_PREFIX}_app"
    tried = 0
    for table in tables(db):
        columns = db.run(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND has_column_privilege(%s, %s, column_name, 'UPDATE')",
            table,
            role,
            table,
        )
        queries = [f'UPDATE "{table}" t SET "{columns[0][0]}" = "{columns[0][0]}"'] if columns else []
        if db.run("SELECT has_table_privilege(%s, %s, 'DELETE')", role, table)[0][0]:
            queries.append(f'DELETE FROM "{table}" t')
        for query in queries:
            before = db.run(
                f'SELECT count(*), max(xmin::text::bigint) FROM "{table}" t WHERE t::text LIKE %s', f"%{filled.main}%"
            )
            with acting(filled.sam), connection.cursor() as cursor:
                try:
                    cursor.execute(query)
                except DatabaseError as error:
                    if "permission denied" not in str(error):
                        raise
                    continue
            assert (
                db.run(
                    f'SELECT count(*), max(xmin::text::bigint) FROM "{table}" t WHERE t::text LIKE %s',
                    f"%{filled.main}%",
                )
                == before
            ), query
            tried += 1
    assert tried > 15


def readable(table: str, db: Any) -> str:
    role = f"{settings.ROLE_PREFIX}_app"
    rows = db.run(
        "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND has_column_privilege(%s, %s, column_name, 'SELECT')",
        table,
        role,
        table,
    )
    return ", ".join(f'"{row[0]}"' for row in rows) or "*"


def test_positive_control_a_member_reads_what_is_theirs(filled: Cast, db: Any) -> None:
    """Without this the walk would pass on a database that shows nobody anything."""
    seen = set()
    for name, table in declared_tables().items():
        if "select" not in table.app:
            continue
        with acting(filled.ada), connection.cursor() as cursor:
            cursor.execute(f'SELECT count(*) FROM (SELECT {readable(name, db)} FROM "{name}") t')
            if cursor.fetchone()[0]:
                seen.add(name)
    expected = {name for name, table in declared_tables().items() if "select" in table.app}
    assert seen == expected


def test_positive_control_each_other_principal_reads_its_own_tables_and_no_others(filled: Cast, db: Any) -> None:
    declared = declared_tables()
    for role in set(PRINCIPALS) - {"app"}:
        with bare(role) as session:
            for table in tables(db):
                seen = count(session, table)
                granted = "select" in declared[table].others.get(role, "")
                assert (seen is not None) == granted, (role, table)
                total = db.run(f'SELECT count(*) FROM "{table}"')[0][0]
                if granted and role not in declared[table].conditions:
                    assert seen == total, (role, table)


def test_no_principal_is_superuser_owner_or_may_become_another(db: Any) -> None:
    rows = db.run(
        "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname LIKE %s",
        f"{settings.ROLE_PREFIX}\\_%",
    )
    assert len(rows) == len(PRINCIPALS)
    assert all(not any(flags) for _, *flags in rows)
    owners = db.run("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
    assert not {owner[0] for owner in owners} & {row[0] for row in rows}
    members = db.run(
        "SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member WHERE r.rolname LIKE %s",
        f"{settings.ROLE_PREFIX}\\_%",
    )
    assert members == [(0,)]


def test_the_sign_in_principal_appends_only_what_sign_in_records(filled: Cast) -> None:
    from django.db import transaction

    from watchbill.base.ids import HUB
    from watchbill.ledger.append import append

    append(workspace_id=HUB, by=system("signin"), action="signin.failed", subject=("signin", "x"), using="signin")
    for workspace_id, action in ((HUB, "role.grant"), (filled.main, "signin.failed")):
        with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic(using="signin"):
            append(workspace_id=workspace_id, by=system("signin"), action=action, subject=("x", "y"), using="signin")


def test_a_token_sees_its_own_workspace_only(filled: Cast, db: Any) -> None:
    """Hob is in the hub's workspace and, for this test, in Main: a token for Main shows nothing of the hub's."""
    db.run(
        "INSERT INTO people_membership (id, workspace_id, person_id, since) VALUES (%s, %s, %s, now())",
        uuid7(),
        filled.main,
        filled.hob,
    )
    from watchbill.people.models import Workspace

    with acting(filled.hob):
        assert Workspace.objects.count() == 2
    with acting(filled.hob, only=filled.main):
        assert list(Workspace.objects.values_list("slug", flat=True)) == ["main"]


def test_job_arguments_are_ids_only(db: Any) -> None:
    from django.db import transaction

    from watchbill.base.errors import Broken
    from watchbill.runtime.jobs import defer

    with transaction.atomic():
        with pytest.raises(Broken, match="must be ids"):
            defer("blobs.scan", blob_id="ada@example.org")  # type: ignore[arg-type]
    with pytest.raises(Broken, match="outside of a transaction"):
        defer("blobs.scan", blob_id=uuid7())


def test_a_job_exists_exactly_when_its_transaction_commits(filled: Cast, db: Any) -> None:
    from watchbill.runtime.jobs import defer

    before = db.run("SELECT count(*) FROM procrastinate_jobs")[0][0]

    def undone() -> None:
        with acting(filled.ada):
            defer("blobs.scan", blob_id=uuid7())
            raise _Undo

    with pytest.raises(_Undo):
        undone()
    assert db.run("SELECT count(*) FROM procrastinate_jobs")[0][0] == before
    with acting(filled.ada):
        defer("blobs.scan", blob_id=uuid7())
    assert db.run("SELECT count(*) FROM procrastinate_jobs")[0][0] == before + 1
