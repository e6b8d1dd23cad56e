"""A channel that cannot work says so when it is saved, with the setting that an operator changes; and each can be tried from its row."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.test import override_settings

from tests.cast import Cast, signed_in
from tests.night import Night, night
from tests.peers.mail import Mail
from tests.peers.push import Push
from tests.peers.refusing import Refusing
from tests.peers.slack import SIGNING, Slack
from tests.peers.slack import TOKEN as BOT
from tests.peers.twilio import SID, TOKEN, Script
from watchbill.base.errors import Denied, TooMany
from watchbill.outbound.ahead import refused
from watchbill.outbound.rules import read_policy
from watchbill.paging.channels.email.channel import EMAIL
from watchbill.paging.channels.webhook.channel import WEBHOOK
from watchbill.paging.message import Message, Permanent
from watchbill.paging.setup import set_channel
from watchbill.paging.trying import test_channel as try_channel

SECRET = "whsec_" + "QUJD" * 8


@pytest.fixture
def strict() -> Iterator[None]:
    """A hub as it is installed: nothing private is declared."""
    with override_settings(OUTBOUND=read_policy("", "")):
        yield


@pytest.mark.parametrize(
    ("declared", "only", "host", "addresses", "expected"),
    [
        ("", "", "127.0.0.1", ["127.0.0.1"], "adds 127.0.0.1 to WATCHBILL_OUTBOUND"), ("", "", "10.1.2.3", ["10.1.2.3"], "adds 10.1.2.3 to WATCHBILL_OUTBOUND"),
        ("", "", "mail.internal", ["10.1.2.3"], "adds mail.internal to WATCHBILL_OUTBOUND"), ("", "", "mail.example.org", ["93.184.216.34", "10.1.2.3"], "WATCHBILL_OUTBOUND"),
        ("mail.internal", "", "mail.internal", ["10.1.2.3"], ""), ("10.0.0.0/8", "", "mail.internal", ["10.1.2.3"], ""), ("", "", "mail.example.org", ["93.184.216.34"], ""),
        ("10.0.0.0/8", "hooks.example.org", "mail.internal", ["10.1.2.3"], "adds mail.internal to WATCHBILL_OUTBOUND_ONLY"), ("", "", "::1", ["::1"], "WATCHBILL_OUTBOUND"),
        ("0.0.0.0/0", "", "169.254.169.254", ["169.254.169.254"], "never reached"),
    ],
)  # fmt: skip
def test_what_the_hub_may_not_reach_names_the_setting(
    declared: str, only: str, host: str, addresses: list[str], expected: str
) -> None:
    found = refused([host], policy=read_policy(declared, only), resolve=lambda host, port: addresses)
    assert expected in found
    assert bool(found) == bool(expected)


def test_a_name_that_does_not_resolve_now_or_hangs_is_no_refusal() -> None:
    import time

    from watchbill.base.errors import Unavailable

    def fails(host: str, port: int) -> list[str]:
        raise Unavailable("no such name")

    def hangs(host: str, port: int) -> list[str]:
        time.sleep(20)
        return []

    begun = time.monotonic()
    for resolve in (fails, hangs):
        assert refused(["mail.example.org"], policy=read_policy("", ""), resolve=resolve) == ""
    assert time.monotonic() - begun < 10, "nobody waits for it who saves a form"


FORMS = {
    "email": {"f-host": "10.11.12.13", "f-from": "a@example.org", "f-port": "25", "f-tls": "none"},
    "twilio": {"f-account_sid": SID, "f-from": "+15005550006", "f-base": "http://10.11.12.13:8080", "secret": TOKEN},
    "slack": {"f-channel": "#incidents", "f-base": "http://10.11.12.13/api", "secret": f"{BOT} {SIGNING}"},
    "webhook": {"f-url": "http://10.11.12.13/hook", "secret": SECRET},
    "apprise": {"secret": "ntfy://10.11.12.13/oncall"},
}


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("kind", FORMS)
def test_a_private_address_is_said_when_it_is_saved(cast: Cast, db: Any, kind: str) -> None:
    browser = signed_in(cast.ada)
    answer = browser.post("/w/main/settings/channels", {"do": "set", "kind": kind, "name": "Relay", **FORMS[kind]})
    for text in (answer.content.decode(), browser.get("/w/main/settings/channels").content.decode()):
        assert "will not go out" in text
        assert "adds 10.11.12.13 to WATCHBILL_OUTBOUND" in text
    (row,) = browser.get("/api/v1/workspaces/main/channels").json()["items"]
    assert "10.11.12.13 to WATCHBILL_OUTBOUND" in row["last_problem"]
    with override_settings(OUTBOUND=read_policy("10.11.12.13", "")):
        again = browser.post("/w/main/settings/channels", {"do": "set", "kind": kind, "name": "Relay", **FORMS[kind]})
    assert again.status_code == 302
    assert "will not go out" not in browser.get("/w/main/settings/channels").content.decode()


@pytest.mark.usefixtures("strict")
def test_what_the_hub_may_not_reach_is_not_tried_again() -> None:
    for send in (
        lambda: WEBHOOK.send("webhook", "", Message("1", "t"), {"url": "http://10.0.0.7/"}, SECRET),
        lambda: EMAIL.send("email", "x@example.org", Message("1", "t"), EMAIL.clean({"host": "127.0.0.1", "from": "a@example.org"}), ""),
    ):  # fmt: skip
        with pytest.raises(Permanent, match=r"will not go out: .* adds .* to WATCHBILL_OUTBOUND"):
            send()


def test_a_message_that_will_not_go_out_does_not_wait(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db, edo=Script("no-answer")) as it:
        it.set_up()
        with override_settings(OUTBOUND=read_policy("", "")):
            it.fire(service="web")
        rows = it.rows("SELECT state, attempts, reason FROM paging_delivery WHERE method = 'email' AND target = 'Edo Editor' AND round = 0")  # fmt: skip
        assert [row[:2] for row in rows] == [("failed", 1)]
        assert rows[0][2].startswith("will not go out: 127.0.0.1 leads to 127.0.0.1")
        ((page,),) = it.rows("SELECT id FROM paging_page WHERE subject_kind = 'incident'")
        assert "will not go out</span>" in signed_in(cast.ada).get(f"/w/main/pages/{page}").content.decode().replace(
            "\n", ""
        )


def channel(it: Night, name: str) -> UUID:
    return it.rows("SELECT id FROM paging_channel WHERE name = %s AND removed_at IS NULL", name)[0][0]  # type: ignore[no-any-return]


def tried(it: Night, name: str) -> tuple[str, str, str]:
    """Presses Send a test in a channel's row; what stands there afterwards."""
    browser = signed_in(it.cast.ada)
    page = browser.get("/w/main/settings/channels").content.decode()
    assert "Send a test" in page
    answer = browser.post("/w/main/settings/channels", {"do": "test", "channel": channel(it, name)})
    assert answer.status_code == 302, answer.content.decode()[:2000]
    it.run()
    (row,) = [one for one in browser.get("/api/v1/workspaces/main/channels").json()["items"] if one["name"] == name]
    assert f"Last test, to {row['last_test']['to']}" in browser.get("/w/main/settings/channels").content.decode()
    return row["last_test"]["state"], row["last_test"]["to"], row["last_test"]["reason"]


