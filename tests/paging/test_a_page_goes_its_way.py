"""Rules by table: by which methods a person is reached, what stops a message, how an escalation goes on. And pages on the database, with real peers for the channels."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cast import Cast, as_worker, signed_in
from tests.night import PHONES, night
from tests.peers.twilio import Script
from watchbill.base.errors import Conflict, Denied
from watchbill.paging.channels.twilio.channel import signature
from watchbill.paging.message import Message
from watchbill.paging.rules import A_MINUTE, Look, Way, go_on, is_quiet, retry_after, ways_of, weigh

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
MAIL, PHONE, OLD = Way(UUID(int=1), "email", True), Way(UUID(int=2), "phone", True), Way(UUID(int=3), "email", False)
ALL = ("email", "sms", "voice")


@pytest.mark.parametrize(
    ("ways", "urgency", "available", "steps", "expected"),
    [
        ([MAIL, PHONE], "high", ALL, (), [("email", 0, ""), ("sms", 0, ""), ("voice", 60, "")]),
        ([MAIL, PHONE], "low", ALL, (), [("email", 0, "")]),
        ([MAIL, PHONE], "high", ("email",), (), [("email", 0, ""), ("sms", 0, "channel"), ("voice", 60, "channel")]),
        ([MAIL, OLD], "high", ALL, (), [("email", 0, ""), ("email", 0, "verified")]),
        ([OLD], "high", ALL, (), [("email", 0, "")]),
        ([MAIL, PHONE], "high", ALL, ({"method": "voice", "delay": 0},), [("voice", 0, "")]),
        ([MAIL], "high", ALL, ({"method": "sms", "delay": 5},), [("sms", 5, "contact")]),
        ([], "high", ALL, (), []),
    ],
    ids=["default", "can wait", "no phone channel", "unverified", "nothing verified", "own rules", "own rule without contact", "nothing"],
)  # fmt: skip
def test_a_person_is_reached_by_their_rules(ways: Any, urgency: str, available: Any, steps: Any, expected: Any) -> None:
    assert [(one.method, one.delay, one.stage) for one in ways_of(ways, urgency, available, steps)] == expected


@pytest.mark.parametrize(
    ("look", "stage"),
    [
        (Look("running"), ""),
        (Look("acknowledged", "Ada"), "settle"),
        (Look("ended"), "settle"),
        (Look("exhausted"), ""),
        (Look("acknowledged", settles=False), ""),
        (Look("running", shadow=True), "shadow"),
        (Look("running", demo=True), "demo"),
        (Look("running", person_here=False), "person"),
        (Look("running", channel_here=False), "channel"),
        (Look("running", silence="a silence"), "silence"),
        (Look("running", already=True), "dedupe"),
        (Look("running", urgency="low", quiet_until=NOW + timedelta(hours=4)), "quiet"),
        (Look("running", urgency="high", quiet_until=NOW + timedelta(hours=4)), ""),
        (Look("running", recent=[NOW] * A_MINUTE), "bundle"),
        (Look("running", recent=[NOW] * A_MINUTE, first=True), ""),
        (Look("running", recent=[NOW] * A_MINUTE, first=True, urgency="low"), "bundle"),
        (Look("running", recent=[NOW - timedelta(minutes=2)] * A_MINUTE), ""),
        (Look("running", recent=[NOW + timedelta(hours=1)] * A_MINUTE), ""),
        (Look("acknowledged", "Ada", shadow=True, demo=True), "settle"),
    ],
)
def test_the_first_stage_that_objects_says_why(look: Look, stage: str) -> None:
    found = weigh(look, NOW)
    assert found.stage == stage
    assert bool(found.reason) == bool(stage)


def test_the_last_message_of_a_minute_says_how_many_more_wait() -> None:
    assert weigh(Look("running", recent=[NOW] * (A_MINUTE - 1), waiting=7), NOW).more == 7
    assert weigh(Look("running", recent=[NOW] * (A_MINUTE - 2), waiting=7), NOW).more == 0
    held = weigh(Look("running", recent=[NOW - timedelta(seconds=50)] + [NOW] * (A_MINUTE - 1)), NOW)
    assert held.again == NOW + timedelta(seconds=10), "it waits; it is not lost"
    assert "and 7 more pages wait" in Message("1", "Down", more=7).body()


@given(st.lists(st.integers(-120, 120), max_size=40), st.integers(0, 50))
def test_five_a_minute_never_hold_back_the_first_message_of_an_urgent_incident(ages: list[int], waiting: int) -> None:
    recent = [NOW - timedelta(seconds=age) for age in ages]
    assert not weigh(Look("running", recent=recent, waiting=waiting, first=True), NOW).stage
    for look in (Look("running", recent=recent), Look("running", recent=recent, first=True, urgency="low")):
        held = weigh(look, NOW)
        lately = sum(1 for at in recent if abs(at - NOW) < timedelta(minutes=1))
        assert held.stage == ("bundle" if lately >= A_MINUTE else "")
        assert held.again is None or NOW < held.again <= NOW + timedelta(minutes=2)


@given(st.lists(st.integers(0, 3600), min_size=1, max_size=6), st.integers(0, 3))
def test_an_escalation_goes_through_every_step_in_order_and_ends(waits: list[int], repeat: int) -> None:
    steps = [{"after": float(0 if number == 0 else wait)} for number, wait in enumerate(waits)]
    step, round_, at, seen = 0, 0, NOW, []
    while True:
        found = go_on(steps, repeat, step, round_, at)
        if found.what == "nobody":
            break
        assert found.at is not None
        assert found.at >= at
        step, round_, at = found.step, found.round, found.at
        seen.append((round_, step))
    assert seen == [(turn, number) for turn in range(repeat + 1) for number in range(1, len(steps) + 1)]


@pytest.mark.parametrize(("hour", "expected"), [(23, 7), (3, 7), (7, None), (12, None), (22, 7)])
def test_quiet_hours_end_in_the_morning(hour: int, expected: int | None) -> None:
    found = is_quiet({"start": "22:00", "end": "07:00", "zone": "UTC"}, NOW.replace(hour=hour))
    assert (found.hour if found else None) == expected
    if found:
        assert NOW.replace(hour=hour) < found <= NOW.replace(hour=hour) + timedelta(hours=9)


def test_retries_wait_longer_and_never_together() -> None:
    assert retry_after(1) < timedelta(seconds=7) < retry_after(4) < retry_after(9) < timedelta(minutes=7)
    assert len({retry_after(3) for _ in range(20)}) > 10


# On the database


def test_a_request_without_twilios_signature_changes_nothing(cast: Cast, db: Any, clock: Any) -> None:
    from django.test import Client

    with night(cast, db, edo=Script("no-answer")) as it:
        it.set_up().fire(service="web")
        clock.forward(seconds=61)
        it.run()
        url = it.twilio.calls[-1]["Url"].removeprefix("http://testserver").replace("/voice", "/key")
        for headers in (
            {},
            {"X-Twilio-Signature": "x"},
            {"X-Twilio-Signature": signature("other", f"http://testserver{url}", [("Digits", "1")])},
        ):
            assert Client(headers=headers).post(url, {"Digits": "1"}).status_code == 403
        assert it.incident()[0] == "open"


def test_a_link_in_a_mail_acknowledges_only_when_the_button_is_pressed(cast: Cast, db: Any, clock: Any) -> None:
    from django.test import Client

    with night(cast, db) as it:
        it.set_up().fire(service="web")
        (body,) = it.mail.to("edo@example.org")
        link = next(word for word in body.split() if "/reply/" in word).removeprefix("http://testserver")
        assert b"Acknowledge" in Client().get(link).content
        assert it.incident()[0] == "open", "mail scanners look at links"
        assert b"It is yours" in Client().post(link, {"do": "acknowledge"}).content
        it.run()
        assert it.incident()[0] == "acknowledged"
        late = Client().post(link, {"do": "acknowledge"})
        assert (late.status_code, b"acknowledged" in late.content) == (200, True), "a late press is harmless"
        assert Client().get("/reply/wbr_unknownunknownunknown").status_code == 404
        assert Client().get(f"{link}/../../w/main/").status_code in (302, 404), "the key opens nothing else"
        clock.forward(days=3)
        assert Client().get(link).status_code == 404


def test_a_dead_mail_server_costs_no_time_where_there_is_another_way(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db, edo=Script("no-answer")) as it:
        it.set_up()
        it.mail.stop()
        it.fire(service="web")
        assert [call["To"] for call in it.twilio.calls] == [PHONES["edo"]], (
            "the phone rings at once, not after a minute"
        )
        assert it.rows("SELECT state, attempts > 0 FROM paging_delivery WHERE method = 'email' AND step = 1") == [
            ("waiting", True)
        ]
        assert "does not answer" in it.rows("SELECT last_problem FROM paging_channel WHERE kind = 'email'")[0][0]


def test_when_every_way_of_a_step_fails_the_next_step_begins_at_once(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db, edo=Script(error=21211), apo=Script("no-answer")) as it:
        it.set_up()
        it.mail.refused["edo@example.org"] = "550 no such user"
        it.fire(service="web")
        assert {step for step, *_ in it.told()} == {1, 2}
        assert "nobody of this step could be reached" in [row[0] for row in it.rows("SELECT what FROM paging_event")]


def test_a_sender_that_dies_leaves_its_message_to_another_one(cast: Cast, db: Any, clock: Any) -> None:
    from django.db import transaction

    from watchbill.paging.own import test_me
    from watchbill.paging.sending import _claim
    from watchbill.paging.turns import take_turn

    with night(cast, db) as it:
        it.set_up()
        with cast.acts(cast.ada) as by:
            test_me(by=by, workspace_id=cast.main)
        with as_worker():
            turn = take_turn()
            assert turn is not None
            with transaction.atomic():
                assert _claim(turn) is not None
        it.run()
        assert it.mail.to("ada@example.org") == [] or it.rows(
            "SELECT count(*) FROM paging_delivery WHERE state = 'sending'"
        ) == [(1,)]
        clock.forward(seconds=61)
        it.run()
        assert it.rows("SELECT count(*) FROM paging_delivery WHERE state = 'sending'") == [(0,)]
        assert len(it.mail.to("ada@example.org")) == 1


def test_a_shadow_route_records_whom_it_would_have_paged(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        db.run("UPDATE signals_route SET state = 'shadow'")
        it.fire(service="web")
        for _ in range(3):
            clock.forward(minutes=11)
            it.run()
        assert it.rows("SELECT count(*) FROM incidents_incident") == [(0,)]
        assert it.mail.to("edo@example.org") == []
        assert {one["To"] for one in (*it.twilio.calls, *it.twilio.messages)} <= {PHONES["ada"]}
        assert len(it.mail.to("ada@example.org")) == 1, (
            "a shadow route takes nothing: the admins hear what pages nobody"
        )
        told = it.rows(
            "SELECT DISTINCT d.target, d.stage FROM paging_delivery d JOIN paging_page p ON p.id = d.page_id WHERE p.shadow AND d.step = 1 AND d.state = 'stopped'"
        )
        assert told == [("Edo Editor", "shadow")]
        it.fire(service="web", status="resolved")
        assert it.rows("SELECT state FROM paging_page WHERE shadow") == [("ended",)]


def test_nothing_leaves_a_demo_workspace(cast: Cast, db: Any) -> None:
    from watchbill.people.commands import mark_demo

    with night(cast, db) as it:
        it.set_up()
        with cast.acts(cast.ada) as by:
            mark_demo(by=by, workspace_id=cast.main, demo=True)
        it.fire()
        assert it.mail.got == []
        assert {
            row[0]
            for row in it.rows(
                "SELECT DISTINCT stage FROM paging_delivery WHERE state = 'stopped' AND method <> 'none'"
            )
        } >= {"demo"}
        assert it.incident()[0] == "open", "everything else happens"


def test_contacts_are_verified_by_a_code_that_no_table_holds(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        db.run("UPDATE people_contact_method SET verified_at = NULL WHERE person_id = %s AND kind = 'email'", cast.edo)
        contact = db.run("SELECT id FROM people_contact_method WHERE person_id = %s AND kind = 'email'", cast.edo)[0][0]
        browser = signed_in(cast.edo)
        assert browser.post("/w/main/my-paging", {"do": "code", "contact": contact}).status_code == 302
        it.run()
        code = it.mail.to("edo@example.org")[0].split()[0]
        assert len(code) == 6
        for table in ("paging_page", "paging_delivery", "paging_verification", "paging_event", "ledger_payload"):
            assert code not in str(db.run(f"SELECT * FROM {table}"))
        wrong = f"{(int(code) + 1) % 1_000_000:06d}"
        assert browser.post("/w/main/my-paging", {"do": "verify", "contact": contact, "code": wrong}).status_code == 422
        assert db.run("SELECT tries FROM paging_verification") == [(1,)], "the try is kept"
        assert browser.post("/w/main/my-paging", {"do": "verify", "contact": contact, "code": code}).status_code == 302
        assert db.run("SELECT verified_at IS NOT NULL FROM people_contact_method WHERE id = %s", contact) == [(True,)]
        other = db.run("SELECT id FROM people_contact_method WHERE person_id = %s AND kind = 'email'", cast.apo)[0][0]
        assert browser.post("/w/main/my-paging", {"do": "code", "contact": other}).status_code == 404, "one's own only"


def test_the_test_button_pages_oneself_and_nobody_else(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        signed_in(cast.edo).post("/w/main/my-paging", {"do": "test"})
        it.run()
        assert {to for to, _ in it.mail.got} == {"edo@example.org"}
        assert "Your last test" in signed_in(cast.edo).get("/w/main/my-paging").content.decode()


def test_what_is_told_once_waits_for_nobody(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        browser = signed_in(cast.edo)
        browser.post("/w/main/my-paging", {"do": "test"})
        it.run()
        assert "no answer needed" in browser.get("/w/main/my-paging").content.decode()
        clock.forward(minutes=10)
        it.run()
        assert {to for to, _ in it.mail.got} == {"edo@example.org"}, "nobody else hears that it was not answered"
        shown = signed_in(cast.ada)
        (page,) = shown.get("/api/v1/workspaces/main/pages").json()["items"]
        assert page["state"] == "told"
        text = shown.get(f"/w/main/pages/{page['id']}").content.decode()
        assert "nobody has to answer it" in text
        assert "could be reached" not in text
        assert it.rows("SELECT count(*) FROM ledger_entry WHERE action = 'page.exhausted'") == [(0,)]
        assert "told what it had to about" in shown.get("/w/main/audit").content.decode()


def test_only_who_was_paged_or_may_respond_acknowledges(cast: Cast, db: Any) -> None:
    from watchbill.paging.commands import acknowledge, escalate

    with night(cast, db) as it:
        it.set_up().fire(service="web")
        page_id = it.rows("SELECT id FROM paging_page")[0][0]
        with cast.acts(cast.vera) as by, pytest.raises(Denied):
            acknowledge(by=by, workspace_id=cast.main, page_id=page_id)
        with cast.acts(cast.edo) as by:
            for _ in range(5):
                escalate(by=by, workspace_id=cast.main, page_id=page_id)
            with pytest.raises(Conflict, match="last step"):
                escalate(by=by, workspace_id=cast.main, page_id=page_id)


def test_an_erased_persons_name_stands_in_no_page_any_more(cast: Cast, db: Any, clock: Any) -> None:
    from watchbill.incidents.calling import call_in
    from watchbill.people.commands import erase_person

    with night(cast, db) as it:
        it.set_up().fire(service="web")
        clock.forward(minutes=6)
        it.run()
        assert "Apo Approver" in str(it.rows("SELECT * FROM paging_delivery"))
        for who, whom in ((cast.edo, cast.apo), (cast.apo, cast.edo)):
            incident_id = it.rows("SELECT id FROM incidents_incident")[0][0]
            with cast.acts(who) as by:
                call_in(by=by, workspace_id=cast.main, incident_id=incident_id, target_kind="person", target_id=whom)
        it.run()
        assert "Apo Approver calls you in" in str(it.rows("SELECT title FROM paging_page"))
        with cast.acts(cast.ada) as by:
            erase_person(by=by, workspace_id=cast.main, person_id=cast.apo)
        it.run()
        for table in (
            "paging_delivery",
            "paging_event",
            "paging_page",
            "paging_policy",
            "oncall_schedule",
            "incidents_event",
        ):
            assert "Apo Approver" not in str(it.rows(f"SELECT * FROM {table}")), table
        assert it.rows("SELECT count(*) > 0 FROM paging_delivery WHERE person_id = %s", cast.apo) == [(True,)], (
            "that somebody was paged stays"
        )


def test_five_a_minute_hold_back_no_other_incidents_first_page(cast: Cast, db: Any, clock: Any) -> None:
    """Nine incidents at once: the one on call hears of each; what is said again of one of them waits its minute."""
    from watchbill.base.actor import system
    from watchbill.base.ids import uuid7
    from watchbill.paging.commands import start, told_once

    with night(cast, db, edo=Script("no-answer")) as it:
        it.set_up()
        db.run("DELETE FROM people_contact_method WHERE kind = 'phone'")
        edo = {"kind": "person", "id": str(cast.edo), "name": "Edo Editor", "why": "test"}
        with as_worker():
            for number in range(6):
                start(by=system("worker"), workspace_id=cast.main, subject=("test", uuid7()), title=f"Note {number}", policy=told_once("Test", edo))  # fmt: skip
        it.run()
        assert len(it.mail.to("edo@example.org")) == 5
        again = {"key": "", "name": "Twice", "steps": [{"after": 0, "targets": [edo]}, {"after": 20, "targets": [edo]}], "repeat": 0}  # fmt: skip
        with as_worker():
            for number in range(9):
                start(by=system("worker"), workspace_id=cast.main, subject=("call", uuid7()), title=f"Down (INC-{number})", policy=again)  # fmt: skip
        it.run()
        subjects = [str(message["Subject"]) for to, message in it.mail.got if "INC-" in str(message["Subject"])]
        assert sorted(subjects) == [f"Down (INC-{number})" for number in range(9)]
        clock.forward(seconds=21)
        it.run()
        assert len(it.mail.to("edo@example.org")) == 14, "said again, they wait"
        held = it.rows("SELECT count(*), min(reason) FROM paging_delivery WHERE state = 'waiting' AND step = 2")
        assert held == [(9, "5 messages went there in the last minute")]
        assert it.rows("SELECT count(*) FROM paging_delivery WHERE state = 'waiting' AND step = 1") == [(1,)]
