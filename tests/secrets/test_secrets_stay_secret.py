"""Envelope encryption, recorded use, change of keys, and no way to see a value again."""

from typing import Any

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from tests.cast import Cast, acting, api, signed_in
from watchbill.base.errors import Conflict, Denied, NotFound, Unavailable
from watchbill.base.keys import Keys
from watchbill.secrets import commands
from watchbill.secrets.envelope import Sealed, rewrap, seal, unseal
from watchbill.secrets.models import Secret, SecretUse

ONE, TWO = Keys(b"1" * 32), Keys(b"2" * 32)


@given(st.binary(max_size=500), st.text(max_size=50))
def test_what_is_sealed_opens_again_here_and_nowhere_else(value: bytes, context: str) -> None:
    sealed = seal(ONE, context, value)
    assert unseal([ONE], context, sealed) == value
    assert value not in sealed.data or len(value) < 4
    with pytest.raises(Unavailable, match="changed or moved"):
        unseal([ONE], context + "x", sealed)
    with pytest.raises(Unavailable, match="another master key"):
        unseal([TWO], context, sealed)
    damaged = Sealed(sealed.key_id, sealed.wrapped, sealed.data[:-1] + bytes([sealed.data[-1] ^ 1]))
    with pytest.raises(Unavailable):
        unseal([ONE], context, damaged)
    assert unseal([TWO], context, rewrap([ONE], TWO, context, sealed)) == value


def test_a_secret_is_stored_used_and_counted_and_never_shown(cast: Cast, db: Any) -> None:
    program, browser = api(cast.token(cast.ada)), signed_in(cast.ada)
    made = program.post(
        "/api/v1/workspaces/main/secrets",
        {"name": "grafana", "value": "hunter2-very-secret"},
        content_type="application/json",
    )
    assert made.status_code == 201
    with cast.acts(cast.ada) as by:
        assert (
            commands.open_secret(by=by, workspace_id=cast.main, name="grafana", purpose="panel")
            == "hunter2-very-secret"
        )
        assert SecretUse.objects.get().purpose == "panel"
    for answer in (
        made,
        program.get("/api/v1/workspaces/main/secrets"),
        browser.get("/w/main/settings"),
        browser.get("/w/main/audit"),
    ):
        assert b"hunter2" not in answer.content
    listed = program.get("/api/v1/workspaces/main/secrets").json()["items"][0]
    assert listed["used"] == 1
    for (table,) in db.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        assert db.run(f"SELECT count(*) FROM \"{table}\" t WHERE t::text LIKE '%%hunter2%%'") == [(0,)], table


def test_replacing_deleting_and_refusing(cast: Cast) -> None:
    with cast.acts(cast.ada) as by:
        secret = commands.store_secret(by=by, workspace_id=cast.main, name="k", value="one")
        commands.replace_secret(by=by, workspace_id=cast.main, secret_id=secret.id, value="two")
        assert commands.open_secret(by=by, workspace_id=cast.main, name="k", purpose="t") == "two"
    with pytest.raises(Conflict), cast.acts(cast.ada) as by:
        commands.store_secret(by=by, workspace_id=cast.main, name="k", value="x")
    with pytest.raises(Denied), cast.acts(cast.edo) as by:
        commands.replace_secret(by=by, workspace_id=cast.main, secret_id=secret.id, value="x")
    with pytest.raises(NotFound), cast.acts(cast.sam) as by:
        commands.replace_secret(by=by, workspace_id=cast.other, secret_id=secret.id, value="x")
    with cast.acts(cast.ada) as by:
        commands.delete_secret(by=by, workspace_id=cast.main, secret_id=secret.id)
        with pytest.raises(NotFound):
            commands.open_secret(by=by, workspace_id=cast.main, name="k", purpose="t")


def test_a_secret_moved_to_another_workspace_does_not_open(cast: Cast, db: Any) -> None:
    with cast.acts(cast.ada) as by:
        commands.store_secret(by=by, workspace_id=cast.main, name="k", value="one")
    db.run("UPDATE secrets_secret SET workspace_id = %s", cast.other)
    with cast.acts(cast.sam) as by, pytest.raises(Unavailable, match="changed or moved"):
        commands.open_secret(by=by, workspace_id=cast.other, name="k", purpose="theft")


def test_the_master_key_can_be_changed(cast: Cast) -> None:
    with override_settings(KEYS=ONE, PREVIOUS_KEYS=None), cast.acts(cast.ada) as by:
        commands.store_secret(by=by, workspace_id=cast.main, name="k", value="kept")
    with override_settings(KEYS=TWO, PREVIOUS_KEYS=ONE), cast.acts(cast.ada) as by:
        assert commands.open_secret(by=by, workspace_id=cast.main, name="k", purpose="t") == "kept"
        assert commands.rewrap_secrets(by=by, workspace_id=cast.main) == 1
        assert commands.rewrap_secrets(by=by, workspace_id=cast.main) == 0
    with override_settings(KEYS=TWO, PREVIOUS_KEYS=None), cast.acts(cast.ada) as by:
        assert commands.open_secret(by=by, workspace_id=cast.main, name="k", purpose="t") == "kept"
        assert Secret.objects.count() == 1
    with acting(cast.sam):
        assert Secret.objects.count() == 0
