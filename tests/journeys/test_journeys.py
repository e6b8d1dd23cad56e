"""What people do, in a real browser, on a phone and at a desk."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, expect

from tests.journeys.conftest import ARTEFACTS, WIDTHS
from tests.server.hub import Hub

pytestmark = pytest.mark.browser
Opener = Callable[..., Page]
PAGES = {
    "overview": "/w/main/", "due": "/w/main/due", "handbook": "/w/main/handbook", "handbook-duties": "/w/main/handbook?kind=duty", "runbooks": "/w/main/runbooks",
    "runbook": "/w/main/runbooks/runbook.md", "revisions": "/w/main/handbook/revisions", "revision": "/w/main/handbook/revisions/1", "review": "/w/main/handbook/review",
    "review-all": "/w/main/handbook/review?show=all", "due-all": "/w/main/due?show=all", "requests": "/w/operations-and-maintenance/requests",
    "troubleshooting": "/w/main/troubleshooting", "alerts": "/w/main/alerts", "integrations": "/w/main/integrations", "audit": "/w/main/audit", "people": "/w/main/people", "teams": "/w/main/teams",
    "team": "/w/main/teams/platform", "services": "/w/main/services", "service": "/w/main/services/checkout",
    "service-new": "/w/main/services/new", "access": "/w/main/access", "settings": "/w/main/settings", "events": "/w/main/settings/events",
    "sessions": "/w/main/settings/sessions", "search": "/w/main/search?q=pay", "search-none": "/w/main/search?q=zzz", "account": "/account",
    "two-factor": "/account/two-factor", "two-factor-app": "/account/two-factor/app", "password": "/account/password",
    "workspace-new": "/workspaces/new", "api": "/api/v1/docs", "not-found": "/nothing-here", "hub-audit": "/w/hub/audit",
}  # fmt: skip


#: Pages that are looked at filled, too: empty ones in one size only.
EMPTY = {
    "silences": "/w/main/silences", "incidents": "/w/main/incidents", "pages": "/w/main/pages", "oncall": "/w/main/oncall",
    "my-paging": "/w/main/my-paging", "made-quieter": "/w/main/pages/quieter", "contacts": "/w/main/oncall/contacts", "channels": "/w/main/settings/channels",
}  # fmt: skip


#: What changes with the colours and the width alone; the structure of a page is the same in all six.
ALL = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block", "scrollable-region-focusable"]}


def check(page: Page, name: str, rules: dict[str, Any] = ALL) -> None:
    """No violation that axe knows, nothing wider than the screen."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found = page.evaluate("options => axe.run(options)", {"runOnly": rules, "resultTypes": ["violations"]})
    problems = [f"{one['id']}: {[node['html'][:120] for node in one['nodes'][:3]]}" for one in found["violations"]]
    assert problems == [], name
    wide = page.evaluate(
        "document.documentElement.scrollWidth > innerWidth && [...document.querySelectorAll('main *')].filter(one => one.getBoundingClientRect().right > innerWidth)"
        ".slice(0, 3).map(one => one.outerHTML.slice(0, 120))"
    )
    assert not wide, f"{name} is wider than the screen: {wide}"


@pytest.mark.parametrize("width", list(WIDTHS))
def test_every_page_is_accessible_and_fits(open_page: Opener, hub: Hub, width: str) -> None:
    """In three widths and two schemes. A tablet has the phone's or the desk's parts, so that only what it shows is looked at."""
    page = open_page(width)
    ARTEFACTS.mkdir(exist_ok=True)

    def look(page: Page, name: str) -> None:
        for scheme, rules in (("light", COLOURS if width == "tablet" else ALL), ("dark", COLOURS)):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            check(page, f"{name} at {width}, {scheme}", rules)
            if width != "tablet":
                page.screenshot(path=ARTEFACTS / f"{name}-{width}-{scheme}.png", full_page=True)

    for name, address in (PAGES | hub.pages | (EMPTY if width == "phone" else {})).items():
        page.goto(address)
        look(page, name)
    page.goto("/w/main/audit")
    page.locator(".entry-time").first.click()
    look(page, "entry")
    page.goto("/w/main/people")
    page.get_by_role("link", name="Ada Lindqvist").click()
    look(page, "person")
    anonymous = open_page(width, signed_in=False)
    anonymous.goto("/signin")
    look(anonymous, "signin")


