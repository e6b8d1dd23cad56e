"""Answers by text message: 1 acknowledges, 2 escalates; a number says which incident; a text back says what came of it."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction

from tests.cast import Cast, as_worker, signed_in
from tests.night import PHONES, Night, night
from watchbill.intake.protocols import Taken, protocol_of
from watchbill.paging.answers import Answer, read_answer
from watchbill.paging.rules import which

PATH = "/intake/the-key/twilio"


def take_answers(it: Night) -> Any:
    from watchbill.signals.commands import create_source

    it.set_up()
    with it.cast.acts(it.cast.ada) as by:
        return create_source(by=by, workspace_id=it.cast.main, protocol="twilio", name="Answers")[0]


def arrive(it: Night, source: Any, body: bytes, headers: dict[str, str]) -> list[str]:
    """As the door takes it, and the worker and its job carry it out; answers the texts that went out by it."""
    from watchbill.paging.presses import carry_out

    protocol, before = protocol_of(PATH), len(it.twilio.messages)
    assert protocol is not None
    taken = protocol.take(
        PATH, "", "POST", [(name.lower().encode(), value.encode()) for name, value in headers.items()], body
    )
    assert isinstance(taken, Taken)
    assert (taken.answer.status, taken.answer.media) == (200, "text/xml; charset=utf-8")
    assert taken.answer.body.endswith(b"<Response></Response>"), "Twilio sends nothing of its own"
    it.db.run(
        "INSERT INTO signals_arrival (source_id, workspace_id, received_at, body) VALUES (%s, %s, wb_now(), %s)", source.id, it.cast.main, taken.body
    )  # fmt: skip
    it.run()
    for (number,) in it.rows("SELECT id FROM paging_press WHERE done_at IS NULL"):
        with as_worker(), transaction.atomic():
            carry_out(str(number))
    it.run()
    return [one["Body"] for one in it.twilio.messages[before:]]


def says(it: Night, source: Any, who: str, words: str, **more: str) -> list[str]:
    return arrive(it, source, *it.twilio.text(PHONES[who], words, f"{settings.PUBLIC_URL}{PATH}", **more))


def problems(it: Night) -> list[str]:
    return [row[0] for row in it.rows("SELECT problem FROM paging_press ORDER BY id")]


@pytest.mark.parametrize(
    ("text", "what", "number"),
    [
        ("1", "acknowledge", None), (" ACK ", "acknowledge", None), ("ok.", "acknowledge", None), ("On it!", "acknowledge", None), ("1 142", "acknowledge", 142),
        ("ack inc-142", "acknowledge", 142), ("2", "escalate", None), ("Escalate #7", "escalate", 7), ("no", "escalate", None), ("142", "unknown", None),
        ("1,41", "acknowledge", 41), ("1-41", "acknowledge", 41), ("41 1", "acknowledge", 41), ("INC-41 ack", "acknowledge", 41), ("ack41", "acknowledge", 41),
        ("１", "acknowledge", None), ("１ ４１", "acknowledge", 41), ("\u200e1\u200f", "acknowledge", None), ("#41 1", "acknowledge", 41), ("2 1", "escalate", 1),
        ("1 2", "acknowledge", 2), ("ack: 41", "acknowledge", 41), ("I’m  on it", "acknowledge", None), ("ok, thanks", "acknowledge", None), ("1 👍🏽", "acknowledge", None),
        ("1\nAda, +44 20 7946 0003", "acknowledge", None), ("ok\n-- \nAda, room 20", "acknowledge", None), ("no #5", "escalate", 5), ("41 2", "escalate", 41),
        ("on it, 5 min", "unknown", None), ("Yes, at 03:10", "unknown", None), ("No problem, on it", "unknown", None), ("Mine is broken", "unknown", None),
        ("ok I can't take this", "unknown", None), ("ok\nI can’t take this", "unknown", None), ("1\nno, I can't", "unknown", None), ("yes? who is this", "unknown", None),
        ("not on it", "unknown", None), ("no 5", "unknown", None), ("ok no", "unknown", None), ("2 ack", "unknown", None), ("1 41 42", "unknown", None),
        ("#1", "unknown", None), ("1?", "unknown", None), ("1:41", "unknown", None), ("I am driving", "unknown", None), ("1 0000000000001", "unknown", None),
        ("10", "unknown", None), ("what is this?", "unknown", None), ("", "unknown", None), ("notice", "unknown", None), ("\0", "unknown", None),
    ],
)  # fmt: skip
def test_what_an_answer_means(text: str, what: str, number: int | None) -> None:
    assert read_answer(text) == Answer(what, number)


def test_one_acknowledges_as_whoever_sent_it_and_a_text_back_says_so(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        source = take_answers(it)
        it.fire()
        (text,) = [one["Body"] for one in it.twilio.messages if one["To"] == PHONES["edo"]]
        assert "Answer 1 to acknowledge, or tap http" in text
        assert says(it, source, "edo", "1") == ["Acknowledged: it is yours. INC-1"]
        assert it.rows("SELECT state, acknowledged_by, acknowledged_via FROM paging_page") == [
            ("acknowledged", cast.edo, "sms")
        ]
        assert it.incident()[0] == "acknowledged"
        assert it.rows("SELECT text FROM incidents_event WHERE what = 'acknowledged'") == [("by text message",)]
        assert says(it, source, "edo", "ok") == ["It was acknowledged already, by Edo Editor. INC-1"]
        assert says(it, source, "edo", "2 1") != [], "escalating what was acknowledged is answered, too"
        assert it.rows("SELECT DISTINCT length(body) + length(path) FROM paging_press") == [(0,)], (
            "nothing of it is kept"
        )
        assert problems(it) == ["", "", ""]


def test_two_escalates_and_anything_else_asks_again(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        source = take_answers(it)
        it.fire()
        assert says(it, source, "edo", "who is this") == [
            "That is not understood, and nothing was done. Answer with nothing but 1 to acknowledge or 2 to escalate: INC-1."
        ]
        assert it.incident()[0] == "open"
        said = says(it, source, "edo", "2")
        assert "Escalated: the next step is paged now. INC-1" in said
        assert any(row[0] == 2 for row in it.told())


@pytest.mark.parametrize(
    "words", ["on it, 5 min", "No problem, on it", "Mine is broken", "ok I can't take this", "Yes, at 03:10"]
)
def test_what_says_more_than_an_answer_changes_nothing(cast: Cast, db: Any, clock: Any, words: str) -> None:
    with night(cast, db) as it:
        source = take_answers(it)
        it.fire()
        (said,) = says(it, source, "edo", words)
        assert said.startswith("That is not understood, and nothing was done.")
        assert it.rows("SELECT state, step FROM paging_page") == [("running", 1)]


def test_an_automatic_reply_does_not_talk_to_the_hub_all_night(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        source = take_answers(it)
        it.fire()
        said: list[str] = []
        for _ in range(6):
            clock.forward(seconds=3)
            said += says(it, source, "edo", "I am driving and will answer later.")
        assert len(said) == 3
        assert says(it, source, "edo", "1") == ["Acknowledged: it is yours. INC-1"], "an answer is always confirmed"
        clock.forward(hours=1)
        assert [one[:22] for one in says(it, source, "edo", "what?")][-1] == "That is not understood"


def test_stop_ends_the_texts_to_a_number_until_start(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        source = take_answers(it)
        it.fire()
        assert says(it, source, "edo", "Stop") == [], "the carrier would drop it"
        assert says(it, source, "edo", "STOP") == []
        assert it.incident()[0] == "open"
        it.twilio.messages.clear()
        it.fire("Other", service="web")
        assert [one["To"] for one in it.twilio.messages] == []
        ((reason,),) = it.rows(
            "SELECT reason FROM paging_delivery WHERE method = 'sms' AND page_id = (SELECT id FROM paging_page ORDER BY id DESC LIMIT 1)"
        )
        assert reason == "STOP was answered from this number, so no text reaches it until START is"
        page = signed_in(cast.edo).get("/w/main/my-paging").content.decode()
        assert "no text reaches it. Text START" in page
        clock.forward(seconds=61)
        it.run()
        assert PHONES["edo"] in [call["To"] for call in it.twilio.calls], "calls go on"
        assert says(it, source, "edo", "START") == []
        assert it.rows("SELECT count(*) FROM paging_texts_stopped") == [(0,)]
        it.fire("Third", service="api")
        assert PHONES["edo"] in [one["To"] for one in it.twilio.messages]


def test_where_several_pages_wait_none_is_guessed(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        source = take_answers(it)
        it.fire()
        it.fire("OtherThing", service="web")
        ((said),) = says(it, source, "edo", "1")
        assert said.startswith("2 pages wait for you: INC-2, INC-1. Answer 1 and the number")
        assert {row[0] for row in it.rows("SELECT state FROM incidents_incident")} == {"open"}
        assert says(it, source, "edo", "1 2") == ["Acknowledged: it is yours. INC-2"]
        assert says(it, source, "edo", "1") == ["Acknowledged: it is yours. INC-1"]
        assert says(it, source, "edo", "1 77") == ["You were not paged about INC-77 lately."]


def test_of_two_pages_about_one_incident_the_number_means_the_one_that_waits() -> None:
    own = SimpleNamespace(title="[Sev1] Wrong (INC-1)", state="running")
    call = SimpleNamespace(title="Edo calls you in: Wrong (INC-1)", state="acknowledged")
    assert which([call, own], read_answer("1 1")) == (own, "")
    own.state = "ended"
    assert which([call, own], read_answer("1 1")) == (call, ""), "else the newest"


def test_what_is_not_signed_comes_twice_or_from_a_stranger_changes_nothing(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        source = take_answers(it)
        it.fire()
        url = f"{settings.PUBLIC_URL}{PATH}"
        body, headers = it.twilio.text(PHONES["edo"], "1", url)
        assert arrive(it, source, body, headers | {"X-Twilio-Signature": "AAAA"}) == []
        assert arrive(it, source, body, {}) == []
        assert arrive(it, source, body.replace(b"Body=1", b"Body=2"), headers) == []
        assert (
            arrive(it, source, *it.twilio.text(PHONES["edo"], "1", "https://elsewhere.example/intake/x/twilio")) == []
        )
        assert arrive(it, source, *it.twilio.text("+15550001111", "1", url)) == []
        it.db.run("UPDATE people_contact_method SET verified_at = NULL WHERE value = %s", PHONES["apo"])
        assert says(it, source, "apo", "1") == []
        assert it.incident()[0] == "open"
        assert (
            problems(it)
            == ["it does not carry Twilio's signature"] * 4
            + ["its sender's number is no verified contact of anybody here"] * 2
        )
        body, headers = it.twilio.text(PHONES["edo"], "who", url, sid="SM" + "a" * 32)
        assert len(arrive(it, source, body, headers)) == 1
        assert arrive(it, source, body, headers) == [], "a request that is sent again is carried out once"
        assert problems(it)[-1] == "it came twice, or has no number"


def test_a_telephone_that_two_share_answers_for_the_one_who_was_paged(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        source = take_answers(it)
        it.db.run("UPDATE people_contact_method SET value = %s WHERE value = %s", PHONES["edo"], PHONES["ada"])
        it.fire(service="web")
        assert says(it, source, "edo", "1") == ["Acknowledged: it is yours. INC-1"]
        assert it.rows("SELECT acknowledged_by FROM paging_page") == [(cast.edo,)]


def test_a_telephone_that_two_share_answers_for_whose_page_waits(cast: Cast, db: Any, clock: Any) -> None:
    """Ada was paged more often, but what waits is Edo's; with a page of each, none is guessed."""
    with night(cast, db) as it:
        source = take_answers(it)
        for number in (1, 2):
            it.fire(f"Wrong{number}")
            assert says(it, source, "ada", f"1 {number}") == [f"Acknowledged: it is yours. INC-{number}"]
        it.db.run("UPDATE people_contact_method SET value = %s WHERE value = %s", PHONES["edo"], PHONES["ada"])
        it.fire("Slow", service="web")
        assert says(it, source, "edo", "1") == ["Acknowledged: it is yours. INC-3"]
        assert it.rows("SELECT acknowledged_by FROM paging_page ORDER BY id DESC LIMIT 1") == [(cast.edo,)]
        it.fire("Down", service="web")
        it.fire("Odd", service="api")
        (asked,) = says(it, source, "edo", "1")
        assert asked.startswith("2 pages wait for you")


def test_somebody_who_was_not_paged_is_told_nothing_of_it(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        source = take_answers(it)
        it.fire(service="web")
        assert says(it, source, "ada", "1") == []
        assert it.incident()[0] == "open"
        assert problems(it) == ["You were not paged lately."]


def test_without_the_webhook_a_text_asks_for_no_answer(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire()
        assert "Answer 1" not in it.twilio.messages[0]["Body"]
