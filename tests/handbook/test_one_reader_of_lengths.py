"""Every length of time of a handbook is read by one reader: what the form allows, clocks, waits, the calendar and the plan understand alike."""

import re
from datetime import date
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import ValidationError

from watchbill.handbook.compile import compile_sources
from watchbill.handbook.config import Config
from watchbill.handbook.files import Source
from watchbill.handbook.simulate import simulate
from watchbill.incidents.spec import Severity
from watchbill.language.items import Duration
from watchbill.paging.spec import EscalationStep

ROOT = Path(__file__).resolve().parents[2] / "src" / "watchbill"


@pytest.mark.parametrize("text", ["P1DT2H", "PT1H30M", "P1Y6M", "P2W"])
def test_several_units_are_one_length_for_clocks_and_waits(text: str) -> None:
    """They passed the form, and were no clock, and no wait at all."""
    from watchbill.handbook.apply import _Made, _Names, _seconds

    names = object.__new__(_Names)
    made = _Made(uuid4(), Config(), names)
    level = Severity.model_validate({"name": "SEV1", "respond": text})
    assert made._clocks(level)["respond"]["duration"] == text
    step = EscalationStep.model_validate({"to": ["SRE"], "after": text})
    assert _seconds(step.after, 0.0) >= 5400


@pytest.mark.parametrize("text", ["P", "PT", "P1H", "PT5D", "P1D2H", "15"])
def test_what_is_no_length_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="no length of time"):
        Duration(duration=text)


def test_every_two_weeks_falls_due_however_it_is_written() -> None:
    def days(every: str) -> list[date]:
        text = f"- {{kind: duty, name: Look, every: {every}, owners: [SRE]}}\n"
        book = compile_sources([Source("a.watchbill.yaml", text)], "x", Config())
        assert not [one for one in book.findings if one.level == "error"]
        return [slot.at.date() for slot in simulate(book, date(2026, 1, 1), 90).slots]

    assert days("P2W") == days("P14D") == days("2 weeks") != []
    assert days("P1W") == days("P7D") != []


def test_nobody_else_reads_them() -> None:
    units = re.compile(r"\[(?:SMHDY?|SMH|HMS|YMD|DWMY|SMHDW)\]")
    found = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if units.search(path.read_text())]
    assert found == []
