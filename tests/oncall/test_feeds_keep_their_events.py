"""Calendar feeds: the same shift has the same UID, beginning and end whenever it is fetched, at both edges."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cast import Cast
from tests.night import night
from tests.oncall.test_somebody_is_on_at_every_instant import instants, layers
from watchbill.oncall.feed import calendar
from watchbill.oncall.models import Schedule
from watchbill.oncall.queries import Watch
from watchbill.oncall.rules import Layer, Override, Window, on_call, shifts, whole_shifts

overridden = st.lists(
    st.tuples(st.integers(-900, 3000), st.integers(1, 400), st.sampled_from(["ada", "zoe"])), max_size=4
)


def made(start: datetime, told: list[tuple[int, int, str]]) -> list[Override]:
    return [Override(start + timedelta(hours=a), start + timedelta(hours=a + b), who) for a, b, who in told]


@settings(max_examples=120, deadline=None)
@given(
    st.lists(layers, min_size=0, max_size=3),
    instants,
    overridden,
    st.one_of(st.integers(0, 7200), st.integers(0, 20 * 86400)),
    st.integers(1, 40),
)
def test_two_fetches_say_the_same_of_every_shift(
    given_layers: list[Layer], start: datetime, told: list[tuple[int, int, str]], later: int, days: int
) -> None:
    overrides, other = made(start, told), start + timedelta(seconds=later)
    end, other_end = start + timedelta(days=days), other + timedelta(days=days)
    one, two = (whole_shifts(given_layers, overrides, a, b) for a, b in ((start, end), (other, other_end)))
    if other < end:
        both = [[each for each in found if each.start < end and each.end > other] for found in (one, two)]
        assert both[0] == both[1]
        assert both[0]
    assert one[0].start <= start < one[0].end
    assert one[-1].start < end <= one[-1].end
    for before, after in pairwise(one):
        assert before.end == after.start
    for each in one:
        assert (each.who, each.layer) == on_call(given_layers, overrides, each.start)
        assert (each.who, each.layer) == on_call(given_layers, overrides, each.end - timedelta(seconds=1))


@settings(max_examples=60, deadline=None)
@given(st.lists(layers, min_size=1, max_size=3), instants, overridden)
def test_whole_shifts_say_what_shifts_say(
    given_layers: list[Layer], start: datetime, told: list[tuple[int, int, str]]
) -> None:
    overrides, end = made(start, told), start + timedelta(days=12)
    whole = whole_shifts(given_layers, overrides, start, end)
    for each in shifts(given_layers, overrides, start, end):
        inside = [one for one in whole if one.start < each.end and one.end > each.start]
        assert {one.who for one in inside} == {each.who}


def events(found: list[Layer], overrides: list[Override], at: datetime) -> list[tuple[str, datetime, datetime]]:
    """A feed's events, as a calendar program reads them."""
    from icalendar import Calendar

    schedule = Schedule(id=ID, name="On-call")
    whole = whole_shifts(found, overrides, at - timedelta(days=30), at + timedelta(days=90))
    text = calendar([Watch(schedule, whole, None, None, [])], {"ada": "Ada"}, at)
    return [(str(one["uid"]), one["dtstart"].dt, one["dtend"].dt) for one in Calendar.from_ical(text).walk("VEVENT")]


ID = uuid4()
ALONE = Layer(("ada",), start=date(2026, 1, 5), zone="Europe/Berlin", begins=True)


@pytest.mark.parametrize(
    "found",
    [
        [ALONE], [Layer(("ada", "edo", "apo"), zone="Europe/Berlin")], [Layer(("ada", "ada", "edo"), unit="day")], [Layer(("ada",), count=12, unit="month")],
        [Layer(("ada", "edo"), zone="Australia/Lord_Howe", windows=(Window(frozenset(range(5)), time(20), time(8)),))], [Layer(())], [],
        [Layer(("ada", "edo"), unit="hour", count=8)], [Layer(("ada",), until=date(2026, 11, 30))], [ALONE, Layer(("edo",), windows=(Window(frozenset({5, 6})),))],
    ],
)  # fmt: skip
@pytest.mark.parametrize("later", [timedelta(seconds=2), timedelta(hours=7), timedelta(days=3, minutes=1)])
@pytest.mark.parametrize("at", ["2026-03-27T12:00", "2026-10-24T23:59:58", "2026-11-26T00:00", "2026-12-31T23:59:59"])
def test_an_event_keeps_its_uid(found: list[Layer], later: timedelta, at: str) -> None:
    begin = datetime.fromisoformat(f"{at}+00:00")
    overrides = [Override(begin - timedelta(days=31), begin - timedelta(days=29, hours=5), "zoe"), Override(begin + timedelta(days=89), begin + timedelta(days=95), "zoe")]  # fmt: skip
    one, two = events(found, overrides, begin), events(found, overrides, begin + later)
    assert len({uid for uid, *_ in one}) == len(one)
    known = {uid: (start, end) for uid, start, end in one}
    shared = [(uid, known[uid], (start, end)) for uid, start, end in two if uid in known]
    assert all(before == after for _, before, after in shared)
    new = [start for uid, start, _ in two if uid not in known]
    assert all(start >= begin + timedelta(days=90) for start in new), "only what came into view is new"
    assert len(shared) >= 2


