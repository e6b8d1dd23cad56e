"""Schedules: at every instant exactly whom the definition says, over changes of clocks and leap days, without a gap at handover."""

import re
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cast import Cast
from tests.night import night
from watchbill.base.errors import Denied, Invalid, NotFound
from watchbill.oncall.rules import Layer, Override, Window, both, boundary, gaps, is_on, on_call, shifts, turn
from watchbill.paging.rules import words_of_shift

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu")

layers = st.builds(
    Layer,
    participants=st.lists(st.sampled_from(["ada", "edo", "vera", "apo"]), min_size=1, max_size=4).map(tuple),
    count=st.integers(1, 14),
    unit=st.sampled_from(["hour", "day", "week", "month"]),
    handover=st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 45])),
    zone=st.sampled_from(ZONES),
    start=st.dates(date(2023, 1, 1), date(2026, 12, 31)),
    windows=st.lists(
        st.builds(Window, st.frozensets(st.integers(0, 6), max_size=4), st.builds(time, st.integers(0, 23)), st.builds(time, st.integers(0, 23))), max_size=2
    ).map(tuple),
    begins=st.booleans(),
)  # fmt: skip
instants = st.datetimes(datetime(2023, 6, 1), datetime(2027, 6, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds the zone


@given(layers, instants)
def test_a_turn_begins_before_its_instant_and_the_next_one_after(layer: Layer, at: datetime) -> None:
    number = turn(layer, at)
    assert boundary(layer, number) <= at < boundary(layer, number + 1)


@given(layers, st.integers(-400, 400))
def test_turns_follow_each_other_without_a_hole(layer: Layer, number: int) -> None:
    here, following = boundary(layer, number), boundary(layer, number + 1)
    assert here < following
    assert turn(layer, here) == number
    assert turn(layer, following - timedelta(microseconds=1)) == number


@given(
    st.lists(layers, min_size=1, max_size=3),
    instants,
    st.lists(st.tuples(st.integers(-50, 300), st.integers(1, 90), st.sampled_from(["ada", "zoe"])), max_size=3),
)
def test_shifts_say_at_every_instant_whom_the_definition_says(
    made: list[Layer], start: datetime, told: list[tuple[int, int, str]]
) -> None:
    overrides = [
        Override(start + timedelta(hours=begin), start + timedelta(hours=begin + length), who)
        for begin, length, who in told
    ]
    end = start + timedelta(days=12)
    found = shifts(made, overrides, start, end)
    assert (found[0].start, found[-1].end) == (start, end)
    assert all(one.end == other.start for one, other in pairwise(found)), "without a hole and without overlap"
    at = start
    while at < end:
        here = next(one for one in found if one.start <= at < one.end)
        assert (here.who, here.layer) == on_call(made, overrides, at)
        at += timedelta(minutes=97)
    for one in found:
        for at in (one.start, one.end - timedelta(microseconds=1)):
            assert on_call(made, overrides, at)[0] == one.who, "exactly at the handover, and just before it"


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4, unique=True), st.integers(1, 20))
def test_everybody_has_the_same_number_of_turns(people: list[str], rounds: int) -> None:
    layer = Layer(tuple(people), 1, "week", time(9), "Europe/Berlin", date(2026, 1, 5))
    served = [on_call([layer], [], boundary(layer, number))[0] for number in range(rounds * len(people))]
    assert {person: served.count(person) for person in people} == dict.fromkeys(people, rounds)


WEEK = Layer(("ada", "edo"), 1, "week", time(9), "Europe/Berlin", date(2026, 1, 5))


@pytest.mark.parametrize(
    ("at", "who"),
    [
        (datetime(2026, 1, 5, 9, tzinfo=BERLIN), "ada"),
        (datetime(2026, 1, 12, 8, 59, tzinfo=BERLIN), "ada"),
        (datetime(2026, 1, 12, 9, tzinfo=BERLIN), "edo"),
        (
            datetime(2026, 3, 30, 8, 59, tzinfo=BERLIN),
            "edo",
        ),  # the clocks went forward on the 29th; handover is at nine all the same
        (datetime(2026, 3, 30, 9, tzinfo=BERLIN), "ada"),
        (datetime(2026, 10, 26, 8, 59, tzinfo=BERLIN), "edo"),  # and back on the 25th
        (datetime(2026, 10, 26, 9, tzinfo=BERLIN), "ada"),
    ],
)
def test_a_weekly_turn_over_the_year(at: datetime, who: str) -> None:
    assert on_call([WEEK], [], at)[0] == who


