"""Password with TOTP, one-time links, sessions, tokens: the doors, and what stays shut."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from tests.cast import Cast, acting, api, signed_in
from watchbill.base.errors import Denied, Invalid
from watchbill.signin import commands
from watchbill.signin.models import Login, OneTimeLink, Session

PASSWORD = "a long enough secret"


@pytest.fixture(autouse=True)
def fresh_limits() -> None:
    from django.core.cache import cache

    from watchbill.signin import pages

    pages._ATTEMPTS._state.clear()
    cache.clear()


def actions(db: Any) -> list[str]:
    return [row[0] for row in db.run("SELECT action FROM ledger_entry ORDER BY id")]


def with_password(cast: Cast, person: Any) -> None:
    login = commands.ensure_login(person)
    login.set_password(PASSWORD)
    login.save()


def enter(email: str, password: str = PASSWORD) -> tuple[Client, Any]:
    client = Client()
    return client, client.post("/signin", {"email": email, "password": password})


def test_the_right_password_opens_and_is_recorded(cast: Cast, db: Any) -> None:
    with_password(cast, cast.edo)
    client, response = enter("EDO@example.org")
    assert response.status_code == 302
    assert client.get("/w/main/").status_code == 200
    assert actions(db) == ["signin.succeeded"]


@pytest.mark.parametrize(
    ("email", "password"), [("edo@example.org", "wrong"), ("nobody@example.org", PASSWORD), ("x\x00@y", PASSWORD)]
)
def test_a_wrong_one_does_not_say_which_part_was_wrong(cast: Cast, db: Any, email: str, password: str) -> None:
    with_password(cast, cast.edo)
    client, response = enter(email, password)
    assert response.status_code == 422
    assert client.get("/w/main/").status_code == 302
    if "\x00" not in email:
        assert b"do not fit together" in response.content
        assert actions(db) == ["signin.failed"]
        assert email not in str(db.run("SELECT body FROM ledger_payload"))


def test_guessing_is_slowed_down(cast: Cast) -> None:
    statuses = [enter("edo@example.org", f"guess {n}")[1] for n in range(12)]
    assert statuses[-1].status_code == 429
    assert int(statuses[-1]["Retry-After"]) >= 1


def test_an_inactive_person_does_not_come_in(cast: Cast, db: Any) -> None:
    with_password(cast, cast.edo)
    db.run("UPDATE people_person SET active = false WHERE id = %s", cast.edo)
    assert enter("edo@example.org")[1].status_code == 422


def test_a_second_factor_is_set_up_and_then_asked_for(cast: Cast, db: Any) -> None:
    from allauth.mfa.totp.internal import auth as totp

    with_password(cast, cast.edo)
    client, _ = enter("edo@example.org")
    assert client.post("/signin/confirm", {"password": "wrong"}).status_code == 200
    client.post("/signin/confirm", {"password": PASSWORD})
    assert client.get("/account/two-factor/app").status_code == 200
    secret = client.session["mfa.totp.secret"]
    code = totp.format_hotp_value(totp.hotp_value(secret, next(totp.yield_hotp_counters_from_time())))
    assert client.post("/account/two-factor/app", {"code": code}).status_code == 302
    assert secret not in str(db.run("SELECT data FROM mfa_authenticator"))
    other, response = enter("edo@example.org")
    assert response["Location"] == "/signin/two-factor"
    assert other.get("/w/main/").status_code == 302
    assert other.post("/signin/two-factor", {"code": "000000"}).status_code == 200
    from django.core.cache import cache

    cache.clear()
    code = totp.format_hotp_value(totp.hotp_value(secret, next(totp.yield_hotp_counters_from_time()) + 1))
    response = other.post("/signin/two-factor", {"code": code})
    assert response.status_code == 302, re.findall(rb'role="alert".*', response.content)
    assert other.get("/w/main/").status_code == 200
    db.run("UPDATE people_workspace SET require_mfa = true WHERE id = %s", cast.main)
    assert other.get("/w/main/").status_code == 200


def test_a_workspace_that_asks_for_a_second_factor_stays_shut_without(cast: Cast, db: Any) -> None:
    db.run("UPDATE people_workspace SET require_mfa = true WHERE id = %s", cast.main)
    client = signed_in(cast.edo)
    response = client.get("/w/main/")
    assert response.status_code == 403
    assert b"second factor" in response.content
    assert client.get("/api/v1/workspaces/main/teams").status_code == 403
    assert client.get("/account/two-factor").status_code == 200
    assert signed_in(cast.edo, mfa=True).get("/w/main/").status_code == 200


def test_a_link_works_once_and_looking_does_not_use_it(cast: Cast, db: Any) -> None:
    with cast.acts(cast.ada) as by:
        text = commands.make_link(by=by, workspace_id=cast.main, person_id=cast.edo)
    for _ in range(3):
        assert Client().get(f"/signin/link/{text}").status_code == 200
    client = Client()
    assert client.post(f"/signin/link/{text}").status_code == 302
    assert client.get("/w/main/").status_code == 200
    again = Client()
    assert again.post(f"/signin/link/{text}").status_code == 404
    assert again.get("/w/main/").status_code == 302
    assert text[4:] not in str(db.run("SELECT t::text FROM signin_one_time_link t"))


def test_a_link_expires(cast: Cast, clock: Any) -> None:
    with cast.acts(cast.ada) as by:
        text = commands.make_link(by=by, workspace_id=cast.main, person_id=cast.edo)
    clock.forward(minutes=31)
    assert Client().post(f"/signin/link/{text}").status_code == 404


def test_of_two_at_once_one_comes_in(cast: Cast) -> None:
    import threading

    from django.db import connections

    with cast.acts(cast.ada) as by:
        text = commands.make_link(by=by, workspace_id=cast.main, person_id=cast.edo)
    results: list[int] = []

    def go() -> None:
        results.append(Client().post(f"/signin/link/{text}").status_code)
        connections.close_all()

    threads = [threading.Thread(target=go) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [302, 404, 404, 404, 404]


def test_nobody_makes_a_link_for_somebody_who_may_more(cast: Cast, db: Any) -> None:
    from types import MappingProxyType

    from watchbill.base.actor import Actor

    by = Actor(
        "person",
        cast.edo,
        "web",
        "",
        MappingProxyType({cast.main: cast.actor(cast.edo).grants[cast.main] | {"person.invite"}}),
    )
    with pytest.raises(Denied, match="may do more"), acting(cast.edo):
        commands.make_link(by=by, workspace_id=cast.main, person_id=cast.ada)
    with pytest.raises(Denied, match="own machine"), cast.acts(cast.ada) as ada:
        commands.make_link(by=ada, workspace_id=cast.main, person_id=cast.edo, break_glass=True, reason="x")


def test_break_glass_passes_the_second_factor_and_is_loud(cast: Cast, db: Any) -> None:
    from watchbill.base.actor import system

    db.run("UPDATE people_workspace SET require_mfa = true WHERE id = %s", cast.main)
    with acting(cast.ada):
        with pytest.raises(Invalid, match="reason"):
            commands.make_link(by=system("cli"), workspace_id=cast.main, person_id=cast.ada, break_glass=True)
        text = commands.make_link(
            by=system("cli"), workspace_id=cast.main, person_id=cast.ada, break_glass=True, reason="provider is down"
        )
    client = Client()
    client.post(f"/signin/link/{text}")
    assert client.get("/w/main/").status_code == 200
    assert actions(db) == ["signin.link", "signin.break_glass"]


def test_the_cookie_is_not_in_the_database_and_is_dead_after_sign_out(cast: Cast, db: Any) -> None:
    client = signed_in(cast.edo)
    key = client.cookies["watchbill_session"].value
    assert key not in str(db.run("SELECT t::text FROM signin_session t"))
    client.post("/signout")
    thief = Client()
    thief.cookies["watchbill_session"] = key
    assert thief.get("/w/main/").status_code == 302


def test_sessions_are_listed_and_ended(cast: Cast, db: Any) -> None:
    one, two = signed_in(cast.edo, HTTP_USER_AGENT="Mozilla/5.0 (X11; Linux) Firefox/130.0"), signed_in(cast.edo)
    one.get("/w/main/")
    two.get("/w/main/")
    page = two.get("/account/sessions")
    assert page.content.count(b"this one") == 1
    others = [s.id for s in Session.objects.filter(person_id=cast.edo)]
    mine = Session.objects.get(
        digest=__import__("watchbill.signin.sessions", fromlist=["digest"]).digest(
            two.cookies["watchbill_session"].value
        )
    ).id
    others.remove(mine)
    assert two.post("/account/sessions", {"session": str(others[0])}).status_code == 302
    assert one.get("/w/main/").status_code == 302
    assert two.get("/w/main/").status_code == 200


def test_a_viewer_cannot_end_anothers_session_but_an_admin_can(cast: Cast) -> None:
    victim = signed_in(cast.edo)
    session_id = Session.objects.get(person_id=cast.edo).id
    assert signed_in(cast.vera).post("/account/sessions", {"session": str(session_id)}).status_code == 404
    assert signed_in(cast.sam).post("/w/other/settings/sessions", {"session": str(session_id)}).status_code == 404
    assert victim.get("/w/main/").status_code == 200
    assert signed_in(cast.ada).post("/w/main/settings/sessions", {"session": str(session_id)}).status_code == 302
    assert victim.get("/w/main/").status_code == 302


def test_setting_a_password_ends_the_other_sessions(cast: Cast) -> None:
    one, two = signed_in(cast.edo), signed_in(cast.edo)
    assert two.post("/account/password", {"password": "short"}).status_code == 422
    assert two.post("/account/password", {"password": "a long new password 7"}).status_code == 302
    assert two.get("/w/main/").status_code == 200
    assert one.get("/w/main/").status_code == 302
    assert Login.objects.get(person_id=cast.edo).check_password("a long new password 7")


def test_tokens_are_scoped_expire_and_end(cast: Cast, clock: Any, db: Any) -> None:
    text = cast.token(cast.ada, scopes=["team.read"], days=10)
    program = api(text)
    assert program.get("/api/v1/workspaces/main/teams").status_code == 200
    refused = program.get("/api/v1/workspaces/main/people")
    assert refused.status_code == 403
    assert "person.read" in refused.json()["detail"]
    assert db.run("SELECT last_used_at IS NOT NULL FROM people_api_token") == [(True,)]
    clock.forward(days=11)
    assert program.get("/api/v1/workspaces/main/teams").status_code == 401


def test_a_revoked_token_is_refused_at_once(cast: Cast, db: Any) -> None:
    text = cast.token(cast.ada)
    (token_id,) = db.run("SELECT id FROM people_api_token")[0]
    browser = signed_in(cast.ada)
    assert browser.post("/account", {"do": "revoke", "token": str(token_id), "workspace": "main"}).status_code == 302
    assert api(text).get("/api/v1/me").status_code == 401


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer wbt_", "Bearer wbt_nonsense", "Basic dXNlcjpwYXNz", "bearer xyz", "\x00"]
)
def test_nonsense_in_the_authorization_header(cast: Cast, header: str) -> None:
    response = Client(headers={"Authorization": header}).get("/api/v1/me")
    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_an_open_redirect_is_not_followed(cast: Cast) -> None:
    with_password(cast, cast.edo)
    for target in ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"):
        response = Client().post("/signin", {"email": "edo@example.org", "password": PASSWORD, "next": target})
        assert response["Location"] == "/", target


def test_the_sweeper_deletes_what_expired(cast: Cast, clock: Any, db: Any) -> None:
    from tests.cast import ensure_alias
    from watchbill.server.worker import sweep

    ensure_alias("sweeper")
    signed_in(cast.edo)
    OneTimeLink.objects.all().update(expires_at=clock.now() - timedelta(days=8))
    sweep()
    assert db.run("SELECT (SELECT count(*) FROM signin_session), (SELECT count(*) FROM signin_one_time_link)") == [
        (1, 0)
    ]
    clock.forward(days=15)
    sweep()
    assert db.run("SELECT count(*) FROM signin_session") == [(0,)]


def test_second_factors_survive_a_change_of_the_master_key(cast: Cast, db: Any) -> None:
    from allauth.mfa.models import Authenticator
    from django.test import override_settings

    from watchbill.base.actor import system
    from watchbill.base.keys import Keys
    from watchbill.secrets.envelope import open_text, seal_text

    old, new = Keys(b"1" * 32), Keys(b"2" * 32)
    login = commands.ensure_login(cast.edo)
    Authenticator.objects.create(
        user=login, type="totp", data={"secret": seal_text(old, "mfa", "SEED"), "used_mask": 3}
    )
    with override_settings(KEYS=new, PREVIOUS_KEYS=old):
        assert commands.rewrap_second_factors(by=system("cli")) == 1
        assert commands.rewrap_second_factors(by=system("cli")) == 0
    data = Authenticator.objects.get().data
    assert open_text([new], "mfa", data["secret"]) == "SEED"
    assert data["used_mask"] == 3
