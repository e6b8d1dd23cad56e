"""Tables of a runbook that say who is on when: days of the calendar, weekdays, nights; what cannot be placed puts nobody on call."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from watchbill.handbook.compile import compile_sources
from watchbill.handbook.config import Config
from watchbill.handbook.files import Source
from watchbill.handbook.rotas import layers_of
from watchbill.language.values.dates import Days, read_days
from watchbill.language.values.frequency import weekdays
from watchbill.oncall.queries import layer_json
from watchbill.oncall.queries import layers_of as kept
from watchbill.oncall.rules import on_call
from watchbill.oncall.spec import Rota

BERLIN = ZoneInfo("Europe/Berlin")


def rota(rows: str, header: str = "When | Primary | Secondary") -> tuple[Rota, list[str]]:
    """The rota of a table, and what the compiler says of its lines."""
    count = header.count("|") + 1
    text = f"# Watch\n\n## On-call rota\n\n| {header} |\n|{'---|' * count}\n" + "".join(
        f"| {row} |\n" for row in rows.strip().split("\n")
    )
    book = compile_sources([Source("a.md", text)], "x", Config())
    (found,) = [item for item in book.items if isinstance(item, Rota)]
    return found, [one.message for one in book.findings if one.code == "WB120"]


def on(found: Rota, at: datetime, level: str = "primary") -> str:
    """Who is on at an instant, through what is kept of it."""
    config = Config(time_zone="Europe/Berlin")
    levels = {name: layers for name, layers, _ in layers_of(found, config, lambda target: [target.name])}
    return on_call(kept([layer_json(one) for one in levels[level]]), [], at)[0]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


D = date
DATES = {
    "2026-11-02": Days(D(2026, 11, 2)),
    "2026-11-02 – 2026-11-08": Days(D(2026, 11, 2), D(2026, 11, 8)),
    "2026-11-02 to 2026-11-08": Days(D(2026, 11, 2), D(2026, 11, 8)),
    "Nov 2 – Nov 8, 2026": Days(D(2026, 11, 2), D(2026, 11, 8)),
    "Nov 2-8, 2026": Days(D(2026, 11, 2), D(2026, 11, 8)),
    "2.–8. November 2026": Days(D(2026, 11, 2), D(2026, 11, 8)),
    "Mon 2nd Nov 2026": Days(D(2026, 11, 2)),
    "02.11.–08.11.2026": Days(D(2026, 11, 2), D(2026, 11, 8)),
    "Dec 28 – Jan 3, 2027": Days(D(2026, 12, 28), D(2027, 1, 3)),
    "Dec 28, 2026 – Jan 3": Days(D(2026, 12, 28), D(2027, 1, 3)),
    "2026-W45": Days(D(2026, 11, 2), D(2026, 11, 8)),
    "KW 45/2026": Days(D(2026, 11, 2), D(2026, 11, 8)),
    "Week of 2026-11-02": Days(D(2026, 11, 2), D(2026, 11, 8)),
    "Nov 2 – Nov 8": Days(named="no year"),
    "11/02/2026": Days(named="two readings"),
    "2026-02-30": Days(named="no such day"),
    "2026-W60": Days(named="no such day"),
    "2026-11-08 – 2026-11-02": Days(named="backwards"),
    "Week 3": None, "W45": None, "Monday": None, "Night 20:00–08:00": None, "24/7": None, "1–8": None, "Primary": None, "": None,
}  # fmt: skip


@pytest.mark.parametrize("text", DATES)
def test_days_of_a_calendar_are_read_or_refused_with_a_reason(text: str) -> None:
    assert read_days(text) == DATES[text]


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("Mon–Thu", ("mon", "tue", "wed", "thu")), ("Friday to Monday", ("fri", "sat", "sun", "mon")), ("Sat, Sun", ("sat", "sun")), ("weekdays", ("mon", "tue", "wed", "thu", "fri")),
        ("Monday and Thursday", ("mon", "thu")),
    ],
)  # fmt: skip
def test_a_range_of_weekdays_has_the_days_between(text: str, days: tuple[str, ...]) -> None:
    assert tuple(day[:3].lower() for day in weekdays(text)) == days


def test_dates_put_those_on_call_who_stand_beside_them_and_nobody_else() -> None:
    found, said = rota(
        "2026-11-02 – 2026-11-08 | Ada | Edo\n2026-11-09 – 2026-11-15 | Vera | Ada\n2026-11-23 – 2026-11-29 | Edo | Vera"
    )
    assert said == []
    assert [on(found, at(day)) for day in ("2026-11-02 08:59", "2026-11-02 09:00", "2026-11-09 08:59", "2026-11-09 09:00")] == ["", "Ada", "Ada", "Vera"]  # fmt: skip
    assert on(found, at("2026-11-09 12:00"), "secondary") == "Ada"
    assert [on(found, at(day)) for day in ("2026-11-18 12:00", "2026-11-24 12:00", "2026-12-01 12:00", "2024-11-04 12:00")] == ["", "Edo", "", ""]  # fmt: skip


@pytest.mark.parametrize("rows", ["2026-11-02 | Ada | -\n2026-11-09 | Edo | -", "2026-11-02 – 2026-11-09 | Ada | -\n2026-11-09 – 2026-11-16 | Edo | -", "2026-W46 | Edo | -\n2026-W45 | Ada | -"])  # fmt: skip
def test_a_line_ends_where_the_next_one_begins(rows: str) -> None:
    found, _ = rota(rows, "Week | Primary | Secondary")
    said = [on(found, datetime(2026, 11, 1, 12, tzinfo=UTC) + timedelta(days=day)) for day in range(17)]
    assert said == [""] + ["Ada"] * 7 + ["Edo"] * 7 + [""] * 2


def test_nights_weekends_and_business_hours_are_parts_of_every_week() -> None:
    found, said = rota("Day (08:00–20:00) | Ada | -\nWeekend | Vera | -\nNight 20:00–08:00 | Edo | -")
    assert said == []
    told = [on(found, at(day)) for day in ("2026-11-04 12:00", "2026-11-04 23:00", "2026-11-05 07:59", "2026-11-07 12:00")]  # fmt: skip
    assert told == ["Ada", "Edo", "Edo", "Vera"]
    found, said = rota("Business hours | Ada\nAfter hours | Edo", "Coverage | Primary")
    assert said == []
    assert [on(found, at(day)) for day in ("2026-11-04 12:00", "2026-11-04 18:00", "2026-11-08 12:00")] == ["Ada", "Edo", "Edo"]  # fmt: skip
    found, said = rota("Mon–Thu | Ada\nFri–Sun | Edo", "Days | Primary")
    assert [on(found, at(f"2026-11-0{day} 12:00")) for day in range(2, 9)] == ["Ada"] * 4 + ["Edo"] * 3


def test_weeks_without_dates_take_turns() -> None:
    found, said = rota("Week 1 | Ada\nWeek 2 | Edo", "Week | Primary")
    assert said == []
    assert {on(found, at("2026-11-04 12:00")), on(found, at("2026-11-11 12:00"))} == {"Ada", "Edo"}


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ("Nov 2 – Nov 8 | Ada\nNov 9 – Nov 15 | Edo", "says no year"),
        ("11/02/2026 | Ada\n11/09/2026 | Edo", "can be read day first or month first"),
        ("W45 | Ada\nW46 | Edo", "says no year"),
        ("Day | Ada\nNight | Edo", "says no hours"),
        ("2026-02-30 | Ada\n2026-02-31 | Edo", "is no day that exists"),
    ],
)
def test_what_cannot_be_placed_is_said_and_puts_nobody_on_call(rows: str, why: str) -> None:
    found, said = rota(rows, "Shift | Primary")
    assert len(said) == 2, said
    assert all(why in one for one in said)
    assert [on(found, at("2026-11-04 12:00") + timedelta(hours=6 * number)) for number in range(60)] == [""] * 60


def test_one_line_without_a_date_is_no_turn_among_dates() -> None:
    found, said = rota("2026-11-02 – 2026-11-08 | Ada\nlater | Edo", "Dates | Primary")
    assert said == ["“later” names no day of the calendar, so nobody is on call through this line."]
    assert [on(found, at("2026-11-04 12:00")), on(found, at("2026-11-11 12:00"))] == ["Ada", ""]
    (_, _, problems), *_ = layers_of(found, Config(), lambda target: [target.name])
    assert problems == ["“later” cannot be placed: WB120"]


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("**Engineering liaison:** Platform engineer on-call (rotates weekly).", ["Platform engineer on-call"]),
        ("**Primary on-call:** SRE team (weekly rotation).", ["SRE team"]),
        ("On-call engineers rotate weekly.", []),
        ("**On-call:** a rotation of one week.", []),
    ],
)
def test_who_takes_turns_stands_before_the_bracket(text: str, who: list[str]) -> None:
    """Where nobody stands there, the sentence itself is the name that has to be bound."""
    book = compile_sources([Source("a.md", f"# Watch\n\n## Roles\n\n- {text}\n")], "x", Config())
    for found in [item for item in book.items if isinstance(item, Rota)]:
        assert [one.name for one in found.participants] == who
    assert not who or any(isinstance(item, Rota) for item in book.items)
