"""Clocks against the database, whose time moves: warnings, breach, pause, other policies; and what happens when a worker dies."""

import threading
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from django.db import connections, transaction

from tests.cast import Cast, as_worker
from watchbill.base.calendar import Calendar
from watchbill.base.errors import Conflict, Invalid
from watchbill.clocks import commands as clocks
from watchbill.clocks.models import Clock
from watchbill.clocks.queries import access_open_clocks
from watchbill.clocks.rules import Policy, policy_json, read_policy
from watchbill.facts.models import Fact

ABOUT = ("thing", "1")


def start(cast: Cast, duration: str = "PT100M", **more: Any) -> Clock:
    with cast.acts(cast.ada) as by:
        return clocks.start(
            by=by, workspace_id=cast.main, subject=ABOUT, kind="respond", policy=Policy(duration, **more)
        )


def act(cast: Cast, what: str, **more: Any) -> Any:
    with cast.acts(cast.ada) as by:
        return getattr(clocks, what)(by=by, workspace_id=cast.main, subject=ABOUT, kind="respond", **more)


def sweep() -> int:
    with as_worker():
        return clocks.sweep()


def told(db: Any) -> list[tuple[str, Any]]:
    return [
        (kind, data.get("percent"))
        for kind, data in db.run("SELECT kind, data FROM facts_fact WHERE kind LIKE 'clock.%%' ORDER BY id")
    ]


def state(cast: Cast) -> Clock:
    with cast.acts(cast.ada):
        return Clock.objects.order_by("-id")[0]


def test_it_warns_twice_and_is_breached_once(cast: Cast, clock: Any, db: Any) -> None:
    start(cast)
    assert sweep() == 0
    for minutes, wanted in ((49, []), (2, [50]), (28, [50]), (2, [50, 80]), (18, [50, 80]), (2, [50, 80, None])):
        clock.forward(minutes=minutes)
        sweep()
        assert [percent for _, percent in told(db)] == wanted
    clock.forward(days=3)
    assert sweep() == 0
    found = state(cast)
    assert (found.state, found.breached_at) == ("breached", found.due_at)
    assert db.run("SELECT count(*) FROM ledger_entry WHERE action = 'clock.breach'") == [(1,)]


def test_a_worker_that_slept_tells_everything_in_order(cast: Cast, clock: Any, db: Any) -> None:
    start(cast)
    clock.forward(days=1)
    assert sweep() == 1
    assert told(db) == [("clock.warned", 50), ("clock.warned", 80), ("clock.breached", None)]


def test_what_is_met_in_time_is_met_and_says_nothing_more(cast: Cast, clock: Any, db: Any) -> None:
    start(cast)
    clock.forward(minutes=60)
    found = act(cast, "meet")
    assert (found.state, found.met_by) == ("met", cast.ada)
    clock.forward(days=1)
    assert sweep() == 0
    assert told(db) == [("clock.met", None)]
    assert act(cast, "meet") is None
    with cast.acts(cast.ada) as by:
        assert not access_open_clocks(by, cast.main).exists()


@pytest.mark.parametrize("swept", [True, False])
def test_met_after_the_breach_stays_breached_with_the_time_it_was_met(
    cast: Cast, clock: Any, db: Any, swept: bool
) -> None:
    start(cast)
    clock.forward(minutes=101)
    if swept:
        sweep()
    with cast.acts(cast.ada) as by:
        assert access_open_clocks(by, cast.main).count() == 1
    found = act(cast, "meet")
    assert (found.state, found.met_at > found.due_at, found.breached_at) == ("breached", True, found.due_at)
    sweep()
    assert [kind for kind, _ in told(db) if kind != "clock.warned"] == ["clock.breached", "clock.met"]
    with cast.acts(cast.ada) as by:
        assert not access_open_clocks(by, cast.main).exists()


