"""Cron lines: when they come due in any zone, on both changes of the clocks; and which are refused, with the reason."""

import re
import time as clock
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.base.cron import long_step, next_after, problem, read_cron, times_on
from watchbill.base.errors import Invalid


def local(text: str, zone: str) -> datetime:
    """“2026-10-25 02:31” in a zone; a + behind it: the second time that the clocks show it."""
    wall = datetime.fromisoformat(text.rstrip("+"))
    return wall.replace(tzinfo=ZoneInfo(zone), fold=text.endswith("+")).astimezone(UTC)


@pytest.mark.parametrize(
    ("line", "zone", "pinged", "due"),
    [
        ("30 2 * * *", "Europe/Berlin", "2026-10-25 02:31", "2026-10-26 02:30"),
        ("15 1 * * *", "America/New_York", "2026-11-01 01:16", "2026-11-02 01:15"),
        ("0 1 * * *", "Europe/London", "2026-10-25 01:01", "2026-10-26 01:00"),
        ("0 2 * * 0", "Europe/Berlin", "2026-10-25 02:01", "2026-11-01 02:00"),
        ("*/20 2 * * *", "Europe/Berlin", "2026-03-28 02:41", "2026-03-30 02:00"),
        ("0 8 */100,1-7 * 1", "Europe/Berlin", "2026-12-07 08:01", "2027-01-04 08:00"),
        ("0 6 */2 * 1-5", "Europe/Berlin", "2026-12-07 06:01", "2026-12-09 06:00"),
        # The second pass of an hour is no second day: neither early, nor a time that has been.
        ("30 2 * * *", "Europe/Berlin", "2026-10-25 02:10+", "2026-10-26 02:30"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25 02:31+", "2026-10-26 02:30"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25 01:59", "2026-10-25 02:30"),
        # The hour that does not exist: when it is over, once.
        ("30 2 * * *", "Europe/Berlin", "2027-03-28 01:00", "2027-03-28 03:00"),
        ("0,30 2 * * *", "Europe/Berlin", "2027-03-28 03:00", "2027-03-29 02:00"),
        ("30 2 * * *", "Europe/Berlin", "2027-03-28 03:00", "2027-03-29 02:30"),
        ("0 3 * * *", "Europe/Berlin", "2027-03-28 01:00", "2027-03-28 03:00"),
        # Intervals follow the wall clock through both passes.
        ("*/20 * * * *", "Europe/Berlin", "2026-10-25 02:41", "2026-10-25 02:00+"),
        ("*/20 * * * *", "Europe/Berlin", "2026-10-25 02:41+", "2026-10-25 03:00"),
        ("*/20 2 * * *", "Europe/Berlin", "2026-10-25 02:41", "2026-10-25 02:00+"),
        ("*/20 * * * *", "Europe/Berlin", "2027-03-28 01:41", "2027-03-28 03:00"),
        # Sydney: in the other half of the year.
        ("30 2 * * *", "Australia/Sydney", "2026-10-03 02:31", "2026-10-04 03:00"),
        ("30 2 * * *", "Australia/Sydney", "2027-04-04 02:31", "2027-04-05 02:30"),
        ("*/15 2 * * *", "Australia/Sydney", "2027-04-04 02:46", "2027-04-04 02:00+"),
        # Lord Howe: half an hour.
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03 02:16", "2026-10-04 02:30"),
        ("45 1 * * *", "Australia/Lord_Howe", "2027-04-04 01:46", "2027-04-05 01:45"),
        ("*/10 2 * * *", "Australia/Lord_Howe", "2027-04-04 01:00", "2027-04-04 02:00"),
        ("*/10 2 * * *", "Australia/Lord_Howe", "2026-10-04 01:00", "2026-10-04 02:30"),
        ("*/10 1 * * *", "Australia/Lord_Howe", "2027-04-04 01:51", "2027-04-04 01:30+"),
        # A quarter of an hour beside the others, without a change.
        ("0 0 * * *", "Asia/Kathmandu", "2026-12-31 23:59", "2027-01-01 00:00"),
        ("*/30 * * * *", "Asia/Kathmandu", "2026-12-31 23:45", "2027-01-01 00:00"),
        # Clocks that change at midnight: the day begins at one o'clock.
        ("0 0 * * *", "America/Santiago", "2026-09-05 12:00", "2026-09-06 01:00"),
        ("*/20 0 * * *", "America/Santiago", "2026-09-05 12:00", "2026-09-07 00:00"),
        ("0 12 * * *", "Pacific/Apia", "2011-12-29 12:01", "2011-12-31 00:00"),
        ("0 0 29 2 *", "UTC", "2026-01-01 00:00", "2028-02-29 00:00"),
        ("0 0 29 2 *", "UTC", "2096-02-29 00:00", "2104-02-29 00:00"),
        ("0 0 31 * *", "UTC", "2026-01-31 00:00", "2026-03-31 00:00"),
        ("0 0 L * *", "UTC", "2028-02-01 00:00", "2028-02-29 00:00"),
        ("0 0 LW * *", "UTC", "2026-10-30 00:00", "2026-11-30 00:00"),
        ("0 9 * * 5L", "UTC", "2026-11-26 00:00", "2026-11-27 09:00"),
        ("0 9 * * FRI#2", "UTC", "2026-11-26 00:00", "2026-12-11 09:00"),
        ("0 9 13 * FRI", "UTC", "2026-11-26 00:00", "2026-11-27 09:00"),
        ("0 9 * jan-mar mon", "UTC", "2026-11-26 00:00", "2027-01-04 09:00"),
        ("0 0 * * 7", "UTC", "2026-11-26 00:00", "2026-11-29 00:00"),
        ("@daily", "Europe/Berlin", "2026-11-26 00:00", "2026-11-27 00:00"),
    ],
)
def test_a_line_comes_due_when_it_is_expected(line: str, zone: str, pinged: str, due: str) -> None:
    assert next_after(line, zone, local(pinged, zone)) == local(due, zone)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("0 0 30 2 *", "can never come due"), ("0 0 31 4 *", "can never come due"), ("0 0 31 2,4,6,9,11 *", "can never come due"),
        ("0 0 30,31 feb *", "can never come due"), ("0 0 30 2 */2", "can never come due"), ("* * 30 2 *", "can never come due"),
        ("R R * * *", "is not a minute"), ("H H * * *", "is not a minute"), ("0 24 * * *", "is not an hour"), ("60 * * * *", "is not a minute"),
        ("0 0 0 * *", "is not a day of the month"), ("0 0 32 * *", "is not a day of the month"), ("0 0 15W * *", "is not a day of the month"),
        ("0 0 ? * *", "is not a day of the month"), ("0 0 * 13 *", "is not a month"), ("0 0 * 0 *", "is not a month"), ("0 0 * * 8", "is not a day of the week"),
        ("0 0 * * L", "is not a day of the week"), ("0 0 * * MON#6", "is not a day of the week"), ("0 0 * * MON#0", "is not a day of the week"),
        ("*/0 * * * *", "is not a minute"), ("0-30/0 * * * *", "is not a minute"), ("30-10 * * * *", "is not a minute"), ("0 0 * * FRI-MON", "low to high"),
        ("0 0 * * MON-SUN", "low to high"), ("-5 * * * *", "is not a minute"), ("1,,2 * * * *", "is not a minute"), ("*/ * * * *", "is not a minute"),
        ("1e1 * * * *", "is not a minute"), ("１ * * * *", "is not a minute"), ("²L * * * *", "is not a minute"), ("0 0 * * ²L", "is not a day of the week"),
        ("0 0 0 * * *", "Seconds are not supported"), ("0 0 * *", "has 4 fields"), ("", "has 0 fields"), ("0 0 * * * * 2027", "has 7 fields"),
        ("@reboot", "is no schedule"), ("@every 5m", "is no schedule"), ("nonsense", "has 1 fields"), (f"{'9' * 5000} * * * *", "longer than 100"),
        (f"{'1/' * 2000}1 * * * *", "longer than 100"), ("1/1/1/1/1 * * * *", "is not a minute"), ("0 0 29 2 */7", "less than once in five years"), ("0 0 * 2 MON#5", "less than once in five years"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_used_is_refused_with_the_reason(line: str, says: str) -> None:
    with pytest.raises(Invalid, match=says) as raised:
        read_cron(line)
    assert raised.value.field == "cron"
    assert next_after(line, "Europe/Berlin", datetime(2026, 11, 26, tzinfo=UTC)) is None, "and never loops or raises"
    assert times_on(line, "UTC", date(2026, 11, 26)) == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("*/90 * * * *", "step of 90 .* once an hour"), ("0 */36 * * *", "step of 36 .* once a day"), ("0 0 */45 * *", "once a month"), ("0 0 1 */18 *", "once a year"),
        ("0 0 * * */14", "once a week"), ("5,*/61 * * * *", "“.*/61” comes"), ("0-59/75 * * * *", "step of 75"),
    ],
)  # fmt: skip
def test_a_step_that_means_another_thing_than_it_says_is_refused_where_it_is_new(line: str, says: str) -> None:
    assert re.search(says, long_step(line))
    assert read_cron(line) == line, "a stored handbook is read again"
    assert problem(line) == "", "one that is stored goes on: it must not be stopped by an update"
    assert next_after(line, "UTC", datetime(2026, 11, 26, tzinfo=UTC)) is not None


