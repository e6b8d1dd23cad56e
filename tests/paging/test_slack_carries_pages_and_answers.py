"""Slack: buttons that acknowledge as whoever pressed, a thread that says what happened since, and nothing by a request that Slack did not sign."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cast import Cast, as_worker
from tests.night import Night, night
from tests.peers.slack import SIGNING, TOKEN, Slack
from watchbill.intake.protocols import Taken, protocol_of
from watchbill.paging.channels.slack.channel import SLACK, is_signed, signature
from watchbill.paging.message import Message, Permanent, Temporary

SECRET = f"{TOKEN} {SIGNING}"


@pytest.fixture
def slack() -> Iterator[Slack]:
    with Slack() as peer:
        yield peer


def test_the_peer_passes_the_vendors_own_calls(slack: Slack) -> None:
    from slack_sdk import WebClient
    from slack_sdk.errors import SlackApiError

    client = WebClient(token=TOKEN, base_url=f"{slack.url}/")
    assert client.auth_test()["user"] == "watchbill"
    first = client.chat_postMessage(channel="#incidents", text="hello")
    assert client.chat_postMessage(channel="#incidents", text="more", thread_ts=first["ts"])["ok"]
    slack.users["U1"] = "edo@example.org"
    assert client.users_info(user="U1")["user"]["profile"]["email"] == "edo@example.org"
    with pytest.raises(SlackApiError, match="channel_not_found"):
        client.chat_postMessage(channel="#nowhere", text="x")
    with pytest.raises(SlackApiError, match="invalid_auth"):
        WebClient(token="xoxb-wrong", base_url=f"{slack.url}/").auth_test()


def test_our_signature_is_the_vendors_and_an_old_request_is_none(slack: Slack) -> None:
    from slack_sdk.signature import SignatureVerifier

    body = b"payload=%7B%7D"
    assert signature(SIGNING, "1700000000", body) == SignatureVerifier(SIGNING).generate_signature(
        timestamp="1700000000", body=body
    )
    good = signature(SIGNING, "1700000000", body)
    assert is_signed(SIGNING, "1700000000", good, body, 1700000100)
    assert not is_signed(SIGNING, "1700000000", good, body, 1700000301)
    assert not is_signed(SIGNING, "1700000000", good, body + b" ", 1700000100)
    assert not is_signed("other", "1700000000", good, body, 1700000100)
    assert not is_signed(SIGNING, "yesterday", good, body, 1700000100)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("channel_not_found", Permanent),
        ("is_archived", Permanent),
        ("ratelimited", Temporary),
        ("token_revoked", Temporary),
    ],
)
def test_what_slack_refuses_is_for_now_or_for_good(slack: Slack, error: str, kind: type[Exception]) -> None:
    slack.error = error
    with pytest.raises(kind, match=error):
        SLACK.send("slack", "", Message("1", "t"), SLACK.clean(slack.config()), SECRET)
    with pytest.raises(Temporary):
        SLACK.send("slack", "", Message("1", "t"), SLACK.clean(slack.config()), "one-part-only")


def test_a_title_cannot_mention_everybody_or_make_links(slack: Slack) -> None:
    SLACK.send(
        "slack", "", Message("1", "<!channel> & <http://evil|x>" + "y" * 4000), SLACK.clean(slack.config()), SECRET
    )
    text = json.dumps(slack.posted[0])
    assert "<!channel>" not in text
    assert "&lt;!channel&gt; &amp; &lt;http://evil|x&gt;" in text


def on_slack(it: Night, slack: Slack) -> Any:
    """The night's channel: “#oncall-sre” of the runbook is a channel of Slack, and its buttons come in through an integration."""
    from watchbill.handbook.bindings import bind_name
    from watchbill.paging.setup import set_channel
    from watchbill.signals.commands import create_source

    it.set_up()
    slack.users = {"U_EDO": "EDO@example.org", "U_OUT": "somebody@elsewhere.example"}
    with it.cast.acts(it.cast.ada) as by:
        made = set_channel(
            by=by, workspace_id=it.cast.main, kind="slack", name="SRE in Slack", config=slack.config(), secret=SECRET
        )
        bind_name(by=by, workspace_id=it.cast.main, name="#oncall-sre", target_kind="channel", target_id=made.id)
        return create_source(by=by, workspace_id=it.cast.main, protocol="slack", name="Slack buttons")[0]


