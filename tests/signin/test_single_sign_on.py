"""OpenID Connect against a real provider that runs here: matching, roles from groups, refusals."""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from django.test import Client, override_settings

from tests.cast import Cast
from tests.ports import free_port

PYTHON = Path(__file__).parents[2] / ".venv-idp" / "bin" / "python"


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    if not PYTHON.exists():
        pytest.fail("The provider's environment is missing: make test installs it.")
    port = free_port()
    script = Path(__file__).parents[1] / "peers" / "oidc_provider.py"
    child = subprocess.Popen(
        [str(PYTHON), str(script), str(port), "http://testserver/signin/oidc/oidc/callback"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    issuer = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                if httpx.get(f"{issuer}/.well-known/openid-configuration").status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield issuer
    finally:
        child.kill()
        child.wait()


@pytest.fixture
def sso(provider: str, cast: Cast) -> Iterator[str]:
    config = {
        "issuer": provider,
        "client_id": "watchbill",
        "client_secret": "provider-secret",
        "name": "Provider",
        "groups": "groups",
    }
    with override_settings(OIDC=config):
        yield provider


def sign_in_at_provider(start: str, login: str) -> str:
    """Fills in the provider's forms as a person would; answers the address it sends the browser back to."""
    with httpx.Client(follow_redirects=False) as browser:
        response = browser.get(start)
        for _ in range(12):
            while response.status_code in {301, 302, 303}:
                target = urljoin(str(response.url), response.headers["location"])
                if urlsplit(target).hostname == "testserver":
                    return target
                response = browser.get(target)
            assert response.status_code == 200, (response.status_code, response.text[:300])
            fields = {"csrf_token": re.findall(r'name="csrf_token" value="([^"]+)"', response.text)[0]}
            if 'name="password"' in response.text:
                fields |= {"password": "correct horse battery"}
            elif 'name="login"' in response.text:
                fields |= {"login": login}
            fields["answer"] = "accept"
            response = browser.post(str(response.url), data=fields)
    raise AssertionError("the provider never sent the browser back")


def come_in(login: str) -> tuple[Client, Any]:
    client = Client()
    start = client.post("/signin/oidc/oidc/login")
    assert start.status_code == 302, start.content
    back = urlsplit(sign_in_at_provider(start["Location"], login))
    return client, client.get(f"{back.path}?{back.query}")


def test_a_known_person_comes_in_with_the_roles_of_their_groups(sso: str, cast: Cast, db: Any) -> None:
    from watchbill.people.commands import map_group

    with cast.acts(cast.ada) as by:
        map_group(by=by, workspace_id=cast.main, group="ops_editor", role="approver")
    client, response = come_in("edo")
    assert response.status_code == 302, response.content
    assert client.get("/w/main/").status_code == 200
    held = db.run(
        "SELECT role, source FROM people_role_grant WHERE person_id = %s AND ended_at IS NULL ORDER BY role", cast.edo
    )
    assert held == [("approver", "group:ops_editor"), ("editor", "granted")]
    assert {"signin.succeeded", "role.sync"} <= {row[0] for row in db.run("SELECT action FROM ledger_entry")}
    assert client.get("/account").status_code == 200
    again, response = come_in("edo")
    assert again.get("/w/main/").status_code == 200
    assert db.run("SELECT count(*) FROM socialaccount_socialaccount") == [(1,)]


def test_somebody_unknown_is_turned_away_with_a_sentence(sso: str, cast: Cast, db: Any) -> None:
    client, response = come_in("nobody")
    assert response.status_code == 403
    assert b"Nobody with your e-mail address is known" in response.content
    assert client.get("/w/main/").status_code == 302
    assert db.run("SELECT action FROM ledger_entry") == [("signin.failed",)]


def test_a_deactivated_person_is_turned_away(sso: str, cast: Cast, db: Any) -> None:
    db.run("UPDATE people_person SET active = false WHERE id = %s", cast.edo)
    _, response = come_in("edo")
    assert response.status_code == 403
    assert b"has ended" in response.content


def test_the_second_factor_of_a_workspace_still_counts(sso: str, cast: Cast, db: Any) -> None:
    db.run("UPDATE people_workspace SET require_mfa = true WHERE id = %s", cast.main)
    client, _ = come_in("edo")
    assert client.get("/w/main/").status_code == 403


def test_a_forged_answer_is_refused(sso: str, cast: Cast) -> None:
    client = Client()
    client.post("/signin/oidc/oidc/login")
    response = client.get("/signin/oidc/oidc/callback?code=forged&state=forged")
    assert response.status_code < 500
    assert client.get("/w/main/").status_code == 302


def test_without_settings_there_is_no_door(cast: Cast) -> None:
    assert b"Provider" not in Client().get("/signin").content
    assert Client().post("/signin/oidc/oidc/login").status_code == 404
