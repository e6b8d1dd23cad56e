"""A night on a timeline: an alert becomes an incident, pages by the handbook, goes on when nobody answers, stops when somebody does."""

from typing import Any

from tests.cast import Cast
from tests.night import PHONES, night
from tests.peers.twilio import Script


def test_the_person_on_call_is_mailed_and_phoned_and_then_the_next_one(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db, edo=Script("no-answer"), apo=Script("no-answer")) as it:
        it.set_up().fire(service="web")
        assert it.incident() == ("open", "Sev1")
        assert [call["To"] for call in it.twilio.calls] == []
        assert len(it.mail.to("edo@example.org")) == 1, "mailed at once"
        assert [message["To"] for message in it.twilio.messages] == [PHONES["edo"]]
        clock.forward(seconds=61)
        it.run()
        assert [call["To"] for call in it.twilio.calls] == [PHONES["edo"]], "phoned after a minute"
        assert it.mail.to("apo@example.org") == []
        clock.forward(minutes=4)
        it.run()
        assert len(it.mail.to("apo@example.org")) == 1, "five minutes without an answer: the next step"
        assert {step for step, *_ in it.told()} == {1, 2}
        kinds = [
            row[0]
            for row in it.rows("SELECT kind FROM clocks_clock WHERE subject_kind = 'incident' AND state = 'running'")
        ]
        assert kinds == ["acknowledge"]


def test_acknowledging_stops_the_escalation_and_meets_the_clock(cast: Cast, db: Any, clock: Any) -> None:
    from watchbill.incidents.commands import acknowledge
    from watchbill.incidents.models import Incident

    with night(cast, db) as it:
        it.set_up().fire(service="web")
        with cast.acts(cast.edo) as by:
            acknowledge(by=by, workspace_id=cast.main, incident_id=Incident.objects.get().id)
        clock.forward(hours=2)
        it.run()
        assert it.incident() == ("acknowledged", "Sev1")
        assert {step for step, *_ in it.told()} == {1}
        assert it.rows("SELECT state FROM clocks_clock WHERE kind = 'acknowledge'") == [("met",)]
        assert [row[2:] for row in it.told() if row[2] == "voice"] == [("voice", "stopped")]
        assert it.rows("SELECT stage, reason FROM paging_delivery WHERE method = 'voice'") == [
            ("settle", "Edo Editor acknowledged before it went out")
        ]


def test_alerts_that_end_resolve_their_incident(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web")
        it.fire(service="web", status="resolved")
        assert it.incident() == ("resolved", "Sev1")
        clock.forward(hours=2)
        it.run()
        assert it.rows("SELECT state FROM paging_page") == [("ended",)]
        assert it.twilio.calls == []


def test_all_hands_pages_every_contact_at_once(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire()
        assert it.incident() == ("open", "Sev0")
        first = {target for step, target, _, state in it.told() if step == 1}
        assert {"Edo Editor", "Apo Approver", "Ada Admin", "Aud Auditor"} <= first


def test_nobody_is_paged_without_a_route_and_the_group_says_so(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web", severity="info")
        assert it.rows("SELECT count(*) FROM incidents_incident") == [(0,)]
        assert ("pages nobody", "no route of the live handbook fits its alerts") in it.rows(
            "SELECT what, why FROM signals_group_event"
        )


def test_when_nobody_answers_those_whom_the_handbook_names_hear_of_it(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web")
        for _ in range(14):
            clock.forward(minutes=5)
            it.run()
        assert it.rows("SELECT state, round FROM paging_page WHERE subject_kind = 'incident'") == [("exhausted", 1)]
        assert any(
            "Nobody acknowledged" in str(message["Subject"]) for to, message in it.mail.got if to == "ada@example.org"
        )
        assert it.rows("SELECT count(*) FROM ledger_entry WHERE action = 'page.exhausted'") == [(1,)]


def test_pressing_one_on_the_phone_acknowledges_as_the_one_who_was_called(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db, edo=Script("no-answer"), apo=Script("answer", "1")) as it:
        it.set_up().fire(service="web")
        clock.forward(minutes=5, seconds=1)
        it.run()
        clock.forward(seconds=61)
        it.run()
        assert it.twilio.calls[-1]["To"] == PHONES["apo"]
        assert "Acknowledged. It is yours." in it.twilio.heard
        assert any("LedgerCorrupt: web (INC-1)" in words for words in it.twilio.heard)
        assert it.rows("SELECT state, acknowledged_by, acknowledged_via FROM paging_page") == [
            ("acknowledged", cast.apo, "voice")
        ]
        assert it.incident() == ("acknowledged", "Sev1")
        assert it.rows("SELECT actor_id FROM ledger_entry WHERE action = 'page.acknowledge'") == [(cast.apo,)]
        clock.forward(hours=3)
        it.run()
        assert {step for step, *_ in it.told()} == {1, 2}, "nobody of the third step"
        assert it.rows("SELECT state, met_by FROM clocks_clock WHERE kind = 'acknowledge'") == [("met", cast.apo)]
        assert all(status < 300 for _, status in it.twilio.answers)
