"""What became of a text or a call counts also when it is heard before Twilio's own answer, or when that answer never came."""

from typing import Any

import pytest
from django.test import Client

from tests.cast import Cast, as_worker
from tests.night import PHONES, Night, night
from tests.peers.twilio import Script, Twilio
from watchbill.paging.models import Delivery
from watchbill.paging.outcomes import receipt


def texts(it: Night) -> list[Any]:
    return it.rows("SELECT state, attempts, provider_id <> '' FROM paging_delivery WHERE method = 'sms' AND target = 'Edo Editor' AND round = 0")  # fmt: skip


def to_edo(it: Night) -> list[Any]:
    return [one for one in it.twilio.messages if one["To"] == PHONES["edo"]]


def only_by_text(db: Any, cast: Cast) -> None:
    from watchbill.paging.own import set_rules

    with cast.acts(cast.edo) as by:
        set_rules(by=by, workspace_id=cast.main, urgency="high", steps=[{"method": "sms", "delay": 0}])


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize(("outcome", "state"), [("no-answer", "delivered"), ("failed", "failed")])
def test_a_receipt_counts_before_and_after_the_answer(
    cast: Cast, db: Any, clock: Any, early: bool, outcome: str, state: str
) -> None:
    with night(cast, db, edo=Script(outcome, early=early)) as it:
        it.set_up()
        only_by_text(db, cast)
        it.fire(service="web")
        assert texts(it) == [(state, 1, True)]
        assert len(to_edo(it)) == 1
        actions = [
            row[0]
            for row in it.rows(
                "SELECT action FROM ledger_entry WHERE action IN ('page.sent', 'page.failed') ORDER BY at"
            )
        ]
        assert actions.count("page.failed") == (state == "failed")


def test_a_text_that_arrived_is_not_sent_again_because_the_answer_was_lost(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db, edo=Script(early=True, dies=True)) as it:
        it.set_up()
        only_by_text(db, cast)
        it.fire(service="web")
        assert texts(it) == [("delivered", 1, True)]
        clock.forward(seconds=30)
        it.run()
        assert len(to_edo(it)) == 1
        assert "nobody of this step could be reached" not in [
            row[0] for row in it.rows("SELECT what FROM paging_event")
        ]


def test_a_receipt_after_the_attempt_was_given_up_stops_the_retry(cast: Cast, db: Any, clock: Any) -> None:
    """Twilio takes the text, its answer is lost, and a moment later it says that the text arrived."""
    with night(cast, db, edo=Script("silence", dies=True)) as it:
        it.set_up()
        only_by_text(db, cast)
        it.fire(service="web")
        assert texts(it)[0][:2] == ("waiting", 1)
        sent = to_edo(it)[-1]
        it.twilio._message(sent["sid"], sent, Script())
        assert texts(it) == [("delivered", 1, True)]
        clock.forward(seconds=30)
        it.run()
        assert len(to_edo(it)) == 1


def test_a_failure_of_an_earlier_attempt_says_nothing_of_the_last_one(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db, edo=Script("silence", dies=True)) as it:
        it.set_up()
        only_by_text(db, cast)
        it.fire(service="web")
        first = to_edo(it)[-1]
        it.twilio._message(first["sid"], first, Script("failed"))
        assert texts(it)[0][:2] == ("waiting", 1), "it is tried again anyway"
        it.twilio.scripts[PHONES["edo"]] = Script("silence")
        clock.forward(seconds=10)
        it.run()
        assert texts(it) == [("sent", 2, True)]
        it.twilio._message(first["sid"], first, Script("failed"))
        assert texts(it) == [("sent", 2, True)]
        last = to_edo(it)[-1]
        it.twilio._message(last["sid"], last, Script())
        it.twilio._message(last["sid"], last, Script("failed"))
        assert texts(it) == [("delivered", 2, True)], "what arrived stays so"


def test_a_receipt_that_is_not_signed_or_about_nothing_changes_nothing(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db, edo=Script("silence")) as it:
        it.set_up()
        only_by_text(db, cast)
        it.fire(service="web")
        sent = to_edo(it)[-1]
        url = sent["StatusCallback"].removeprefix("http://testserver")
        form = {"MessageSid": sent["sid"], "MessageStatus": "delivered"}
        assert Client().post(url, form).status_code == 403
        assert texts(it) == [("sent", 1, True)]
        with as_worker():
            other = Delivery.objects.get(method="sms", target="Edo Editor", round=0).id
            assert not receipt(workspace_id=cast.other, delivery_id=other, provider_id=sent["sid"], state="delivered")
        assert texts(it) == [("sent", 1, True)]


def test_a_peer_that_reports_early_still_passes_the_vendors_own_calls() -> None:
    heard: list[str] = []
    with Twilio(post=lambda url, form, headers: heard.append(form["MessageStatus"]) or (204, "")) as peer:  # type: ignore[func-returns-value]
        peer.scripts["+447700900123"] = Script(early=True)
        from tests.peers.twilio import TOKEN
        from watchbill.paging.channels.twilio.channel import TWILIO
        from watchbill.paging.message import Message

        sent = TWILIO.send(
            "sms", "+447700900123", Message("1", "t", reply_url="http://hub/reply/k"), peer.config(), TOKEN
        )
        assert sent.receipt
        assert heard == ["sent", "delivered"]
