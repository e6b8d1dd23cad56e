"""Whatever is cut, the incident's number stays: “1 142” needs it. And a text message keeps to its parts."""

import json
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cast import Cast
from tests.night import night
from tests.peers.twilio import Script
from watchbill.intake.twilio.reply import ask
from watchbill.paging.channels.email.channel import compose
from watchbill.paging.channels.push.channel import LONGEST, payload
from watchbill.paging.channels.slack.channel import blocks_of
from watchbill.paging.message import Message
from watchbill.paging.rules import Answer, which
from watchbill.paging.shorten import (
    MOST_PARTS,
    MOST_PARTS_UCS2,
    fits_text,
    is_gsm,
    number_in,
    parts,
    plain,
    shorten,
)

LINK = "https://hub.example.org/reply/wbr_" + "k" * 43


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("[Sev1] Down (INC-142)", 142), ("You were not briefed about INC-7: Down", 7), ("INC-7 again (INC-142)", 142), ("Down", None), ("INC-", None),
        ("Ada calls you in: see (INC-9) for more (INC-10)", 10), ("XINC-5", None), ("inc-5", None),
    ],
)  # fmt: skip
def test_a_title_is_about_the_number_at_its_end(title: str, expected: int | None) -> None:
    assert number_in(title) == expected


@pytest.mark.parametrize(
    ("title", "limit", "expected"),
    [
        ("Down (INC-142)", 20, "Down (INC-142)"), ("A" * 250 + " (INC-142)", 40, "A" * 27 + "... (INC-142)"),
        ("Sync of the ledger fails (INC-1)", 25, "Sync of the le... (INC-1)"),
        ("INC-1: " + "B" * 90, 20, "INC-1: BBBBBBBBBB..."), ("C" * 50, 10, "CCCCCCC..."), ("D" * 50 + " (INC-142)", 8, "INC-142"), ("", 5, ""),
    ],
)  # fmt: skip
def test_the_name_gives_way(title: str, limit: int, expected: str) -> None:
    assert shorten(title, limit) == expected


@given(st.text(max_size=400), st.integers(1, 999_999_999), st.integers(13, 400))
def test_any_name_gives_way_and_any_number_stays(name: str, number: int, limit: int) -> None:
    found = shorten(f"{name} (INC-{number})", limit)
    assert len(found) <= limit
    assert number_in(found) == number


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 1), ("a" * 160, 1), ("a" * 161, 2), ("a" * 306, 2), ("a" * 307, 3), ("€" * 80, 1), ("€" * 81, 2), ("[" * 76 * 2, 2), ("[" * 76 * 2 + "[", 3),
        # An escape is not left alone at the end of a part: 152 septets, then one that needs two.
        ("a" * 152 + "€" + "a" * 151, 2), ("a" * 152 + "€" + "a" * 152, 3), ("ш" * 70, 1), ("ш" * 71, 2), ("ш" * 134, 2), ("ш" * 135, 3),
        ("🔥" * 35, 1), ("🔥" * 36, 2), ("🔥" * 66, 2), ("🔥" * 67, 3), ("…", 1), ("a" * 297 + "…", 5), ("a" * 297 + "...", 2), ("äöüßÄÖÜñÉ" * 17, 1), ("ç" * 71, 2),
    ],
)  # fmt: skip
def test_parts_are_counted_as_the_network_counts_them(text: str, expected: int) -> None:
    assert parts(text) == expected


