"""A forecast is pure: the same handbook and days give the same slots, with holidays and weekends named."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.cli.main import cli
from watchbill.handbook.compile import Handbook, compile_folder, compile_sources
from watchbill.handbook.config import Config
from watchbill.handbook.files import Source, load
from watchbill.handbook.simulate import collides, simulate

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "handbooks"
CONFIG = Config.model_validate({"time_zone": "Europe/Berlin", "holidays": {"country": "DE"}})


def book(often: str) -> Handbook:
    text = f"# A\n\n**Owner:** SRE\n\n## Duties\n\n| Task | Frequency |\n|---|---|\n| Look at it | {often} |\n| Read it | Weekly |\n"
    found = compile_sources([Source("a.md", text)], "x", CONFIG)
    found.items = [item for item in found.items if item.name == "Look at it"]
    return found


@pytest.mark.parametrize(
    ("often", "wanted"),
    [
        ("Daily", [f"2026-12-{n:02}" for n in range(1, 15)]),
        ("Weekly", ["2026-12-07", "2026-12-14"]),
        ("Weekly (Friday)", ["2026-12-04", "2026-12-11"]),
        ("Mon, Wed", ["2026-12-02", "2026-12-07", "2026-12-09", "2026-12-14"]),
        ("Monthly", ["2026-12-01"]),
        ("15th of month", []),
        ("10th of month", ["2026-12-10"]),
        ("Monthly (second Tuesday)", ["2026-12-08"]),
        ("Quarterly (Mar, Jun, Sep, Dec)", ["2026-12-01"]),
        ("Quarterly", []),
        ("0 6 * * 1", ["2026-12-07", "2026-12-14"]),
    ],
)
def test_slots_fall_where_the_words_say(often: str, wanted: list[str]) -> None:
    assert [slot.at.date().isoformat() for slot in simulate(book(often), date(2026, 12, 1), 14).slots] == wanted


def test_times_are_local_also_over_daylight_saving() -> None:
    slots = simulate(book("Daily at 02:30"), date(2026, 3, 28), 3).slots
    assert [slot.at.strftime("%H:%M") for slot in slots] == ["02:30"] * 3
    assert next(slot.at.utcoffset() for slot in slots) == timedelta(hours=1)
    assert [slot.at.utcoffset() for slot in slots][-1] == timedelta(hours=2)


def test_every_hour_is_a_day_with_a_count_and_an_event_has_no_slot() -> None:
    slots = simulate(book("Every 6 hours"), date(2026, 12, 1), 1).slots
    assert [slot.times for slot in slots] == [4]
    found = simulate(book("Per change"), date(2026, 12, 1), 30)
    assert (found.slots, found.without) == ([], [("Look at it", "on an event: per change")])


def test_holidays_and_weekends_are_named() -> None:
    slots = simulate(book("Daily"), date(2026, 12, 24), 4).slots
    assert [bool(slot.collides) for slot in slots] == [False, True, True, True]
    assert "Weihnachtstag" in slots[1].collides or "Christmas" in slots[1].collides
    assert collides(date(2026, 12, 27), CONFIG) == "no business day"


def test_load_is_counted_per_owner() -> None:
    found = simulate(book("Daily"), date(2026, 12, 1), 10)
    assert found.load == {"SRE": (10, 0.0)}


@settings(max_examples=60, deadline=None)
@given(
    st.dates(date(2020, 1, 1), date(2035, 12, 31)),
    st.sampled_from(
        ["Monthly", "Quarterly", "Annually", "Weekly", "Every 2 weeks", "Last day of month", "90 days", "31st of month"]
    ),
)
def test_a_window_is_the_sum_of_its_parts(first: date, often: str) -> None:
    """Cutting the days in two changes nothing, over leap days and years."""
    made = book(often)
    whole = [slot.at for slot in simulate(made, first, 500).slots]
    parts = [slot.at for slot in simulate(made, first, 200).slots] + [
        slot.at for slot in simulate(made, first + timedelta(days=200), 300).slots
    ]
    assert whole == parts
    assert whole


def test_the_command_prints_text_and_json() -> None:
    folder = str(EXAMPLES / "production-operations")
    found = CliRunner().invoke(cli, ["simulate", folder, "--from", "2026-12-01", "--days", "31", "--format", "json"])
    assert found.exit_code == 0, found.output
    answer = json.loads(found.output)
    assert answer["load"]["On-call engineer"]["times"] == 31
    text = CliRunner().invoke(cli, ["simulate", folder, "--from", "2026-12-01", "--days", "31"])
    assert "Tue 01 Dec 2026" in text.output
    assert "Load:" in text.output


def test_the_examples_have_something_due() -> None:
    due = {
        path.name: len(simulate(compile_folder(load(path)), date(2026, 12, 1), 100).slots)
        for path in sorted(EXAMPLES.iterdir())
    }
    assert due["operations-hub"] >= 100
    assert due["operations-and-maintenance"] >= 20
    assert due["runbook-to-be-written"] == 0
