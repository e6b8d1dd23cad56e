"""Alerts that join the group of an incident: an owner hears, one that was resolved by hand pages again, and a repetition does nothing."""

from datetime import timedelta
from typing import Any

import pytest

from tests.cast import Cast, as_worker
from tests.night import Night, night
from watchbill.incidents import commands
from watchbill.incidents.models import Incident
from watchbill.paging.ability import Reason, ability


def resolve(it: Night, who: Any) -> None:
    with it.cast.acts(who) as by:
        commands.resolve(by=by, workspace_id=it.cast.main, incident_id=Incident.objects.get().id, text="fixed")
    it.run()


def acknowledge(it: Night, who: Any) -> None:
    with it.cast.acts(who) as by:
        commands.acknowledge(by=by, workspace_id=it.cast.main, incident_id=Incident.objects.get().id)
    it.run()


def asked(it: Night, name: str) -> list[str]:
    """The mails that ask somebody for something."""
    return [text for text in it.mail.to(f"{name}@example.org") if "Nothing is asked of you" not in text]


def reasons(cast: Cast, clock: Any) -> list[Reason]:
    """What “Can this hub page?” says of incidents that are resolved while alerts fire."""
    with as_worker():
        return [one for one in ability(cast.main, clock.now()).reasons if one.code == "resolved-firing"]


@pytest.mark.parametrize("acknowledged", [False, True])
@pytest.mark.parametrize("joining", [1, 3])
def test_what_joins_an_incident_that_was_resolved_by_hand_pages(
    cast: Cast, db: Any, clock: Any, acknowledged: bool, joining: int
) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web", instance="a")
        if acknowledged:
            acknowledge(it, cast.edo)
        resolve(it, cast.edo)
        it.mail.got.clear()
        clock.forward(minutes=20)
        for number in range(joining):
            it.fire(service="web", instance=f"b{number}")
        assert it.rows("SELECT state, acknowledged_by, reopened FROM incidents_incident") == [("open", None, 1)]
        assert it.rows("SELECT state FROM paging_page WHERE subject_kind = 'incident' ORDER BY id") == [
            ("ended",), ("running",)
        ]  # fmt: skip
        assert len(asked(it, "edo")) == 1
        ((line,),) = it.rows("SELECT text FROM incidents_event WHERE what = 'reopened'")
        assert line == "another alert of its group fires; 2 alerts fire now"
        assert reasons(cast, clock) == []


def test_one_of_its_alerts_that_had_ended_and_fires_again_joins_too(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        for instance in ("a", "b"):
            it.fire(service="web", instance=instance, starts=clock.now().isoformat())
        clock.forward(minutes=1)
        it.fire(service="web", instance="b", status="resolved", ends=clock.now().isoformat())
        resolve(it, cast.edo)
        assert it.incident()[0] == "resolved"
        clock.forward(minutes=30)
        it.fire(service="web", instance="b", starts=clock.now().isoformat())
        assert it.incident()[0] == "open"


def test_the_same_alert_repeated_opens_nothing_and_is_shown(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web", instance="a")
        resolve(it, cast.edo)
        it.mail.got.clear()
        for _ in range(6):
            clock.forward(minutes=10)
            it.fire(service="web", instance="a")
        assert it.incident()[0] == "resolved"
        assert asked(it, "edo") == []
        (reason,) = reasons(cast, clock)
        assert reason.level == "warning"
        assert reason.text == "1 incident is resolved, and its alerts still fire: INC-1."
        it.fire(service="web", instance="a", status="resolved", ends=clock.now().isoformat())
        assert reasons(cast, clock) == []


def test_a_silence_that_fits_all_of_it_holds_it_back_until_it_ends(cast: Cast, db: Any, clock: Any) -> None:
    from watchbill.signals.silences import create_silence

    with night(cast, db) as it:
        it.set_up().fire(service="web", instance="a")
        resolve(it, cast.edo)
        with cast.acts(cast.ada) as by:
            create_silence(
                by=by, workspace_id=cast.main, match=["service=web"], reason="work",
                starts_at=clock.now() - timedelta(seconds=1), ends_at=clock.now() + timedelta(minutes=30),
            )  # fmt: skip
        it.fire(service="web", instance="b")
        assert it.incident()[0] == "resolved"
        clock.forward(minutes=31)
        it.fire(service="web", instance="a")
        assert it.incident()[0] == "open"


@pytest.mark.parametrize("later", [timedelta(minutes=1), timedelta(hours=20)])
def test_the_owner_of_an_incident_hears_of_what_joins_it(cast: Cast, db: Any, clock: Any, later: timedelta) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web", instance="a", starts=clock.now().isoformat())
        acknowledge(it, cast.edo)
        it.mail.got.clear()
        clock.forward(seconds=later.total_seconds())
        it.fire(service="web", instance="b", starts=clock.now().isoformat())
        it.fire(service="web", instance="c", starts=clock.now().isoformat())
        told = [(to, str(message["Subject"])) for to, message in it.mail.got if "joined" in str(message["Subject"])]
        assert told == [("edo@example.org", "Another alert joined: LedgerCorrupt: web (INC-1)")]
        assert it.incident()[0] == "acknowledged"
        assert asked(it, "apo") == []
        assert it.rows("SELECT urgency FROM paging_page WHERE subject_kind = 'growth'") == [("low",)]
        clock.forward(minutes=6)
        it.fire(service="web", instance="d", starts=clock.now().isoformat())
        assert it.rows("SELECT count(*) FROM paging_page WHERE subject_kind = 'growth'") == [(2,)]


def test_where_the_owner_is_gone_it_pages_anew(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web", instance="a")
        acknowledge(it, cast.apo)
        it.db.run("UPDATE people_membership SET ended_at = wb_now() WHERE person_id = %s", cast.apo)
        it.mail.got.clear()
        it.fire(service="web", instance="b")
        assert it.rows("SELECT state, acknowledged_by FROM incidents_incident") == [("open", None)]
        assert len(asked(it, "edo")) == 1


def test_what_joins_an_open_incident_only_stands_in_its_timeline(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web", instance="a")
        it.mail.got.clear()
        it.fire(service="web", instance="b")
        assert asked(it, "edo") == []
        assert it.rows("SELECT text FROM incidents_event WHERE what = 'grew'") == [("2 alerts fire",)]
