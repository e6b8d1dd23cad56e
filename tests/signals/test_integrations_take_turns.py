"""Who sends much waits for their own: integrations take turns, and nobody waits for more than one share of another."""

import json
from typing import Any

import pytest

from tests.cast import Cast, as_worker
from tests.signals.test_nothing_stops_the_intake import alert, drain, put, source, titles
from watchbill.intake.adapters import ADAPTERS
from watchbill.runtime.isolation import failures
from watchbill.signals import taking
from watchbill.signals.commands import take_in
from watchbill.signals.models import Source


def many(start: int, count: int) -> bytes:
    alerts = [{"labels": {"alertname": "Flood", "n": str(start + number)}} for number in range(count)]
    return json.dumps({"groupKey": "flood", "alerts": alerts}).encode()


def test_a_flood_of_one_integration_holds_up_no_other(cast: Cast, db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came last of somebody else is taken in first, and what comes meanwhile waits for one share."""
    of, theirs = source(cast, "grafana"), source(cast, other=True)
    monkeypatch.setattr(taking, "SHARE_ALERTS", 300)
    for number in range(6):
        put(db, of, raw=many(number * 2000, 2000))
    put(db, theirs, alert("Theirs"))
    order: list[tuple[Any, int]] = []
    take = taking.take_alerts

    def noted(source: Source, arrivals: Any, **more: Any) -> None:
        order.append((source.id, sum(len(alerts) for _, alerts in arrivals)))
        take(source, arrivals, **more)

    monkeypatch.setattr(taking, "take_alerts", noted)
    with as_worker():
        assert take_in(ADAPTERS) == 2
        assert order == [(theirs.id, 1), (of.id, 2000)]
        put(db, theirs, alert("Next"))
        assert take_in(ADAPTERS) == 2
    assert order[2:] == [(theirs.id, 1), (of.id, 2000)]
    drain()
    assert sum(count for whose, count in order if whose == of.id) == 12_000
    assert db.run("SELECT count(*) FROM signals_arrival") == [(0,)]


def test_two_floods_take_turns_and_a_single_alert_comes_between(
    cast: Cast, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, theirs = source(cast, "grafana"), source(cast, name="second"), source(cast, other=True)
    monkeypatch.setattr(taking, "LARGE", 2000)
    for of in (first, second):
        put(db, of, raw=many(0, 100))
    take, order = taking.take_alerts, list[str]()

    def noted(source: Source, arrivals: Any, **more: Any) -> None:
        order.append(source.name)
        take(source, arrivals, **more)
        if len(order) == 1:
            put(db, theirs, alert("Between"))

    monkeypatch.setattr(taking, "take_alerts", noted)
    with as_worker():
        assert take_in(ADAPTERS) == 3
    assert order == [first.name, theirs.name, second.name]


def test_a_backlog_hides_no_other_integration(cast: Cast, db: Any) -> None:
    of, theirs = source(cast), source(cast, other=True)
    for number in range(12):
        put(db, of, alert(f"Many{number}"))
    put(db, theirs, alert("Theirs"))
    with as_worker():
        assert take_in(ADAPTERS, 4) == 4
    assert titles(db) == {"Theirs: checkout", "Many0: checkout", "Many1: checkout", "Many2: checkout"}


def test_of_one_message_no_more_alerts_are_read_than_anybody_sends(
    cast: Cast, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "MOST_ALERTS", 50)
    put(db, source(cast, "grafana"), raw=many(0, 60))
    drain()
    assert db.run("SELECT count(*) FROM signals_alert") == [(50,)]
    ((problem,),) = db.run("SELECT problem FROM signals_arrival")
    assert problem == "it has 60 alerts; this hub reads the first 50"


def test_an_arrival_that_exhausts_the_memory_again_and_again_is_quarantined(cast: Cast, db: Any) -> None:
    """A machine that is full for a moment costs no alert; the fifth time the arrival itself is why."""
    of = source(cast)
    put(db, of, alert("Huge"))
    number = db.run("SELECT id FROM signals_arrival")[0][0]

    def huge(body: bytes, at: Any, config: Any) -> Any:
        raise MemoryError

    with as_worker():
        for _ in range(taking.MOST_MEMORY_ERRORS - 1):
            assert taking._halves({"alertmanager": huge}, of.id, [number], patient=False) == 0
        assert db.run("SELECT problem FROM signals_arrival") == [(None,)]
        assert taking._halves({"alertmanager": huge}, of.id, [number], patient=False) == 1
    assert db.run("SELECT error FROM signals_arrival") == [("MemoryError",)]
    with as_worker():
        assert failures("intake") == {}
