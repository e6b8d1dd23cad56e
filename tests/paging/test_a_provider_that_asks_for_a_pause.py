"""“Not now, come back in a while”: the pause that a provider asks for is kept, and nobody waits for it while there is another way."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cast import Cast
from tests.night import Night, night
from tests.peers.mail import Mail
from tests.peers.push import Push
from tests.peers.refusing import Refusing
from tests.peers.slack import SIGNING, TOKEN
from tests.peers.twilio import SID, Script
from watchbill.paging.channels.apprise.channel import APPRISE
from watchbill.paging.channels.email.channel import EMAIL
from watchbill.paging.channels.push.channel import PUSH
from watchbill.paging.channels.slack.channel import SLACK
from watchbill.paging.channels.twilio.channel import TWILIO
from watchbill.paging.channels.webhook.channel import WEBHOOK
from watchbill.paging.message import Message, Permanent, Temporary
from watchbill.paging.rules import LONGEST_PAUSE, PATIENCE, plan_retry, read_pause, read_retry_after

NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
SECRET = "whsec_" + "QUJD" * 8
DAY = LONGEST_PAUSE.total_seconds()


@pytest.mark.parametrize(
    ("value", "date", "expected"),
    [
        ("30", "", 30), (" 30 ", "", 30), ("0", "", 0), ("1.5", "", 1.5), ("999999999999", "", DAY),
        ("Wed, 25 Nov 2026 03:00:30 GMT", "", 30), ("Wednesday, 25-Nov-26 03:02:00 GMT", "", 120), ("Wed Nov 25 03:01:00 2026", "", 60),
        ("Wed, 25 Nov 2026 04:00:00 +0100", "", 0), ("Tue, 24 Nov 2026 03:00:00 GMT", "", 0), ("Fri, 25 Nov 2039 03:00:00 GMT", "", DAY),
        # The server's clock is an hour ahead: what counts is how far its date lies ahead of its own now.
        ("Wed, 25 Nov 2026 04:00:30 GMT", "Wed, 25 Nov 2026 04:00:00 GMT", 30),
        ("", "", None), ("soon", "", None), ("-5", "", None), ("1e3", "", None), ("٣٠", "", None), ("30, 60", "", None), ("Wed, 99 Foo", "", None),
        ("30", "nonsense", 30), ("Wed, 25 Nov 2026 03:00:30 GMT", "nonsense", 30),
    ],
)  # fmt: skip
def test_a_pause_is_read_as_seconds_or_as_a_date(value: str, date: str, expected: float | None) -> None:
    assert read_retry_after(value, NOW, date) == expected


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_header_is_a_pause_within_a_day_or_none(value: str, date: str) -> None:
    found = read_retry_after(value, NOW, date)
    assert found is None or 0 <= found <= DAY


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("4.2.0 Greylisted, please try again in 5 minutes", 300), ("try again after 60 seconds", 60), ("deferred: wait 2 h", 7200),
        ("4.7.1 retry in 30s", 30), ("mailbox full", None), ("4.3.2 please try again later", None), ("in 999999 hours", DAY), ("in 5 messages", None),
    ],
)  # fmt: skip
def test_a_mail_servers_words_may_name_the_pause(words: str, expected: float | None) -> None:
    assert read_pause(words) == expected


@pytest.mark.parametrize(
    ("pause", "step_in", "seconds", "out"),
    [
        (30, None, 30, False), (60, None, 60, False), (61, None, 61, True), (3600, None, 3600, True),
        (30, 300, 30, False), (30, 20, 30, True), (30, 30, 30, False), (86_400 * 9, 300, DAY, True),
    ],
)  # fmt: skip
def test_a_minute_is_waited_for_and_no_longer(pause: float, step_in: float | None, seconds: float, out: bool) -> None:
    found = plan_retry(1, pause, NOW, NOW + timedelta(seconds=step_in) if step_in is not None else None)
    assert (found.at, found.out) == (NOW + timedelta(seconds=seconds), out)


@given(st.integers(1, 8), st.none() | st.floats(0, 1e6), st.none() | st.integers(-10, 4000))
def test_a_pause_is_never_shortened_and_what_nobody_asked_for_is_no_pause(
    attempts: int, pause: float | None, step_in: int | None
) -> None:
    found = plan_retry(attempts, pause, NOW, NOW + timedelta(seconds=step_in) if step_in is not None else None)
    wait = found.at - NOW
    assert wait > timedelta(0)
    if pause is None:
        assert not found.out
    else:
        assert wait >= min(timedelta(seconds=pause), LONGEST_PAUSE)
        assert found.out or wait <= PATIENCE


# Each channel


def _slack(peer: Refusing) -> None:
    config = SLACK.clean({"channel": "#incidents", "base": peer.url})
    SLACK.send("slack", "", Message("1", "t"), config, f"{TOKEN} {SIGNING}")


def _twilio(peer: Refusing) -> None:
    config = TWILIO.clean({"account_sid": SID, "from": "+15005550006", "base": peer.url})
    TWILIO.send("sms", "+442079460001", Message("1", "t"), config, "token")


def _webhook(peer: Refusing) -> None:
    WEBHOOK.send("webhook", "", Message("1", "t"), {"url": f"{peer.url}/"}, SECRET)


def _push(peer: Refusing) -> None:
    with Push() as browser:
        address = browser.subscription().replace(browser.url, peer.url)
    PUSH.send("push", address, Message("1", "t"), {"contact": "a@example.org"}, "")


def _apprise(peer: Refusing) -> None:
    APPRISE.send("apprise", "", Message("1", "t"), {}, peer.url.replace("http://", "json://") + "/hook")


@pytest.mark.parametrize("send", [_slack, _twilio, _webhook, _push, _apprise])
@pytest.mark.parametrize(
    ("status", "value", "expected"), [(429, "30", 30), (503, "120", 120), (429, "", None), (429, "soon", None)]
)
def test_every_channel_passes_on_the_pause_that_it_is_asked_for(
    send: Callable[[Refusing], None], status: int, value: str, expected: float | None
) -> None:
    body = '{"ok": false, "error": "ratelimited", "code": 20429, "message": "Too Many Requests"}'
    with Refusing(status, headers={"Retry-After": value} if value else {}, body=body) as peer:
        with pytest.raises(Temporary) as error:
            send(peer)
        assert error.value.retry_after == expected
        peer.headers = {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=45), usegmt=True)} if value else {}  # fmt: skip
        with pytest.raises(Temporary) as error:
            send(peer)
        assert (error.value.retry_after is None) if not value else (40 <= (error.value.retry_after or 0) <= 46)


def test_what_apprise_was_asked_once_is_not_asked_of_the_next_message() -> None:
    with Refusing(429, headers={"Retry-After": "30"}) as first, Refusing(500) as second:
        for peer, expected in ((first, 30), (second, None)):
            with pytest.raises(Temporary) as error:
                _apprise(peer)
            assert error.value.retry_after == expected


def test_a_mail_server_that_defers_is_asked_again_when_it_says() -> None:
    with Mail() as mail:
        for answer, expected in (("451 4.7.1 Greylisted, try again in 5 minutes", 300), ("452 4.2.2 full", None)):
            mail.refused["x@example.org"] = answer
            with pytest.raises(Temporary) as error:
                EMAIL.send("email", "x@example.org", Message("1", "t"), EMAIL.clean(mail.config()), "")
            assert error.value.retry_after == expected
        mail.refused["x@example.org"] = "550 try another one in 5 minutes"
        with pytest.raises(Permanent):
            EMAIL.send("email", "x@example.org", Message("1", "t"), EMAIL.clean(mail.config()), "")


# A page whose way out asks for a pause


def history(it: Night) -> list[tuple[str, str]]:
    return [(what, why) for what, why in it.rows("SELECT what, why FROM paging_event ORDER BY id")]


def to_webhook(it: Night, peer: Refusing, name: str = "On-Call SRE") -> None:
    """The first step of the example pages a webhook, and nobody else."""
    from watchbill.handbook.bindings import bind_name
    from watchbill.paging.setup import set_channel

    with it.cast.acts(it.cast.ada) as by:
        made = set_channel(
            by=by, workspace_id=it.cast.main, kind="webhook", name="Hook", config={"url": f"{peer.url}/"}, secret=SECRET
        )
        bind_name(by=by, workspace_id=it.cast.main, name=name, target_kind="channel", target_id=made.id)


def test_a_receiver_that_asks_for_half_a_minute_is_asked_again_after_half_a_minute(
    cast: Cast, db: Any, clock: Any
) -> None:
    with night(cast, db) as it, Refusing(429, headers={"Retry-After": "30"}, times=3) as peer:
        it.set_up()
        to_webhook(it, peer)
        it.fire(service="web")
        asked = [len(peer.asked)]
        for _ in range(9):
            clock.forward(seconds=10)
            it.run()
            asked.append(len(peer.asked))
        assert asked == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4]
        assert it.rows("SELECT step, state, attempts FROM paging_delivery") == [(1, "sent", 4)]
        whats = [what for what, _ in history(it)]
        assert whats.count("asked to wait") == 3
        assert not [what for what in whats if "could be reached" in what], "refused for now is not “nobody”"
        ((why,),) = it.rows("SELECT why FROM paging_event WHERE what = 'asked to wait' ORDER BY id LIMIT 1")
        assert "the receiver answered 429; asked to wait 30 s, tried again at " in why


def test_where_the_pause_is_too_long_the_next_step_begins_and_the_retry_stays_planned(
    cast: Cast, db: Any, clock: Any
) -> None:
    with night(cast, db, apo=Script("no-answer")) as it, Refusing(503, headers={"Retry-After": "600"}, times=1) as peer:
        it.set_up()
        to_webhook(it, peer)
        it.fire(service="web")
        assert it.rows("SELECT step FROM paging_page") == [(2,)]
        assert it.rows("SELECT state FROM paging_delivery WHERE method = 'webhook' AND step = 1") == [("waiting",)]
        whats = dict(history(it))
        assert "the next step begins at once" in whats["webhook is out for now"]
        assert "asked to wait 600 s, tried again at" in whats["webhook is out for now"]
        assert not [what for what in whats if "could be reached" in what]
        clock.forward(seconds=599)
        it.run()
        first = "SELECT state, attempts FROM paging_delivery WHERE method = 'webhook' AND step = 1 AND round = 0"
        assert it.rows(first) == [("waiting", 1)]
        clock.forward(seconds=2)
        it.run()
        assert it.rows(first) == [("sent", 2)]


def test_where_a_text_has_to_wait_too_long_the_phone_rings_at_once(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db, edo=Script("no-answer")) as it:
        it.set_up()
        it.mail.refused["edo@example.org"] = "451 4.7.1 Greylisted, try again in 10 minutes"
        it.fire(service="web")
        assert len(it.twilio.calls) == 1
        assert "voice to Edo Editor goes at once" in dict(history(it))["email is out for now"]
        del it.mail.refused["edo@example.org"]
        clock.forward(seconds=601)
        it.run()
        assert len(it.mail.to("edo@example.org")) >= 1, "the later attempt stayed planned"


def test_the_only_step_of_a_page_keeps_its_time_while_its_way_out_is_busy(cast: Cast, db: Any, clock: Any) -> None:
    """Nobody is told that nobody could be reached because a server was busy for a moment."""
    from watchbill.base.actor import system
    from watchbill.base.ids import uuid7
    from watchbill.paging.commands import start

    for status, headers in ((429, {"Retry-After": "20"}), (429, {}), (503, {"Retry-After": "900"})):
        with night(cast, db) as it, Refusing(status, headers=headers) as peer:
            if not it.rows("SELECT 1 FROM paging_channel WHERE name = 'Mail' AND removed_at IS NULL"):
                it.set_up()
            to_webhook(it, peer)
            ((hook,),) = it.rows("SELECT id FROM paging_channel WHERE name = 'Hook'")
            target = {"kind": "channel", "id": str(hook), "name": "Hook", "why": "test"}
            policy = {"key": "", "name": "Only", "steps": [{"after": 0, "targets": [target]}], "repeat": 0}
            with cast.acts(cast.ada) as by:
                page = start(by=system("worker"), workspace_id=cast.main, subject=("call", uuid7()), title="Only (INC-1)", policy=policy)  # fmt: skip
                assert by
            it.run()
            assert it.rows("SELECT state FROM paging_page WHERE id = %s", page.id) == [("running",)]
            clock.forward(seconds=100)
            it.run()
            assert it.rows("SELECT state FROM paging_page WHERE id = %s", page.id) == [("running",)]
            clock.forward(seconds=300)
            it.run()
            assert it.rows("SELECT state FROM paging_page WHERE id = %s", page.id) == [("exhausted",)]
            ((why,),) = it.rows("SELECT why FROM paging_event WHERE what = 'nobody could be reached' AND page_id = %s", page.id)  # fmt: skip
            assert "webhook to Hook" in why, "what still has a chance stands there"
