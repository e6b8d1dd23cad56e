"""One real hub and one real Chromium for all journeys."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.server.hub import Hub, wait_for

ARTEFACTS = Path(__file__).parents[2] / "artefacts"
WIDTHS = {"phone": (390, 844), "tablet": (834, 1112), "desk": (1440, 900)}


@pytest.fixture(scope="session")
def hub() -> Iterator[Hub]:
    folder = Path(tempfile.mkdtemp(prefix="watchbill-journey-"))
    folder.chmod(0o711)
    found = Hub(folder / "data")
    try:
        found.start()
        wait_for(found.ready, 30)
        fill(found)
        yield found
    finally:
        found.clean_up()
        shutil.rmtree(folder, ignore_errors=True)


def owner(hub: Hub) -> psycopg.Connection[Any]:
    from watchbill.base.config import read_config
    from watchbill.server.postgres import Postgres, superuser_password

    config = read_config(hub.env)
    postgres = Postgres(config, auth_password=superuser_password(config))
    return psycopg.connect(
        host=str(postgres.socket), user="postgres", password=postgres.password, dbname="watchbill", autocommit=True
    )


def fill(hub: Hub) -> None:
    """People, teams, services; and a role that was changed yesterday."""
    browser = hub.signed_in()
    for name, purpose in (("Platform", "Keeps the ground that others build on"), ("Payments", "Moves the money")):
        hub.post(browser, "/w/main/teams", name=name, purpose=purpose)
    for name, email, role in (
        ("Ada Lindqvist", "ada@example.org", "editor"),
        ("Grace Okafor", "grace@example.org", "approver"),
        ("Tom Berg", "tom@example.org", "viewer"),
        ("Mina Saito", "mina@example.org", "auditor"),
    ):
        assert hub.post(browser, "/w/main/people", name=name, email=email, role=role).status_code == 200
    hub.post(browser, "/w/main/services", name="Production")
    for name, summary in (
        ("Checkout", "Takes orders and payments"),
        ("Ledger API", "Double-entry bookkeeping"),
        ("Notifications", ""),
    ):
        hub.post(
            browser,
            "/w/main/services/new",
            name=name,
            summary=summary,
            links="Dashboard https://grafana.example.org/d/1",
        )
    hub.post(browser, "/w/main/settings", do="secret", name="grafana-token", value="s3cret", purpose="panels")
    apply_example(hub, browser, "operations-hub")
    with owner(hub) as session:
        tom, grace = (
            session.execute("SELECT id FROM people_person WHERE name = %s", [name]).fetchone()[0]
            for name in ("Tom Berg", "Grace Okafor")
        )  # type: ignore[index]
        (main,) = session.execute("SELECT id FROM people_workspace WHERE slug = 'main'").fetchone()  # type: ignore[misc]
        at = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(hours=9)
        entry = UUID(int=(int(at.timestamp() * 1000) << 80) | 0x7 << 76 | 0x2 << 62 | 1)
        body = {
            "v": 1, "id": str(entry), "workspace": str(main), "at": at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "actor_kind": "person", "actor": str(grace), "via": "web", "action": "role.grant", "subject_kind": "person", "subject": str(tom),
            "request": "", "payload": None,
        }  # fmt: skip
        session.execute(
            "INSERT INTO ledger_entry (body) VALUES (%s)",
            [json.dumps(body, sort_keys=True, separators=(",", ":"))],
        )


def apply_example(hub: Hub, browser: httpx.Client, name: str) -> None:
    """An example handbook, applied with the real command and a token, as a team would."""
    made = browser.post(
        "/api/v1/workspaces/main/tokens", json={"name": "deploy", "scopes": ["handbook.read", "handbook.apply", "handbook.weaken"]}, headers={"X-CSRFToken": browser.cookies["watchbill_csrf"]},
    )  # fmt: skip
    assert made.status_code == 201, made.text
    command = [
        sys.executable,
        "-m",
        "watchbill.cli.main",
        "apply",
        f"examples/handbooks/{name}",
        "--hub",
        hub.url,
        "--workspace",
        "main",
    ]
    found = subprocess.run(
        command,
        cwd=ARTEFACTS.parent,
        env={**os.environ, "WATCHBILL_TOKEN": made.json()["text"]},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "Revision 1 of main is live" in found.stdout


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = subprocess.run(
        ["tools/chromium", "--path"], capture_output=True, text=True, check=True, cwd=ARTEFACTS.parent
    ).stdout.strip()
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else ["--no-sandbox", "--disable-setuid-sandbox"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=[
                *arguments,
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-dev-shm-usage",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def signed_in_state(hub: Hub, chromium: Browser) -> Any:
    context = chromium.new_context(base_url=hub.url)
    page = context.new_page()
    from tests.server.hub import run

    page.goto(run("link", env=hub.env).stdout.strip())
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/w/main/")
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def open_page(
    hub: Hub, chromium: Browser, signed_in_state: Any, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Page]]:
    """Opens a page of a size and scheme; fails the test on any error in the browser's console."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def make(width: str = "desk", scheme: str = "light", signed_in: bool = True, **kwargs: Any) -> Page:
        size = WIDTHS[width]
        context = chromium.new_context(
            base_url=hub.url, viewport={"width": size[0], "height": size[1]}, color_scheme=scheme,
            storage_state=signed_in_state if signed_in else None, has_touch=width == "phone", **kwargs,
        )  # fmt: skip
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console",
            lambda message: (
                errors.append(message.text)
                if message.type == "error" and "404" not in message.text and "403" not in message.text
                else None
            ),
        )
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield make
    for context in contexts:
        context.close()
    assert errors == []