def test_a_handover_in_the_hour_that_does_not_exist_is_an_hour_later() -> None:
    layer = Layer(("ada", "edo"), 1, "day", time(2, 30), "Europe/Berlin", date(2026, 3, 28))
    assert boundary(layer, 1).astimezone(BERLIN) == datetime(2026, 3, 29, 3, 30, tzinfo=BERLIN)
    assert boundary(layer, 2) - boundary(layer, 1) == timedelta(hours=23)


def test_a_turn_of_a_month_ends_on_the_last_day_that_there_is() -> None:
    layer = Layer(("ada", "edo"), 1, "month", time(9), "UTC", date(2024, 1, 31))
    assert [f"{boundary(layer, number):%m-%d}" for number in range(4)] == ["01-31", "02-29", "03-31", "04-30"]


def test_follow_the_sun_is_three_layers_with_hours() -> None:
    sun = [
        Layer((who,), 1, "week", time(0), "UTC", date(2026, 1, 5), (Window(frozenset(), time(start), time(end)),), who)
        for who, start, end in (("asia", 0, 8), ("europe", 8, 16), ("america", 16, 0))
    ]
    day = datetime(2026, 5, 6, tzinfo=UTC)
    assert [on_call(sun, [], day + timedelta(hours=hour))[0] for hour in (0, 7, 8, 15, 16, 23)] == [
        "asia",
        "asia",
        "europe",
        "europe",
        "america",
        "america",
    ]
    assert gaps(shifts(sun, [], day, day + timedelta(days=30))) == []


def test_a_window_of_a_night_belongs_to_the_day_on_which_it_begins() -> None:
    nights = Layer(("ada",), windows=(Window(frozenset({4}), time(22), time(6)),))
    friday = datetime(2026, 5, 8, tzinfo=UTC)
    assert [is_on(nights, friday + timedelta(hours=hour)) for hour in (21, 22, 29, 30)] == [False, True, True, False]
    assert not is_on(nights, friday + timedelta(hours=5)), "not the night of Thursday"


def test_gaps_and_double_bookings_are_found() -> None:
    office = Layer(("ada",), windows=(Window(frozenset(range(5)), time(9), time(17)),))
    monday = datetime(2026, 5, 4, tzinfo=UTC)
    found = shifts([office], [], monday, monday + timedelta(days=1))
    assert [(f"{one.start:%H:%M}", f"{one.end:%H:%M}") for one in gaps(found)] == [
        ("00:00", "09:00"),
        ("17:00", "00:00"),
    ]
    other = shifts([Layer(("ada",))], [], monday, monday + timedelta(days=1))
    assert [(one.who, f"{one.start:%H}") for one in both(found, other)] == [("ada", "09")]


def test_the_newest_override_counts_and_one_for_nobody_leaves_a_gap() -> None:
    at = datetime(2026, 5, 6, 12, tzinfo=UTC)
    told = [
        Override(at, at + timedelta(hours=4), "vera"),
        Override(at + timedelta(hours=1), at + timedelta(hours=2), ""),
    ]
    assert [on_call([WEEK], told, at + timedelta(hours=hour))[0] for hour in (0, 1, 2)] == ["vera", "", "vera"]


# On the database


def test_who_takes_over_is_paged_instead(cast: Cast, db: Any, clock: Any) -> None:
    from watchbill.oncall.commands import add_override, end_override

    with night(cast, db) as it:
        it.set_up()
        schedule_id = it.rows("SELECT id FROM oncall_schedule")[0][0]
        with cast.acts(cast.edo) as by:
            made = add_override(
                by=by, workspace_id=cast.main, schedule_id=schedule_id, person_id=cast.apo, starts_at=clock.now(), ends_at=clock.now() + timedelta(hours=8)
            )  # fmt: skip
        clock.forward(seconds=5)
        it.fire(service="web")
        assert {target for step, target, *_ in it.told() if step == 1} == {"Apo Approver"}
        with cast.acts(cast.edo) as by:
            end_override(by=by, workspace_id=cast.main, override_id=made.id)
        it.fire("Other", service="web")
        assert {target for step, target, *_ in it.told() if step == 1} == {"Edo Editor"}


