"""A call that was answered may have been answered by voicemail: only a pressed key says that somebody heard it."""

from typing import Any

import pytest
from django.test import Client
from twilio.request_validator import RequestValidator

from tests.cast import Cast
from tests.night import PHONES, Night, night
from tests.peers.twilio import TOKEN, Script
from watchbill.paging.own import set_rules

PERHAPS = "answered, no key pressed (perhaps voicemail)"


def by_phone(it: Night, *more: dict[str, Any]) -> Night:
    """Edo is called at once, and by what else he says."""
    it.set_up()
    with it.cast.acts(it.cast.edo) as by:
        set_rules(
            by=by, workspace_id=it.cast.main, urgency="high", steps=[{"method": "voice", "delay": 0}, *more]
        )  # fmt: skip
    return it


def call(it: Night) -> tuple[Any, ...]:
    """State and reason of the call to Edo, and whether it is done."""
    found = it.rows("SELECT state, reason, done_at IS NOT NULL FROM paging_delivery WHERE method = 'voice' AND target = 'Edo Editor'")  # fmt: skip
    return found[0]  # type: ignore[no-any-return]


def tell(it: Night, what: str, form: dict[str, str]) -> None:
    """A signed request of Twilio's about the last call to Edo, delayed or repeated on its way."""
    last = next(one for one in reversed(it.twilio.calls) if one["To"] == PHONES["edo"])
    url = last["Url"].replace("/voice", what)
    form = {"CallSid": last["sid"], **form}
    signed = {"X-Twilio-Signature": RequestValidator(TOKEN).compute_signature(url, form)}
    assert Client(headers=signed).post(url.removeprefix("http://testserver"), form).status_code in (200, 204)
    it.run()


def lead(it: Night) -> bool:
    """Whether the second step, the lead, is paged by now."""
    return bool(it.rows("SELECT id FROM paging_delivery WHERE step = 2 AND target = 'Apo Approver' AND sent_at IS NOT NULL"))  # fmt: skip


def test_an_answered_call_without_a_key_reached_nobody(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db, edo=Script("answer")) as it:
        by_phone(it).fire(service="web")
        assert call(it) == ("sent", PERHAPS, True)
        assert it.incident()[0] == "open"
        assert lead(it), "as after a call that nobody takes: nothing else of this step may reach him"
        assert any("no key" in row[0] for row in it.rows("SELECT what || ' ' || why FROM paging_event"))


def test_the_next_method_goes_at_once(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db, edo=Script("answer")) as it:
        by_phone(it, {"method": "email", "delay": 600}).fire(service="web")
        assert call(it)[0] == "sent"
        assert [to for to, _ in it.mail.got if to == "edo@example.org"]
        assert not lead(it), "his mail may still reach him"
        clock.forward(minutes=6)
        it.run()
        assert lead(it)


@pytest.mark.parametrize("key", ["1", "2", "9"])
def test_a_pressed_key_is_the_receipt(cast: Cast, db: Any, clock: Any, key: str) -> None:
    with night(cast, db, edo=Script("answer", keys=key)) as it:
        by_phone(it).fire(service="web")
        assert call(it) == ("delivered", "", True)
        assert (it.incident()[0] == "acknowledged") is (key == "1")
        assert lead(it) is (key == "2")


def test_a_key_counts_whenever_it_comes(cast: Cast, db: Any, clock: Any) -> None:
    """The request about the end of the call overtakes that about the key; and both may come before Twilio's answer to us."""
    with night(cast, db, edo=Script("answer")) as it:
        by_phone(it).fire(service="web")
        assert call(it)[0] == "sent"
        tell(it, "/key", {"CallStatus": "in-progress", "Digits": "1"})
        assert call(it) == ("delivered", "", True)
        tell(it, "/status", {"CallStatus": "completed"})
        assert call(it) == ("delivered", "", True)


@pytest.mark.parametrize(("keys", "state"), [("", "sent"), ("1", "delivered")])
def test_it_counts_before_the_answer_to_our_request(
    cast: Cast, db: Any, clock: Any, keys: str, state: str
) -> None:  # fmt: skip
    with night(cast, db, edo=Script("answer", keys=keys, early=True, dies=True)) as it:
        by_phone(it).fire(service="web")
        assert call(it)[0] == state
        clock.forward(seconds=30)
        it.run()
        assert len([one for one in it.twilio.calls if one["To"] == PHONES["edo"]]) == 1, "no second call"


def test_a_repeated_report_changes_nothing(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db, edo=Script("answer")) as it:
        by_phone(it).fire(service="web")
        lines = it.rows("SELECT count(*) FROM paging_event")
        tell(it, "/status", {"CallStatus": "completed"})
        tell(it, "/status", {"CallStatus": "no-answer"})
        assert call(it)[:2] == ("sent", PERHAPS)
        assert it.rows("SELECT count(*) FROM paging_event") == lines


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("machine_start", "answered by voicemail, no key pressed"),
        ("machine_end_beep", "answered by voicemail, no key pressed"),
        ("machine_end_silence", "answered by voicemail, no key pressed"),
        ("machine_end_other", "answered by voicemail, no key pressed"),
        ("fax", "answered by a fax machine, no key pressed"),
        ("human", "answered by somebody, no key pressed"),
        ("unknown", PERHAPS),
        ("", PERHAPS),
        ("something new", PERHAPS),
    ],
)
def test_what_twilio_says_of_who_answered_is_kept(cast: Cast, db: Any, clock: Any, by: str, words: str) -> None:
    with night(cast, db, edo=Script("silence")) as it:
        by_phone(it).fire(service="web")
        tell(it, "/status", {"CallStatus": "completed", "AnsweredBy": by})
        assert call(it) == ("sent", words, True)


def test_a_machine_that_was_detected_while_the_call_lasts_is_not_waited_for(cast: Cast, db: Any, clock: Any) -> None:
    """Twilio says so when it asks what to say; the key of a person whom it took for one still counts."""
    with night(cast, db, edo=Script("silence")) as it:
        by_phone(it).fire(service="web")
        tell(it, "/voice", {"CallStatus": "in-progress", "AnsweredBy": "human"})
        assert call(it) == ("sent", "", False)
        tell(it, "/voice", {"CallStatus": "in-progress", "AnsweredBy": "machine_start"})
        assert call(it) == ("sent", "answered by voicemail, no key pressed", True)
        assert lead(it)
        tell(it, "/key", {"CallStatus": "in-progress", "Digits": "1"})
        assert call(it) == ("delivered", "", True)
        assert it.incident()[0] == "acknowledged"