def test_a_pause_keeps_what_was_left(cast: Cast, clock: Any, db: Any) -> None:
    start(cast)
    clock.forward(minutes=60)
    sweep()
    assert act(cast, "pause", reason="the vendor has it").left == pytest.approx(40 * 60, abs=30)
    clock.forward(days=2)
    assert sweep() == 0
    found = act(cast, "resume")
    assert found.due_at - clock.now() == pytest.approx(timedelta(minutes=40), abs=timedelta(seconds=30))
    clock.forward(minutes=41)
    sweep()
    assert [percent for _, percent in told(db)] == [50, 80, None]
    with pytest.raises(Conflict, match="could be paused"):
        act(cast, "pause", reason="too late")


def test_another_policy_is_reckoned_from_the_opening(cast: Cast, clock: Any) -> None:
    begun = start(cast)
    clock.forward(minutes=30)
    found = act(cast, "change", policy=Policy("PT40M"))
    assert found.due_at == begun.started_at + timedelta(minutes=40)
    clock.forward(minutes=11)
    sweep()
    assert state(cast).state == "breached"


def test_one_of_a_kind_runs_about_a_subject(cast: Cast) -> None:
    start(cast)
    with pytest.raises(Conflict, match="runs about this already"):
        start(cast)
    assert act(cast, "cancel").state == "cancelled"
    assert act(cast, "cancel") is None
    start(cast)


def test_business_time_is_stamped_with_its_calendar(cast: Cast, db: Any) -> None:
    calendar = Calendar(
        "Europe/Berlin",
        frozenset({0, 1, 2}),
        time(8),
        time(16, 30),
        frozenset({date(2026, 12, 25)}),
        {date(2026, 12, 24): time(12)},
    )
    policy = Policy("P5D", True, (25, 75), calendar)
    assert read_policy(policy_json(policy)) == policy
    assert read_policy(start(cast, "P5D", business=True, calendar=calendar).policy).calendar == calendar
    for wrong in ({"warn": (80, 50)}, {"warn": (0,)}, {"warn": (50, 50)}, {"warn": (100,)}):
        with pytest.raises(Invalid):
            Policy("PT5M", **wrong)  # type: ignore[arg-type]
    with pytest.raises(Invalid):
        Policy("soon")


def test_two_workers_share_the_work_and_tell_each_thing_once(cast: Cast, clock: Any, db: Any) -> None:
    with cast.acts(cast.ada) as by:
        for number in range(60):
            clocks.start(
                by=by, workspace_id=cast.main, subject=("thing", number), kind="respond", policy=Policy("PT10M")
            )
    clock.forward(minutes=11)
    counts: list[int] = []

    def work() -> None:
        try:
            while count := clocks.sweep(7):
                counts.append(count)
        finally:
            connections["default"].close()

    threads = [threading.Thread(target=with_worker_role(work)) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert sum(counts) == 60
    assert sorted(told(db), key=str) == sorted(
        [("clock.warned", 50), ("clock.warned", 80), ("clock.breached", None)] * 60, key=str
    )


def with_worker_role(work: Any) -> Any:
    """In a thread of its own, whose connections are its own."""

    def run() -> None:
        with as_worker():
            work()

    return run


def test_a_worker_that_dies_in_the_middle_changes_nothing(cast: Cast, clock: Any, db: Any) -> None:
    start(cast)
    clock.forward(minutes=101)
    with as_worker(), transaction.atomic():
        assert clocks.sweep() == 1
        # What the database sees of a kill -9.
        transaction.set_rollback(True)
    assert told(db) == []
    assert state(cast).state == "running"
    assert sweep() == 1
    assert state(cast).state == "breached"


def test_facts_name_the_subject(cast: Cast, clock: Any) -> None:
    start(cast)
    clock.forward(minutes=51)
    sweep()
    with cast.acts(cast.ada):
        assert Fact.objects.get(kind="clock.warned").data == {"about": ["thing", "1"], "kind": "respond", "percent": 50}


def test_the_movable_clock_moves_the_database(clock: Any) -> None:
    clock.forward(hours=1)
    assert clock.now() > datetime.now(UTC) + timedelta(minutes=59)
