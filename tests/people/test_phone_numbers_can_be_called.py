"""A telephone number is kept as it is dialled from abroad, or refused with the reason; one that was kept by a looser rule is not lost."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cast import Cast, signed_in
from tests.night import night
from watchbill.base.errors import Invalid
from watchbill.base.ids import uuid7
from watchbill.people.phones import problem_of, read_phone
from watchbill.people.values import clean_contact


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("+44 20 7946 0000", "+442079460000"), ("+44 (0) 20 7946 0000", "+442079460000"), ("+44-20-7946-0000", "+442079460000"),
        ("+49 (0)30 1234567", "+49301234567"), ("+43(0)1 234567", "+431234567"), ("+49-30/1234567", "+49301234567"),
        ("+39 06 1234 5678", "+390612345678"), ("+39 (0)6 1234 5678", "+390612345678"), ("+39 347 123 4567", "+393471234567"),
        ("+378 0549 886377", "+3780549886377"), ("+225 01 23 45 67 89", "+2250123456789"), ("+31 (0) 6-12345678", "+31612345678"),
        ("+7 (0)495 1234567", "+74951234567"), ("+1 (202) 555-0123", "+12025550123"), ("+1 202.555.0123", "+12025550123"),
        ("+44\u00a020\u00a07946\u20110000", "+442079460000"), ("  +442079460000 ", "+442079460000"), ("＋44 20 7946 0000", "+442079460000"),
        ("+55 (0) 11 91234-5678", "+5511912345678"), ("+61 (0)2 9374 4000", "+61293744000"),
        # Made for films and tests: nobody answers there, and it can be dialled.
        ("+44 7700 900123", "+447700900123"), ("+1 500 555 0006", "+15005550006"),
    ],
)  # fmt: skip
def test_it_is_kept_as_it_is_dialled_from_abroad(typed: str, kept: str) -> None:
    assert clean_contact("phone", typed) == kept
    assert problem_of(kept) == ""


@pytest.mark.parametrize(
    ("typed", "why", "hint"),
    [
        ("+44 07700 900123", r"The 0 after \+44 is dialled only inside the country", r"\+447700900123"),
        ("+49 030 1234567", r"The 0 after \+49 is dialled only inside the country", r"\+49301234567"),
        ("+33 06 12 34 56 78", r"The 0 after \+33", r"\+33612345678"), ("+27 082 123 4567", "The 0 after", r"\+27821234567"),
        ("+7 8 495 123 45 67", r"The 8 after \+7", r"\+74951234567"), ("+36 06 1 234 5678", "The 06 after", r"\+3612345678"),
        ("020 7946 0000", "does not say its country", r"Begin with \+"), ("0044 20 7946 0000", "does not say its country", r"In place of 00, write \+"),
        ("+3706 123", "too short for .370", ""), ("+44 7700 9001234567", "too long for .44", ""), ("+1-555-0100", "lacks its area code", ""),
        ("+999 123 4567", "No country has the code", ""), ("+4", "too short", ""), ("+", "not an international", ""), ("", "not an international", ""),
        ("+44 20 7946 0000 ext. 5", "not an international", ""), ("+44 20 CALL ME", "not an international", ""), ("+44 20 7946 0000; +44 20 7946 0001", "not an international", ""),
        ("++44 20 7946 0000", "not an international", ""), ("+٤٤٢٠٧٩٤٦٠٠٠٠", "not an international", ""), ("+44" + "1" * 60, "not an international", ""),
    ],
)  # fmt: skip
def test_it_is_refused_with_what_is_wrong_and_how_to_write_it(typed: str, why: str, hint: str) -> None:
    with pytest.raises(Invalid, match=why) as error:
        clean_contact("phone", typed)
    assert error.value.field == "phone"
    assert re.search(hint, error.value.hint)


UNSEEN = [
    *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad\u061c\ufe0e\ufe0f"
]


@pytest.mark.parametrize("mark", UNSEEN)
def test_marks_that_nobody_sees_are_no_part_of_it(mark: str) -> None:
    """They come along from chats, address books and web pages."""
    for typed in (f"{mark}+44 20 7946 0000{mark}", f"+{mark}44{mark} (0) 20{mark}7946 0000", f" {mark} +442079460000"):
        assert clean_contact("phone", typed) == "+442079460000"
    with pytest.raises(Invalid):
        clean_contact("phone", mark)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("tel:+44-20-7946-0000", "+442079460000"), ("TEL: +442079460000", "+442079460000"), ("\u202atel:+44\u2212207946\u22120000\u202c", "+442079460000"),
        ("+52 1 55 1234 5678", "+525512345678"), ("+5215512345678", "+525512345678"), ("+52 1 (33) 1234-5678", "+523312345678"), ("+52 55 1234 5678", "+525512345678"),
    ],
)  # fmt: skip
def test_it_is_kept_from_a_link_and_as_whatsapp_shows_it(typed: str, kept: str) -> None:
    assert clean_contact("phone", typed) == kept
    assert problem_of(kept) == ""


@pytest.mark.parametrize(
    ("typed", "why", "hint"),
    [
        ("+370 8 612 34567", r"The 8 after \+370 ", r"\+37061234567"), ("+370 (8) 612 34567", r"The 8 after \+370 ", r"\+37061234567"),
        ("+370 0 612 34567", r"The 0 after \+370 ", r"\+37061234567"), ("+36 06 30 123 4567", r"The 06 after \+36 ", r"\+36301234567"),
        ("+54 11 15 1234 5678", r"\+54 numbers are not written like this", r"\+5491112345678"), ("+54 0 11 1234 5678", r"The 0 after \+54 ", r"\+541112345678"),
        ("+52 01 55 1234 5678", r"The 01 after \+52 ", r"\+525512345678"), ("+52 045 55 1234 5678", r"The 045 after \+52 ", r"\+525512345678"),
        ("+52 1 55 1234 56789", r"too long for \+52", ""), ("tel:020 7946 0000", "does not say its country", ""), ("tel:tel:+442079460000", "not an international", ""),
        ("tel:+442079460000;ext=5", "not an international", ""),
    ],
)  # fmt: skip
def test_what_is_named_as_wrong_was_typed(typed: str, why: str, hint: str) -> None:
    with pytest.raises(Invalid, match=why) as error:
        clean_contact("phone", typed)
    assert re.search(hint, error.value.hint)


@given(st.text(alphabet="+0123456789 ()-./", max_size=30) | st.text(max_size=30))
def test_anything_typed_is_one_number_or_a_reason(typed: str) -> None:
    try:
        kept = read_phone(typed)
    except Invalid as error:
        told = (error.detail, error.hint)
    else:
        assert re.fullmatch(r"\+[1-9]\d{4,16}", kept)
        assert read_phone(kept) == kept
        told = ("kept", kept)
    assert all(told)


@pytest.mark.parametrize("stored", ["+490301234567", "+4301234567", "+4407700900123", "+1234", "not a number", ""])
def test_what_is_wrong_with_a_stored_one_tells_no_digit_of_it(stored: str) -> None:
    problem = problem_of(stored)
    assert problem
    assert not re.search(r"\d{4,}", problem)


def store(db: Any, person: Any, value: str) -> Any:
    """A number as the looser rule stored it, verified."""
    made = uuid7()
    db.run(
        "INSERT INTO people_contact_method (id, person_id, kind, value, position, verified_at) VALUES (%s, %s, 'phone', %s, 0, wb_now())", made, person, value
    )  # fmt: skip
    return made


def test_a_stored_number_that_cannot_be_called_stays_and_is_unverified(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        db.run("DELETE FROM people_contact_method WHERE person_id = %s AND kind = 'phone'", cast.edo)
        wrong = store(db, cast.edo, "+490301234567")
        text = signed_in(cast.edo).get("/w/main/my-paging").content.decode()
        assert "The 0 after +49 is dialled only inside the country" in text
        assert "+490301234567" in text
        contacts = signed_in(cast.edo).get(f"/api/v1/workspaces/main/people/{cast.edo}").json()["contacts"]
        assert [(one["verified"], bool(one["problem"])) for one in contacts if one["kind"] == "phone"] == [
            (False, True)
        ]
        others = signed_in(cast.ada).get(f"/w/main/people/{cast.edo}").content.decode()
        assert "The 0 after +49" in others
        assert "301234567" not in others
        # He has a verified e-mail address: the number is left out, with the reason.
        it.fire(service="web")
        assert it.twilio.messages == []
        rows = it.rows(
            "SELECT DISTINCT stage, reason FROM paging_delivery WHERE method = 'sms' AND target = 'Edo Editor'"
        )
        assert rows == [("verified", "The 0 after +49 is dialled only inside the country.")]
        answer = signed_in(cast.edo).post("/w/main/my-paging", {"do": "code", "contact": wrong})
        assert answer.status_code == 409
        # It can be taken away there, once the right one is added.
        signed_in(cast.edo).post("/w/main/my-paging", {"do": "add", "kind": "phone", "value": "+49 (0)30 1234567"})
        signed_in(cast.edo).post("/w/main/my-paging", {"do": "remove", "contact": wrong})
        assert db.run("SELECT value FROM people_contact_method WHERE person_id = %s AND kind = 'phone'", cast.edo) == [("+49301234567",)]  # fmt: skip


def test_a_number_that_cannot_be_called_is_a_problem_of_the_roster(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        db.run("DELETE FROM people_contact_method WHERE person_id = %s", cast.edo)
        store(db, cast.edo, "+4407700900123")
        text = signed_in(cast.ada).get("/w/main/oncall/contacts").content.decode()
        assert "no contact is verified: The 0 after +44 is dialled only inside the country" in text.replace(
            "&#x27;", "'"
        )


def test_the_api_says_why_it_refuses_a_number(cast: Cast, db: Any) -> None:
    answer = signed_in(cast.edo).post(
        f"/api/v1/workspaces/main/people/{cast.edo}/contacts", {"kind": "phone", "value": "+44 07700 900123"}, content_type="application/json"
    )  # fmt: skip
    assert answer.status_code == 422
    assert "Write it as +447700900123" in answer.content.decode()
