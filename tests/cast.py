"""The cast: made through the real commands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection, transaction
from django.test import Client

from watchbill.base.actor import Actor, system
from watchbill.base.ids import HUB, uuid7
from watchbill.people.queries import Reader, load_reader

_owners: dict[str, psycopg.Connection[Any]] = {}


def as_owner(query: str, *args: Any) -> None:
    """As the superuser, on one connection that is kept."""
    url = os.environ["DATABASE_URL"]
    for attempt in range(2):
        if url not in _owners or _owners[url].closed:
            _owners[url] = psycopg.connect(url, autocommit=True)
        try:
            _owners[url].execute(query, args or None)
            return
        except psycopg.OperationalError:  # A test ended all connections, or the server.
            _owners.pop(url).close()
            if attempt:
                raise


@contextmanager
def acting(person_id: UUID | None, *, only: UUID | None = None) -> Iterator[None]:
    """A transaction of a person under the app role, as the middleware makes it."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('watchbill.person', %s, true), set_config('watchbill.only', %s, true)",
                [str(person_id or ""), str(only or "")],
            )
        yield


def reader(person_id: UUID, *, mfa: bool = True) -> Reader:
    """The reader, inside of ``acting``."""
    found = load_reader(person_id=person_id, via="web", request_id="test", mfa=mfa)
    assert found is not None
    return found


class Cast:
    """Two workspaces that must not see each other."""

    def __init__(self) -> None:
        self.main, self.other = uuid7(), uuid7()
        self.ada, self.edo, self.apo, self.vera, self.aud, self.sam, self.hob = (uuid7() for _ in range(7))
        people = [
            (self.ada, "Ada Admin", "ada@example.org", self.main, "admin"),
            (self.edo, "Edo Editor", "edo@example.org", self.main, "editor"),
            (self.apo, "Apo Approver", "apo@example.org", self.main, "approver"),
            (self.vera, "Vera Viewer", "vera@example.org", self.main, "viewer"),
            (self.aud, "Aud Auditor", "aud@example.org", self.main, "auditor"),
            (self.sam, "Sam Stranger", "sam@example.net", self.other, "admin"),
            (self.hob, "Hob Hub", "hob@example.com", HUB, "admin"),
        ]
        for workspace_id, slug, name in ((self.main, "main", "Main"), (self.other, "other", "Other")):
            as_owner(
                "INSERT INTO people_workspace (id, slug, name, time_zone, require_mfa, created_at) VALUES (%s, %s, %s, 'UTC', false, wb_now())",
                workspace_id, slug, name,
            )  # fmt: skip
        for person_id, name, email, workspace_id, role in people:
            as_owner(
                "INSERT INTO people_person (id, name, outsider, active, created_in_id, created_at) VALUES (%s, %s, false, true, %s, wb_now())",
                person_id, name, workspace_id,
            )  # fmt: skip
            as_owner(
                "INSERT INTO people_contact_method (id, person_id, kind, value, position) VALUES (%s, %s, 'email', %s, 0)",
                uuid7(),
                person_id,
                email,
            )
            as_owner(
                "INSERT INTO people_membership (id, workspace_id, person_id, since) VALUES (%s, %s, %s, wb_now())",
                uuid7(),
                workspace_id,
                person_id,
            )
            as_owner(
                "INSERT INTO people_role_grant (id, workspace_id, person_id, role, source, granted_by, granted_at) "
                "VALUES (%s, %s, %s, %s, 'granted', %s, wb_now())",
                uuid7(), workspace_id, person_id, role, system("setup").id,
            )  # fmt: skip

    def actor(self, person_id: UUID) -> Actor:
        """The person as an actor."""
        with acting(person_id):
            return reader(person_id).actor

    @contextmanager
    def acts(self, person_id: UUID, *, mfa: bool = True) -> Iterator[Actor]:
        """A person's transaction, with them as actor."""
        with acting(person_id):
            yield reader(person_id, mfa=mfa).actor

    def bind(self, *names: str, person_id: UUID | None = None) -> None:
        """Binds names of runbooks in Main to a person, Edo unless told otherwise."""
        from watchbill.handbook.bindings import bind_name

        with self.acts(self.ada) as by:
            for name in names:
                bind_name(
                    by=by, workspace_id=self.main, name=name, target_kind="person", target_id=person_id or self.edo
                )

    def bind_example(self, folder: str) -> None:
        """Binds all names of an example's cast.yaml."""
        from pathlib import Path

        from watchbill.handbook.cast import read_cast

        place = Path(__file__).resolve().parents[1] / "examples" / "handbooks" / folder / "cast.yaml"
        self.bind(*read_cast(place.read_text("utf-8")).bindings)

    def token(
        self, person_id: UUID, *, workspace_id: UUID | None = None, scopes: list[str] | None = None, days: int = 30
    ) -> str:
        """A token of that person, with all their permissions unless told otherwise."""
        from watchbill.people.commands import create_token

        with self.acts(person_id) as by:
            place = workspace_id or next(iter(by.grants))
            wanted = scopes or sorted(by.grants[place])
            if "token.use" not in by.grants[place]:
                by = Actor(
                    by.kind,
                    by.id,
                    by.via,
                    by.request_id,
                    MappingProxyType({place: by.grants[place] | {"token.use"}}),
                    mfa=True,
                )
            return create_token(by=by, workspace_id=place, name="test", scopes=wanted, days=days)[1]


def signed_in(person_id: UUID, *, mfa: bool = False, **kwargs: Any) -> Client:
    """A browser that came in through a one-time link."""
    from watchbill.runtime.now import now
    from watchbill.signin.commands import ensure_login, link_digest
    from watchbill.signin.models import OneTimeLink

    text = f"wbl_test-{uuid7()}"
    ensure_login(person_id)
    at = now("signin")
    OneTimeLink(
        digest=link_digest(text), person_id=person_id, made_by=person_id, created_at=at, expires_at=at + timedelta(minutes=5)
    ).save(force_insert=True)  # fmt: skip
    client = Client(**kwargs)
    response = client.post(f"/signin/link/{text}")
    assert response.status_code == 302, response.content
    if mfa:
        session = client.session
        methods = session["account_authentication_methods"]
        session["account_authentication_methods"] = [*methods, {"method": "mfa", "at": 0}]
        session.save()
    return client


def api(token: str) -> Client:
    """A program with a token."""
    return Client(headers={"Authorization": f"Bearer {token}"})


def seal_all() -> int:
    """Runs the sealer until nothing is left, as its own principal."""
    from django.conf import settings

    from watchbill.ledger.sealer import Sealer

    ensure_alias("sealer")
    sealer, total = Sealer(settings.KEYS), 0
    while count := sealer.step():
        total += count
    sealer.drop()
    return total


def ensure_alias(*aliases: str) -> None:
    """Gives this test process further principals' connections."""
    from django.conf import settings
    from django.db import connections

    for alias in aliases:
        if alias not in connections.settings:
            template = dict(connections.settings["signin"])
            template["USER"] = f"{settings.ROLE_PREFIX}_{alias}"
            template["PASSWORD"] = settings.KEYS.text(f"database-role/{alias}")
            template["OPTIONS"] = {k: v for k, v in template["OPTIONS"].items() if k != "pool"}
            connections.settings[alias] = template


@contextmanager
def as_worker() -> Iterator[None]:
    """Everything inside runs under the worker's database role, as background steps do."""
    from django.db import connections

    ensure_alias("worker")
    before = connections["default"]
    connections["default"] = connections["worker"]  # type: ignore[assignment]
    try:
        yield
    finally:
        connections["default"] = before  # type: ignore[assignment]
        connections["worker"].close()
