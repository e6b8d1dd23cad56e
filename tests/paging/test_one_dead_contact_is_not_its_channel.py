"""What fails at one receiver's address is that receiver's: for everybody else the channel still counts as working."""

from contextlib import ExitStack
from typing import Any

import pytest

from tests.cast import Cast, signed_in
from tests.night import Night, night
from tests.peers.push import Push
from watchbill.outbound.mail import Refused
from watchbill.paging.ability import ability
from watchbill.paging.channels.twilio.channel import _read
from watchbill.paging.message import Permanent
from watchbill.paging.outcomes import MANY
from watchbill.paging.own import test_me as ask_for_a_test
from watchbill.paging.setup import set_channel
from watchbill.runtime.now import now

EDO = "edo@example.org"
#: The priority of what somebody gets about the incident.
URGENT = (
    "SELECT DISTINCT d.priority FROM paging_delivery d JOIN paging_page p ON p.id = d.page_id "
    "WHERE p.subject_kind = 'incident' AND d.step = 1 AND d.method = %s AND d.person_id = %s"
)


def channels(it: Night) -> None:
    it.set_up()
    with it.cast.acts(it.cast.ada) as by:
        set_channel(
            by=by, workspace_id=it.cast.main, kind="push", name="Browsers", config={"contact": "ops@example.org"}
        )


def subscribe(it: Night, who: str, push: Push) -> None:
    told = {"do": "push", "subscription": push.subscription(who)}
    assert signed_in(it.person(who)).post("/w/main/my-paging", told).status_code == 302


def press_test(it: Night, who: str) -> None:
    with it.cast.acts(it.person(who)) as by:
        ask_for_a_test(by=by, workspace_id=it.cast.main)
    it.run()


def problem(it: Night, kind: str) -> str:
    return str(it.rows("SELECT last_problem FROM paging_channel WHERE kind = %s", kind)[0][0])


def down(it: Night) -> list[str]:
    with it.cast.acts(it.cast.edo):
        return [one.text for one in ability(it.cast.main, now()).reasons if one.code == "channel-down"]


@pytest.mark.parametrize("status", [500, 503, 403, 410, None], ids=str)
def test_one_dead_browser_takes_the_channel_from_nobody(cast: Cast, db: Any, clock: Any, status: int | None) -> None:
    """A viewer's browser answers with errors, or not at all; the one of whoever is on call arrives, and goes first."""
    with night(cast, db) as it, Push() as well, ExitStack() as stack:
        dead = stack.enter_context(Push())
        channels(it)
        subscribe(it, "edo", well)
        subscribe(it, "vera", dead)
        press_test(it, "edo")
        assert len(well.got) == 1
        clock.forward(minutes=2)
        if status is None:
            stack.close()
        else:
            dead.status = status
        press_test(it, "vera")
        assert problem(it, "push") == ""
        assert down(it) == []
        it.fire()
        assert it.rows(URGENT, "push", cast.edo) == [(0,)]


def test_a_browser_that_failed_since_is_not_known_to_arrive(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it, Push() as push:
        channels(it)
        subscribe(it, "edo", push)
        press_test(it, "edo")
        clock.forward(minutes=2)
        push.status = 500
        press_test(it, "edo")
        it.fire()
        assert it.rows(URGENT, "push", cast.edo) == [(1,)]
        assert it.rows(URGENT, "email", cast.edo) == [(0,)]


def test_ones_own_page_shows_what_failed_until_something_arrives(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it, Push() as push:
        channels(it)
        subscribe(it, "edo", push)
        push.status = 403
        press_test(it, "edo")
        mine = "/w/main/my-paging"
        assert (
            "the push service answered 403"
            in signed_in(cast.edo).get(mine).content.decode().partition("How you are reached")[2]
        )
        assert "last message failed" not in signed_in(cast.apo).get(mine).content.decode()
        clock.forward(minutes=2)
        push.status = 201
        press_test(it, "edo")
        assert "last message failed" not in signed_in(cast.edo).get(mine).content.decode()


def test_where_many_browsers_fail_and_none_arrives_the_channel_is_down(cast: Cast, db: Any, clock: Any) -> None:
    """The hub has lost its way out: that is not calmed away as the browsers' own fault."""
    with night(cast, db) as it, Push() as push:
        channels(it)
        push.status = 503
        for number, who in enumerate(("edo", "apo", "vera"), 1):
            subscribe(it, who, push)
            press_test(it, who)
            assert bool(down(it)) is (number >= MANY)
        push.status = 201
        subscribe(it, "ada", push)
        press_test(it, "ada")
        assert (problem(it, "push"), down(it)) == ("", [])


@pytest.mark.parametrize(("status", "expected"), [(503, 0), (403, 0), (None, 1)])
def test_receivers_who_fail_together_lower_nobody_else(
    cast: Cast, db: Any, clock: Any, status: int | None, expected: int
) -> None:
    """Three people with endpoints of their own can do that on purpose. A push service that is gone for all is another matter."""
    with night(cast, db) as it, Push() as mine, Push() as theirs:
        channels(it)
        subscribe(it, "edo", mine)
        press_test(it, "edo")
        theirs.status = status or 403
        for who in ("apo", "vera", "aud"):
            subscribe(it, who, theirs)
            press_test(it, who)
        if status is None:
            db.run(
                "UPDATE paging_channel SET last_problem = 'does not answer', last_problem_at = wb_now() WHERE kind = 'push'"
            )
        it.fire()
        assert it.rows(URGENT, "push", cast.edo) == [(expected,)]


@pytest.mark.parametrize(
    ("words", "whose"),
    [
        ("550 5.1.1 no such user", "contact"),
        ("550 no such user", "contact"),
        ("452 4.2.2 mailbox full", "contact"),
        ("450 4.2.0 greylisted", "contact"),
        ("550 5.7.1 relaying denied", "channel"),
        ("554 5.7.1 you are blocked", "channel"),
        ("530 5.7.0 sign in first", "channel"),
        ("421 4.3.2 shutting down", "channel"),
    ],
)
def test_what_a_mail_server_says_of_one_receiver_is_about_that_one(
    cast: Cast, db: Any, clock: Any, words: str, whose: str
) -> None:
    with night(cast, db) as it:
        channels(it)
        it.mail.refused[EDO] = words
        press_test(it, "edo")
        assert bool(problem(it, "email")) is (whose == "channel")


def test_a_mail_server_that_is_away_is_the_channels(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        channels(it)
        it.mail.stop()
        press_test(it, "edo")
        assert "does not answer" in problem(it, "email")
        assert down(it) != []


def test_a_number_that_cannot_be_called_is_the_receivers() -> None:
    for code, contact in ((21211, True), (21610, True), (21601, False)):
        with pytest.raises(Permanent) as error:
            _read(400, b'{"code": %d, "message": "no"}' % code, None)
        assert error.value.contact is contact


def test_a_refusal_says_whether_it_is_about_the_receiver() -> None:
    assert not Refused(535, "bad credentials").recipient
