"""What one arrival, check or clock raises stays with it, whatever it is: all others go on, and nothing is lost."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DataError, IntegrityError, InternalError, OperationalError, connection

from tests.cast import Cast, api, as_worker, signed_in
from tests.signals.test_alerts_are_taken_in_whole_and_in_order import alert, groups, put, take
from watchbill.base.errors import NotFound
from watchbill.intake.adapters import ADAPTERS
from watchbill.runtime.isolation import describe, failures, is_transient
from watchbill.server.worker import sweep as sweep_expired
from watchbill.signals import checks, commands, taking
from watchbill.signals.commands import create_source, replay, take_in
from watchbill.signals.models import Source


class Panic(BaseException):
    """As extensions written in Rust raise it."""


def source(cast: Cast, protocol: str = "alertmanager", *, name: str = "", other: bool = False) -> Source:
    with cast.acts(cast.sam if other else cast.ada) as by:
        return create_source(
            by=by, workspace_id=cast.other if other else cast.main, protocol=protocol, name=name or protocol
        )[0]


def event(timestamp: str) -> bytes:
    payload = {"summary": "Pump", "source": "cellar", "severity": "critical", "timestamp": timestamp}
    return json.dumps({"event_action": "trigger", "dedup_key": "a", "payload": payload}).encode()


def titles(db: Any) -> set[str]:
    return {title for title, _, _ in groups(db)}


def drain(adapters: Any = ADAPTERS) -> None:
    with as_worker():
        while take_in(adapters):
            pass


@pytest.mark.parametrize(
    "timestamp",
    ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"],
)
def test_a_time_at_the_end_of_time_stops_no_other_sender(cast: Cast, db: Any, timestamp: str) -> None:
    put(db, source(cast, "pagerduty"), raw=event(timestamp))
    put(db, source(cast, other=True), alert())
    drain()
    assert "Slow: checkout" in titles(db)
    assert db.run("SELECT count(*) FROM signals_arrival WHERE problem IS NULL") == [(0,)]


RAISED: list[Callable[[], BaseException]] = [
    lambda: OverflowError("date value out of range"),
    lambda: RecursionError("maximum recursion depth exceeded"),
    lambda: AttributeError("nothing"),
    lambda: AssertionError(),
    lambda: StopIteration(),
    lambda: SystemExit(3),
    lambda: Panic("index out of bounds"),
    lambda: DataError("a value"),
    lambda: IntegrityError("a constraint"),
    lambda: ValueError("a \0 and a lone \ud800 in its text"),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    lambda: LookupError("x" * 100_000),
]


@pytest.mark.parametrize("raised", RAISED)
def test_whatever_an_adapter_raises_stays_with_its_arrival(
    cast: Cast, db: Any, raised: Callable[[], BaseException]
) -> None:
    def poisoned(body: bytes, at: datetime, config: Any) -> Any:
        if b"Poison" in body:
            raise raised()
        return ADAPTERS["alertmanager"](body, at, config)

    mine, theirs = source(cast), source(cast, other=True)
    for name in ("Before", "Poison", "After"):
        put(db, mine, alert(name))
    put(db, theirs, alert("Theirs"))
    drain({**ADAPTERS, "alertmanager": poisoned})
    assert titles(db) == {"Before: checkout", "After: checkout", "Theirs: checkout"}
    ((problem, error, at),) = db.run("SELECT problem, error, problem_at FROM signals_arrival")
    assert error == type(raised()).__name__
    assert problem.startswith(error)
    assert len(problem) <= 500
    assert at is not None


def test_an_adapter_whose_errors_cannot_be_printed(cast: Cast, db: Any) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def poisoned(body: bytes, at: datetime, config: Any) -> Any:
        raise Mute

    put(db, source(cast), alert())
    drain({**ADAPTERS, "alertmanager": poisoned})
    assert db.run("SELECT problem, error FROM signals_arrival") == [("Mute", "Mute")]


def test_what_the_grouping_raises_is_found_among_many(cast: Cast, db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    of, calls = source(cast), []
    take = taking.take_alerts

    def poisoned(source: Source, arrivals: Any, **more: Any) -> None:
        calls.append(1)
        if any(one.labels["alertname"] in ("Poison7", "Poison30") for _, alerts in arrivals for one in alerts):
            raise ZeroDivisionError
        take(source, arrivals, **more)

    monkeypatch.setattr(taking, "take_alerts", poisoned)
    for number in range(40):
        put(db, of, alert(f"{'Poison' if number in (7, 30) else 'Good'}{number}"))
    drain()
    assert len(titles(db)) == 38
    assert db.run("SELECT error FROM signals_arrival") == [("ZeroDivisionError",)] * 2
    assert len(calls) < 40, "culprits are found by halves, not one by one"


def test_what_the_database_refuses_at_the_end_of_the_transaction_stays_with_its_arrival(
    cast: Cast, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Foreign keys are checked at the commit, when everything was done."""
    of, take = source(cast), taking.take_alerts

    def poisoned(source: Source, arrivals: Any, **more: Any) -> None:
        take(source, arrivals, **more)
        if any(one.labels["alertname"] == "Poison" for _, alerts in arrivals for one in alerts):
            with connection.cursor() as cursor:
                cursor.execute("UPDATE signals_group SET source_id = gen_random_uuid() WHERE title LIKE 'Poison%%'")

    monkeypatch.setattr(taking, "take_alerts", poisoned)
    for name in ("Before", "Poison", "After"):
        put(db, of, alert(name))
    drain()
    assert titles(db) == {"Before: checkout", "After: checkout"}
    assert db.run("SELECT error FROM signals_arrival") == [("IntegrityError",)]


