"""Row by row against the tables in seeds/, which were written by hand before there was a recogniser."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from watchbill.handbook.compile import Handbook, compile_folder
from watchbill.handbook.files import load
from watchbill.handbook.report import as_json
from watchbill.language.items import REASONS

HERE = Path(__file__).parent / "seeds"
ROOT = Path(__file__).resolve().parents[2]
SEEDS = ROOT.parent / "shared" / "seeds"
NAMES = sorted(path.stem for path in HERE.glob("*.txt"))
needs_seeds = pytest.mark.skipif(not SEEDS.is_dir(), reason=f"{SEEDS} is not here")


def rows(name: str) -> Iterator[tuple[int, str, str, str, dict[str, str]]]:
    """Line, kind, effect, why and values of each row of a table; ranges are unfolded."""
    for text in (HERE / f"{name}.txt").read_text().splitlines():
        where, kind, effect, why, values = text.split("|")
        first, _, last = where.partition("-")
        wanted = dict(part.split("=", 1) for part in values.split(";") if part)
        for line in range(int(first), int(last or first) + 1):
            yield line, kind, effect, why, wanted


EXAMPLES = {
    "operations-runbook-ledger-and-agents": "ledger-and-agents",
    "phase-5-production-operations": "production-operations",
    "operations-hub": "operations-hub",
    "phase-8-operations-and-maintenance": "operations-and-maintenance",
    "operational-runbook-to-be-written": "runbook-to-be-written",
}
#: The examples say the same in other words, line by line, so the same table holds for them.
PLACES = [pytest.param(name, SEEDS / f"{name}.md", marks=needs_seeds, id=f"seed {name}") for name in NAMES] + [
    pytest.param(name, ROOT / "examples" / "handbooks" / folder, id=f"example {folder}")
    for name, folder in EXAMPLES.items()
]


def compiled(place: Path) -> tuple[Handbook, dict[str, Any]]:
    folder = load(place)
    folder.lock = None
    book = compile_folder(folder)
    return book, as_json([book])


def short(value: Any) -> str:
    """A value of the JSON as the tables write it."""
    if isinstance(value, dict) and "duration" in value:
        return value["duration"] + ("/business" if value.get("business") else "")
    if isinstance(value, dict) and "low" in value:
        return f"{value['low']}-{value['high']}"
    if isinstance(value, dict):
        return str(value.get("name"))
    if isinstance(value, list):
        return "+".join(short(one) for one in value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return "~" if value is None else str(value)


def holds(items: list[dict[str, Any]], line: int, name: str, wanted: str) -> bool:
    """Whether an item (or a step) of this line has the value."""
    for item in items:
        if name == "documents":
            if len(item.get("documents", [])) == int(wanted):
                return True
        elif name == "questions":
            if len(item.get("questions", [])) == int(wanted):
                return True
        elif name == "step":
            if any(
                step["line"] == line and step["kind"] == wanted
                for step in item.get("steps", [])
                if isinstance(step, dict)
            ):
                return True
        elif name == "references" and not item.get("steps"):
            if wanted in item["text"]:
                return True
        else:
            for holder in [
                item,
                *[step for step in item.get("steps", []) if isinstance(step, dict) and step["line"] == line],
            ]:
                if name in holder and short(holder[name]) == wanted:
                    return True
    return False


@pytest.mark.parametrize(("name", "place"), PLACES)
def test_every_line_becomes_what_was_said_of_it_by_hand(name: str, place: Path) -> None:
    book, found = compiled(place)
    units = [unit for reading in book.readings for block in reading.blocks for unit in block.units]
    items = found["items"]
    wrong = []
    for line, kind, effect, why, values in rows(name):
        here = [unit for unit in units if unit.line == line and unit.kind == kind]
        if kind == "template" and not here:
            here = [unit for unit in units if unit.line <= line <= unit.end_line and unit.kind == kind]
        fits = [
            unit
            for unit in here
            if unit.effect == effect
            and (unit.reason == why if effect == "shown" else set(why.split()) <= set(unit.map))
        ]
        if not fits:
            wrong.append(
                f"{name}:{line} wanted {kind} {effect} {why}, is {[(u.kind, u.effect, u.reason, u.map) for u in units if u.line == line]}"
            )
            continue
        own = [
            item
            for item in items
            if item["kind"] == kind
            and (item["source"]["line"] == line or item["source"]["line"] <= line <= item["source"]["end_line"])
        ]
        exact = [item for item in own if item["source"]["line"] == line] or own
        pool = own if kind in {"procedure", "contact"} else exact
        for field, wanted in values.items():
            if kind in {"reference", "metadata"} and field == "references":
                assert wanted in "\n".join(unit.text for unit in here)
            elif not holds(pool, line, field, wanted):
                wrong.append(
                    f"{name}:{line} {field}: wanted {wanted}, is {[(short(i.get(field)), i['name'][:40]) for i in pool]}"
                )
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize(("name", "place"), PLACES)
def test_no_line_is_lost(name: str, place: Path) -> None:
    book, found = compiled(place)
    lines = (place / "runbook.md" if place.is_dir() else place).read_text().split("\n")
    blocks = found["documents"][0]["blocks"]
    covered = {line for block in blocks for line in range(block["line"], block["end_line"] + 1)}
    lost = [
        n
        for n, text in enumerate(lines, 1)
        if text.strip() and n not in covered and not re.fullmatch(r"\s*-{3,}\s*", text)
    ]
    assert lost == []
    for unit in (unit for reading in book.readings for block in reading.blocks for unit in block.units):
        assert (unit.reason in REASONS) == (unit.effect == "shown"), unit


MAP = ROOT.parent / "shared" / "design" / "map.md"
SHORT = {
    "P5": "phase-5-production-operations",
    "LA": "operations-runbook-ledger-and-agents",
    "P8": "phase-8-operations-and-maintenance",
    "TW": "operational-runbook-to-be-written",
    "HUB": "operations-hub",
}


@pytest.mark.skipif(not MAP.is_file(), reason=f"{MAP} is not here")
@pytest.mark.parametrize("where", ["seeds", "examples"])
def test_every_row_of_the_map_that_names_a_seed_is_reached_by_an_item(where: str) -> None:
    reached = {}
    for code, name in SHORT.items():
        place = SEEDS / f"{name}.md" if where == "seeds" else ROOT / "examples" / "handbooks" / EXAMPLES[name]
        book, found = compiled(place)
        items = {one for item in found["items"] if item["effect"] != "shown" for one in item["map"]}
        # A step is a part of its procedure's item.
        reached[code] = items | {
            one
            for reading in book.readings
            for block in reading.blocks
            if block.items
            for unit in block.units
            if unit.effect != "shown"
            for one in unit.map
        }
    missing = []
    for key, text in re.findall(r"^- ([A-Z]\d) (.*(?:\n  .*)*)", MAP.read_text(), re.M):
        named = set(re.findall(r"\b(P5|LA|P8|TW|HUB)\b", " ".join(re.findall(r"\(([^()]*)\)", text))))
        missing += [f"{key} {code}" for code in sorted(named) if "all five" not in text and key not in reached[code]]
    assert missing == []
