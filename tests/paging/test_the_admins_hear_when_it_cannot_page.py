"""What “Can this hub page?” finds is told to the admins, measured, and said by doctor; what only they heard of is an alarm."""

from typing import Any

import pytest

from tests.cast import Cast, as_worker, signed_in
from tests.night import Night
from tests.paging.test_can_this_hub_page import beat, group, ready, schedule, told
from watchbill.paging.ability import Ability


def sweep(it: Night, clock: Any, **later: float) -> None:
    """The worker looks, after some time."""
    from watchbill.paging.alarm import sweep as look_again

    clock.forward(**later)
    it.run()
    beat(it.db)
    with as_worker():
        look_again()
    it.run()


def mails(it: Night) -> list[str]:
    """The subjects of the mails to the only admin that are about this."""
    found = [str(message["Subject"]) for to, message in it.mail.got if to == "ada@example.org"]
    return [one for one in found if "hub can" in one]


def test_the_admins_are_told_once_then_daily_and_when_it_is_over(cast: Cast, db: Any, clock: Any) -> None:
    with ready(cast, db) as it:
        sweep(it, clock, seconds=31)
        assert mails(it) == []
        key = schedule(it, "Empty rota", [])
        sweep(it, clock, seconds=31)
        assert mails(it) == [], "it has to last"
        sweep(it, clock, seconds=60)
        assert len(mails(it)) == 1
        assert "This hub cannot page: 1 problem" in mails(it)[0]
        assert "Nobody takes turns in Empty rota." in it.mail.to("ada@example.org")[-1]
        for _ in range(5):
            sweep(it, clock, minutes=10)
        assert len(mails(it)) == 1, "the same is told once"
        sweep(it, clock, hours=24)
        assert len(mails(it)) == 2
        db.run("UPDATE oncall_schedule SET retired_at = wb_now() WHERE id = %s", key)
        sweep(it, clock, minutes=1)
        assert "This hub can page again" in mails(it)[-1]
        sweep(it, clock, minutes=1)
        sweep(it, clock, hours=25)
        assert len(mails(it)) == 3
        assert it.mail.to("edo@example.org")[1:] == [], "nobody but the admins"


def test_another_problem_beside_a_known_one_is_told(cast: Cast, db: Any, clock: Any) -> None:
    with ready(cast, db) as it:
        schedule(it, "Day rota", [it.cast.edo], until="2026-02-01")
        sweep(it, clock, seconds=31)
        sweep(it, clock, seconds=60)
        schedule(it, "Empty rota", [])
        sweep(it, clock, seconds=60)
        sweep(it, clock, seconds=60)
        assert ["2 problems" in one for one in mails(it)] == [False, True]


def test_what_has_a_page_of_its_own_is_not_told_twice(cast: Cast, db: Any, clock: Any) -> None:
    with ready(cast, db) as it:
        group(it, "critical")
        sweep(it, clock, seconds=31)
        sweep(it, clock, seconds=60)
        assert mails(it) == []
        assert it.rows(
            "SELECT can_page, counts->'unrouted' FROM paging_ability WHERE workspace_id = %s", cast.main
        ) == [(True, 1)]


def test_alerts_that_only_the_admins_heard_of_are_an_alarm_until_one_answers(cast: Cast, db: Any, clock: Any) -> None:
    from watchbill.paging.commands import acknowledge

    with ready(cast, db) as it:
        group(it, "critical")
        it.run()
        clock.forward(minutes=5)
        (reason,) = told(cast, "unrouted")
        assert (reason.level, reason.text) == (
            "alarm",
            "1 critical alert fires and pages nobody; the admins are paged instead.",
        )
        browser = signed_in(cast.ada)
        for path in ("/w/main/", "/w/main/alerts"):
            assert ">Acknowledge</button>" in browser.get(path).content.decode()
        key = it.rows("SELECT id FROM paging_page WHERE subject_kind = 'unrouted'")[0][0]
        # What was sent is reported as failed afterwards: nobody heard of it, until a later message arrives.
        db.run("UPDATE paging_delivery SET state = 'failed' WHERE page_id = %s", key)
        (reason,) = told(cast, "unrouted")
        assert (reason.level, reason.text.partition("; ")[2]) == ("broken", "nobody could be reached about it either.")
        db.run("UPDATE paging_delivery SET state = 'delivered' WHERE page_id = %s", key)
        assert told(cast, "unrouted")[0].level == "alarm"
        db.run("UPDATE paging_delivery SET state = 'failed' WHERE page_id = %s", key)
        answer = browser.post(f"/w/main/pages/{key}", {"do": "acknowledge", "back": "overview"})
        assert (answer.status_code, answer["location"]) == (302, "/w/main/")
        (reason,) = told(cast, "unrouted")
        assert (reason.level, reason.text.partition("; ")[2]) == ("alarm", "somebody acknowledged it.")
        assert "Acknowledged by Ada Admin." in browser.get("/w/main/").content.decode()
        with cast.acts(cast.ada) as by:
            assert acknowledge(by=by, workspace_id=cast.main, page_id=key)[1] is False


