"""One real hub and one real Chromium for all journeys."""

import json
import os
import re
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
from tests.server.test_a_runbook_from_edit_to_roll_back import BOOK, browser_of

ARTEFACTS = Path(__file__).parents[2] / "artefacts"
WIDTHS = {"phone": (390, 844), "tablet": (834, 1112), "desk": (1440, 900)}


@pytest.fixture(scope="session")
def hub() -> Iterator[Hub]:
    folder = Path(tempfile.mkdtemp(prefix="watchbill-journey-"))
    folder.chmod(0o711)
    shutil.copytree(ARTEFACTS.parent / "examples" / "handbooks", folder / "handbooks")
    found = Hub(folder / "data", WATCHBILL_HANDBOOKS=str(folder / "handbooks"), WATCHBILL_OUTBOUND="127.0.0.1")
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
    bind_everything(browser, "main", "operations-hub")
    apply_example(hub, browser, "operations-hub")
    bring_changes(hub, browser)
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


def bind_everything(browser: httpx.Client, slug: str, folder: str) -> None:
    """All names of an example, to its first team."""
    from watchbill.handbook.cast import read_cast

    team = browser.get(f"/api/v1/workspaces/{slug}/teams").json()["items"][0]["id"]
    for name in read_cast((ARTEFACTS.parent / "examples" / "handbooks" / folder / "cast.yaml").read_text()).bindings:
        body = {"name": name, "target_kind": "team", "target_id": team}
        assert put(browser, f"/api/v1/workspaces/{slug}/bindings", body).status_code == 200


def put(browser: httpx.Client, path: str, body: object, method: str = "PUT") -> httpx.Response:
    """A write of the API with the browser's session."""
    return browser.request(method, path, json=body, headers={"X-CSRFToken": browser.cookies["watchbill_csrf"]})


def bring_changes(hub: Hub, browser: httpx.Client) -> None:
    """Something under review in Main, and a request of Ines's that waits for an approval."""
    top = ARTEFACTS.parent / "examples" / "handbooks"
    text = (top / "operations-hub" / "runbook.md").read_text()
    changed = (
        text.replace("weekly", "monthly", 1)
        + "\n## Weekly tasks (every Monday)\n\n- [ ] Look at the night's alerts with the Night Captain\n"
    )
    assert changed != text
    files = [{"path": "runbook.md", "text": changed}, routes(top / "operations-hub")]
    brought = put(browser, "/api/v1/workspaces/main/handbook/review", {"files": files}, "POST")
    assert brought.status_code == 201, brought.text
    folder = top / BOOK
    (document,) = folder.glob("*.md")
    weaker = document.read_text().replace("| 15 minutes |\n| **SEV-2**", "| 45 minutes |\n| **SEV-2**")
    files = [{"path": document.name, "text": weaker}, routes(folder)]
    ines = browser_of(hub, "ines@demo.example")
    base = f"/api/v1/workspaces/{BOOK}/handbook/review"
    body = {"files": files, "config": (folder / "watchbill.yaml").read_text()}
    found = put(ines, base, body, "POST").json()
    found = put(
        ines, f"{base}/choose", {"version": found["version"], "keys": ["severity/sev-1"], "choice": "live"}, "POST"
    ).json()
    body = {
        "version": found["version"],
        "lock_digest": found["lock_digest"],
        "reason": "nobody can be there in 15 minutes at night",
    }
    asked = put(ines, f"{base}/apply", body, "POST")
    assert asked.status_code == 202, asked.text
    guides = browser.get("/api/v1/workspaces/main/handbook/items?kind=troubleshooting").json()["items"]
    found = re.findall(r"/w/main/troubleshooting/[0-9a-f-]{36}", browser.get("/w/main/troubleshooting").text)
    assert len(found) == len(guides) > 0
    hub.pages = {
        "request": f"/w/{BOOK}/requests/{asked.json()['request']}",
        "guide": found[0],
        "alert-group": send_alerts(hub, browser),
        **raise_incident(browser),
        "incident-called": call_a_team_in(browser),
    }


