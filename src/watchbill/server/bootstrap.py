"""Bringing a database up: roles, migrations, access rules, the hub's own workspace and its first admin."""

import os
from pathlib import Path
from uuid import UUID

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.db import connection, connections, transaction
from psycopg import sql
from psycopg.conninfo import make_conninfo

from watchbill.base.actor import system
from watchbill.base.errors import SettingError
from watchbill.base.ids import HUB, pronounceable, uuid7
from watchbill.ledger.append import append
from watchbill.people.models import Membership, Person, RoleGrant, Workspace
from watchbill.runtime.now import now
from watchbill.runtime.principals import apply_access, ensure_roles
from watchbill.server.health import code_migrations
from watchbill.signin.commands import make_link

_LOCK = 0x57A7C4B0
FIRST_ADMIN = "Hub administrator"


def migrate() -> bool:
    """Roles, tables, access rules; one at a time. Says whether this database was empty before."""
    _ensure_database()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        try:
            fresh = not _has_tables(cursor)
            _refuse_newer(cursor, fresh)
            ensure_roles(cursor, settings.ROLE_PREFIX, settings.KEYS)
            if fresh or _pending(cursor):
                call_command("migrate", verbosity=0, interactive=False)
            with transaction.atomic():
                apply_access(cursor, settings.ROLE_PREFIX)
                _ensure_hub(cursor)
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
    return fresh


def _ensure_database() -> None:
    """Makes the database when the server has none of that name."""
    database = settings.DATABASES["default"]
    where = make_conninfo(
        host=str(database["HOST"]),
        port=int(str(database["PORT"])),
        user=str(database["USER"]),
        password=str(database["PASSWORD"]),
        connect_timeout=10,
        **settings.DATABASE_OPTIONS,
    )
    try:
        psycopg.connect(where, dbname=str(database["NAME"])).close()
        return
    except psycopg.OperationalError as error:
        if "does not exist" not in str(error) or "database" not in str(error):
            raise
    with psycopg.connect(where, dbname="postgres", autocommit=True) as server:
        name = sql.Identifier(str(database["NAME"]))
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(name))


def _has_tables(cursor: object) -> bool:
    cursor.execute("SELECT to_regclass('public.django_migrations') IS NOT NULL")  # type: ignore[attr-defined]
    return bool(cursor.fetchone()[0])  # type: ignore[attr-defined]


def _applied(cursor: object) -> set[tuple[str, str]]:
    cursor.execute("SELECT app, name FROM django_migrations")  # type: ignore[attr-defined]
    return set(cursor.fetchall())  # type: ignore[attr-defined]


def _pending(cursor: object) -> bool:
    return bool(code_migrations() - _applied(cursor))


def _refuse_newer(cursor: object, fresh: bool) -> None:
    """A schema newer than the code is left alone."""
    if fresh:
        return
    ours = {app for app, _ in code_migrations()}
    unknown = sorted(f"{app}.{name}" for app, name in _applied(cursor) - code_migrations() if app in ours)
    if unknown:
        raise SettingError(
            f"This database was migrated by a newer Watchbill ({unknown[-1]} is unknown here). Nothing was changed.",
            hint="Install that version again, or restore the backup that was made before the upgrade.",
        )


def _ensure_hub(cursor: object) -> None:
    cursor.execute(  # type: ignore[attr-defined]
        "INSERT INTO runtime_meta (key, value) VALUES ('hub_id', %s) ON CONFLICT (key) DO NOTHING",
        [f"{pronounceable(3)}-{os.urandom(4).hex()}"],
    )
    if not Workspace.objects.filter(id=HUB).exists():
        Workspace(id=HUB, slug="hub", name="This hub", created_at=now()).save(force_insert=True)
        append(workspace_id=HUB, by=system("setup"), action="hub.founded", subject=("workspace", HUB))


def first_admin() -> UUID:
    """The person who signs in first: admin of the hub's own workspace. Made once."""
    grant = (
        RoleGrant.objects.filter(workspace_id=HUB, role="admin", ended_at=None, person__active=True)
        .order_by("granted_at")
        .first()
    )
    if grant:
        person_id: UUID = grant.person_id
        return person_id
    at, by = now(), system("setup")
    with transaction.atomic():
        person = Person(id=uuid7(), name=FIRST_ADMIN, created_in_id=HUB, created_at=at)
        person.save(force_insert=True)
        Membership(workspace_id=HUB, person=person, since=at).save(force_insert=True)
        RoleGrant(workspace_id=HUB, person=person, role="admin", granted_by=by.id, granted_at=at).save(
            force_insert=True
        )
        append(workspace_id=HUB, by=by, action="person.invite", subject=("person", person.id), detail={"role": "admin"})
    return person.id


def begin(admin: UUID) -> list[str]:
    """What a new hub begins with: the workspace “Main”, and a workspace for each handbook of WATCHBILL_HANDBOOKS. Nothing where
    there is a workspace already. All or nothing, so that a start that was cut off begins again. Answers their names."""
    from watchbill.people.commands import create_workspace

    if Workspace.objects.exclude(id=HUB).exists():
        return []
    with transaction.atomic():
        create_workspace(by=system("setup"), name="Main", first_admin=admin)
        folder = settings.CONFIG.get("WATCHBILL_HANDBOOKS")
        return _apply_handbooks(admin, Path(folder)) if folder else []


def _apply_handbooks(admin: UUID, folder: Path) -> list[str]:
    from watchbill.handbook.cast import FILE, play, read_cast
    from watchbill.handbook.commands import apply_handbook
    from watchbill.handbook.compile import compile_folder
    from watchbill.handbook.files import load
    from watchbill.people.commands import create_workspace

    if not folder.is_dir():
        raise SettingError(
            f"WATCHBILL_HANDBOOKS is “{folder}”, which is no folder.",
            hint="Name a folder of handbooks, or leave it empty.",
            field="WATCHBILL_HANDBOOKS",
        )
    applied = []
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        found = load(place)
        if found.lock is None:
            # Nothing of it was accepted.
            continue
        book = compile_folder(found)
        workspace = create_workspace(
            by=system("setup"),
            name=book.config.name or book.slug,
            slug=book.slug,
            time_zone=book.config.time_zone,
            first_admin=admin,
        )
        cast = place / FILE
        if cast.is_file():
            play(by=system("setup"), workspace_id=workspace.id, cast=read_cast(cast.read_text("utf-8")))
        apply_handbook(
            by=system("setup"),
            workspace_id=workspace.id,
            slug=workspace.slug,
            files=[(source.path, source.text) for source in found.sources],
            lock=found.lock,
            config=found.config or "",
        )
        applied.append(workspace.slug)
    return applied


def sign_in_link(person_id: UUID) -> str:
    """A fresh one-time link's address."""
    return f"{settings.PUBLIC_URL}/signin/link/{make_link(by=system('setup'), workspace_id=HUB, person_id=person_id)}"


def close() -> None:
    """Closes this process's connections."""
    for each in connections.all(initialized_only=True):
        each.close()