def test_nobody_is_told_that_it_can_page_again_while_something_pages_nobody(cast: Cast, db: Any, clock: Any) -> None:
    with ready(cast, db) as it:
        key = schedule(it, "Empty rota", [])
        sweep(it, clock, seconds=31)
        sweep(it, clock, seconds=60)
        group(it, "critical")
        it.run()
        db.run("UPDATE oncall_schedule SET retired_at = wb_now() WHERE id = %s", key)
        sweep(it, clock, seconds=60)
        assert "can page again, but something fires and pages nobody" in mails(it)[-1]


def test_a_dead_channel_is_told_by_the_one_that_still_works(cast: Cast, db: Any, clock: Any) -> None:
    with ready(cast, db) as it:
        db.run("UPDATE paging_channel SET config = jsonb_set(config, '{port}', '\"1\"') WHERE kind = 'email'")
        db.run("UPDATE paging_channel SET last_problem = 'refused', last_problem_at = wb_now() WHERE kind = 'email'")
        sweep(it, clock, seconds=31)
        sweep(it, clock, seconds=60)
        assert any(
            "cannot page" in message["Body"] for message in it.twilio.messages if message["To"] == "+442079460003"
        )


def test_nobody_is_told_in_a_demo_nor_where_nothing_is_set_up_yet(cast: Cast, db: Any, clock: Any) -> None:
    with ready(cast, db) as it:
        db.run("UPDATE people_workspace SET demo = true WHERE id = %s", cast.main)
        group(it, "critical")
        for _ in range(3):
            sweep(it, clock, seconds=60)
        assert it.rows("SELECT count(*) FROM paging_page WHERE subject_kind = 'ability'") == [(0,)]
        assert it.rows("SELECT can_page FROM paging_ability WHERE workspace_id = %s", cast.other) == [(False,)]


def test_a_workspace_that_fails_stops_no_other(
    cast: Cast, db: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from watchbill.paging import alarm

    real = alarm.ability

    def fails(workspace_id: Any, at: Any) -> Ability:
        if workspace_id == min(cast.main, cast.other):
            raise RuntimeError("a fault of ours")
        return real(workspace_id, at)

    with ready(cast, db) as it:
        monkeypatch.setattr(alarm, "ability", fails)
        sweep(it, clock, seconds=31)
        assert it.rows("SELECT workspace_id FROM paging_ability WHERE looked_at IS NOT NULL") == [
            (max(cast.main, cast.other),)
        ]


def test_the_metrics_have_each_workspace_and_go_down_when_nobody_looks(cast: Cast, db: Any, clock: Any) -> None:
    from prometheus_client import generate_latest

    from watchbill.server.health import refresh_gauges

    with ready(cast, db) as it:
        db.run("UPDATE people_workspace SET demo = true WHERE id = %s", cast.other)
        sweep(it, clock, seconds=31)
        refresh_gauges()
        text = generate_latest().decode()
        assert 'watchbill_can_page{workspace="main"} 1.0' in text
        assert 'workspace="other"' not in text, "a demo pages nobody"
        group(it, "critical")
        group(it, "warning")
        sweep(it, clock, seconds=31)
        refresh_gauges()
        text = generate_latest().decode()
        assert 'watchbill_can_page{workspace="main"} 1.0' in text
        assert 'watchbill_can_page_reasons{code="unrouted",workspace="main"} 1.0' in text
        db.run("DELETE FROM signals_group")
        sweep(it, clock, seconds=31)
        refresh_gauges()
        assert 'watchbill_can_page{workspace="main"} 1.0' in generate_latest().decode()
        clock.forward(minutes=3)
        refresh_gauges()
        assert 'watchbill_can_page{workspace="main"} 0.0' in generate_latest().decode()


def test_doctor_says_it_of_each_workspace(cast: Cast, db: Any) -> None:
    from watchbill.server.doctor import _can_page

    with ready(cast, db) as it:
        group(it, "critical")
        with as_worker():
            found = _can_page()
        mine = [one for one in found if one.part == "can page: main"]
        assert [one.level for one in mine][:1] == ["warning"], "and nothing says ok"
        assert "1 critical alert fires and pages nobody; the admins are paged instead." in mine[0].text
        assert "/w/main/alerts" in mine[0].remedy
        assert {one.part for one in found} == {"can page: main", "can page: other", "can page: hub"}
