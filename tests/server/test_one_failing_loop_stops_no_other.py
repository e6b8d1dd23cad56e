"""Whatever a loop's step raises, and however often: it is said, the loop is tried again, and all others go on."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings

from tests.cast import as_worker, ensure_alias
from tests.server.hub import wait_for
from watchbill.server import loops, worker
from watchbill.server.loops import Loop, Unit, build


class Panic(BaseException):
    """As extensions written in Rust raise it."""


class Mute(Exception):
    """An error that cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError("not even this")


RAISED: list[Callable[[], BaseException]] = [
    lambda: ValueError("x"),
    lambda: RecursionError(),
    lambda: MemoryError(),
    lambda: SystemExit(1),
    lambda: KeyboardInterrupt(),
    lambda: Panic("index out of bounds"),
    lambda: Mute(),
]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AFTER_DATABASE_ERROR", "AFTER_ERROR"):
        monkeypatch.setattr(loops, name, 0.01)


@pytest.fixture
def as_the_worker(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import connections

    ensure_alias("worker")
    monkeypatch.setitem(connections.settings, "default", connections.settings["worker"])
    monkeypatch.setitem(settings.DATABASES, "default", connections.settings["worker"])


def names() -> list[str]:
    return [unit.name for unit in worker.units()]


@pytest.mark.parametrize("raised", RAISED)
def test_whatever_a_step_raises_all_others_go_on(
    db: Any, quick: None, as_the_worker: None, raised: Callable[[], BaseException]
) -> None:
    """Each of the worker's own units in turn, with all of its others."""
    for broken in names():
        stop, done = threading.Event(), dict.fromkeys(names(), 0)

        def step(name: str, broken: str = broken, done: dict[str, int] = done) -> int:
            done[name] += 1
            if name == broken:
                raise raised()
            return 0

        units = [Unit(name, lambda name=name: step(name), pause=0.005) for name in done]  # type: ignore[misc]
        there = build(units, stop)
        for loop in there.values():
            loop.start()
        try:
            wait_for(lambda done=done: min(done.values()) >= 3, 20, f"all loops go on while {broken} fails")  # type: ignore[misc]
            assert all(loop.is_alive() for loop in there.values())
        finally:
            stop.set()
            for loop in there.values():
                loop.woken.set()
            for loop in there.values():
                loop.join(5)


def test_a_failing_loop_is_recorded_until_it_works(db: Any, quick: None, as_the_worker: None) -> None:
    stop, fails = threading.Event(), True

    def step() -> int:
        if fails:
            raise ZeroDivisionError("a person's name")
        return 0

    loop = Loop(Unit("broken", step, pause=0.005), stop)
    loop.start()
    try:
        wait_for(lambda: db.run("SELECT unit, error FROM runtime_failure WHERE count > 1"), 10)
        assert db.run("SELECT unit, item, error FROM runtime_failure") == [("broken", "", "ZeroDivisionError")]
        fails = False
        wait_for(lambda: not db.run("SELECT 1 FROM runtime_failure"), 10)
    finally:
        stop.set()
        loop.woken.set()
        loop.join(5)


def test_a_step_that_works_wakes_those_it_names_and_a_small_batch_rests() -> None:
    stop = threading.Event()
    there = build([Unit("a", lambda: 3, pause=7.0, wakes=("b", "not here"), full=10), Unit("b", lambda: 0)], stop)
    assert there["a"]._once() == 7.0
    assert there["b"].woken.is_set()
    there = build([Unit("a", lambda: 10, full=10), Unit("b", lambda: True)], stop)
    assert there["a"]._once() == 0.0
    assert there["b"]._once() == 0.0


def test_a_step_that_waited_for_the_database_does_not_wait_as_long_again(monkeypatch: pytest.MonkeyPatch) -> None:
    stop, rests, clock = threading.Event(), [], iter([100.0, 120.0, 200.0, 200.1])
    monkeypatch.setattr(loops.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(stop, "wait", rests.append)
    loop = Loop(Unit("slow", lambda: 1, rest=1.0), stop)
    loop._once()
    loop._once()
    assert rests == pytest.approx([loops.LONGEST_REST, 0.1])


def test_every_unit_has_a_name_of_its_own_and_wakes_units_that_exist() -> None:
    found = worker.units()
    assert len({unit.name for unit in found}) == len(found)
    for unit in found:
        assert {name for name in unit.wakes if name} <= {unit.name for unit in found}


def test_the_listener_outlives_what_it_hears(db: Any, as_the_worker: None, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, calls = threading.Event(), []
    loop = Loop(Unit("intake", lambda: 0), stop)
    listener = loops.Listener("wb_test", loop, stop)

    def listen() -> None:
        calls.append(1)
        raise Panic

    monkeypatch.setattr(listener, "_listen", listen)
    monkeypatch.setattr(stop, "wait", lambda seconds: stop.set() if len(calls) > 2 else None)
    listener.start()
    listener.join(10)
    assert len(calls) == 3


def test_jobs_begin_again_whatever_ends_them(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def broken() -> Any:
        begun.append(1)
        if len(begun) > 2:
            done.set()
        raise ArithmeticError

    monkeypatch.setattr(worker, "build_app", broken)
    done = asyncio.Event()

    async def main() -> None:
        await asyncio.wait_for(worker._work(done), 10)

    asyncio.run(main())
    assert len(begun) == 3


def test_a_table_that_cannot_be_cleared_keeps_no_other_from_it(db: Any, clock: Any) -> None:
    ensure_alias("sweeper")
    db.run("INSERT INTO runtime_heartbeat VALUES ('worker@x/1', 'worker', '0', now() - interval '2 days')")
    db.run(f"REVOKE DELETE ON signin_session FROM {settings.ROLE_PREFIX}_sweeper")
    try:
        worker.sweep()
        assert db.run("SELECT count(*) FROM runtime_heartbeat") == [(0,)]
    finally:
        db.run(f"GRANT DELETE ON signin_session TO {settings.ROLE_PREFIX}_sweeper")


def test_a_handbook_that_raises_keeps_no_other_from_being_brought(
    cast: Any, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from watchbill.handbook import apply

    monkeypatch.setattr(apply.Revision.objects, "order_by", lambda: _Ids([cast.main, cast.other]), raising=False)
    brought = []

    def bring(workspace_id: Any) -> None:
        if workspace_id == cast.main:
            raise RecursionError
        brought.append(workspace_id)

    monkeypatch.setattr(apply, "bring", bring)
    with as_worker():
        assert apply.bring_all() == 1
    assert brought == [cast.other]
    assert db.run("SELECT unit, item, error FROM runtime_failure") == [
        ("handbook at start", str(cast.main), "RecursionError")
    ]


class _Ids:
    def __init__(self, ids: list[Any]) -> None:
        self.ids = ids

    def values_list(self, *names: str, flat: bool) -> "_Ids":
        return self

    def distinct(self) -> list[Any]:
        return self.ids


def test_a_folder_that_raises_keeps_no_other_from_being_brought(
    db: Any, clock: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from watchbill.handbook import jobs
    from watchbill.runtime.isolation import failures

    for name in ("a-broken", "b-good"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.md").write_text("# X")
    seen: list[str] = []

    def sync(place: Any) -> bool:
        seen.append(place.name)
        if place.name == "a-broken":
            raise RecursionError
        return True

    monkeypatch.setattr(jobs, "sync", sync)
    watcher = jobs.Watcher(tmp_path)
    with as_worker():
        watcher.step()
        assert watcher.step()
        assert seen == ["a-broken", "b-good"]
        watcher.step()
        assert seen == ["a-broken", "b-good"], "it is not tried again at every look"
        clock.forward(seconds=2)
        watcher.step()
        assert seen == ["a-broken", "b-good", "a-broken"], "but as soon as what is on record says so"
        assert failures("handbook") == {"a-broken": (2, True)}
        watcher.step()
        (tmp_path / "a-broken" / "x.md").write_text("# Mended")
        watcher.step()
        watcher.step()
    assert seen == ["a-broken", "b-good", "a-broken", "a-broken"], "and as soon as it changed"
