"""Business time over nights, weekends, holidays, half days and the change of clocks; laws that hold for any calendar."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.base.calendar import Calendar, after, go_on, part_way, remaining
from watchbill.base.durations import Span, read_span, words_of
from watchbill.base.errors import Invalid

BERLIN = Calendar("Europe/Berlin", off=frozenset({date(2026, 12, 25)}), short={date(2026, 12, 24): time(12)})


def at(text: str, zone: str = "Europe/Berlin") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


CASES = [
    # what, start, length, business, due
    ("plain minutes at night", "2026-11-20 23:50", "PT15M", False, "2026-11-21 00:05"),
    ("a plain day over the change of clocks is the same time", "2026-10-24 12:00", "P1D", False, "2026-10-25 12:00"),
    ("24 hours over the change of clocks are an hour less by the clock", "2026-10-24 12:00", "PT24H", False, "2026-10-25 11:00"),
    ("and an hour more in spring", "2026-03-28 12:00", "PT24H", False, "2026-03-29 13:00"),
    ("the hour that does not exist", "2026-03-28 02:30", "P1D", False, "2026-03-29 03:30"),
    ("a month from the 31st", "2026-01-31 10:00", "P1M", False, "2026-02-28 10:00"),
    ("a year from a leap day", "2028-02-29 10:00", "P1Y", False, "2029-02-28 10:00"),
    ("two weeks", "2026-11-20 10:00", "P2W", False, "2026-12-04 10:00"),
    ("business hours within a day", "2026-11-20 10:00", "PT4H", True, "2026-11-20 14:00"),
    ("business hours over the weekend", "2026-11-20 15:00", "PT4H", True, "2026-11-23 11:00"),
    ("begun at night", "2026-11-18 22:00", "PT1H", True, "2026-11-19 10:00"),
    ("begun on Saturday", "2026-11-21 10:00", "PT1H", True, "2026-11-23 10:00"),
    ("to the last minute", "2026-11-20 09:00", "PT8H", True, "2026-11-20 17:00"),
    ("a half day and a holiday", "2026-12-23 16:00", "PT5H", True, "2026-12-28 10:00"),
    ("one business day on Friday", "2026-11-20 15:00", "P1D", True, "2026-11-23 15:00"),
    ("five business days", "2026-11-20 15:00", "P5D", True, "2026-11-27 15:00"),
    ("one business day begun at night", "2026-11-19 23:00", "P1D", True, "2026-11-23 09:00"),
    ("a business day that ends on the half day", "2026-12-23 15:00", "P1D", True, "2026-12-24 12:00"),
    ("two and a half business days", "2026-11-16 09:00", "P2.5D", True, "2026-11-18 13:00"),
    ("a day and a half by the clock", "2026-11-20 10:00", "P1DT12H", False, "2026-11-21 22:00"),
    ("a business day and two hours of the next", "2026-11-20 15:00", "P1DT2H", True, "2026-11-23 17:00"),
    ("a business day and two hours, over a night", "2026-11-20 16:00", "P1DT2H", True, "2026-11-24 10:00"),
    ("a month and a day", "2026-01-31 10:00", "P1M1D", False, "2026-03-01 10:00"),
    ("ninety minutes in two units", "2026-11-20 10:00", "PT1H30M", False, "2026-11-20 11:30"),
    ("business hours over the change of clocks", "2026-10-23 16:00", "PT2H", True, "2026-10-26 10:00"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "start", "length", "business", "due"), CASES, ids=[case[0] for case in CASES])
def test_when_a_span_is_over(what: str, start: str, length: str, business: bool, due: str) -> None:
    assert after(at(start), read_span(length, business), BERLIN) == at(due)


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "15 min", "P0D", "PT-5M", "P1D2H", "P2H", "PT5D", "P1DT", "PT1e9S", "P99999999Y", "pt5m"]
)
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="no length of time"):
        read_span(text)


@pytest.mark.parametrize(
    ("text", "business", "words"),
    [
        ("PT15M", False, "15 min"),
        ("PT1H", True, "1 business h"),
        ("P1D", False, "1 day"),
        ("P2D", True, "2 business days"),
        ("P1M", False, "1 month"),
        ("P3M", False, "3 months"),
        ("P1Y", False, "1 year"),
        ("P2W", False, "2 weeks"),
        ("P1DT12H", False, "1 day 12 h"),
        ("PT90S", False, "90 s"),
    ],
)
def test_a_length_has_words(text: str, business: bool, words: str) -> None:
    assert words_of(text, business) == words


def test_a_calendar_that_never_opens_is_named() -> None:
    with pytest.raises(Invalid, match="no business time"):
        after(at("2026-11-20 10:00"), Span(seconds=60, business=True), Calendar(weekdays=frozenset()))


zones = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]
)
calendars = st.builds(
    Calendar, zones, st.frozensets(st.integers(0, 6), min_size=1), st.sampled_from([time(0), time(8, 30)]), st.sampled_from([time(12), time(23, 59)]),
    st.frozensets(st.dates(date(2026, 1, 1), date(2027, 12, 31)), max_size=5),
)  # fmt: skip
moments = st.integers(0, 500 * 86400).map(lambda seconds: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds))
spans = st.builds(Span, seconds=st.floats(1, 400_000), business=st.booleans()) | st.builds(
    Span, days=st.integers(1, 20).map(float), business=st.booleans()
)


@given(moments, spans, calendars)
def test_a_deadline_comes_later_and_in_business_time(start: datetime, span: Span, calendar: Calendar) -> None:
    due = after(start, span, calendar)
    assert due > start
    if span.business:
        assert calendar.is_open(due - timedelta(microseconds=1)) or calendar.is_open(due)


@given(moments, st.floats(1, 400_000), calendars)
def test_what_is_counted_forward_is_counted_back(start: datetime, seconds: float, calendar: Calendar) -> None:
    due = after(start, Span(seconds=seconds, business=True), calendar)
    assert calendar.between(start, due) == pytest.approx(seconds, abs=1e-3)


@given(moments, spans, calendars, st.floats(0.05, 0.95))
def test_warnings_come_in_order_and_before_the_end(
    start: datetime, span: Span, calendar: Calendar, share: float
) -> None:
    due = after(start, span, calendar)
    warn = part_way(start, due, share, span, calendar)
    assert start <= warn <= due
    assert warn <= part_way(start, due, min(1.0, share + 0.05), span, calendar) <= due


@given(moments, spans, calendars, st.floats(0.1, 0.9), st.floats(60, 1_000_000))
def test_a_pause_loses_and_wins_nothing(
    start: datetime, span: Span, calendar: Calendar, share: float, pause: float
) -> None:
    due = after(start, span, calendar)
    paused = part_way(start, due, share, span, calendar)
    left = remaining(paused, due, span, calendar)
    resumed = paused + timedelta(seconds=pause)
    again = go_on(resumed, left, span, calendar)
    assert remaining(resumed, again, span, calendar) == pytest.approx(left, abs=1e-3)
    assert go_on(paused, left, span, calendar) <= due + timedelta(seconds=1e-3)
