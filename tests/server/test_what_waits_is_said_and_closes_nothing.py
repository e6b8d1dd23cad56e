"""What waits longer than it should is said by doctor, the metrics, /readyz and the console; none of it closes the intake or stops a page."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings

from tests.cast import Cast, as_worker, signed_in
from tests.signals.test_alerts_are_taken_in_whole_and_in_order import alert, put, source
from watchbill.base.errors import Unavailable
from watchbill.base.ids import HUB, uuid7
from watchbill.runtime.lag import KINDS, Lag, lag, measure, stops_all
from watchbill.server import health
from watchbill.server.doctor import _waiting

Make = Callable[[Cast, Any], None]


def worker_lives(db: Any) -> None:
    db.run(
        "INSERT INTO runtime_heartbeat VALUES ('worker@x/1', 'worker', '0', wb_now()) ON CONFLICT (process) DO UPDATE SET at = wb_now()"
    )


def arrival(cast: Cast, db: Any) -> None:
    put(db, source(cast), alert())


def fact(cast: Cast, db: Any, *, attempts: int = 0, due: int = 0) -> None:
    number = uuid7()
    db.run(
        "INSERT INTO facts_fact (id, workspace_id, kind, subject_kind, subject_id, data, at) VALUES (%s, %s, 'x', 'x', 'x', '{}', wb_now())",
        number, cast.main,
    )  # fmt: skip
    db.run(
        "INSERT INTO facts_delivery (fact_id, workspace_id, subscriber, state, attempts, due_at, error) "
        "VALUES (%s, %s, 'test.listener', 'waiting', %s, wb_now() + %s * interval '1 second', %s)",
        number, cast.main, attempts, due, "ValueError: ada@example.org" if attempts else "",
    )  # fmt: skip


def retried(cast: Cast, db: Any) -> None:
    fact(cast, db, attempts=5, due=100_000)


def page(cast: Cast, db: Any, *, due: str = "wb_now()") -> Any:
    number = uuid7()
    columns = {
        "id": number, "workspace_id": cast.main, "subject_kind": "x", "subject_id": str(number), "title": "x", "text": "", "url": "", "why": "",
        "labels": "{}", "urgency": "high", "shadow": False, "policy": "{}", "state": "running", "step": 0, "round": 0, "acknowledged_via": "",
        "ended_why": "",
    }  # fmt: skip
    db.run(
        f"INSERT INTO paging_page ({', '.join(columns)}, started_at, next_at) VALUES ({', '.join(['%s'] * len(columns))}, wb_now(), {due})",
        *columns.values(),
    )
    return number


def due_page(cast: Cast, db: Any) -> None:
    page(cast, db)


def delivery(cast: Cast, db: Any, *, priority: int = 1) -> None:
    columns = {
        "id": uuid7(), "workspace_id": cast.main, "page_id": page(cast, db, due="NULL"), "round": 0, "step": 1, "position": 0, "target": "Edo", "method": "sms",
        "address": "", "state": "waiting", "why": "", "reason": "", "stage": "", "attempts": 0, "provider_id": "",
        "priority": priority,
    }  # fmt: skip
    db.run(
        f"INSERT INTO paging_delivery ({', '.join(columns)}, made_at, due_at) VALUES ({', '.join(['%s'] * len(columns))}, wb_now(), wb_now())",
        *columns.values(),
    )


def low_delivery(cast: Cast, db: Any) -> None:
    delivery(cast, db, priority=2)


def clock_(cast: Cast, db: Any) -> None:
    db.run(
        "INSERT INTO clocks_clock (id, workspace_id, subject_kind, subject_id, kind, policy, state, started_at, due_at, warned, next_at) "
        "VALUES (%s, %s, 'x', 'x', 'respond', '{}', 'running', wb_now() - interval '1 hour', wb_now(), 0, wb_now())",
        uuid7(), cast.main,
    )  # fmt: skip


def check(cast: Cast, db: Any) -> None:
    from watchbill.signals.checks import create_check

    of = source(cast, "Pings", "healthchecks")
    with cast.acts(cast.ada) as by:
        create_check(by=by, workspace_id=cast.main, source_id=of.id, name="backup")
    db.run("UPDATE signals_check SET next_at = wb_now()")


def entry(cast: Cast, db: Any) -> None:
    # Making the integration wrote an entry that nobody seals here.
    source(cast)


def failing(cast: Cast, db: Any) -> None:
    db.run(
        "INSERT INTO runtime_failure (unit, item, error, count, first_at, last_at, retry_at) "
        "VALUES ('clocks', 'x', 'OverflowError', 9, wb_now() - interval '2 hours', wb_now() + interval '2 hours', wb_now())"
    )


def job(cast: Cast, db: Any) -> None:
    db.run(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status, scheduled_at) VALUES ('default', 'blobs.scan', 'todo', now() - interval '1 hour')"
    )


WAYS: dict[str, tuple[Make, str]] = {
    "arrival": (arrival, "integration "),
    "fact": (fact, "test.listener"),
    "subscriber": (retried, "test.listener: ValueError"),
    "page": (due_page, ""),
    "delivery": (delivery, "sms"),
    "low_delivery": (low_delivery, "sms"),
    "clock": (clock_, "respond"),
    "check": (check, "integration "),
    "job": (job, "blobs.scan"),
    "entry": (entry, ""),
    "failing": (failing, "clocks: OverflowError"),
}


def of_kind(kind: str) -> Lag:
    return next(one for one in measure() if one.kind == kind)


@pytest.mark.parametrize("kind", WAYS)
def test_each_kind_is_late_after_its_limit_and_not_before(cast: Cast, db: Any, clock: Any, kind: str) -> None:
    make, why = WAYS[kind]
    make(cast, db)
    with as_worker():
        if kind not in ("job", "failing"):
            assert kind not in {one.kind for one in lag()}
        clock.forward(seconds=KINDS[kind].limit.total_seconds() + 5)
        found = of_kind(kind)
        assert found.late
        assert found.count == 1
        assert found.why.startswith(why)
        assert "ada@" not in found.reason
        assert kind in {one.kind for one in lag()}


@pytest.mark.parametrize("kind", WAYS)
def test_no_reason_closes_the_intake(cast: Cast, db: Any, clock: Any, kind: str, client_of: Callable[..., Any]) -> None:
    """/readyz stays 200 and says why it is degraded; what comes then is still answered, taken in and grouped."""
    WAYS[kind][0](cast, db)
    clock.forward(hours=1)
    worker_lives(db)
    ready, body = health.readiness()
    assert ready
    assert body["status"] == "ready"
    assert set(body["checks"].values()) == {"ok"}
    assert any(one.startswith(f"{kind}: 1 ") for one in body["degraded"]), body
    assert "@" not in json.dumps(body)
    from watchbill.intake.adapters import ADAPTERS
    from watchbill.signals.commands import take_in

    put(db, source(cast, "Another"), alert("Later"))
    with as_worker():
        while take_in(ADAPTERS):
            pass
    assert ("Later: checkout",) in db.run("SELECT title FROM signals_group")


def test_a_quarantined_arrival_is_counted_and_closes_nothing(cast: Cast, db: Any, clock: Any) -> None:
    db.run(
        "INSERT INTO signals_arrival (source_id, workspace_id, received_at, body, problem, error, problem_at) "
        "VALUES (%s, %s, wb_now(), '', 'x', 'TypeError', wb_now())",
        source(cast).id, cast.main,
    )  # fmt: skip
    from tests.cast import seal_all

    seal_all()
    clock.forward(days=20)
    worker_lives(db)
    with as_worker():
        assert lag() == []
        found = of_kind("quarantined")
        assert (found.count, found.why) == (1, "TypeError")
        assert found.oldest > timedelta(days=19)
    assert health.readiness()[1]["degraded"] == []


def test_a_worker_that_is_gone_closes_nothing(cast: Cast, db: Any, clock: Any) -> None:
    ready, body = health.readiness()
    assert ready
    assert body["degraded"] == ["worker: no heartbeat: start watchbill worker"]
    worker_lives(db)
    assert health.readiness()[1]["degraded"] == []
    clock.forward(minutes=1)
    assert health.readiness()[0]


def test_missing_migrations_close_it_only_where_nothing_could_be_stored(
    cast: Cast, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_lives(db)
    monkeypatch.setattr(health, "_known", [len(health.code_migrations()) + 2])
    ready, body = health.readiness()
    assert ready
    assert body["degraded"] == ["migrations: 2 not applied: run watchbill migrate"]
    monkeypatch.setattr(health, "_INTAKE", ("SELECT new_column FROM signals_arrival LIMIT 0",))
    ready, body = health.readiness()
    assert not ready
    assert body["checks"]["migrations"] == "2 not applied: run watchbill migrate"


def test_a_look_that_fails_is_said_and_closes_nothing(cast: Cast, db: Any, clock: Any) -> None:
    worker_lives(db)
    db.run("ALTER FUNCTION wb_lag() RENAME TO wb_lag_away")
    try:
        ready, body = health.readiness()
    finally:
        db.run("ALTER FUNCTION wb_lag_away() RENAME TO wb_lag")
    assert ready
    assert body["degraded"] == ["lag: it cannot be told what waits (ProgrammingError)"]


def test_what_is_set_aside_holds_up_nobody_else(cast: Cast, db: Any, clock: Any) -> None:
    """The dead man's switch goes on for one broken integration, and stops where everybody's alerts wait."""
    mine = source(cast)
    put(db, mine, alert())
    clock.forward(minutes=10)
    with as_worker():
        assert [one.kind for one in stops_all()] == ["arrival"]
    db.run(
        "INSERT INTO runtime_failure (unit, item, error, count, first_at, last_at, retry_at) VALUES ('intake', %s, 'OperationalError', 5, "
        "wb_now() - interval '9 minutes', wb_now(), wb_now())",
        f"source:{mine.id}",
    )  # fmt: skip
    with as_worker():
        assert stops_all() == []
        assert "failing" in {one.kind for one in lag()}


def test_the_dead_mans_switch_stops_for_what_holds_up_all(cast: Cast, db: Any, clock: Any) -> None:
    from watchbill.server.deadman import Deadman

    switch = Deadman("http://127.0.0.1:9/", 60)
    with as_worker():
        switch._nobody_waits()
    put(db, source(cast), alert())
    clock.forward(minutes=2)
    with as_worker(), pytest.raises(Unavailable, match="1 arrival has waited 12"):
        switch._nobody_waits()


def test_doctor_names_what_holds_it_up_and_what_to_do(cast: Cast, db: Any, clock: Any) -> None:
    fact(cast, db)
    clock.forward(minutes=5)
    with as_worker():
        found = {one.text: one for one in _waiting()}
    ((text, finding),) = [(text, one) for text, one in found.items() if "event" in text]
    assert text == "1 event has waited 300 s (limit 60 s): test.listener"
    assert finding.level == "wrong"
    assert "watchbill worker" in finding.remedy


def test_doctor_is_content_where_nothing_waits(db: Any) -> None:
    with as_worker():
        assert [(one.level, one.text) for one in _waiting()] == [("ok", "nothing waits longer than it should")]


def test_a_look_of_doctors_that_fails_takes_no_other_with_it() -> None:
    from watchbill.server.doctor import Finding, _alone

    def broken() -> list[Finding]:
        raise RecursionError

    (found,) = _alone("can page", broken)
    assert (found.level, found.text) == ("wrong", "this look failed: RecursionError")
    assert _alone("x", lambda: [Finding("x", "ok", "fine")])[0].text == "fine"


def test_the_metrics_have_the_oldest_of_each_kind(cast: Cast, db: Any, clock: Any) -> None:
    from prometheus_client import generate_latest

    arrival(cast, db)
    clock.forward(minutes=3)
    health.refresh_gauges()
    text = generate_latest().decode()
    (line,) = [one for one in text.splitlines() if one.startswith('watchbill_oldest_seconds{kind="arrival"}')]
    assert 180 <= float(line.split()[1]) < 200
    assert 'watchbill_waiting{kind="arrival"} 1.0' in text
    assert 'watchbill_oldest_seconds{kind="delivery"} 0.0' in text
    assert "watchbill_quarantined_arrivals 0.0" in text


def test_the_console_says_what_waits_and_what_holds_it_up(cast: Cast, db: Any, clock: Any) -> None:
    fact(cast, db)
    clock.forward(minutes=2)
    page = signed_in(cast.ada).get("/w/main/settings").content.decode()
    assert "1 event has waited 12" in page
    assert "test.listener" not in page, "what other workspaces have is for the hub's own admins"
    hub = signed_in(cast.hob).get(f"/w/{db.run('SELECT slug FROM people_workspace WHERE id = %s', HUB)[0][0]}/settings")
    assert "test.listener" in hub.content.decode()


def test_every_unit_that_says_what_waits_for_it_names_a_kind() -> None:
    from watchbill.server.worker import units

    assert {unit.oldest for unit in units() if unit.oldest} <= set(KINDS)


def test_a_replayed_arrival_has_not_waited_since_it_came(cast: Cast, db: Any, clock: Any) -> None:
    from watchbill.signals.commands import replay

    of = source(cast)
    db.run(
        "INSERT INTO signals_arrival (source_id, workspace_id, received_at, body, problem, problem_at) VALUES (%s, %s, wb_now(), '', 'x', wb_now())",
        of.id, cast.main,
    )  # fmt: skip
    clock.forward(days=3)
    with cast.acts(cast.ada) as by:
        replay(by=by, workspace_id=cast.main, source_id=of.id)
    with as_worker():
        assert of_kind("arrival").oldest < timedelta(seconds=5)


def test_numbers_end_somewhere() -> None:
    assert Lag("job", 10_001, timedelta(seconds=200), timedelta(seconds=120)).text == (
        "10,000 or more jobs wait, the oldest for 200 s (limit 120 s)"
    )
    assert settings.DEADMAN_URL == ""
