"""Overview and Incidents on a bad day, in a real browser: what is worst stands first, nothing is wider than a phone, one tap acknowledges."""

import json
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import expect

from tests.journeys.conftest import ARTEFACTS, owner, put
from tests.journeys.test_journeys import Opener, check
from tests.server.hub import Hub
from watchbill.base.ids import uuid7

pytestmark = pytest.mark.browser
LONG = "KubeDeploymentGenerationMismatchInTheClusterOfTheNorthernRegion"
INCIDENT = (
    "INSERT INTO incidents_incident (id, workspace_id, number, title, summary, state, severity, rank, policy, route, labels, runbook_url, "
    "opened_at, waiting_for, reopened) VALUES (%s, %s, %s, %s, '', %s, %s, %s, '{}', '{}', '{}', '', now() - %s * interval '1 minute', '', 0)"
)
PAGE = (
    "INSERT INTO paging_page (id, workspace_id, subject_kind, subject_id, title, text, url, labels, urgency, shadow, policy, why, state, round, "
    "step, started_at, acknowledged_via, ended_why) VALUES (%s, %s, 'incident', %s, %s, '', '', '{}', 'high', false, '{}', '', %s, 0, 1, now(), '', '')"
)
CLOCK = (
    "INSERT INTO clocks_clock (id, workspace_id, subject_kind, subject_id, kind, state, policy, started_at, due_at, breached_at, warned) VALUES "
    "(%s, %s, 'incident', %s, 'acknowledge', 'breached', '{}', now() - interval '19 minutes', now() - interval '4 minutes', now(), 80)"
)
SCHEDULE = (
    "INSERT INTO oncall_schedule (id, workspace_id, key, name, level, layers, problems, path, line) "
    "VALUES (%s, %s, 'rota/web', 'Web on-call', 'primary', %s, '[]', 'a.md', 1)"
)
CHANNEL = (
    "INSERT INTO paging_channel (id, workspace_id, kind, name, config, secret, created_at, last_problem, last_problem_at) VALUES "
    "(%s, %s, 'email', 'Mail', '{}', '', now(), 'connection refused by mail.example.org:587', now())"
)
GROUP = (
    "INSERT INTO signals_group (id, workspace_id, source_id, key, title, labels, severity, route, shadow, state, firing, opened_at, changed_at) "
    "VALUES (%s, %s, %s, 'x', %s, '{}', 'critical', '{}', '{}', 'open', 1, now(), now())"
)


@pytest.fixture(scope="module")
def bad_day(hub: Hub) -> str:
    """A workspace of its own on its worst day; answers its address."""
    browser = hub.signed_in()
    made = put(browser, "/api/v1/workspaces", {"name": "Payments"}, "POST")
    assert made.status_code == 201, made.text
    workspace, slug = UUID(made.json()["id"]), made.json()["slug"]
    source = put(browser, f"/api/v1/workspaces/{slug}/integrations", {"name": "Prometheus"}, "POST").json()
    with owner(hub) as session:
        _incidents(session, workspace)
        layer = {
            "participants": [str(uuid7())], "count": 1, "unit": "week", "handover": "09:00", "zone": "UTC", "start": "2026-01-05", "name": "", "begins": False,
            "until": "2026-02-01", "windows": [],
        }  # fmt: skip
        session.execute(SCHEDULE, [uuid7(), workspace, json.dumps([layer])])
        session.execute(CHANNEL, [uuid7(), workspace])
        session.execute(GROUP, [uuid7(), workspace, source["id"], f"{LONG}: checkout"])
    return f"/w/{slug}/"


def _incidents(session: Any, workspace: UUID) -> None:
    """Sev0 late, with nobody reached; then Sev2, Sev1 (somebody has it) and six Sev3, which are newer."""
    rows = [
        (1, "Sev0", 1, 19, LONG),
        (2, "Sev2", 3, 16, "Refunds wait in the queue"),
        (3, "Sev1", 2, 15, "Checkout answers slowly"),
    ]
    rows += [(number, "Sev3", 4, 14 - number, f"Disk fills on node {number}") for number in range(4, 10)]
    for number, severity, rank, minutes, title in rows:
        key = uuid7()
        session.execute(INCIDENT, [key, workspace, number, title, "open", severity, rank, minutes])
        session.execute(PAGE, [uuid7(), workspace, str(key), title, "exhausted" if number == 1 else "running"])
        if number == 1:
            session.execute(CLOCK, [uuid7(), workspace, str(key)])


@pytest.mark.parametrize("width", ["phone", "desk"])
def test_a_bad_day_fits_and_is_accessible(open_page: Opener, bad_day: str, width: str) -> None:
    ARTEFACTS.mkdir(exist_ok=True)
    page = open_page(width)
    for name, address in (("overview-bad-day", bad_day), ("incidents-bad-day", f"{bad_day}incidents")):
        page.goto(address)
        expect(page.locator(".incident").first).to_contain_text(LONG)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            check(page, f"{name} at {width}, {scheme}")
            page.screenshot(path=ARTEFACTS / f"{name}-{width}-{scheme}.png", full_page=True)


def test_the_worst_incident_is_acknowledged_from_overview_with_one_tap(open_page: Opener, bad_day: str) -> None:
    page = open_page("phone", java_script_enabled=False)
    page.goto(bad_day)
    expect(page.locator("#alarm")).to_contain_text("1 incident is late; nobody could be reached about 1 incident.")
    expect(page.locator(".incident")).to_have_count(9)
    page.get_by_role("button", name="Acknowledge INC-1", exact=True).click()
    page.wait_for_url(f"**{bad_day}")
    expect(page.locator(".incident").first).to_contain_text("has it")
    expect(page.get_by_role("button", name="Acknowledge INC-1", exact=True)).to_have_count(0)
