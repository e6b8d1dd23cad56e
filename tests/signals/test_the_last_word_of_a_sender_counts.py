"""Whether an alert fires follows what its sender said last: stale repetitions are held back, and nobody stays unpaged for it."""

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from tests.cast import Cast, as_worker
from watchbill.intake.adapters import ADAPTERS
from watchbill.signals.batch import take_alerts
from watchbill.signals.commands import create_source, sweep, take_in
from watchbill.signals.models import Source
from watchbill.signals.rules import Incoming
from watchbill.signals.state import STALE, Heard, Report, dump, hear, judge, load, report_number

T = datetime(2026, 11, 21, 16, tzinfo=UTC)

#: Seconds after T at which it arrives, whether it fires, startsAt and endsAt in seconds after T (endsAt of a resolve: when it arrives unless it is given).
Said = tuple[float, bool, float] | tuple[float, bool, float, float]


def after(seconds: float) -> datetime:
    return T + timedelta(seconds=seconds)


def heard(said: list[Said], *, promises: bool = False, order: tuple[int, ...] | None = None) -> Heard:
    """What is known after all that was said, read in some order. With promises: as Prometheus says it, its replicas told apart by startsAt."""
    found = Heard()
    for index in order or range(len(said)):
        at, firing, starts, *ends = said[index]
        until = after(ends[0]) if ends else None if firing else after(at)
        report = Report(report_number(index + 1), after(at), after(starts), until)
        hear(found, str(starts) if promises else "", firing, report)
    return load(dump(found))


#: Alertmanager's webhook: what it said, and whether the alert fires then.
TABLE: list[tuple[str, list[Said], bool]] = [
    ("fires", [(0, True, 0)], True),
    ("resolved before it was heard of", [(0, False, 0)], False),
    ("resolved", [(0, True, 0), (60, False, 0)], False),
    ("one repetition right after the end", [(0, True, 0), (60, False, 0), (61, True, 0)], False),
    ("one repetition right after an end that nobody heard begin", [(60, False, 0), (61, True, 0)], False),
    ("a second repetition", [(0, True, 0), (60, False, 0), (61, True, 0), (65, True, 0)], True),
    ("repeated every five minutes", [(0, True, 0), (60, False, 0), (360, True, 0), (660, True, 0)], True),
    ("one, long after the end", [(0, True, 0), (60, False, 0), (1860, True, 0)], True),
    ("resolved again after a repetition", [(0, True, 0), (60, False, 0), (61, True, 0), (70, False, 0)], False),
    ("resolved again, then one repetition", [(0, True, 0), (9, False, 0), (10, True, 0), (11, False, 0), (12, True, 0)], False),
    ("resolved again after two repetitions", [(0, True, 0), (60, False, 0), (61, True, 0), (65, True, 0), (70, False, 0)], False),
    ("another replica's start, then its end", [(0, True, 0), (1, True, -15), (60, False, -15)], False),
    ("another replica's start, then the end of the first", [(0, True, 0), (1, True, -15), (60, False, 0)], False),
    ("an end with an earlier start", [(0, True, 0), (60, False, -1)], False),
    ("an end with a much earlier start", [(0, True, 0), (60, False, -86400)], False),
    ("an end with a later start", [(0, True, 0), (60, False, 30)], False),
    ("the next episode, right after the end", [(0, True, 0), (60, False, 0), (61, True, 60.5)], True),
    ("the next episode, then the late end of the one before", [(0, True, 0), (61, True, 60.5), (62, False, 0, 60)], True),
    ("the end of an episode before, long after", [(61, True, 60.5), (61 + 3600, False, 0, 60)], False),
    ("an older start after the end", [(0, True, 0), (60, False, 0), (61, True, -15)], False),
    ("a start within the episode that ended", [(0, True, -15), (60, False, -15), (61, True, 0)], False),
    ("a start within the episode that ended, repeated", [(0, True, -15), (60, False, -15), (61, True, 0), (63, True, 0)], True),
    ("a sender whose clock is an hour ahead", [(0, True, 3600), (60, False, 3599, 3660)], False),
    ("and the next episode by that clock", [(0, True, 3600), (60, False, 3600, 3660), (90, True, 3690)], True),
    ("a sender whose clock is an hour behind", [(0, True, -3600), (60, False, -3601, -3540)], False),
    ("and the next episode by this clock", [(0, True, -3600), (60, False, -3600, -3540), (90, True, -3510)], True),
    ("the next episode after an end far in the future", [(0, True, 0), (60, False, 0, 86400), (90, True, 90)], True),
    ("the next episode after an end a minute in the future", [(0, True, 0), (60, False, 0, 120), (90, True, 90)], True),
    ("the next episode after an end that began in the future", [(0, True, 0), (60, False, 7200, 86400), (90, True, 90)], True),
    ("one repetition after an end far in the future", [(0, True, 0), (60, False, 0, 86400), (61, True, 0)], False),
    ("one repetition after an end that began in the future", [(0, True, 7200), (60, False, 7200, 86400), (61, True, 7200)], False),
    ("an end far in the future, repeated", [(0, True, 0), (60, False, 0, 86400), (90, True, 90), (150, False, 90, 86400)], False),
    ("the end of a sender whose clock is ahead, with an earlier start", [(0, True, 600), (60, False, 585, 660)], False),
]  # fmt: skip


