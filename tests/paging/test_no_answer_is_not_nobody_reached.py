"""When all steps went by, every place says which of two things it was: nobody acknowledged what arrived, or nobody could be reached."""

from typing import Any

import pytest

from tests.cast import Cast, signed_in
from tests.night import Night, night
from tests.peers.twilio import Script
from watchbill.paging.rules import words_of_shift

ANSWERED, REACHED = "nobody acknowledged", "nobody could be reached"


def pass_by(it: Night, clock: Any) -> None:
    """Nobody presses anything until all steps have gone by."""
    for _ in range(14):
        clock.forward(minutes=5)
        it.run()
    assert it.rows("SELECT state FROM paging_page WHERE subject_kind = 'incident'") == [("exhausted",)]


def refuse(it: Night) -> None:
    """No message goes out any more: the mail server takes none, the number of the hub is blocked."""
    for name in ("edo", "apo", "ada", "aud", "vera"):
        it.mail.refused[f"{name}@example.org"] = "550 no such user"


def everywhere(it: Night) -> dict[str, str]:
    """What each place says of the page and its incident, in lower case."""
    browser = signed_in(it.cast.ada)
    (page,) = it.rows("SELECT id::text FROM paging_page WHERE subject_kind = 'incident'")[0]
    addresses = {"page": f"pages/{page}", "pages": "pages", "incident": "incidents/1", "incidents": "incidents", "overview": ""}  # fmt: skip
    found = {name: browser.get(f"/w/main/{path}").content.decode() for name, path in addresses.items()}
    found["history"] = str(it.rows("SELECT what, why FROM paging_event WHERE page_id = %s", page))
    found["timeline"] = str(it.rows("SELECT text FROM incidents_event WHERE what IN ('unreached', 'no answer')"))
    found["mails"] = " ".join(str(message["Subject"]) for _, message in it.mail.got)
    return {name: text.lower() for name, text in found.items()}


def test_messages_went_out_and_nobody_answered(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web")
        pass_by(it, clock)
        said = everywhere(it)
        for name, text in said.items():
            assert REACHED not in text, name
            assert ANSWERED in text or "nobody answered any page" in text, name
        (shown,) = signed_in(cast.ada).get("/api/v1/workspaces/main/pages").json()["items"]
        assert (shown["state"], shown["outcome"]) == ("exhausted", "unacknowledged")
        assert "reached nobody" not in signed_in(cast.ada).get("/w/main/audit").content.decode()


def test_no_message_went_out(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db, edo=Script(error=21211), apo=Script(error=21211), ada=Script(error=21211)) as it:
        it.set_up()
        refuse(it)
        boss = '[{"kind": "email", "id": "boss@example.org", "name": "Boss", "why": "last resort"}]'
        it.db.run("UPDATE paging_policy SET otherwise = %s", boss)
        it.fire(service="web")
        pass_by(it, clock)
        said = everywhere(it)
        for name, text in said.items():
            assert REACHED in text, name
            assert ANSWERED not in text.replace("nobody acknowledged yet", ""), name
        (shown,) = signed_in(cast.ada).get("/api/v1/workspaces/main/pages").json()["items"]
        assert (shown["state"], shown["outcome"]) == ("exhausted", "unreached")


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("sent", "unacknowledged"),
        ("delivered", "unacknowledged"),
        ("unknown", "unacknowledged"),
        ("failed", "unreached"),
        ("stopped", "unreached"),
        ("waiting", "unreached"),
    ],
)
def test_what_a_provider_says_later_counts(cast: Cast, db: Any, clock: Any, state: str, outcome: str) -> None:
    """A text that was taken and reported as failed afterwards reached nobody; whom the admins' own message reached is no matter."""
    from watchbill.paging.models import Page
    from watchbill.paging.unanswered import outcome_of

    with night(cast, db) as it:
        it.set_up().fire(service="web")
        pass_by(it, clock)
        it.db.run(
            "UPDATE paging_delivery SET state = %s, stage = CASE WHEN %s = 'stopped' THEN 'channel' ELSE '' END WHERE step > 0",
            state, state,
        )  # fmt: skip
        with cast.acts(cast.ada):
            page = Page.objects.get(subject_kind="incident")
            assert outcome_of(page) == outcome
            page.state = "acknowledged"
            assert outcome_of(page) is None, "somebody has answered"


def test_the_next_shift_hears_which_it_was(cast: Cast) -> None:
    lines = words_of_shift(None, 1, [("INC-1", "unacknowledged"), ("INC-2", "unreached")], 2).splitlines()
    assert lines[1:] == [
        "Not over: INC-1 (nobody acknowledged: all steps went by)",
        "Not over: INC-2 (nobody could be reached)",
    ]


def test_numbers_are_true_however_many_are_shown(cast: Cast, db: Any, clock: Any) -> None:
    """Also where more incidents burn than a list shows."""
    from watchbill.incidents.queries import access_burning

    with night(cast, db) as it:
        it.set_up().fire(service="web")
        pass_by(it, clock)
        it.fire("Other", service="web", starts="2026-11-22T16:00:00Z")
        with cast.acts(cast.ada) as by:
            for limit in (1, 50):
                burning = access_burning(by, cast.main, limit)[1]
                assert (burning.total, burning.unacknowledged, burning.unreached) == (2, 1, 0)


def test_answers_and_threads_are_not_shown_as_if_nobody_had_been_reached(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web")
        it.db.run("UPDATE paging_delivery SET step = 0, address = 'answer:' WHERE method = 'sms'")
        (page,) = it.rows("SELECT id::text FROM paging_page WHERE subject_kind = 'incident'")[0]
        text = signed_in(cast.ada).get(f"/w/main/pages/{page}").content.decode()
        assert "answer</span>" in text
        assert "nobody reached" not in text