@pytest.mark.parametrize("width", ["phone", "desk"])
def test_who_changed_a_role_yesterday_is_found_in_three_clicks(open_page: Opener, width: str) -> None:
    page = open_page(width)
    page.goto("/w/main/")
    page.get_by_role("navigation", name="Workspace").get_by_role("link", name="Audit").click()
    page.get_by_role("link", name="Roles", exact=True).click()
    page.get_by_role("link", name="Yesterday").click()
    entries = page.locator("#feed .entry")
    expect(entries).to_have_count(1)
    expect(entries.first).to_contain_text("Grace Okafor granted a role to Tom Berg")


def test_a_change_appears_in_the_audit_feed_without_reloading(open_page: Opener) -> None:
    watcher, worker = open_page(), open_page()
    watcher.goto("/w/main/audit")
    expect(watcher.locator("#live")).to_be_visible()
    worker.goto("/w/main/teams")
    worker.get_by_label("Name").fill("Night Watch")
    worker.get_by_role("button", name="Make the team").click()
    expect(watcher.locator("#feed").get_by_text("Night Watch")).to_be_visible(timeout=8000)


def test_everything_is_reachable_by_keyboard(open_page: Opener) -> None:
    page = open_page()
    page.goto("/w/main/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("g")
    page.keyboard.press("p")
    page.wait_for_url("**/people")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    page.keyboard.type("ledger api")
    expect(page.locator("#hits").get_by_role("link", name="Ledger API")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/services/ledger-api")


def test_it_works_without_javascript(open_page: Opener) -> None:
    page = open_page("phone", java_script_enabled=False)
    page.goto("/w/main/")
    page.locator("a[href='#more']").click()
    page.locator("#more").get_by_role("link", name="Teams").click()
    page.get_by_label("Name").fill("Plain Team")
    page.get_by_role("button", name="Make the team").click()
    expect(page.get_by_role("link", name=re.compile("Plain Team"))).to_be_visible()


def test_contact_details_are_masked_until_revealed(open_page: Opener) -> None:
    page = open_page("phone")
    page.goto("/w/main/people")
    page.get_by_role("link", name="Tom Berg").click()
    expect(page.get_by_text("t•••@e•••.org")).to_be_visible()
    page.get_by_text("Reveal…").click()
    page.get_by_label("Why (recorded)").fill("He is on call")
    page.get_by_role("button", name="Reveal and record").click()
    expect(page.get_by_text("tom@example.org")).to_be_visible()
    page.goto("/w/main/audit")
    expect(page.locator("#feed .entry").first).to_contain_text("looked at the contact details of Tom Berg")


def test_a_token_is_made_used_and_shown_once(open_page: Opener, hub: Hub) -> None:
    import httpx

    page = open_page()
    page.goto("/account")
    page.get_by_text("New token for main").click()
    page.locator("details[open]").get_by_label("Name").fill("Backup job")
    page.locator("details[open]").get_by_role("button", name="Make the token").click()
    text = page.locator(".copyable").inner_text().strip()
    answer = httpx.get(f"{hub.url}/api/v1/me", headers={"Authorization": f"Bearer {text}"})
    assert answer.status_code == 200
    page.goto("/account")
    expect(page.get_by_text(text)).to_have_count(0)
    expect(page.get_by_role("cell", name="Backup job")).to_be_visible()


def test_the_theme_is_chosen_and_kept(open_page: Opener) -> None:
    page = open_page()
    page.goto("/w/main/")
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.goto("/w/main/people")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_role("button", name="Light").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


def test_scripts_in_every_field_do_not_run(open_page: Opener) -> None:
    nasty = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    page = open_page()
    dialogs: list[Any] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog), dialog.dismiss()))
    page.goto("/w/main/services/new")
    page.get_by_label("Name").fill(f"Nasty {nasty}"[:110])
    page.get_by_label("Summary").fill(nasty)
    page.get_by_role("button", name="Save").click()
    for address in ("/w/main/services", "/w/main/audit", "/w/main/search?q=nasty", "/w/main/"):
        page.goto(address)
    assert dialogs == []