@pytest.mark.parametrize(("said", "fires"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_an_alert_fires_as_its_sender_said_last(said: list[Said], fires: bool) -> None:
    assert judge(heard(said), after(said[-1][0])).firing is fires


#: Prometheus' own API: what its replicas said, when it is asked, whether it fires then, and until when unless it is said again.
PROMISES: list[tuple[str, list[Said], float, bool, float | None]] = [
    ("fires until its end", [(0, True, 0, 240)], 239, True, 240),
    ("is over when nobody repeats it", [(0, True, 0, 240)], 240, False, None),
    ("nobody said it was over: it only was not heard of", [(0, True, 0, 4), (10, True, 0, 70)], 10, True, 70),
    ("not heard of twice", [(0, True, 0, 4), (10, True, 0, 14), (20, True, 0, 80)], 20, True, 80),
    ("the replica that stops", [(0, True, 0, 8), (1, True, -15, 61)], 9, True, 61),
    ("the replica that stops, heard last", [(0, True, -15, 60), (1, True, 0, 9)], 10, True, 60),
    ("the replica that says its end", [(0, True, 0, 240), (1, True, -15, 241), (30, False, 0, 30)], 30, True, 241),
    ("both say their end", [(0, True, 0, 240), (1, True, -15, 241), (30, False, 0, 30), (31, False, -15, 31)], 31, False, None),
    ("one says its end, the other one stops", [(0, True, 0, 240), (1, True, -15, 241), (30, False, 0, 30)], 241, False, None),
    ("one end, one stale repetition", [(0, True, 0, 240), (30, False, 0, 30), (31, True, 0, 240)], 31, False, None),
    ("two replicas with one start, one ends", [(0, True, 0, 240), (1, True, 0, 241), (30, False, 0, 30), (61, True, 0, 301), (90, False, 0, 30), (121, True, 0, 361)], 121, True, 361),
    ("and its end is only repeated", [(0, True, 0, 240), (30, False, 0, 30), (61, True, 0, 301), (90, False, 0, 30), (121, True, 0, 361), (150, False, 0, 30)], 150, True, 361),
    ("until the other one ends", [(0, True, 0, 240), (30, False, 0, 30), (61, True, 0, 301), (121, True, 0, 361), (150, False, 0, 30), (181, False, 0, 181)], 181, False, None),
    ("a restart: another start at once", [(0, True, 0, 240), (30, False, 0, 30), (31, True, 31, 271)], 31, True, 271),
]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "at", "fires", "until"), [row[1:] for row in PROMISES], ids=[row[0] for row in PROMISES]
)
def test_an_alert_of_prometheus_fires_while_any_replica_says_so(
    said: list[Said], at: float, fires: bool, until: float | None
) -> None:
    found = judge(heard(said, promises=True), after(at))
    assert (found.firing, found.until if found.firing else None) == (fires, None if until is None else after(until))


def test_an_end_without_a_start_ends_what_promised_none() -> None:
    found = Heard()
    hear(found, "0", True, Report(64, T, T))
    hear(found, "", False, Report(128, after(60), after(60), after(60)))
    assert not judge(found, after(60)).firing
    other = Heard()
    hear(other, "0", True, Report(64, T, T))
    hear(other, "59", False, Report(128, after(60), after(59), after(60)))
    assert not judge(other, after(60)).firing, "it would fire for ever"


