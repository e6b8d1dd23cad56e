"""A browser is added, shows a page as a notification, and acknowledges from it: a real Chromium, a real push message, one tap."""

import json
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Worker

from tests.peers.push import Push
from tests.server.hub import Hub

pytestmark = pytest.mark.browser
Opener = Callable[..., Page]
#: Chromium's own push service cannot be reached from here: the subscription is the peer's, everything else is the browser's.
SUBSCRIBE = """
const told = %s;
Object.defineProperty(PushManager.prototype, "subscribe", { value: async function (options) {
  window.asked = { key: options.applicationServerKey.length, visible: options.userVisibleOnly };
  return { toJSON: () => told };
} });
Object.defineProperty(PushManager.prototype, "getSubscription", { value: async () => null });
"""
#: Chromium forgets a notification that is asked for (`getNotifications`) between being stored and being displayed. So nothing
#: asks before it is there: the worker counts what it has shown, and the test waits for the count.
COUNT = """() => {
  const show = self.registration.showNotification.bind(self.registration);
  self.shown = [];
  self.registration.showNotification = async (title, options) => { await show(title, options); self.shown.push(title); };
}"""
NOTIFICATIONS = """async () => (await self.registration.getNotifications())
  .map((one) => [one.title, one.body, one.actions.map((each) => each.action)])"""


def test_a_browser_is_added_notified_and_acknowledges_with_one_tap(open_page: Opener, hub: Hub) -> None:
    with Push() as push:
        page = open_page("phone")
        page.context.grant_permissions(["notifications"], origin=hub.url)
        page.add_init_script(SUBSCRIBE % push.subscription())
        page.goto("/w/main/settings/channels")
        # In another round the channel is there already: then the form is folded below it.
        heading = page.get_by_role("heading", name="Notifications of browsers (Web Push)")
        form = page.locator("section", has=page.locator("summary", has=heading))
        if not form.get_by_label("Contact").is_visible():
            form.locator("summary").click()
        form.get_by_label("Contact").fill("ops@example.org")
        form.get_by_role("button", name="Save").click()
        page.goto("/w/main/my-paging")
        page.get_by_role("button", name="Notify me in this browser").click()
        page.get_by_text("Chrome on Linux").wait_for()

        worker = (
            page.context.service_workers[0]
            if page.context.service_workers
            else page.context.wait_for_event("serviceworker")
        )
        worker.evaluate(COUNT)
        session = page.context.new_cdp_session(page)
        found: list[str] = []
        session.on(
            "ServiceWorker.workerRegistrationUpdated",
            lambda event: found.extend(one["registrationId"] for one in event["registrations"]),
        )
        session.send("ServiceWorker.enable")
        page.wait_for_function("() => navigator.serviceWorker.controller !== null")
        deadline = time.monotonic() + 10
        while not found and time.monotonic() < deadline:
            page.wait_for_timeout(50)
        told = {
            "id": "1",
            "title": "Ledger is down",
            "body": "you are on call",
            "url": f"{hub.url}/w/main/",
            "reply": "",
            "acknowledge": "",
            "urgency": "high",
        }

        def deliver(**more: str) -> None:
            session.send(
                "ServiceWorker.deliverPushMessage",
                {"origin": hub.url, "registrationId": found[0], "data": json.dumps(told | more)},
            )

        deliver()
        shown(worker, "Ledger is down")
        assert worker.evaluate(NOTIFICATIONS) == [["Ledger is down", "you are on call", []]]

        # The real page of the hub's, from its own message: what the button of the notification does.
        page.get_by_role("button", name="Test my pages").click()
        wait_until(page, lambda: bool(push.got), "the test page reached the push service")
        message = push.got[-1]
        assert message["title"] == "Test page: this is only a test"
        deliver(**message)
        shown(worker, "Test page: this is only a test")
        assert ["acknowledge", "open"] in [one[2] for one in worker.evaluate(NOTIFICATIONS)]
        worker.evaluate(
            """async () => {
                const found = (await self.registration.getNotifications()).find((one) => one.actions.length);
                self.dispatchEvent(new NotificationEvent("notificationclick", { notification: found, action: "acknowledge" }));
            }"""
        )
        shown(worker, "Acknowledged: it is yours")
        page.reload()
        page.locator("section", has=page.get_by_role("heading", name="Your last test")).get_by_text(
            "acknowledged"
        ).first.wait_for()
        # Where a message names another place, nothing is sent there.
        deliver(id="2", title="Evil", acknowledge="https://evil.example/steal", reply="https://evil.example/steal")
        shown(worker, "Evil")
        assert worker.evaluate("own('https://evil.example/steal')") == ""
        assert push.refused == []
        # A browser that is not used any more goes again.
        row = page.locator("li", has_text="Chrome on Linux").last
        row.get_by_role("button", name="Remove it").click()
        page.wait_for_url("**/my-paging")


def shown(worker: Worker, title: str) -> None:
    """Waits until the service worker has shown a notification of this title."""
    deadline = time.monotonic() + 15
    while title not in (titles := worker.evaluate("() => self.shown")):
        assert time.monotonic() < deadline, f"“{title}” is not among what was shown: {titles}"
        time.sleep(0.05)


def wait_until(page: Page, holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < deadline, f"never: {what}"
        page.wait_for_timeout(50)