@given(st.text(max_size=500))
def test_parts_hold_the_whole_text(text: str) -> None:
    units = len(text.encode("utf-16-le")) // 2
    if is_gsm(text):
        assert parts(text) <= max(1, -(-2 * len(text) // 152))
    else:
        assert parts(text) >= -(-units // 70)
        assert parts(text) <= max(1, -(-units // 66))


@given(st.text(max_size=400), st.integers(1, 999_999), st.booleans(), st.sampled_from([0, 3]))
def test_a_text_message_keeps_its_number_its_link_and_its_parts(
    name: str, number: int, answers: bool, more: int
) -> None:
    text = Message("1", f"{name} (INC-{number})", reply_url=LINK, answers=answers, more=more).short()
    assert number_in(text.removesuffix(LINK)) is not None
    assert f"INC-{number}" in text
    assert text.endswith(LINK)
    assert fits_text(text)
    assert parts(text) <= (MOST_PARTS if is_gsm(text) else MOST_PARTS_UCS2)


def test_a_long_plain_name_is_two_parts_and_typography_costs_none() -> None:
    for name in ("A" * 250, "Sync “fails” – again… " * 14, "Größe der Übertragung überschritten " * 8):
        text = Message("1", f"[Sev1] {name} (INC-142)", reply_url=LINK, answers=True).short()
        assert (is_gsm(text), parts(text)) == (True, 2), text
        assert "INC-142)" in text
        assert len(text) <= 300
    assert plain("“Ledger” – can’t…") == '"Ledger" - can\'t...'


@given(st.text(max_size=300), st.text(max_size=2000), st.integers(1, 999_999))
def test_mail_push_slack_and_voice_keep_the_number(name: str, text: str, number: int) -> None:
    code = f"INC-{number}"
    message = Message("00000000-0000-0000-0000-000000000001", f"{name} ({code})", text, "why", LINK, LINK, more=4)
    subject = str(compose(message, "hub@example.org", "a@example.org")["Subject"])
    assert code in subject
    assert len(subject) <= 200
    told = payload(message)
    assert len(told) <= LONGEST
    assert code in json.loads(told)["title"]
    section = blocks_of(message)[0]["text"]["text"]
    assert code in section
    assert len(section) <= 3000
    assert LINK in section
    said = "".join(ElementTree.fromstring(ask(message.title, "why", "http://h/k")).itertext())
    assert code in said


def test_an_answer_means_the_incident_and_not_one_that_its_name_mentions() -> None:
    class Paged:
        state = "running"

        def __init__(self, title: str) -> None:
            self.title = title

    first, second = Paged("INC-9 came back (INC-142)"), Paged("Down (INC-9)")
    assert which([first, second], Answer("acknowledge", 142))[0] is first
    assert which([first, second], Answer("acknowledge", 9))[0] is second


def test_an_alert_with_a_very_long_name_is_answered_by_its_number(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db, edo=Script("silence")) as it:
        it.set_up()
        it.fire("A" * 250, service="web")
        ((number,),) = it.rows("SELECT number FROM incidents_incident")
        (text,) = [one["Body"] for one in it.twilio.messages]
        assert f"INC-{number})" in text
        assert parts(text) == 2
        subject = str(it.mail.got[0][1]["Subject"])
        assert f"(INC-{number})" in subject
        assert f"(INC-{number})" in it.rows("SELECT title FROM paging_page")[0][0]


@pytest.mark.parametrize(
    ("title", "sent"),
    [
        ("Cafe\u0301 down", "Caf\u00e9 down"), ("A\u030a a\u0308 n\u0303", "\u00c5 \u00e4 \u00f1"), ("web\u200bserver", "webserver"), ("web\u00adserver", "webserver"),
        ("\ufeffDisk full", "Disk full"), ("\u202egnp.exe\u202c", "gnp.exe"), ("Disk\u2060 \u200e full", "Disk full"), ("a\u2066b\u2069", "ab"), ("web\u200d1", "web1"),
    ],
)  # fmt: skip
def test_what_nobody_sees_does_not_cost_a_text_message_its_alphabet(title: str, sent: str) -> None:
    found = Message("1", f"{title} (INC-7)", reply_url=LINK, answers=True).short()
    assert found.startswith(f"{sent} (INC-7) ")
    assert is_gsm(found)
    assert "(INC-7) A" in Message("1", f"{title} " * 40 + "(INC-7)", reply_url=LINK, answers=True).short()


@pytest.mark.parametrize(
    "title",
    [
        "\u0646\u0645\u06cc\u200c\u0634\u0648\u062f",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\u0915\u094d\u200d\u0937",
    ],
)
def test_joiners_stay_where_they_change_what_is_read(title: str) -> None:
    assert plain(title) == title