def test_a_hostile_handbook_runs_nothing_in_the_browser(open_page: Opener, hub: Hub) -> None:
    """Script and HTML in every place that a runbook has, live and under review, under the content security policy."""
    nasty = "<img src=x onerror=alert(1)><script>alert(2)</script><svg onload=alert(3)>"
    links = "[a](javascript:alert(4)) [b](data:text/html,<script>alert(5)</script>) ![c](https://evil.example/x.png)"
    text = (
        f"---\nowner: {nasty!r}\nversion: {nasty!r}\n---\n\n# Title {nasty}\n\n**Owner:** {nasty}\n\n## Severity {nasty}\n\n| Severity | Response | Definition |\n|---|---|---|\n"
        f"| SEV-1 {nasty} | 15 min {nasty} | {nasty} {links} |\n| SEV-2 | 1 h | {nasty} |\n\n## Troubleshooting\n\n| Symptom | Check | Fix |\n|---|---|---|\n"
        f"| Slow {nasty} | Look {nasty} | Restart {links} |\n\n{nasty}\n\n```sh {nasty}\n{nasty}\n```\n\n- [ ] {nasty} {links}\n\nSee [{nasty}](missing-{nasty}.md).\n"
    )
    page = open_page()
    dialogs: list[Any] = []
    loaded: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog), dialog.dismiss()))
    page.on("request", lambda request: loaded.append(request.url))
    page.goto("/workspaces/new")
    page.get_by_label("Name", exact=True).fill("Hostile")
    page.get_by_role("button", name=re.compile("Make|Found|Create")).click()
    page.wait_for_url(re.compile("/w/hostile"))
    send = """async ([path, body]) => { const token = document.cookie.match(/watchbill_csrf=([^;]+)/); const answer = await fetch(path, {method: "POST", headers: {"Content-Type": "application/json", "X-CSRFToken": document.querySelector("[name=csrfmiddlewaretoken]").value}, body: JSON.stringify(body)}); return [answer.status, await answer.json()]; }"""
    base = "/api/v1/workspaces/hostile/handbook/review"
    status, found = page.evaluate(send, [base, {"files": [{"path": "a.md", "text": text}]}])
    assert status == 201, found
    for address in (
        "/w/hostile/handbook/review",
        "/w/hostile/handbook/review?show=all",
        "/w/hostile/due",
        "/w/hostile/",
    ):
        page.goto(address)
    keys = [item["key"] for item in found["items"]]
    assert len(keys) >= 3
    status, found = page.evaluate(
        send, [f"{base}/choose", {"version": found["version"], "keys": keys, "choice": "shadow"}]
    )
    assert status == 200, found
    status, made = page.evaluate(
        send, [f"{base}/apply", {"version": found["version"], "lock_digest": found["lock_digest"]}]
    )
    assert status == 201, made
    addresses = [
        "handbook",
        "handbook?q=sev",
        "runbooks",
        "runbooks/a.md",
        "troubleshooting",
        "handbook/revisions",
        "handbook/revisions/1",
        "audit",
        "search?q=sev",
        "handbook/review",
    ]
    for address in addresses:
        page.goto(f"/w/hostile/{address}")
        if address == "troubleshooting":
            page.locator("a.tile").first.click()
    assert dialogs == []
    assert [url for url in loaded if not url.startswith((hub.url, "data:"))] == []


def test_the_readme_names_its_two_commands() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text()
    for command in ("make serve", "make test"):
        assert command in text


