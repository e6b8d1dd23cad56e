"""Pages that follow what happens, without moving under somebody's hand."""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.journeys.conftest import ARTEFACTS, put
from tests.server.hub import Hub

Opener = Callable[..., Page]
MAIN = "/api/v1/workspaces/main"
SOON = 15_000

pytestmark = pytest.mark.browser


def fresh(words: str) -> str:
    """Words that no earlier round of the same hub has used."""
    return f"{words} {secrets.token_hex(4)}"


def sender(hub: Hub, browser: httpx.Client, name: str) -> Callable[[str], None]:
    """An integration of its own; answers what sends one alert of a name through it."""
    made = put(browser, f"{MAIN}/integrations", {"name": name}, "POST").json()
    address = f"{hub.url}/intake/{made['url'].partition('/intake/')[2]}"
    payload = json.loads((ARTEFACTS.parent / "tests/intake/fixtures/alertmanager-0.25-firing.json").read_text())

    def send(alert: str) -> None:
        one = payload["alerts"][0] | {"labels": {"alertname": alert, "env": "nobody-is-paged"}}
        body = payload | {"alerts": [one], "groupLabels": {}, "commonLabels": one["labels"], "groupKey": alert}
        assert httpx.post(address, json=body).status_code == 200

    return send


def stay(page: Page, address: str) -> None:
    """Opens a page that listens, and marks it, so that a reload would show."""
    page.goto(address)
    expect(page.locator("#live")).to_be_visible(timeout=SOON)
    page.evaluate("window.same = true")


@contextmanager
def put_aside(page: Page) -> Iterator[None]:
    """Waits until the page has put an update aside because its reader is at work."""
    page.evaluate("document.addEventListener('watchbill:held', () => console.info('put aside'))")
    with page.expect_event("console", predicate=lambda message: message.text == "put aside", timeout=SOON):
        yield


def test_an_alert_appears_where_alerts_and_senders_are_looked_at(open_page: Opener, hub: Hub) -> None:
    browser = hub.signed_in()
    name, alert = fresh("Live sender"), fresh("LiveAlert")
    send = sender(hub, browser, name)
    alerts, senders = open_page(), open_page("phone")
    stay(alerts, "/w/main/alerts")
    stay(senders, "/w/main/integrations")
    card = senders.locator("section", has=senders.get_by_role("heading", name=name))
    expect(card).to_contain_text("Nothing came yet.")
    send(alert)
    expect(alerts.get_by_role("link", name=alert)).to_be_visible(timeout=SOON)
    expect(card).to_contain_text("Last received", timeout=SOON)
    assert alerts.evaluate("window.same"), "it was not loaded again"
    assert senders.evaluate("window.same"), "it was not loaded again"
    alerts.get_by_role("link", name=alert).click()
    expect(alerts.get_by_role("heading", name=alert)).to_be_visible()


def test_a_silence_and_who_takes_over_appear_before_ones_eyes(open_page: Opener, hub: Hub) -> None:
    browser = hub.signed_in()
    silences, schedule = open_page(), open_page("phone")
    works, swap = fresh("Somebody works on it"), fresh("Live swap")
    place = hub.pages["schedule"].split("/")[2]
    base = f"/api/v1/workspaces/{place}"
    stay(silences, f"/w/{place}/silences")
    stay(schedule, hub.pages["schedule"])
    quiet = {
        "match": ['service="live"'], "reason": works, "starts_at": "2098-01-01T06:00:00Z", "ends_at": "2098-01-01T08:00:00Z",
    }  # fmt: skip
    answer = put(browser, f"{base}/silences", quiet, "POST")
    assert answer.status_code == 201, answer.text
    expect(silences.get_by_text(works)).to_be_visible(timeout=SOON)
    person = browser.get(f"{base}/people").json()["items"][0]
    over = {
        "person_id": person["id"], "starts_at": "2098-01-01T06:00:00Z", "ends_at": "2098-01-01T08:00:00Z", "reason": swap,
    }  # fmt: skip
    answer = put(browser, f"{base}/oncall/{hub.pages['schedule'].rpartition('/')[2]}/overrides", over, "POST")
    assert answer.status_code == 201, answer.text
    expect(schedule.get_by_text(swap)).to_be_visible(timeout=SOON)


def test_counts_beside_the_navigation_go_up_on_any_page(open_page: Opener, hub: Hub) -> None:
    browser = hub.signed_in()
    page = open_page()
    stay(page, "/w/main/runbooks")
    count = page.locator("#count-incidents")
    before = int((count.inner_text() or "0").split()[0])
    told = {"title": "Counted", "severity": ""}
    answer = put(browser, f"{MAIN}/incidents", told, "POST")
    assert answer.status_code == 201, answer.text
    expect(count).to_contain_text(str(before + 1), timeout=SOON)
    assert page.evaluate("window.same")


