"""One workspace whose entries cannot be sealed leaves the others theirs, loses nothing, and catches up in its own order."""

from contextlib import suppress
from typing import Any

import pytest
from django.conf import settings

from tests.cast import Cast, ensure_alias
from watchbill.ledger.sealer import Sealer


def write(cast: Cast, person: Any, workspace_id: Any, count: int) -> None:
    from watchbill.people.teams import create_team

    with cast.acts(person) as by:
        for _ in range(count):
            write.number = getattr(write, "number", 0) + 1  # type: ignore[attr-defined]
            create_team(by=by, workspace_id=workspace_id, name=f"Team {write.number}")  # type: ignore[attr-defined]


def sealed(db: Any, workspace_id: Any) -> list[str]:
    return [
        str(row[0])
        for row in db.run("SELECT entry_id FROM ledger_place WHERE workspace_id = %s ORDER BY index", workspace_id)
    ]


def entries(db: Any, workspace_id: Any) -> list[str]:
    return [
        str(row[0])
        for row in db.run("SELECT id FROM ledger_entry WHERE workspace_id = %s ORDER BY xid, id", workspace_id)
    ]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, cast: Cast) -> dict[str, bool]:
    state, extend = {"broken": True}, Sealer._extend

    def poisoned(self: Sealer, cursor: Any, workspace_id: Any, entries: Any) -> None:
        if workspace_id == cast.main and state["broken"]:
            # In the middle of its work, so that what it had begun must be taken back.
            self._frontier(cursor, workspace_id).append(b"x" * 32)
            raise ArithmeticError("a tree that does not fit")
        extend(self, cursor, workspace_id, entries)

    monkeypatch.setattr(Sealer, "_extend", poisoned)
    return state


@pytest.mark.parametrize("batch", [3, 1000])
def test_the_others_are_sealed_and_it_catches_up_in_order(
    cast: Cast, db: Any, broken: dict[str, bool], batch: int
) -> None:
    ensure_alias("sealer")
    sealer = Sealer(settings.KEYS, batch)
    for _ in range(4):
        write(cast, cast.ada, cast.main, 2)
        write(cast, cast.sam, cast.other, 2)
    for _ in range(20):
        # As the worker's loop does: what a step raises is said, and the next one comes.
        with suppress(ArithmeticError):
            sealer.step()
    assert sealed(db, cast.main) == []
    assert sealed(db, cast.other) == entries(db, cast.other) != []
    write(cast, cast.ada, cast.main, 3)
    write(cast, cast.sam, cast.other, 3)
    for _ in range(20):
        sealer.step()
    assert sealed(db, cast.main) == []
    assert sealed(db, cast.other) == entries(db, cast.other)
    broken["broken"] = False
    # Another process goes on where this one was.
    sealer.drop()
    sealer = Sealer(settings.KEYS, batch)
    for _ in range(30):
        sealer.step()
    assert sealed(db, cast.main) == entries(db, cast.main)
    assert len(sealed(db, cast.main)) >= 11
    write(cast, cast.ada, cast.main, 1)
    for _ in range(3):
        sealer.step()
    assert sealed(db, cast.main) == entries(db, cast.main)
    assert db.run("SELECT count(*) FROM runtime_meta WHERE key LIKE 'seal_behind/%%' AND value <> ''") == [(0,)]
    sealer.drop()


def test_it_is_not_tried_at_every_step(cast: Cast, db: Any, broken: dict[str, bool]) -> None:
    ensure_alias("sealer")
    sealer = Sealer(settings.KEYS)
    write(cast, cast.ada, cast.main, 2)
    with pytest.raises(ArithmeticError):
        sealer.step()
    sealer.step()
    broken["broken"] = False
    sealer.step()
    assert sealed(db, cast.main) == []
    sealer.paused.clear()
    sealer.step()
    assert sealed(db, cast.main) == entries(db, cast.main)
    sealer.drop()