def test_each_kind_of_channel_can_be_tried_from_its_row(cast: Cast, db: Any, clock: Any) -> None:
    from watchbill.people.contacts import add_browser

    with night(cast, db, ada=Script("silence")) as it, Push() as push, Slack() as slack, Refusing(200) as hook:
        it.set_up()
        url = hook.url.removeprefix("http://")
        with cast.acts(cast.ada) as by:
            common: dict[str, Any] = {"by": by, "workspace_id": cast.main}
            set_channel(**common, kind="push", name="Browsers", config={"contact": "a@example.org"})
            set_channel(**common, kind="slack", name="Slack", config=slack.config(), secret=f"{BOT} {SIGNING}")
            set_channel(**common, kind="webhook", name="Hook", config={"url": f"{hook.url}/hook"}, secret=SECRET)
            set_channel(**common, kind="apprise", name="Ntfy", config={}, secret=f"json://{url}/any")
            add_browser(**common, subscription=push.subscription(), label="Firefox")
        expected = {"Mail": "Ada Admin", "Twilio": "Ada Admin", "Browsers": "Ada Admin", "Slack": "Slack", "Hook": "Hook", "Ntfy": "Ntfy"}  # fmt: skip
        for name, to in expected.items():
            assert tried(it, name) == ("sent", to, "")
        assert [to for to, _ in it.mail.got] == ["ada@example.org"]
        assert [one["Body"].startswith("Test of the channel") for one in it.twilio.messages] == [True]
        assert len(slack.posted) == len(push.got) == 1
        assert hook.asked == ["/hook", "/any"]
        assert it.rows("SELECT count(*) FROM ledger_entry WHERE action = 'channel.test'") == [(6,)]


def test_a_test_says_why_it_was_refused_and_no_other_channel_stands_in(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it, Mail() as second:
        it.set_up()
        with cast.acts(cast.ada) as by:
            set_channel(by=by, workspace_id=cast.main, kind="email", name="Second", config=second.config())
        it.mail.stop()
        state, to, reason = tried(it, "Mail")
        assert (state, to) == ("refused", "Ada Admin")
        assert "does not answer" in reason
        assert second.got == []
        assert tried(it, "Second")[0] == "sent"
        second.refused["ada@example.org"] = "451 later"
        clock.forward(seconds=11)
        state, _, reason = tried(it, "Second")
        assert (state, "451" in reason) == ("refused", True), "a test is not tried again in silence"


def test_a_test_needs_the_permission_a_contact_and_some_patience(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        mail, twilio = channel(it, "Mail"), channel(it, "Twilio")
        with cast.acts(cast.edo) as by, pytest.raises(Denied):
            try_channel(by=by, workspace_id=cast.main, channel_id=mail)
        assert "Send a test" not in signed_in(cast.vera).get("/w/main/settings/channels").content.decode()
        with cast.acts(cast.ada) as by:
            try_channel(by=by, workspace_id=cast.main, channel_id=mail)
        with cast.acts(cast.ada) as by, pytest.raises(TooMany):
            try_channel(by=by, workspace_id=cast.main, channel_id=mail)
        assert signed_in(cast.ada).post("/w/main/settings/channels", {"do": "test", "channel": mail}).status_code == 429
        db.run("DELETE FROM people_contact_method WHERE kind = 'phone'")
        text = signed_in(cast.ada).post("/w/main/settings/channels", {"do": "test", "channel": twilio}).content.decode()
        assert "You have no telephone number that a test could go to" in text
        browser = signed_in(cast.sam)
        assert browser.post(f"/api/v1/workspaces/main/channels/{mail}/test").status_code == 404
        clock.forward(seconds=11)
        assert signed_in(cast.ada).post(f"/api/v1/workspaces/main/channels/{mail}/test").status_code == 201