def test_a_database_that_is_busy_is_no_reason_to_quarantine(
    cast: Cast, db: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its arrivals wait a moment and are tried again; the other senders do not wait for them."""
    mine, theirs, take = source(cast), source(cast, other=True), taking.take_alerts
    busy = True

    def locked(source: Source, arrivals: Any, **more: Any) -> None:
        if busy and source.id == mine.id:
            raise OperationalError("canceling statement due to lock timeout")
        take(source, arrivals, **more)

    monkeypatch.setattr(taking, "take_alerts", locked)
    put(db, mine, alert("Mine"))
    put(db, theirs, alert("Theirs"))
    for _ in range(8):
        drain()
        clock.forward(seconds=10)
    assert titles(db) == {"Theirs: checkout"}
    assert db.run("SELECT problem FROM signals_arrival") == [(None,)]
    busy = False
    clock.forward(seconds=10)
    drain()
    assert titles(db) == {"Theirs: checkout", "Mine: checkout"}
    assert db.run("SELECT count(*) FROM runtime_failure") == [(0,)]


def test_an_integration_that_another_worker_holds_does_not_keep_the_others(cast: Cast, db: Any) -> None:
    mine, theirs = source(cast), source(cast, other=True)
    put(db, mine, alert("Mine"))
    put(db, theirs, alert("Theirs"))
    db.run("SELECT pg_advisory_lock(hashtext('signals.source'), hashtext(%s))", str(mine.id))
    try:
        drain()
        assert titles(db) == {"Theirs: checkout"}
    finally:
        db.run("SELECT pg_advisory_unlock_all()")
    drain()
    assert titles(db) == {"Theirs: checkout", "Mine: checkout"}


def test_a_hundred_senders_that_fail_keep_nobody_from_being_heard(
    cast: Cast, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More waits than fits into a batch, and all of it is oldest."""
    mine, theirs = source(cast), source(cast, other=True)
    take = taking.take_alerts

    def broken(source: Source, arrivals: Any, **more: Any) -> None:
        if source.id == mine.id:
            raise OperationalError("disk full")
        take(source, arrivals, **more)

    monkeypatch.setattr(taking, "take_alerts", broken)
    for number in range(12):
        put(db, mine, alert(f"Mine{number}"))
    put(db, theirs, alert("Theirs"))
    with as_worker():
        for _ in range(4):
            take_in(ADAPTERS, 5)
    assert titles(db) == {"Theirs: checkout"}


def test_errors_of_the_database_and_of_the_input_are_told_apart() -> None:
    import psycopg

    def wrapped(cause: psycopg.Error, kind: type[Exception]) -> Exception:
        error = kind("x")
        error.__cause__ = cause
        return error

    assert is_transient(wrapped(psycopg.errors.DeadlockDetected(), OperationalError))
    assert is_transient(wrapped(psycopg.errors.SerializationFailure(), OperationalError))
    assert is_transient(wrapped(psycopg.errors.DiskFull(), OperationalError))
    # A worker that was stopped in the middle of a transaction, and what fails after something else failed, are nobody's input.
    assert is_transient(wrapped(psycopg.errors.IdleInTransactionSessionTimeout(), OperationalError))
    assert is_transient(wrapped(psycopg.errors.InFailedSqlTransaction(), InternalError))
    assert is_transient(wrapped(psycopg.errors.ReadOnlySqlTransaction(), InternalError))
    assert is_transient(OperationalError("server closed the connection unexpectedly"))
    assert is_transient(MemoryError())
    # An index entry that is too long is an OperationalError, too, and the input's.
    assert not is_transient(wrapped(psycopg.errors.ProgramLimitExceeded(), OperationalError))
    assert not is_transient(wrapped(psycopg.errors.NumericValueOutOfRange(), DataError))
    assert not is_transient(OverflowError())
    assert not is_transient(DataError("x"))


def test_a_fingerprint_that_no_index_holds_stays_with_its_arrival(cast: Cast, db: Any) -> None:
    import secrets

    def long(body: bytes, at: datetime, config: Any) -> Any:
        found = ADAPTERS["alertmanager"](body, at, config)
        if b"Poison" in body:
            return [type(one)(**{**vars_of(one), "fingerprint": secrets.token_hex(8000)}) for one in found]
        return found

    of = source(cast)
    put(db, of, alert("Poison"))
    put(db, of, alert("Good"))
    drain({**ADAPTERS, "alertmanager": long})
    assert "Good: checkout" in titles(db)


def vars_of(one: Any) -> dict[str, Any]:
    return {name: getattr(one, name) for name in getattr(one, "__dataclass_fields__", None) or one._fields}


def test_one_poisoned_check_does_not_keep_the_others_from_being_missed(
    cast: Cast, db: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = source(cast, "healthchecks")
    with cast.acts(cast.ada) as by:
        ids = [
            checks.create_check(by=by, workspace_id=cast.main, source_id=of.id, name=name, period=60, grace=60).id
            for name in ("Good", "Poison", "Fine")
        ]
    for name in ("good", "poison", "fine"):
        told = {
            "key": "",
            "slug": name,
            "action": "",
            "run": "",
            "method": "GET",
            "create": False,
            "agent": "",
            "body": "",
            "size": 0,
        }
        put(db, of, raw=json.dumps(told).encode())
    drain()
    put(db, theirs := source(cast, other=True), alert("Theirs"))
    make = checks.alert_of

    def poisoned(check: Any, *more: Any) -> Any:
        if check.slug == "poison":
            raise OverflowError("year 10000")
        return make(check, *more)

    monkeypatch.setattr(checks, "alert_of", poisoned)
    clock.forward(minutes=5)
    with as_worker():
        assert commands.sweep() == 2
        assert commands.sweep() == 0, "what failed pauses: the loop rests"
        assert failures("checks") == {f"check:{ids[1]}": (1, True)}
    drain()
    assert titles(db) == {"Good", "Fine", "Theirs: checkout"}
    monkeypatch.undo()
    clock.forward(minutes=2)
    with as_worker():
        assert commands.sweep() == 1
        assert failures("checks") == {}
    assert theirs


def test_a_poisoned_check_takes_no_ping_of_another_check(cast: Cast, db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    of, note = source(cast, "healthchecks"), checks.note_ping

    def poisoned(check: Any, *more: Any) -> Any:
        if check.slug == "poison":
            raise ArithmeticError("no such day")
        return note(check, *more)

    monkeypatch.setattr(checks, "note_ping", poisoned)
    for name in ("good", "poison", "fine"):
        told = {
            "key": "",
            "slug": name,
            "action": "",
            "run": "",
            "method": "GET",
            "create": True,
            "agent": "",
            "body": "",
            "size": 0,
        }
        put(db, of, raw=json.dumps(told).encode())
    drain()
    assert db.run("SELECT slug FROM signals_check WHERE state = 'up' ORDER BY slug") == [("fine",), ("good",)]
    assert db.run("SELECT error FROM signals_arrival") == [("ArithmeticError",)]


def test_a_route_and_a_silence_that_cannot_be_read_hold_nothing_up(cast: Cast, db: Any) -> None:
    from watchbill.base.ids import uuid7

    db.run(
        "INSERT INTO signals_route (id, workspace_id, key, position, name, state, match, severity, pages, group_by, path, line) "
        "VALUES (%s, %s, 'broken', 0, 'Broken', 'live', '{\"a=~((\"}', '', '', '{}', 'x.md', 1)",
        uuid7(), cast.main,
    )  # fmt: skip
    db.run(
        "INSERT INTO signals_silence (id, workspace_id, match, reason, maintenance, starts_at, ends_at, every, zone, made_by, made_at) "
        "VALUES (%s, %s, '{\"a=~((\"}', '', false, wb_now() - interval '1 hour', wb_now() + interval '1 hour', '', 'UTC', %s, wb_now())",
        uuid7(), cast.main, cast.ada,
    )  # fmt: skip
    put(db, source(cast), alert())
    drain()
    assert titles(db) == {"Slow: checkout"}
    from watchbill.runtime.now import now
    from watchbill.signals.silences import current

    with as_worker():
        assert current(cast.main, now()) == []


def quarantined(cast: Cast, db: Any, count: int = 2) -> Source:
    def broken(body: bytes, at: datetime, config: Any) -> Any:
        raise TypeError("a fault of the hub's, which is mended later")

    of = source(cast)
    for number in range(count):
        put(db, of, alert(f"Late{number}"))
    drain({**ADAPTERS, "alertmanager": broken})
    assert titles(db) == set()
    return of


def test_what_was_quarantined_is_replayed_after_the_fix(cast: Cast, db: Any) -> None:
    of = quarantined(cast, db)
    numbers = [row[0] for row in db.run("SELECT id FROM signals_arrival ORDER BY id")]
    with cast.acts(cast.ada) as by:
        assert replay(by=by, workspace_id=cast.main, source_id=of.id, arrival_id=numbers[0]) == 1
    drain()
    assert titles(db) == {"Late0: checkout"}
    with cast.acts(cast.ada) as by:
        assert replay(by=by, workspace_id=cast.main, source_id=of.id) == 1
    drain()
    assert titles(db) == {"Late0: checkout", "Late1: checkout"}
    assert db.run("SELECT count(*) FROM signals_arrival") == [(0,)]
    with cast.acts(cast.ada) as by, pytest.raises(NotFound):
        replay(by=by, workspace_id=cast.main, source_id=of.id)
    entries = db.run("SELECT count(*) FROM ledger_entry WHERE body::jsonb->>'action' = 'source.replay'")
    assert entries == [(2,)]


def test_a_replay_brings_nothing_old_back(cast: Cast, db: Any) -> None:
    of = quarantined(cast, db, 1)
    put(db, of, alert("Late0"))
    put(db, of, alert("Late0", status="resolved"))
    drain()
    with cast.acts(cast.ada) as by:
        replay(by=by, workspace_id=cast.main, source_id=of.id)
    drain()
    assert groups(db) == [("Late0: checkout", "resolved", 0)]


def test_the_page_lists_what_is_quarantined_and_replays_it(cast: Cast, db: Any) -> None:
    of = quarantined(cast, db)
    browser = signed_in(cast.ada)
    page = browser.get("/w/main/integrations").content.decode()
    assert "TypeError: a fault of the hub&#x27;s, which is mended later" in page
    assert "2 quarantined" in page
    assert "kept for 30 days" in page
    number = db.run("SELECT min(id) FROM signals_arrival")[0][0]
    form = {"do": "replay", "source": str(of.id), "arrival": str(number)}
    assert browser.post("/w/main/integrations", form).status_code == 302
    drain()
    assert titles(db) == {"Late0: checkout"}
    assert browser.post("/w/main/integrations", {"do": "replay", "source": str(of.id)}).status_code == 302
    drain()
    assert titles(db) == {"Late0: checkout", "Late1: checkout"}
    for wrong in ("x", "0", "99999999999999999999", "1\0"):
        form = {"do": "replay", "source": str(of.id), "arrival": wrong}
        assert browser.post("/w/main/integrations", form).status_code in (404, 422)
    assert "Replay" not in signed_in(cast.vera).get("/w/main/integrations").content.decode()


def test_the_api_lists_what_is_quarantined_and_replays_it(cast: Cast, db: Any) -> None:
    of = quarantined(cast, db, 3)
    client = api(cast.token(cast.ada))
    url = f"/api/v1/workspaces/main/integrations/{of.id}/quarantine"
    page = client.get(url, {"limit": 2}).json()
    assert [one["error"] for one in page["items"]] == ["TypeError"] * 2
    assert page["items"][0]["problem"].startswith("TypeError: a fault")
    rest = client.get(url, {"limit": 2, "cursor": page["next"]}).json()
    assert len(rest["items"]) == 1
    assert rest["next"] is None
    assert client.post(f"{url}/{rest['items'][0]['id']}/replay").json() == {"replayed": 1}
    assert client.post(f"{url}/replay").json() == {"replayed": 2}
    assert client.post(f"{url}/replay").status_code == 404
    drain()
    assert len(titles(db)) == 3
    viewer = api(cast.token(cast.vera))
    assert viewer.post(f"{url}/replay").status_code in (403, 404)


def test_a_body_in_quarantine_is_kept_for_thirty_days_as_it_came(cast: Cast, db: Any, clock: Any) -> None:
    from tests.cast import ensure_alias

    of = quarantined(cast, db, 1)
    ensure_alias("sweeper")
    clock.forward(**{"days": 29})
    sweep_expired()
    ((body, kept_of),) = db.run("SELECT body, source_id FROM signals_arrival")
    assert json.loads(bytes(body))["alerts"][0]["labels"]["alertname"] == "Late0"
    assert kept_of == of.id
    clock.forward(**{"days": 2})
    sweep_expired()
    assert db.run("SELECT count(*) FROM signals_arrival") == [(0,)]


def test_what_waits_is_never_deleted_however_old_it_is(cast: Cast, db: Any, clock: Any) -> None:
    from tests.cast import ensure_alias

    put(db, source(cast), alert())
    ensure_alias("sweeper")
    clock.forward(**timedelta_days(400))
    sweep_expired()
    assert take() == 1
    assert titles(db) == {"Slow: checkout"}


def timedelta_days(days: int) -> dict[str, float]:
    return {"seconds": timedelta(days=days).total_seconds()}


def test_an_error_is_described_without_addresses_and_secrets() -> None:
    assert "ada@example.org" not in describe(ValueError("mail to ada@example.org"))
    assert describe(ValueError()) == "ValueError"