def test_a_handbook_is_reviewed_with_keys_alone_and_the_row_answers_in_place(open_page: Opener) -> None:
    page = open_page("desk")
    page.goto("/w/main/handbook/review?show=all")
    rows = page.locator("[data-row]:has([data-press='s'])")
    expect(rows.first).to_be_visible()
    first, second = (rows.nth(number).get_attribute("id") for number in (0, 1))
    page.keyboard.press("j")
    expect(page.locator("[data-row]").first).to_be_focused()
    page.locator(f"#{first}").focus()
    page.keyboard.press("s")
    expect(page.locator(f"#{first}")).to_have_class(re.compile("chosen"))
    expect(page.locator(f"#{first}").locator(".pill", has_text="Shadow")).to_be_visible()
    expect(page.locator(f"#{second}")).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("u")
    expect(page.locator(f"#{first}")).not_to_have_class(re.compile("chosen"))
    expect(page.locator("#review-summary")).to_be_visible()


def test_a_handbook_is_reviewed_by_thumb(open_page: Opener) -> None:
    page = open_page("phone")
    page.goto("/w/main/handbook/review?show=all")
    row = page.locator("[data-row]:has([data-press='s'])").first
    identifier = row.get_attribute("id")
    button = row.get_by_role("button", name="Ignore")
    box = button.bounding_box()
    assert box is not None
    assert box["height"] >= 44
    button.click()
    expect(page.locator(f"#{identifier}")).to_contain_text("Ignored")
    page.locator(f"#{identifier}").get_by_role("button", name="Undo").click()
    expect(page.locator(f"#{identifier}")).not_to_have_class(re.compile("chosen"))


def test_an_incident_changes_before_ones_eyes_and_is_acknowledged_with_one_tap(open_page: Opener, hub: Hub) -> None:
    """Two people look at one incident: what one does, the other sees without loading the page again."""
    watching, acting = open_page("desk"), open_page("phone")
    address = hub.pages["incident"]
    watching.goto(address)
    acting.goto(address)
    watching.evaluate("window.same = true")
    assert watching.get_by_role("heading", level=1).inner_text().startswith("INC-")
    acting.get_by_role("button", name="Acknowledge", exact=True).click()
    watching.get_by_text("sees to it").wait_for(timeout=15_000)
    assert watching.evaluate("window.same") is True, "the page was not loaded again"
    acting.goto(address)
    acting.locator("summary", has_text="Resolve").click()
    acting.get_by_label("What ended it").fill("Rolled back.")
    acting.get_by_role("button", name="Resolve INC-").click()
    watching.get_by_text("It is over.").wait_for(timeout=15_000)
    acting.get_by_text("Rolled back.").wait_for()


def test_somebody_is_called_in_with_a_thumb(open_page: Opener, hub: Hub) -> None:
    page = open_page("phone")
    page.goto(hub.pages["incident-called"].rpartition("/")[0])
    page.get_by_label("What is wrong").fill("The payment file is late")
    page.get_by_label("Severity").select_option("SEV-2")
    page.get_by_role("button", name=re.compile("Declare")).last.click()
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text("sees to it")).to_be_visible()
    page.locator("summary", has_text="Call in").click()
    page.get_by_label("Who", exact=True).select_option(index=1)
    page.get_by_label("What for").fill("You know the bank")
    page.get_by_role("button", name="Call them in").click()
    expect(page.get_by_role("heading", name="Called in")).to_be_visible()
    expect(page.get_by_text("You know the bank").first).to_be_visible()


def test_the_navigation_under_the_thumb_is_one_row(open_page: Opener) -> None:
    page = open_page("phone")
    page.goto("/w/main/")
    links = page.get_by_role("navigation", name="Workspace").get_by_role("link")
    boxes = [box for one in links.all() if (box := one.bounding_box())]
    assert len(boxes) == 6, "what a phone has room for, and the way to the rest"
    assert len({round(box["y"]) for box in boxes}) == 1
    assert all(box["width"] >= 44 and box["height"] >= 44 for box in boxes)