_SAID = st.lists(
    st.tuples(st.floats(0, 120), st.booleans(), st.sampled_from([-15.0, 0.0, 40.0])), min_size=1, max_size=6
)


@given(_SAID, st.data())
def test_in_whatever_order_workers_read_it_the_alert_stands_the_same(said: list[Any], data: st.DataObject) -> None:
    order = tuple(data.draw(st.permutations(range(len(said)))))
    # What is read twice (replayed, or sent again by the door) counts once.
    twice = order + tuple(data.draw(st.lists(st.sampled_from(order), max_size=3)))
    at, last = after(max(one[0] for one in said)), after(said[order[-1]][0])
    assert judge(heard(said, order=twice), last) == judge(heard(said), at)


@given(_SAID, st.floats(0, 900), st.sampled_from([-15.0, 0.0, 40.0]))
def test_who_says_twice_that_it_fires_is_believed_at_the_second(said: list[Any], gap: float, starts: float) -> None:
    said = sorted(said)
    end = said[-1][0]
    more: list[Any] = [*said, (end + 1, True, starts), (end + 1 + gap, True, starts)]
    assert judge(heard(more), after(end + 1 + gap)).firing


@given(_SAID, st.sampled_from([-15.0, 0.0, 40.0]))
def test_what_was_held_back_is_believed_in_the_end(said: list[Any], starts: float) -> None:
    more: list[Any] = [*sorted(said), (200, True, starts)]
    found = judge(heard(more), after(200))
    assert found.firing or (found.held is not None and found.held <= after(200) + STALE)
    assert judge(heard(more), after(200) + STALE).firing


@given(_SAID, st.sampled_from([-15.0, 0.0, 40.0]), st.floats(0, 1e9), st.floats(0, 80000), st.floats(0, 5))
def test_an_end_in_the_future_holds_back_no_next_episode(
    said: list[Any], starts: float, ahead: float, began: float, gap: float
) -> None:
    """Whatever an end says of itself, what begins after it came is another episode; and the end that is kept came by then."""
    ended: list[Any] = [*sorted(said), (200, False, max(starts, began), 200 + ahead)]
    over = judge(heard(ended), after(200))
    assert not over.firing
    assert over.until is not None
    assert over.until <= after(200)
    fires = judge(heard([*ended, (201 + gap, True, 200.5 + gap)]), after(201 + gap))
    assert (fires.firing, fires.held) == (True, None)
    # And its own end ends it, however far away that says it is.
    last: list[Any] = [*ended, (201 + gap, True, 200.5 + gap), (300, False, 200.5 + gap, 300 + ahead)]
    assert not judge(heard(last), after(300)).firing


@given(st.floats(0, 1e9))
def test_an_end_in_the_future_leaves_a_stale_repetition_held(ahead: float) -> None:
    more: list[Any] = [(0, True, 0), (60, False, 0, 60 + ahead), (61, True, 0)]
    found = judge(heard(more), after(61))
    assert (found.firing, found.held) == (False, after(61) + STALE)


@given(_SAID, st.sampled_from([-15.0, 0.0, 40.0]))
def test_the_last_end_ends_it(said: list[Any], starts: float) -> None:
    more: list[Any] = [*sorted(said), (200, False, starts)]
    assert not judge(heard(more), after(200)).firing


@given(
    st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(1, 90)), min_size=1, max_size=20),
)
def test_the_last_word_of_every_live_replica_wins(said: list[tuple[int, bool, int]]) -> None:
    """Three replicas of Prometheus, each with its own start, say what they like; then each repeats its last word for some minutes."""
    found, number, at = Heard(), 0, 0
    last: dict[int, bool] = {}
    for replica, firing, gap in said:
        at, number = at + gap, number + 1
        until = after(at + 240) if firing else after(at)
        hear(found, str(replica), firing, Report(report_number(number), after(at), after(-replica), until))
        last[replica] = firing
    ended = at
    for _ in range(6):
        at += 60
        for replica, firing in last.items():
            number += 1
            until = after(at + 240) if firing else after(ended)
            hear(found, str(replica), firing, Report(report_number(number), after(at), after(-replica), until))
    assert judge(found, after(at)).firing is any(last.values())


def test_what_is_kept_stays_small_however_often_it_flaps() -> None:
    found = Heard()
    for number in range(1, 500):
        hear(found, str(number), number % 2 == 1, Report(number * 64, after(number), after(number), after(number + 60)))
    assert len(dump(found)) < 1500