def test_steps_that_fit_are_taken() -> None:
    for line in (
        "*/60 * * * *",
        "0 */24 * * *",
        "*/45 * * * *",
        "0 0 */31 * *",
        "0 0 1 */12 *",
        "0 0 * * */7",
        "0 0-23/5 * * *",
    ):
        assert read_cron(line) == line
        assert long_step(line) == ""


@pytest.mark.parametrize(
    "line", ["CRON_TZ=Europe/Berlin 0 12 * * *", "TZ=UTC 0 12 * * *", "cron_tz=UTC @daily", "CRON_TZ= 0 12 * * *"]
)
def test_a_time_zone_before_the_line_is_named_as_such(line: str) -> None:
    with pytest.raises(Invalid, match="time zone in its own place"):
        read_cron(line)


def test_lines_that_are_usual_are_taken_in_their_usual_form() -> None:
    assert read_cron("  0  3 *\t* * ") == "0 3 * * *"
    assert [read_cron(one) for one in ("@Hourly", "@weekly", "@monthly", "@yearly", "@annually", "@midnight")] == [
        "0 * * * *", "0 0 * * 0", "0 0 1 * *", "0 0 1 1 *", "0 0 1 1 *", "0 0 * * *",
    ]  # fmt: skip
    for line in (
        "0 0 29 2 *",
        "5/15 * * * *",
        "0 8-18/2 * * mon-fri",
        "0 0 1-7 * 1",
        "0 0 30 2 1",
        "0 0 29 2 1",
        "0 0 L 2 *",
    ):
        assert problem(line) == ""