def test_an_override_is_refused_with_the_reason(cast: Cast, db: Any, clock: Any) -> None:
    from watchbill.oncall.commands import add_override

    with night(cast, db) as it:
        it.set_up()
        common: dict[str, Any] = {
            "workspace_id": cast.main,
            "schedule_id": it.rows("SELECT id FROM oncall_schedule")[0][0],
            "starts_at": clock.now(),
        }
        later = clock.now() + timedelta(hours=1)
        with cast.acts(cast.edo) as by:
            with pytest.raises(NotFound):
                add_override(by=by, **common, person_id=cast.sam, ends_at=later)
            with pytest.raises(Invalid, match="ends after"):
                add_override(by=by, **common, person_id=cast.apo, ends_at=clock.now() - timedelta(hours=1))
        with cast.acts(cast.vera) as by, pytest.raises(Denied):
            add_override(by=by, **common, person_id=cast.apo, ends_at=later)


def test_a_handover_is_noticed_and_a_feed_opens_nothing_but_shifts(cast: Cast, db: Any, clock: Any) -> None:
    from django.test import Client
    from icalendar import Calendar

    from tests.cast import as_worker
    from watchbill.oncall.commands import create_feed, look, revoke_feed

    with night(cast, db) as it:
        it.set_up()
        with as_worker():
            assert look() == 1
            assert look() == 0
        assert db.run("SELECT current_person FROM oncall_schedule") == [(UUID(str(cast.edo)),)]
        with cast.acts(cast.edo) as by:
            feed, text = create_feed(by=by, workspace_id=cast.main)
        answer = Client().get(f"/feed/{text}.ics")
        assert answer["Content-Type"].startswith("text/calendar")
        events = list(Calendar.from_ical(answer.content).walk("VEVENT"))
        assert events
        assert all("On call: On-Call SRE" in str(one["summary"]) for one in events)
        assert Client().get(f"/feed/{text}x.ics").status_code == 404
        assert Client().get(f"/w/main/oncall?key={text}").status_code == 302
        with cast.acts(cast.edo) as by:
            revoke_feed(by=by, workspace_id=cast.main, feed_id=feed.id)
        assert Client().get(f"/feed/{text}.ics").status_code == 404


def test_whoever_is_on_from_now_hears_of_it(cast: Cast, db: Any, clock: Any) -> None:
    from tests.cast import as_worker
    from watchbill.oncall.commands import add_override, look

    with night(cast, db) as it:
        it.set_up()
        schedule_id = it.rows("SELECT id FROM oncall_schedule")[0][0]
        with as_worker():
            look()
        it.run()
        assert it.mail.got == [], "the first look is no handover"
        it.fire(service="web")
        it.fire("Second", service="web")
        it.fire("Second", service="web", status="resolved")
        it.mail.got.clear()
        with cast.acts(cast.edo) as by:
            add_override(
                by=by, workspace_id=cast.main, schedule_id=schedule_id, person_id=cast.apo, starts_at=clock.now(), ends_at=clock.now() + timedelta(hours=8)
            )  # fmt: skip
        clock.forward(seconds=5)
        with as_worker():
            assert look() == 1
        it.run()
        ((to, message),) = it.mail.got
        assert (to, str(message["Subject"])) == ("apo@example.org", "You are on call now: On-Call SRE")
        text = " ".join(message.get_body(("plain",)).get_content().split())
        assert re.search(r"The shift before you, since 2026-\d\d-\d\d \d\d:\d\d UTC: paged 2 times\.", text), text
        assert re.search(r"Not over: \[Sev1\] \S.* \(INC-1\) \(nobody acknowledged it yet\)", text), text
        assert "INC-2" not in text, "what is over is counted"


def test_a_quiet_shift_is_said_in_one_sentence_and_a_long_one_is_cut() -> None:
    begun = datetime(2026, 11, 16, 9, tzinfo=UTC)
    assert (
        words_of_shift(begun, 0, [], 0)
        == "The shift before you, since 2026-11-16 09:00 UTC: paged never. No page is open."
    )
    lines = words_of_shift(None, 1, [(f"INC-{n}", "unreached") for n in range(9)], 9).splitlines()
    assert lines[0] == "The shift before you: paged once."
    assert lines[1] == "Not over: INC-0 (nobody could be reached)"
    assert (len(lines), lines[-1]) == (7, "and 4 more.")
