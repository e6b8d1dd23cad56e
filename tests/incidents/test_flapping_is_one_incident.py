"""Alerts that end and fire again a moment later: one incident that says how often, pages that are bounded, and nobody left unpaged."""

from datetime import timedelta
from typing import Any

import pytest

from tests.cast import Cast, signed_in
from tests.night import PHONES, Night, night
from tests.peers.twilio import Script


def flap(it: Night, clock: Any, fires: float = 15, rests: float = 15, count: int = 20, **alert: str) -> None:
    """It ends and fires again, so many times."""
    for _ in range(count):
        clock.forward(seconds=fires)
        it.fire(service="web", status="resolved", ends=clock.now().isoformat(), **alert)
        clock.forward(seconds=rests)
        it.fire(service="web", starts=clock.now().isoformat(), **alert)


def incidents(it: Night) -> list[Any]:
    return it.rows("SELECT state, flaps FROM incidents_incident ORDER BY number")


def paged(it: Night, name: str) -> list[str]:
    """The pages that somebody got by mail; notices that it is over ask nothing of anybody."""
    return [text for text in it.mail.to(f"{name}@example.org") if "Nothing is asked of you" not in text]


def set_window(it: Night, seconds: int | None) -> None:
    it.db.run("UPDATE signals_route SET reopen_within = %s", seconds)