# Through the inbox


def source(cast: Cast, protocol: str = "alertmanager") -> Source:
    with cast.acts(cast.ada) as by:
        return create_source(by=by, workspace_id=cast.main, protocol=protocol, name=protocol)[0]


class Sender:
    """A sender of one alert, by the hub's clock."""

    def __init__(self, db: Any, clock: Any, of: Source) -> None:
        self.db, self.clock, self.of, self.start = db, clock, of, clock.now()

    def webhook(self, status: str, starts: float = 0, ahead: float = 0) -> None:
        ends = (
            (self.clock.now() + timedelta(seconds=ahead)).isoformat()
            if status == "resolved"
            else "0001-01-01T00:00:00Z"
        )
        alert = {
            "status": status, "labels": {"alertname": "Slow"}, "fingerprint": "f", "startsAt": (self.start + timedelta(seconds=starts)).isoformat(), "endsAt": ends,
        }  # fmt: skip
        self._put({"version": "4", "groupKey": "g", "alerts": [alert]})

    def prometheus(self, ends: float, starts: float = 0) -> None:
        alert = {
            "labels": {"alertname": "Slow"},
            "startsAt": (self.start + timedelta(seconds=starts)).isoformat(),
            "endsAt": (self.clock.now() + timedelta(seconds=ends)).isoformat(),
        }
        self._put([alert])

    def _put(self, body: Any) -> None:
        self.db.run(
            "INSERT INTO signals_arrival (source_id, workspace_id, received_at, body) VALUES (%s, %s, wb_now(), %s)", self.of.id, self.of.workspace_id, json.dumps(body).encode()
        )  # fmt: skip
        with as_worker():
            take_in(ADAPTERS)

    def wait(self, **time: float) -> None:
        self.clock.forward(**time)
        with as_worker():
            sweep()

    @property
    def groups(self) -> list[Any]:
        return [tuple(row) for row in self.db.run("SELECT state, firing FROM signals_group ORDER BY opened_at, id")]


@pytest.fixture
def alertmanager(cast: Cast, db: Any, clock: Any) -> Sender:
    return Sender(db, clock, source(cast))


@pytest.fixture
def prometheus(cast: Cast, db: Any, clock: Any) -> Sender:
    return Sender(db, clock, source(cast, "prometheus"))


def test_what_fires_again_with_the_same_start_is_open_at_the_second_repetition(alertmanager: Sender) -> None:
    alertmanager.webhook("firing")
    alertmanager.wait(minutes=1)
    alertmanager.webhook("resolved")
    alertmanager.wait(minutes=5)
    alertmanager.webhook("firing")
    assert [state for state, _ in alertmanager.groups] == ["resolved"]
    alertmanager.wait(minutes=5)
    alertmanager.webhook("firing")
    assert alertmanager.groups[-1] == ("open", 1)
    alertmanager.webhook("resolved")
    assert {state for state, _ in alertmanager.groups} == {"resolved"}


def test_what_is_said_once_more_is_open_some_minutes_later_unless_it_ends_again(alertmanager: Sender, db: Any) -> None:
    alertmanager.webhook("firing")
    alertmanager.webhook("resolved")
    alertmanager.webhook("firing")
    history = [what for (what,) in db.run("SELECT what FROM signals_group_event ORDER BY id")]
    assert history == ["opened", "resolved", "reported again"]
    alertmanager.wait(minutes=3)
    alertmanager.webhook("resolved")
    alertmanager.wait(hours=1)
    assert {state for state, _ in alertmanager.groups} == {"resolved"}, "a stale replica takes it back"
    alertmanager.webhook("firing")
    assert alertmanager.groups[-1] == ("open", 1), "long after its end it is no stale replica"
    alertmanager.webhook("resolved")
    alertmanager.webhook("firing")
    assert {state for state, _ in alertmanager.groups} == {"resolved"}
    # Its repeat_interval is four hours: nobody waits for that.
    alertmanager.wait(minutes=7)
    assert alertmanager.groups[-1] == ("open", 1)
    assert db.run("SELECT count(DISTINCT key) FROM signals_group") == [(1,)], "it is the sender's group again"
    alertmanager.webhook("resolved")
    assert {state for state, _ in alertmanager.groups} == {"resolved"}