def test_somebody_who_is_always_on_has_an_event_for_each_turn() -> None:
    found = events([ALONE], [], datetime(2026, 11, 26, 1, 2, 3, tzinfo=UTC))
    assert all(
        end - start in (timedelta(days=7), timedelta(days=7, hours=1), timedelta(days=6, hours=23))
        for _, start, end in found
    )
    assert {start.weekday() for _, start, _ in found} == {0}


def test_a_feed_fetched_twice_is_the_same(cast: Cast, db: Any, clock: Any) -> None:
    from django.test import Client
    from icalendar import Calendar

    from watchbill.oncall.commands import add_override, create_feed

    with night(cast, db) as it:
        it.set_up()
        schedule_id = it.rows("SELECT id FROM oncall_schedule")[0][0]
        with cast.acts(cast.ada) as by:
            _, text = create_feed(by=by, workspace_id=cast.main, schedule_id=schedule_id)
        with cast.acts(cast.edo) as by:
            add_override(
                by=by, workspace_id=cast.main, schedule_id=schedule_id, person_id=cast.apo, starts_at=clock.now() + timedelta(hours=1), ends_at=clock.now() + timedelta(days=2)
            )  # fmt: skip

        def fetch() -> dict[str, tuple[datetime, datetime]]:
            answer = Client().get(f"/feed/{text}.ics")
            return {
                str(one["uid"]): (one["dtstart"].dt, one["dtend"].dt)
                for one in Calendar.from_ical(answer.content).walk("VEVENT")
            }

        first = fetch()
        clock.forward(seconds=2)
        assert fetch() == first
        clock.forward(days=36)
        # The override is over for longer than the feed goes back, and what began where it ended still begins there.
        assert all(first[uid] == times for uid, times in fetch().items() if uid in first)
        assert first.keys() & fetch().keys()


@pytest.mark.parametrize("only", ["", "zoe"])
def test_a_calendar_without_events_is_a_calendar(only: str) -> None:
    """RFC 5545, 3.6: one component at least. Strict readers refuse a bare one, and say that the address is wrong."""
    from icalendar import Calendar

    text = calendar([], {}, datetime(2026, 11, 26, tzinfo=UTC), only=only)
    found = Calendar.from_ical(text)
    assert [one.name for one in found.subcomponents] == ["VTIMEZONE"]
    assert b"BEGIN:STANDARD\r\nDTSTART:19700101T000000\r\n" in text
    assert b"TZOFFSETTO:+0000" in text
    assert b"\r\nREFRESH-INTERVAL;VALUE=DURATION:PT1H\r\n" in text
    assert b"\r\nX-PUBLISHED-TTL:PT1H\r\n" in text


def test_who_only_asks_for_the_head_of_a_feed_gets_what_a_reader_gets(cast: Cast, db: Any, clock: Any) -> None:
    from django.test import Client

    from watchbill.oncall.commands import create_feed

    with night(cast, db) as it:
        it.set_up()
        schedule_id = it.rows("SELECT id FROM oncall_schedule")[0][0]
        with cast.acts(cast.ada) as by:
            _, text = create_feed(by=by, workspace_id=cast.main, schedule_id=schedule_id)
        whole, head = Client().get(f"/feed/{text}.ics"), Client().head(f"/feed/{text}.ics")
        assert (whole.status_code, head.status_code) == (200, 200)
        assert head["Content-Type"] == whole["Content-Type"] == "text/calendar; charset=utf-8"
        assert whole.content.count(b"BEGIN:VEVENT") > 0
        assert b"BEGIN:VTIMEZONE" not in whole.content
        assert Client().head(f"/feed/{text}x.ics").status_code == Client().get(f"/feed/{text}x.ics").status_code
        assert Client().post(f"/feed/{text}.ics").status_code in (403, 405)