def test_a_form_in_use_stays_and_the_page_catches_up_afterwards(open_page: Opener, hub: Hub) -> None:
    browser = hub.signed_in()
    number = put(browser, f"{MAIN}/incidents", {"title": "Held", "severity": ""}, "POST").json()["number"]
    page = open_page("phone")
    stay(page, f"/w/main/incidents/{number}")
    page.locator("summary", has_text="Resolve").click()
    page.get_by_label("What ended it").fill("I was about to say")
    page.evaluate("document.activeElement.blur()")
    note = {"do": "note", "text": "Somebody else writes."}
    with put_aside(page):
        assert put(browser, f"{MAIN}/incidents/{number}", note, "POST").status_code == 200
    expect(page.get_by_label("What ended it")).to_have_value("I was about to say")
    expect(page.get_by_text("Somebody else writes.")).to_have_count(0)
    page.get_by_label("What ended it").fill("")
    page.get_by_role("heading", level=1).click()
    expect(page.get_by_text("Somebody else writes.")).to_be_visible(timeout=SOON)


def test_what_arrives_while_a_form_is_opened_does_not_close_it(open_page: Opener, hub: Hub) -> None:
    """The answer to the page's own question comes after somebody began: it is put aside, too."""
    browser = hub.signed_in()
    number = put(browser, f"{MAIN}/incidents", {"title": "Late answer", "severity": ""}, "POST").json()["number"]
    page = open_page()
    waiting: list[object] = []
    stay(page, f"/w/main/incidents/{number}")

    def hold(route: object) -> None:
        waiting.append(route)

    page.route(f"**/w/main/incidents/{number}", hold)
    assert put(browser, f"{MAIN}/incidents/{number}", {"do": "note", "text": "Meanwhile."}, "POST").status_code == 200
    with page.expect_request(f"**/w/main/incidents/{number}", timeout=SOON):
        pass
    page.locator("summary", has_text="Resolve").click()
    page.get_by_label("What ended it").fill("Done")
    with put_aside(page):
        waiting[0].continue_()  # type: ignore[attr-defined]
    page.unroute(f"**/w/main/incidents/{number}")
    expect(page.get_by_label("What ended it")).to_have_value("Done")
    page.get_by_role("button", name="Resolve INC-").click()
    expect(page.get_by_text("It is over.")).to_be_visible()


def test_a_page_that_nobody_looks_at_asks_for_nothing_and_catches_up(open_page: Opener, hub: Hub) -> None:
    browser = hub.signed_in()
    page, unseen = open_page(), fresh("Unseen")
    stay(page, "/w/main/incidents")
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with put_aside(page):
        assert put(browser, f"{MAIN}/incidents", {"title": unseen, "severity": ""}, "POST").status_code == 201
    assert asked == []
    page.evaluate("Object.defineProperty(document, 'hidden', { value: false, configurable: true })")
    expect(page.get_by_text(unseen)).to_be_visible(timeout=SOON)


def test_a_button_that_needs_a_script_works_after_the_page_has_refreshed_itself(open_page: Opener, hub: Hub) -> None:
    """The form of browser notifications is hidden until a script shows it: each refresh brings a new one."""
    browser = hub.signed_in()
    page = open_page()
    page.goto("/w/main/settings/channels")
    push = {"kind": "push", "name": "Browsers", "config": {"contact": "ops@example.org"}}
    channels = browser.get(f"{MAIN}/channels").json()["items"]
    if not any(one["kind"] == "push" for one in channels):
        answer = put(browser, f"{MAIN}/channels", push, "POST")
        assert answer.status_code == 201, answer.text
    stay(page, "/w/main/my-paging")
    button = page.get_by_role("button", name="Notify me in this browser")
    expect(button).to_be_visible()
    page.evaluate("document.getElementById('push-form').dataset.first = 'yes'")
    put(browser, f"{MAIN}/incidents", {"title": "Refresh", "severity": ""}, "POST")
    expect(page.locator("#push-form[data-first]")).to_have_count(0, timeout=SOON)
    expect(button).to_be_visible()
    page.evaluate("Notification.requestPermission = async () => 'denied'")
    button.click()
    expect(page.get_by_text("This browser does not allow notifications here")).to_be_visible()
    assert page.evaluate("window.same"), "it was not sent as a form without a subscription"


def test_nothing_moves_while_the_pointer_is_on_its_way_to_a_button(open_page: Opener, hub: Hub) -> None:
    browser = hub.signed_in()
    number = put(browser, f"{MAIN}/incidents", {"title": "Aimed at", "severity": ""}, "POST").json()["number"]
    page = open_page()
    stay(page, f"/w/main/incidents/{number}")
    page.evaluate("document.addEventListener('watchbill:held', () => { window.held = true; })")
    # A hand is never quite still, and is there before anything changes.
    page.evaluate(
        """() => { window.moves = 0;
          const move = () => { window.moves += 1; document.querySelector("main button").dispatchEvent(
            new PointerEvent("pointermove", { bubbles: true, pointerType: "mouse" })); };
          move(); window.shake = setInterval(move, 200); }"""
    )
    note = {"do": "note", "text": "Somebody else wrote this."}
    assert put(browser, f"{MAIN}/incidents/{number}", note, "POST").status_code == 200
    page.wait_for_function("() => window.held === true")
    page.evaluate("document.querySelector('main button').dataset.same = 'yes'")
    # Longer than the page waits before it looks again whether it may change.
    page.wait_for_function("from => window.moves > from + 20", arg=page.evaluate("window.moves"))
    expect(page.locator("main button[data-same]")).to_have_count(1)
    expect(page.get_by_text("Somebody else wrote this.")).to_have_count(0)
    page.evaluate("clearInterval(window.shake)")
    expect(page.get_by_text("Somebody else wrote this.")).to_be_visible(timeout=SOON)