def test_what_never_comes_due_is_found_quickly() -> None:
    begun = clock.perf_counter()
    for number in range(20):
        assert problem(f"{number} 0 * 2 MON#5")
        assert next_after(f"{number} {number} 29 2 *", "Europe/Berlin", datetime(2026, 3, 1, tzinfo=UTC)) is not None
    assert clock.perf_counter() - begun < 5


PLACES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Australia/Sydney", "America/Santiago", "Africa/Casablanca"]  # fmt: skip
#: Days around which the clocks change in one of these places.
CHANGES = [
    "2026-10-25",
    "2027-03-28",
    "2026-11-01",
    "2027-03-14",
    "2027-04-04",
    "2026-10-04",
    "2026-09-06",
    "2027-02-07",
    "2027-03-14",
]
NEAR = st.builds(
    lambda day, seconds: datetime.fromisoformat(f"{day}T00:00+00:00") + timedelta(seconds=seconds),
    st.sampled_from(CHANGES),
    st.integers(-36 * 3600, 36 * 3600),
)


@settings(max_examples=150, deadline=None)
@given(
    minute=st.sampled_from(["*", "*/7", "*/20", "13"]),
    hour=st.sampled_from(["*", "*/3", "*/1"]),
    zone=st.sampled_from(PLACES),
    at=NEAR,
)
def test_an_interval_is_each_minute_that_the_wall_clock_shows(minute: str, hour: str, zone: str, at: datetime) -> None:
    line = f"{minute} {hour} * * *"
    sim, step = CronSim(line, at), at.replace(second=0) + timedelta(minutes=1)
    while (wall := step.astimezone(ZoneInfo(zone))).minute not in sim.minutes or wall.hour not in sim.hours:
        step += timedelta(minutes=1)
    assert next_after(line, zone, at) == step


@settings(max_examples=150, deadline=None)
@given(minute=st.integers(0, 59), hour=st.integers(0, 23), zone=st.sampled_from(PLACES), at=NEAR)
def test_a_fixed_time_comes_once_a_day(minute: int, hour: int, zone: str, at: datetime) -> None:
    line, place = f"{minute} {hour} * * *", ZoneInfo(zone)
    found = []
    for _ in range(4):
        following = next_after(line, zone, at)
        assert following is not None
        assert following > at
        found.append(following.astimezone(place))
        at = following
    days = [one.date() for one in found]
    assert days == [days[0] + timedelta(days=number) for number in range(4)], "each day once, no day left out"
    ordinary = [one for one in found if (one.hour, one.minute) != (hour, minute)]
    assert len(ordinary) <= 1, "only the day whose hour does not exist has another time"


def test_a_day_has_the_times_that_its_clock_shows() -> None:
    assert times_on("*/30 1-3 * * *", "Europe/Berlin", date(2027, 3, 28)) == [
        time(1),
        time(1, 30),
        time(3),
        time(3, 30),
    ]
    assert times_on("30 2 * * *", "Europe/Berlin", date(2027, 3, 28)) == [time(3)]
    assert times_on("30 2 * * *", "Europe/Berlin", date(2026, 10, 25)) == [time(2, 30)]
    assert times_on("30 2 * * *", "Europe/Berlin", date(2026, 10, 26)) == [time(2, 30)]
    assert times_on("0 2 1 * *", "Europe/Berlin", date(2026, 12, 2)) == []
    assert times_on("*/30 9-10 * * *", "UTC", date(2026, 12, 1)) == [time(9), time(9, 30), time(10), time(10, 30)]