def arrive(it: Night, source: Any, body: bytes, headers: dict[str, str]) -> None:
    """As the door takes it, and the worker and its job carry it out."""
    from watchbill.paging.presses import carry_out

    protocol = protocol_of("/intake/key/slack")
    assert protocol is not None
    taken = protocol.take(
        "/intake/key/slack",
        "",
        "POST",
        [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        body,
    )
    assert isinstance(taken, Taken)
    assert (taken.answer.status, taken.answer.body) == (200, b"")
    it.db.run(
        "INSERT INTO signals_arrival (source_id, workspace_id, received_at, body) VALUES (%s, %s, wb_now(), %s)",
        source.id,
        it.cast.main,
        taken.body,
    )
    it.run()
    for (number,) in it.rows("SELECT id FROM paging_press WHERE done_at IS NULL"):
        from django.db import transaction

        with as_worker(), transaction.atomic():
            carry_out(str(number))
    it.run()


def test_a_button_acknowledges_as_whoever_pressed_and_the_thread_says_so(cast: Cast, db: Any, slack: Slack) -> None:
    with night(cast, db) as it:
        source = on_slack(it, slack)
        it.fire("Queue", service="web", severity="warning")
        (message,) = slack.posted
        assert "Queue: web (INC-1)" in json.dumps(message["blocks"])
        arrive(it, source, *slack.press(message, "acknowledge", "U_EDO"))
        assert it.rows(
            "SELECT state, acknowledged_by, acknowledged_via FROM paging_page WHERE subject_kind = 'incident'"
        ) == [("acknowledged", cast.edo, "slack")]
        assert it.incident()[0] == "acknowledged"
        assert [one["text"] for one in slack.posted if one.get("thread_ts") == message["ts"]] == [
            "Acknowledged by Edo Editor (slack)."
        ]
        arrive(it, source, *slack.press(message, "acknowledge", "U_EDO"))
        assert it.rows("SELECT problem FROM paging_press") == [("",), ("",)], "a second press is harmless"
        assert it.rows("SELECT DISTINCT length(body) FROM paging_press") == [(0,)], "nothing of it is kept"
        it.fire("Queue", service="web", severity="warning", status="resolved")
        assert slack.posted[-1]["text"].startswith("Over: INC-1 was resolved")


def test_a_stranger_in_the_channel_changes_nothing_and_is_told_why(cast: Cast, db: Any, slack: Slack) -> None:
    with night(cast, db) as it:
        source = on_slack(it, slack)
        it.fire("Queue", service="web", severity="warning")
        arrive(it, source, *slack.press(slack.posted[0], "acknowledge", "U_OUT"))
        arrive(it, source, *slack.press(slack.posted[0], "acknowledge", "U_NOBODY"))
        assert it.incident()[0] == "open"
        assert "nobody here" in slack.posted[-1]["text"]


def test_a_press_that_slack_did_not_sign_changes_nothing(cast: Cast, db: Any, slack: Slack) -> None:
    with night(cast, db) as it:
        source = on_slack(it, slack)
        it.fire("Queue", service="web", severity="warning")
        body, headers = slack.press(slack.posted[0], "acknowledge", "U_EDO")
        arrive(it, source, body, headers | {"X-Slack-Signature": "v0=" + "0" * 64})
        arrive(it, source, *slack.press(slack.posted[0], "acknowledge", "U_EDO", at=time.time() - 4000))
        arrive(it, source, b"nonsense", headers)
        assert it.incident()[0] == "open"
        assert {row[0] for row in it.rows("SELECT problem FROM paging_press")} == {
            "it does not carry Slack's signature, or is too old"
        }
