"""One clock, page, silence, schedule or incident that raises is set aside; all others of the same sweep are dealt with."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError

from tests.cast import Cast, as_worker
from tests.server.test_what_waits_is_said_and_closes_nothing import page
from tests.signals.test_alerts_are_taken_in_whole_and_in_order import alert, put, source, take
from watchbill.base.ids import uuid7
from watchbill.runtime.isolation import failures


class Panic(BaseException):
    """As extensions written in Rust raise it."""


RAISED = [OverflowError("year 10000"), RecursionError(), Panic("index out of bounds"), SystemExit(1)]


def poison(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, is_bad: Callable[..., bool], error: BaseException
) -> None:
    """Lets a function of the product raise for one item, after it has done its work: what it did must be taken back."""
    real = getattr(module, name)

    def poisoned(*args: Any, **more: Any) -> Any:
        found = real(*args, **more)
        if is_bad(*args, **more):
            raise error
        return found

    monkeypatch.setattr(module, name, poisoned)


def clocks(cast: Cast, db: Any, count: int) -> list[Any]:
    ids = [uuid7() for _ in range(count)]
    policy = "{}"
    for number in ids:
        db.run(
            "INSERT INTO clocks_clock (id, workspace_id, subject_kind, subject_id, kind, policy, state, started_at, due_at, warned, next_at) "
            "VALUES (%s, %s, 'x', %s, 'respond', %s, 'running', wb_now() - interval '1 hour', wb_now(), 0, wb_now())",
            number, cast.main, str(number), policy,
        )  # fmt: skip
    return ids


@pytest.mark.parametrize("error", RAISED)
def test_clocks(cast: Cast, db: Any, clock: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    from watchbill.clocks import commands
    from watchbill.clocks.rules import Policy

    ids = clocks(cast, db, 5)
    monkeypatch.setattr(commands, "read_policy", lambda told: Policy("PT1H", warn=()))
    with monkeypatch.context() as patched:
        poison(patched, commands, "_look", lambda one, at: one.id == ids[2], error)
        with as_worker():
            assert commands.sweep() == 4
            assert commands.sweep() == 0, "it pauses: the loop rests"
            assert failures("clocks") == {str(ids[2]): (1, True)}
        assert db.run("SELECT id FROM clocks_clock WHERE state = 'running'") == [(ids[2],)]
    clock.forward(seconds=90)
    with as_worker():
        assert commands.sweep() == 1
        assert failures("clocks") == {}


def test_what_fails_again_pauses_longer_and_at_most_a_minute(
    cast: Cast, db: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from watchbill.clocks import commands

    clocks(cast, db, 1)
    tries: list[int] = []

    def broken(*args: Any) -> None:
        tries.append(1)
        raise OverflowError

    monkeypatch.setattr(commands, "_look", broken)
    for _ in range(60):
        with as_worker():
            commands.sweep()
        clock.forward(seconds=10)
    assert 10 <= len(tries) <= 16


def test_more_poisoned_than_fit_into_a_sweep_hide_nothing(cast: Cast, db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from watchbill.clocks import commands
    from watchbill.clocks.rules import Policy

    bad = clocks(cast, db, 6)
    (good,) = clocks(cast, db, 1)
    monkeypatch.setattr(commands, "read_policy", lambda told: Policy("PT1H", warn=()))
    poison(monkeypatch, commands, "_look", lambda one, at: one.id in bad, ValueError())
    with as_worker():
        for _ in range(4):
            commands.sweep(3)
    assert db.run("SELECT id FROM clocks_clock WHERE state = 'breached'") == [(good,)]


def test_pages(cast: Cast, db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from watchbill.paging import commands

    ids = [page(cast, db) for _ in range(4)]
    poison(monkeypatch, commands, "silence_of", lambda one: one.id == ids[1], RecursionError())
    with as_worker():
        assert commands.sweep() == 3
        assert failures("pages") == {str(ids[1]): (1, True)}
    assert db.run("SELECT id FROM paging_page WHERE next_at IS NOT NULL") == [(ids[1],)]


def test_silences(cast: Cast, db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from watchbill.signals import silences

    of = source(cast)
    for name in ("One", "Two", "Three"):
        put(db, of, alert(name))
    take()
    db.run("UPDATE signals_group SET held_until = wb_now() + interval '1 hour'")
    poison(monkeypatch, silences, "hold_back", lambda group, at: group.title.startswith("Two"), KeyError("x"))
    with as_worker():
        assert silences.sweep() == 2
    assert db.run("SELECT title FROM signals_group WHERE held_until IS NOT NULL") == [("Two: checkout",)]


def test_handovers(cast: Cast, db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from watchbill.oncall import commands

    ids = [uuid7() for _ in range(3)]
    for number, one in enumerate(ids):
        db.run(
            "INSERT INTO oncall_schedule (id, workspace_id, key, name, level, layers, problems, path, line) VALUES (%s, %s, %s, 'x', '', '[]', '[]', '', 1)",
            one, cast.main, f"k{number}",
        )  # fmt: skip
    monkeypatch.setattr(commands, "who_is_on", lambda workspace, schedule, at: cast.edo)
    poison(monkeypatch, commands, "who_is_on", lambda workspace, schedule, at: schedule == ids[0], OverflowError())
    with as_worker():
        assert commands.look() == 2
    assert db.run("SELECT id FROM oncall_schedule WHERE current_person IS NULL") == [(ids[0],)]


def test_resting_incidents(cast: Cast, db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from watchbill.incidents import timing
    from watchbill.incidents.models import Incident

    with as_worker():
        ids = []
        for number in range(3):
            from watchbill.runtime.now import now

            row = Incident(
                workspace_id=cast.main,
                number=number + 1,
                title="x",
                state="acknowledged",
                opened_at=now(),
                snoozed_until=now(),
            )
            row.save(force_insert=True)
            ids.append(row.id)
    poison(monkeypatch, timing, "wake", lambda **more: more["incident"].id == ids[1], AttributeError("x"))
    with as_worker():
        assert timing.sweep() == 2
    assert db.run("SELECT id FROM incidents_incident WHERE snoozed_until IS NOT NULL") == [(ids[1],)]


@pytest.mark.parametrize("error", RAISED)
def test_workspaces_in_which_something_pages_nobody(
    cast: Cast, db: Any, clock: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    from watchbill.paging import unrouted

    of = source(cast)
    for name in ("One", "Two"):
        put(db, of, alert(name))
    take()
    db.run("UPDATE signals_group SET workspace_id = %s WHERE title LIKE 'Two%%'", cast.other)
    tries: list[Any] = []
    with monkeypatch.context() as patched:
        poison(patched, unrouted, "_look", lambda one: tries.append(one) or one == cast.main, error)
        with as_worker():
            assert unrouted.sweep() == 1
            assert unrouted.sweep() == 0, "it pauses: nothing is logged each second"
            assert failures("unrouted") == {str(cast.main): (1, True)}
    assert tries.count(cast.main) == 1
    paged = "SELECT workspace_id FROM paging_page WHERE subject_kind = 'unrouted'"
    assert db.run(paged) == [(cast.other,)]
    clock.forward(seconds=2)
    with as_worker():
        assert unrouted.sweep() == 1
        assert failures("unrouted") == {}
    assert len(db.run(paged)) == 2


def test_a_database_that_is_gone_is_asked_once_not_for_each_workspace(
    cast: Cast, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from watchbill.paging import alarm
    from watchbill.runtime import isolation

    tries: list[Any] = []

    def gone(workspace_id: Any) -> int:
        tries.append(workspace_id)
        raise OperationalError("the connection is closed")

    monkeypatch.setattr(alarm, "_look", gone)
    monkeypatch.setattr(isolation, "database_is_gone", lambda: True)
    with as_worker(), pytest.raises(OperationalError):
        alarm.sweep()
    assert len(tries) == 1


def test_workspaces_that_may_not_be_able_to_page(
    cast: Cast, db: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from watchbill.paging import alarm

    with monkeypatch.context() as patched:
        poison(patched, alarm, "ability", lambda workspace, at: workspace == cast.main, KeyError("x"))
        with as_worker():
            looked = alarm.sweep()
            assert alarm.sweep() == 0
            assert failures("ability") == {str(cast.main): (1, True)}
    assert db.run("SELECT count(*) FROM paging_ability WHERE workspace_id = %s", cast.main) == [(0,)]
    clock.forward(seconds=2)
    with as_worker():
        assert alarm.sweep() == 1
        assert failures("ability") == {}
    assert looked >= 1


def test_admins_who_could_not_be_told_are_on_record_and_what_was_found_stays(
    cast: Cast, db: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from watchbill.paging import alarm

    with monkeypatch.context() as patched:
        poison(patched, alarm, "_tell", lambda state, found: state.workspace_id == cast.main, KeyError("x"))
        with as_worker():
            alarm.sweep()
            assert list(failures("ability")) == [f"telling:{cast.main}"]
    assert db.run("SELECT count(*) FROM paging_ability WHERE workspace_id = %s", cast.main) == [(1,)]
    clock.forward(seconds=31)
    with as_worker():
        alarm.sweep()
        assert failures("ability") == {}
