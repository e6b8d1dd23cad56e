"""Prometheus' own API with a clock that is ahead or behind: what fires is open, what ended is over, and the clock is named."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.cast import Cast, as_worker
from tests.signals.test_the_last_word_of_a_sender_counts import source
from watchbill.intake.adapters import ADAPTERS
from watchbill.paging.ability import ability
from watchbill.signals.commands import sweep, take_in
from watchbill.signals.models import Source


class Prometheus:
    """One alert, as a Prometheus sends it: every ``pace`` seconds, with an end four such times ahead by its own clock."""

    def __init__(self, db: Any, clock: Any, of: Source, skew: float, pace: float = 60) -> None:
        self.db, self.clock, self.of, self.skew, self.pace = db, clock, of, timedelta(minutes=skew), pace
        self.starts = self.now()
        self.seen: list[bool] = []
        self.ended: datetime | None = None

    def now(self) -> datetime:
        at: datetime = self.clock.now()
        return at + self.skew

    def put(self, ends: datetime, after: float = 0, starts: datetime | None = None) -> None:
        alert = {
            "labels": {"alertname": "Slow"},
            "startsAt": (starts or self.starts).isoformat(),
            "endsAt": ends.isoformat(),
        }
        self.db.run(
            "INSERT INTO signals_arrival (source_id, workspace_id, received_at, body) VALUES (%s, %s, wb_now(), %s)", self.of.id, self.of.workspace_id, json.dumps([alert]).encode()
        )  # fmt: skip
        with as_worker():
            take_in(ADAPTERS)

    def wait(self, seconds: float | None = None) -> None:
        """Time goes by; the sweep looks six times, and it is noted whether the alert stayed open all along."""
        left = whole = self.pace if seconds is None else seconds
        self.seen.append(self.open)
        while left > 0.01:
            self.clock.forward(seconds=whole / 6)
            left -= whole / 6
            with as_worker():
                sweep()
            self.seen.append(self.open)

    def fire(self, times: int) -> None:
        self.ended = None
        for _ in range(times):
            self.put(self.now() + timedelta(seconds=4 * self.pace))
            self.wait()

    def end(self, times: int) -> None:
        self.ended = self.ended or self.now()
        for _ in range(times):
            self.put(self.ended)
            self.wait()

    @property
    def open(self) -> bool:
        return bool(self.db.run("SELECT 1 FROM signals_group WHERE state = 'open'"))

    @property
    def opened(self) -> int:
        ((number,),) = self.db.run(
            "SELECT count(*) FROM signals_group_event WHERE what IN ('opened', 'reopened') AND why <> ''"
        )
        return int(number)


def reasons(cast: Cast, clock: Any) -> list[str]:
    with cast.acts(cast.ada):
        return [one.text for one in ability(cast.main, clock.now()).reasons if one.code == "sender-clock"]


@pytest.mark.parametrize(
    ("skew", "pace"), [(-4, 60), (-10, 60), (-600, 60), (-2.1, 30), (-10, 120), (-60, 300), (-20, 300)]
)
def test_a_clock_far_behind_still_opens_what_fires(cast: Cast, db: Any, clock: Any, skew: float, pace: float) -> None:
    sender = Prometheus(db, clock, source(cast, "prometheus"), skew, pace)
    sender.fire(2)
    sender.seen.clear()
    sender.fire(4)
    assert all(sender.seen), "it stays open"
    assert sender.opened <= 2
    sender.end(5)
    assert not sender.open


@pytest.mark.parametrize("skew", [-3.9, -3.5, -2.6])
def test_a_clock_that_is_nearly_a_lease_behind_does_not_flap(cast: Cast, db: Any, clock: Any, skew: float) -> None:
    sender = Prometheus(db, clock, source(cast, "prometheus"), skew)
    sender.fire(9)
    assert all(sender.seen[14:]), "from the second report on it stays open"
    assert sender.opened <= 2
    sender.end(5)
    assert not sender.open
    assert sender.opened <= 2


@pytest.mark.parametrize("skew", [0.5, 10, 120, 600])
@pytest.mark.parametrize("reports", [1, 5])
def test_the_end_of_a_clock_that_is_ahead_is_an_end(cast: Cast, db: Any, clock: Any, skew: float, reports: int) -> None:
    sender = Prometheus(db, clock, source(cast, "prometheus"), skew)
    sender.fire(reports)
    assert sender.open
    sender.end(3)
    assert not sender.open, "an end that is repeated unchanged is an end"
    sender.end(4)
    assert sender.opened == 1


def test_a_clock_that_is_ahead_opens_the_next_episode(cast: Cast, db: Any, clock: Any) -> None:
    sender = Prometheus(db, clock, source(cast, "prometheus"), 120)
    sender.fire(5)
    sender.end(4)
    assert not sender.open
    sender.starts = sender.now()
    sender.fire(1)
    assert sender.open


@pytest.mark.parametrize("skew", [-10, -3.5])
def test_what_its_sender_stops_saying_is_over_some_minutes_later(cast: Cast, db: Any, clock: Any, skew: float) -> None:
    sender = Prometheus(db, clock, source(cast, "prometheus"), skew)
    sender.fire(5)
    assert sender.open
    sender.wait(300)
    assert not sender.open


def test_an_end_that_was_set_once_holds_until_then(cast: Cast, db: Any, clock: Any) -> None:
    """A script that posts an alert with a fixed end, again and again, means it; also when it puts that end off once."""
    sender = Prometheus(db, clock, source(cast, "prometheus"), 0)
    ends = sender.now() + timedelta(hours=1)
    for _ in range(5):
        sender.put(ends)
        sender.wait()
        assert sender.open
    for _ in range(5):
        sender.put(ends + timedelta(hours=1))
        sender.wait()
        assert sender.open


@pytest.mark.parametrize("skew", [-0.5, 0, 0.5])
def test_a_clock_that_is_right_is_read_as_it_says(cast: Cast, db: Any, clock: Any, skew: float) -> None:
    sender = Prometheus(db, clock, source(cast, "prometheus"), skew)
    sender.fire(5)
    # Nobody heard of it for 20 minutes: it is over, and open at the next report, for four minutes.
    sender.wait(1200)
    assert not sender.open
    sender.fire(1)
    assert sender.open
    sender.end(1)
    sender.wait()
    assert not sender.open
    sender.end(4)
    assert sender.opened == 2
    assert reasons(cast, clock) == []


def test_reports_that_were_kept_back_are_no_wrong_clock(cast: Cast, db: Any, clock: Any) -> None:
    """After a gap a Prometheus sends what waits in its queue at once."""
    sender = Prometheus(db, clock, source(cast, "prometheus"), 0)
    sender.fire(2)
    queue = []
    for _ in range(6):
        sender.wait()
        queue.append(sender.now() + timedelta(minutes=4))
    for one in queue:
        sender.put(one)
    assert sender.open
    sender.fire(2)
    assert sender.open
    sender.end(2)
    assert not sender.open
    assert reasons(cast, clock) == []


@pytest.mark.parametrize("early", [5, 1, 3600])
def test_an_end_before_the_start_ends_it(cast: Cast, db: Any, clock: Any, early: float) -> None:
    sender = Prometheus(db, clock, source(cast, "prometheus"), 0)
    sender.fire(1)
    sender.put(sender.starts - timedelta(seconds=early))
    assert not sender.open


@pytest.mark.parametrize(("skew", "words"), [(-10, "10 min behind"), (-3.7, "4 min behind"), (120, "120 min ahead")])
def test_a_wrong_clock_is_named_where_people_look(cast: Cast, db: Any, clock: Any, skew: float, words: str) -> None:
    sender = Prometheus(db, clock, source(cast, "prometheus"), skew)
    sender.fire(4)
    sender.end(4)
    ((problem,),) = db.run("SELECT last_problem FROM signals_source WHERE id = %s", sender.of.id)
    assert words in problem
    assert "clock" in problem
    (text,) = reasons(cast, clock)
    assert words in text
    assert "prometheus" in text
    assert db.run("SELECT 1 FROM signals_arrival") == [], "nothing is quarantined for it"
    clock.forward(hours=2)
    assert reasons(cast, clock) == [], "nobody said so lately"