@pytest.mark.parametrize("ahead", [30, 3600, 86400 * 365])
def test_an_end_in_the_future_is_kept_as_the_time_when_it_came(alertmanager: Sender, db: Any, ahead: float) -> None:
    alertmanager.webhook("firing")
    alertmanager.wait(minutes=1)
    alertmanager.webhook("resolved", ahead=ahead)
    assert alertmanager.groups == [("resolved", 0)]
    assert db.run("SELECT ends_at <= wb_now() FROM signals_alert") == [(True,)]
    alertmanager.wait(minutes=1)
    alertmanager.webhook("firing", starts=119)
    assert alertmanager.groups[-1] == ("open", 1), "the next episode waits for nothing"


@pytest.mark.parametrize("starts", [(0, -15, -15), (0, -1), (0, -15, 0)])
def test_an_end_ends_it_whatever_start_it_has(alertmanager: Sender, starts: tuple[float, ...]) -> None:
    for one in starts[:-1] if len(starts) > 2 else starts[:1]:
        alertmanager.webhook("firing", one)
    alertmanager.wait(minutes=1)
    alertmanager.webhook("resolved", starts[-1])
    assert alertmanager.groups == [("resolved", 0)]


def test_what_was_only_not_heard_of_is_open_as_soon_as_it_is_sent_again(prometheus: Sender) -> None:
    for _ in range(3):
        prometheus.prometheus(4)
        assert prometheus.groups[-1] == ("open", 1)
        prometheus.wait(seconds=10)
        assert prometheus.groups[-1] == ("resolved", 0)
    prometheus.prometheus(60)
    assert prometheus.groups[-1] == ("open", 1)


@pytest.mark.parametrize("order", list(itertools.permutations([("A", 0, 8), ("B", -15, 60)])))
def test_a_replica_that_stops_does_not_end_what_the_other_one_says(
    prometheus: Sender, order: tuple[tuple[str, float, float], ...]
) -> None:
    for _, starts, ends in order:
        prometheus.prometheus(ends, starts)
    for _ in range(4):
        prometheus.wait(seconds=30)
        prometheus.prometheus(60, -15)
        assert prometheus.groups == [("open", 1)]
    prometheus.wait(seconds=61)
    assert prometheus.groups == [("resolved", 0)]


def test_an_alert_that_the_release_before_kept_is_understood(alertmanager: Sender, db: Any) -> None:
    alertmanager.webhook("firing")
    db.run("UPDATE signals_alert SET heard = NULL")
    alertmanager.webhook("firing")
    assert alertmanager.groups == [("open", 1)]
    db.run("UPDATE signals_alert SET heard = NULL")
    alertmanager.webhook("resolved")
    assert alertmanager.groups == [("resolved", 0)]
    db.run("UPDATE signals_alert SET heard = NULL")
    alertmanager.webhook("firing")
    assert alertmanager.groups == [("resolved", 0)]
    alertmanager.webhook("firing")
    assert alertmanager.groups[-1] == ("open", 1)


@pytest.mark.parametrize(
    ("said", "fires"),
    [("FRFF", True), ("FRF", False), ("FFR", False), ("RFF", True), ("FRFR", False)],
)
def test_workers_that_overtake_each_other_leave_the_alert_as_it_was_said(
    cast: Cast, db: Any, clock: Any, said: str, fires: bool
) -> None:
    """Each order in which the arrivals of one alert can be read, as an alert of its own."""
    of, at = source(cast), clock.now()
    with as_worker(), transaction.atomic():
        for name, order in enumerate(itertools.permutations(range(len(said)))):
            for index in order:
                firing = said[index] == "F"
                ends = None if firing else at + timedelta(seconds=index)
                alert = Incoming(
                    {"alertname": str(name)}, firing, at, ends, received_at=at + timedelta(seconds=index), group_key=str(name)
                )  # fmt: skip
                take_alerts(of, [(index + 1, [alert])])
    assert {row[0] for row in db.run("SELECT firing FROM signals_alert")} == {fires}
    wanted = "count(*) FILTER (WHERE firing > 0), sum(firing)"
    ((groups, alerts),) = db.run(f"SELECT {wanted} FROM signals_group WHERE state = 'open'")
    ((known,),) = db.run("SELECT count(*) FROM signals_alert WHERE firing")
    assert (groups, alerts or 0) == (known, known), "what is counted is what fires"
