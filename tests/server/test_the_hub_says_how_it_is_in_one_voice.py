"""A worker that is gone and a ledger that is not sealed: every place says the same of them, once, and none says that all is well beside it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.cast import Cast, as_worker, signed_in
from tests.console.test_nothing_calms_falsely import text_of
from tests.paging.test_can_this_hub_page import beat
from tests.signals.test_alerts_are_taken_in_whole_and_in_order import source
from watchbill.server import doctor


def overview(cast: Cast) -> str:
    return text_of(signed_in(cast.ada), "/w/main/")


def test_overview_says_that_entries_are_not_sealed(cast: Cast, db: Any, clock: Any) -> None:
    """Making an integration wrote an entry, and nobody seals it."""
    source(cast)
    assert "Ledger sealed" in overview(cast)
    clock.forward(minutes=2)
    text = overview(cast)
    assert "Ledger sealed" not in text
    assert "Ledger not sealed" in text


def test_doctor_says_once_that_entries_are_not_sealed(cast: Cast, db: Any, clock: Any) -> None:
    source(cast)
    with as_worker():
        assert [one.level for one in doctor._ledger()] == ["ok"]
    clock.forward(minutes=2)
    with as_worker():
        (ledger,), waiting = doctor._ledger(), doctor._waiting()
    assert (ledger.level, "unsealed ledger entr" in ledger.text) == ("warning", True)
    assert "pg_stat_activity" in ledger.remedy
    assert [one for one in waiting if "ledger" in one.text or one.level == "ok"] == [], (
        "once, and nothing calm beside it"
    )


@pytest.mark.parametrize(("seconds", "gone"), [(5, False), (29, False), (31, True), (300, True), (None, True)])
def test_a_worker_is_gone_for_everybody_at_the_same_time(
    cast: Cast, db: Any, clock: Any, seconds: int | None, gone: bool
) -> None:
    from watchbill.paging.ability import ability
    from watchbill.runtime.lag import is_gone
    from watchbill.runtime.now import now
    from watchbill.server.health import readiness

    if seconds is not None:
        beat(db)
        clock.forward(seconds=seconds)
    age = None if seconds is None else timedelta(seconds=seconds)
    assert is_gone(age) is gone
    assert (doctor._worker(seconds).level == "wrong") is gone
    assert any("no heartbeat" in one for one in readiness()[1]["degraded"]) is gone
    with as_worker():
        assert ("no-worker" in {one.code for one in ability(cast.main, now()).reasons}) is gone
    text = overview(cast)
    assert ("Worker running" in text) is not gone
    assert ("No worker is running" in text) is False, "“Can this hub page?” says it already"
    assert ("No worker " in text) is gone


def test_who_may_not_see_pages_still_hears_that_no_worker_runs() -> None:
    from watchbill.console.overview import _trouble
    from watchbill.incidents.queries import Burning

    gone: dict[str, Any] = {"worker": False, "failed": 0}
    assert "No worker is running" in _trouble(gone, Burning(), [], 0, shown=False)
    assert _trouble(gone, Burning(), [], 0, shown=True) == ""
