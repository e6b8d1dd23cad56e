"""Several channels of one kind: the oldest carries; where it cannot, the others stand in at once."""

from typing import Any

from tests.cast import Cast
from tests.night import Night, night
from tests.peers.mail import Mail
from tests.peers.twilio import Script
from watchbill.paging.setup import remove_channel, set_channel

EDO = "edo@example.org"


def second_mail(it: Night, second: Mail, name: str = "Second mail") -> Any:
    with it.cast.acts(it.cast.ada) as by:
        return set_channel(by=by, workspace_id=it.cast.main, kind="email", name=name, config=second.config())


def test_the_oldest_of_two_carries_what_goes_out(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it, Mail() as second:
        it.set_up()
        second_mail(it, second)
        it.fire(service="web")
        assert len(it.mail.to(EDO)) == 1
        assert second.to(EDO) == []


def test_where_it_is_dead_the_other_one_carries_at_once(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db, edo=Script("no-answer")) as it, Mail() as second:
        it.set_up()
        second_mail(it, second)
        it.mail.stop()
        it.fire(service="web")
        assert len(second.to(EDO)) == 1
        assert it.twilio.calls == [], "the phone rings in its turn: the mail went out"
        state, attempts, carrier = it.rows(
            "SELECT d.state, d.attempts, c.name FROM paging_delivery d JOIN paging_channel c ON c.id = d.channel_id WHERE method = 'email' AND step = 1"
        )[0]
        assert (state, attempts, carrier) == ("sent", 2, "Second mail")
        assert it.rows("SELECT count(*) FROM paging_event WHERE what = 'Second mail stands in'") == [(1,)]
        assert "does not answer" in it.rows("SELECT last_problem FROM paging_channel WHERE name = 'Mail'")[0][0]
        assert it.rows("SELECT last_problem FROM paging_channel WHERE name = 'Second mail'") == [("",)]


def test_what_one_server_refuses_for_good_the_other_may_take(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it, Mail() as second:
        it.set_up()
        second_mail(it, second)
        it.mail.refused[EDO] = "550 you are blocked here"
        it.fire(service="web")
        assert len(second.to(EDO)) == 1


def test_where_both_are_dead_the_next_way_is_taken_and_both_are_tried_again(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db, edo=Script("no-answer")) as it, Mail() as second, Mail() as third:
        it.set_up()
        second_mail(it, second)
        it.mail.stop()
        second.stop()
        it.fire(service="web")
        assert len(it.twilio.calls) == 1, "the phone rings at once, not after a minute"
        assert it.rows("SELECT state, attempts >= 2 FROM paging_delivery WHERE method = 'email' AND step = 1") == [
            ("waiting", True)
        ]
        # Somebody mends one of them: the retry goes round to it.
        second_mail(it, third)
        for _ in range(3):
            clock.forward(seconds=30)
            it.run()
        assert len(third.to(EDO)) == 1


def test_a_channel_that_was_removed_stands_in_for_nothing(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it, Mail() as second:
        it.set_up()
        made = second_mail(it, second)
        with cast.acts(cast.ada) as by:
            remove_channel(by=by, workspace_id=cast.main, channel_id=made.id)
        it.mail.stop()
        it.fire(service="web")
        assert second.to(EDO) == []