def routes(folder: Path) -> dict[str, str]:
    """The routes of an example, as a file that is brought."""
    return {"path": "routes.watchbill.yaml", "text": (folder / "routes.watchbill.yaml").read_text()}


def raise_incident(browser: httpx.Client) -> dict[str, str]:
    """An incident that pages, a schedule, a silence and a channel; answers their addresses."""
    base, slug = "/api/v1/workspaces/ledger-and-agents", "ledger-and-agents"
    mail = {
        "kind": "email",
        "name": "Mail",
        "config": {"host": "mail.example.org", "port": "587", "from": "hub@example.org"},
    }
    assert put(browser, f"{base}/channels", mail, "POST").status_code == 201
    told = {
        "title": "Offline sync fails for everybody",
        "severity": "Sev1",
        "pages": "Production",
        "summary": "Since the release of 09:10.",
    }
    number = put(browser, f"{base}/incidents", told, "POST").json()["number"]
    assert (
        put(browser, f"{base}/incidents/{number}", {"do": "note", "text": "Looking at the queue."}, "POST").status_code
        == 200
    )
    quiet = {
        "match": ['service="checkout"'], "reason": "The new release is noisy until Friday", "starts_at": "2026-01-01T00:00:00Z",
        "ends_at": "2026-01-01T06:00:00Z", "every": "day",
    }  # fmt: skip
    assert put(browser, f"{base}/silences", quiet, "POST").status_code == 201
    schedule = browser.get(f"{base}/oncall").json()["items"][0]["id"]
    page = browser.get(f"{base}/pages").json()["items"][0]["id"]
    return {
        "incident": f"/w/{slug}/incidents/{number}", "incidents-filled": f"/w/{slug}/incidents", "oncall-filled": f"/w/{slug}/oncall",
        "schedule": f"/w/{slug}/oncall/{schedule}", "page-filled": f"/w/{slug}/pages/{page}", "pages-filled": f"/w/{slug}/pages",
        "silences-filled": f"/w/{slug}/silences", "channels-filled": f"/w/{slug}/settings/channels", "my-paging-filled": f"/w/{slug}/my-paging",
        "due-filled": f"/w/{slug}/due?show=all", "overview-filled": f"/w/{slug}/",
    }  # fmt: skip


def call_a_team_in(browser: httpx.Client) -> str:
    """An incident that somebody sees to, and to which a team was called in; answers its address."""
    base = f"/api/v1/workspaces/{BOOK}"
    told = {"title": "Backups are refused", "severity": "SEV-2"}
    number = put(browser, f"{base}/incidents", told, "POST").json()["number"]
    team = browser.get(f"{base}/teams").json()["items"][0]["id"]
    for body in (
        {"do": "acknowledge"},
        {"do": "call", "target_kind": "team", "target_id": team, "text": "They know the storage"},
    ):
        answer = put(browser, f"{base}/incidents/{number}", body, "POST")
        assert answer.status_code == 200, answer.text
    return f"/w/{BOOK}/incidents/{number}"


def send_alerts(hub: Hub, browser: httpx.Client) -> str:
    """Two alerts of one group through an integration; answers the group's address."""
    made = put(browser, "/api/v1/workspaces/main/integrations", {"name": "Prometheus"}, "POST").json()
    fixture = ARTEFACTS.parent / "tests" / "intake" / "fixtures" / "alertmanager-0.25-firing.json"
    address = f"{hub.url}/intake/{made['url'].partition('/intake/')[2]}"
    assert httpx.post(address, content=fixture.read_bytes()).status_code == 200
    assert httpx.post(address, content=b"nonsense").status_code == 400
    found = wait_for(lambda: browser.get("/api/v1/workspaces/main/alerts").json()["items"], 20)
    return f"/w/main/alerts/{found[0]['id']}"


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
    page.wait_for_url(re.compile(r"/w/"))
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