def test_twenty_flaps_in_ten_minutes_are_one_incident(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web", starts=clock.now().isoformat())
        flap(it, clock)
        assert incidents(it) == [("open", 20)]
        assert it.rows("SELECT state, reopened, firing FROM signals_group") == [("open", 20, 1)]
        sent = it.rows(
            "SELECT target, method, count(*) FROM paging_delivery WHERE state IN ('sent', 'delivered') AND step >= 0 GROUP BY 1, 2"
        )
        assert sent
        assert all(number <= 3 for *_, number in sent), "bounded: at most once per five minutes to each"
        assert len({row[0] for row in sent}) >= 2, "nobody acknowledged it, so the next step has begun"
        lines = it.rows("SELECT text FROM incidents_event WHERE what = 'reopened' ORDER BY id")
        assert lines[-1] == ("its alerts fire again, 20 times by now",)
        browser = signed_in(cast.ada)
        assert "fired again 20 times" in " ".join(browser.get("/w/main/incidents/1").content.decode().split())
        assert "fired again 20 times" in browser.get("/w/main/incidents").content.decode()
        assert browser.get("/api/v1/workspaces/main/incidents/1").json()["fired_again"] == 20
        assert browser.get("/api/v1/workspaces/main/alerts").json()["items"][0]["reopened"] == 20
        assert "fired again 20 times" in browser.get("/w/main/alerts").content.decode()


def test_after_the_window_it_is_a_new_incident(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web", starts=clock.now().isoformat())
        flap(it, clock, rests=240, count=1)
        assert incidents(it) == [("open", 1)]
        flap(it, clock, rests=302, count=1)
        assert incidents(it) == [("resolved", 1), ("open", 0)]
        assert it.rows("SELECT count(*) FROM paging_page WHERE subject_kind = 'incident'") == [(2,)], (
            "paged from scratch"
        )


@pytest.mark.parametrize(
    ("seconds", "rests", "number"),
    [(0, 1, 2), (600, 540, 1), (600, 602, 2), (3600, 3500, 1), (3600, 3602, 2), (None, 240, 1), (None, 302, 2)],
)
def test_a_route_says_how_long(cast: Cast, db: Any, clock: Any, seconds: int | None, rests: int, number: int) -> None:
    with night(cast, db) as it:
        it.set_up()
        set_window(it, seconds)
        it.fire(service="web", starts=clock.now().isoformat())
        # What a group was stamped with counts, whatever the handbook says later.
        set_window(it, 7)
        flap(it, clock, rests=rests, count=1)
        assert len(incidents(it)) == number


def test_whoever_took_it_has_it_still_and_hears(cast: Cast, db: Any, clock: Any) -> None:
    from watchbill.incidents.commands import acknowledge
    from watchbill.incidents.models import Incident

    with night(cast, db) as it:
        it.set_up().fire(service="web", starts=clock.now().isoformat())
        with cast.acts(cast.edo) as by:
            acknowledge(by=by, workspace_id=cast.main, incident_id=Incident.objects.get().id)
        it.run()
        it.mail.got.clear()
        flap(it, clock, count=1)
        assert incidents(it) == [("acknowledged", 1)]
        told = [(to, str(message["Subject"])) for to, message in it.mail.got if "not over" in str(message["Subject"])]
        assert [to for to, _ in told] == ["edo@example.org"]
        flap(it, clock, count=19)
        clock.forward(hours=1)
        it.run()
        assert incidents(it) == [("acknowledged", 20)]
        told = [to for to, message in it.mail.got if "not over" in str(message["Subject"])]
        assert 2 <= len(told) <= 3, "not at every flap"
        assert set(told) == {"edo@example.org"}
        assert paged(it, "apo") == [], "and nobody else is paged"
        assert it.rows("SELECT state FROM paging_page WHERE subject_kind = 'incident'") == [("acknowledged",)]


def test_nobody_took_it_so_the_escalation_goes_on_where_it_was(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db, edo=Script("no-answer"), apo=Script("no-answer")) as it:
        it.set_up().fire(service="web", starts=clock.now().isoformat())
        clock.forward(seconds=30)
        it.fire(service="web", status="resolved", ends=clock.now().isoformat())
        clock.forward(seconds=60)
        it.run()
        assert it.twilio.calls == [], "over before the phone rang"
        it.fire(service="web", starts=clock.now().isoformat())
        assert [call["To"] for call in it.twilio.calls] == [PHONES["edo"]], "the call that its end had stopped goes out"
        assert len(paged(it, "edo")) == 1, "not mailed again a minute later"
        assert paged(it, "apo") == []
        clock.forward(minutes=3, seconds=31)
        it.run()
        assert len(paged(it, "apo")) == 1, "five minutes after the first page, as if it had not been over"


def test_what_ended_and_stays_over_pages_nobody(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web", starts=clock.now().isoformat())
        flap(it, clock, count=3)
        it.fire(service="web", status="resolved", ends=clock.now().isoformat())
        before = it.rows("SELECT count(*) FROM paging_delivery WHERE step >= 0 AND state IN ('sent', 'delivered')")
        clock.forward(hours=2)
        it.run()
        assert incidents(it) == [("resolved", 3)]
        assert (
            it.rows("SELECT count(*) FROM paging_delivery WHERE step >= 0 AND state IN ('sent', 'delivered')") == before
        )
        assert it.rows("SELECT count(*) FROM paging_page WHERE state <> 'ended'") == [(0,)]


def test_one_that_flaps_for_an_hour_pages_again_and_reaches_everybody(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web", starts=clock.now().isoformat())
        flap(it, clock, fires=60, rests=120, count=20)
        assert incidents(it) == [("open", 20)]
        for name in ("edo", "apo"):
            assert len(paged(it, name)) >= 2, "who believes that it is over is paged again"
        assert len(paged(it, "edo")) <= 14


def test_clocks_go_on_as_if_it_had_not_been_over(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web", starts=clock.now().isoformat())
        due = it.rows("SELECT kind, due_at FROM clocks_clock WHERE subject_kind = 'incident' ORDER BY kind")
        flap(it, clock, count=4)
        now = it.rows("SELECT kind, due_at, state FROM clocks_clock WHERE subject_kind = 'incident' ORDER BY kind")
        assert [(kind, at) for kind, at, _ in now] == due, "the same deadlines, and no further clocks"
        assert {state for *_, state in now} == {"running"}
        it.fire(service="web", status="resolved", ends=clock.now().isoformat())
        acknowledge = next(at for kind, at in due if kind == "acknowledge")
        clock.forward(seconds=(acknowledge - clock.now() - timedelta(seconds=10)).total_seconds())
        it.run()
        assert "breached" not in {row[0] for row in it.rows("SELECT state FROM clocks_clock")}, "over is over"


def test_what_was_acknowledged_in_time_stays_so(cast: Cast, db: Any, clock: Any) -> None:
    from watchbill.incidents.commands import acknowledge
    from watchbill.incidents.models import Incident

    with night(cast, db) as it:
        it.set_up().fire(service="web", starts=clock.now().isoformat())
        with cast.acts(cast.edo) as by:
            acknowledge(by=by, workspace_id=cast.main, incident_id=Incident.objects.get().id)
        flap(it, clock, count=5)
        assert it.rows("SELECT state FROM clocks_clock WHERE kind = 'acknowledge'") == [("met",)]


def test_two_groups_flap_apart(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web", starts=clock.now().isoformat())
        it.fire("Other", service="web", starts=clock.now().isoformat())
        flap(it, clock, count=3)
        assert incidents(it) == [("open", 3), ("open", 0)]
        flap(it, clock, count=2, name="Other")
        assert incidents(it) == [("open", 3), ("open", 2)]


def test_it_flaps_within_one_batch(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        run, it.run = it.run, lambda: None  # type: ignore[method-assign]
        it.fire(service="web", starts=clock.now().isoformat())
        flap(it, clock, fires=1, rests=1, count=5)
        run()
        assert [row[0] for row in incidents(it)] == ["open"]
        assert it.rows("SELECT count(*) FROM signals_group") == [(1,)]
        assert it.rows("SELECT state FROM paging_page") == [("running",)]


def test_a_person_who_resolved_it_is_not_the_last_word(cast: Cast, db: Any, clock: Any) -> None:
    from watchbill.incidents.commands import resolve
    from watchbill.incidents.models import Incident

    with night(cast, db) as it:
        it.set_up().fire(service="web", starts=clock.now().isoformat())
        with cast.acts(cast.edo) as by:
            resolve(by=by, workspace_id=cast.main, incident_id=Incident.objects.get().id, text="rebooted")
        it.run()
        flap(it, clock, count=1)
        assert incidents(it) == [("open", 1)]
        assert it.rows("SELECT state FROM paging_page WHERE subject_kind = 'incident'") == [("running",)]


def test_a_silence_holds_back_what_fires_again_until_it_ends(cast: Cast, db: Any, clock: Any) -> None:
    from watchbill.signals.silences import create_silence

    with night(cast, db) as it:
        it.set_up().fire(service="web", starts=clock.now().isoformat())
        clock.forward(seconds=20)
        it.fire(service="web", status="resolved", ends=clock.now().isoformat())
        with cast.acts(cast.ada) as by:
            create_silence(
                by=by, workspace_id=cast.main, match=["service=web"], reason="work", starts_at=clock.now() - timedelta(seconds=1), ends_at=clock.now() + timedelta(minutes=30)
            )  # fmt: skip
        clock.forward(seconds=20)
        it.fire(service="web", starts=clock.now().isoformat())
        assert incidents(it)[0][0] == "resolved"
        clock.forward(minutes=31)
        it.run()
        assert incidents(it) == [("open", 1)]
