"""Generality is tested by change: figures altered, columns reordered, synonyms in headers, rows deleted, names replaced."""

import re
from pathlib import Path
from typing import Any

import pytest

from watchbill.handbook.compile import compile_sources
from watchbill.handbook.config import Config
from watchbill.handbook.files import Source
from watchbill.language.columns import Table
from watchbill.language.document import Block, parse

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = [
    path
    for path in (ROOT.parent / "shared" / "seeds", *sorted((ROOT / "examples" / "handbooks").glob("*")))
    if path.is_dir()
]
DOCUMENTS = {
    f"{folder.name}/{path.name}": path.read_text() for folder in FOLDERS for path in sorted(folder.rglob("*.md"))
}
_OWN = {"source", "text", "key", "workspace", "map"}


def items(text: str) -> list[dict[str, Any]]:
    found = compile_sources([Source("a.md", text)], "test", Config())
    return [item.model_dump(mode="json") for item in found.items]


def facts(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in _OWN}


def tables() -> list[tuple[str, int, str]]:
    found = []
    for name, text in DOCUMENTS.items():
        document = parse(name, text)
        lines = {item["source"]["line"]: item["kind"] for item in items(text)}
        for block in document.blocks:
            kinds = {lines[row.line] for row in block.rows if row.line in lines} - {"reference"}
            if block.kind == "table" and len(kinds) == 1:
                found.append((name, block.line, kinds.pop()))
    return found


TABLES = tables()
IDS = [f"{name}:{line} {kind}" for name, line, kind in TABLES]
pytestmark = pytest.mark.skipif(not TABLES, reason="neither the seeds nor examples are here")


def block_at(text: str, line: int) -> Block:
    return next(block for block in parse("a.md", text).blocks if block.line == line)


def rewritten(text: str, block: Block, change: Any) -> str:
    """The document with each row's cells changed."""
    lines = text.split("\n")
    assert block.header is not None
    for row in [block.header, *block.rows]:
        cells = change([cell.raw for cell in row.cells], row.line)
        lines[row.line - 1] = "| " + " | ".join(cells) + " |" if cells is not None else ""
    width = len(change([cell.raw for cell in block.header.cells], block.header.line))
    lines[block.header.line] = "|" + "---|" * width
    return "\n".join(lines)


def of(text: str, kind: str, block: Block) -> list[dict[str, Any]]:
    return [
        facts(item)
        for item in items(text)
        if item["kind"] == kind and block.line <= item["source"]["line"] <= block.end_line
    ]


@pytest.mark.parametrize(("name", "line", "kind"), TABLES, ids=IDS)
def test_reordered_columns_mean_the_same(name: str, line: int, kind: str) -> None:
    text = DOCUMENTS[name]
    block = block_at(text, line)
    turned = rewritten(text, block, lambda cells, _: cells[1:] + cells[:1])
    before, after = of(text, kind, block), of(turned, kind, block)
    strip = lambda found: [{k: v for k, v in item.items() if k not in {"notes", "condition"}} for item in found]  # noqa: E731
    assert strip(after) == strip(before)


@pytest.mark.parametrize(("name", "line", "kind"), TABLES, ids=IDS)
def test_a_deleted_row_is_a_deleted_item_and_no_other(name: str, line: int, kind: str) -> None:
    text = DOCUMENTS[name]
    block = block_at(text, line)
    before = of(text, kind, block)
    if len(block.rows) < 3:
        return
    victim = block.rows[-1].line
    lines = text.split("\n")
    del lines[victim - 1]
    after = of("\n".join(lines), kind, block)
    assert after == before[:-1]


@pytest.mark.parametrize(("name", "line", "kind"), TABLES, ids=IDS)
def test_an_altered_figure_alters_the_item(name: str, line: int, kind: str) -> None:
    text = DOCUMENTS[name]
    block = block_at(text, line)
    before = of(text, kind, block)
    figures = re.compile(r"(?<![\w.-])(\d+)(?=\s*(?:min|hour|h\b|day|week|year|business|%))")
    key = 0

    def change(cells: list[str], row: int) -> list[str]:
        assert block.header is not None
        return (
            cells
            if row == block.header.line
            else [cells[key], *[figures.sub(lambda m: str(int(m[1]) + 1), cell) for cell in cells[1:]]]
        )

    changed = rewritten(text, block, change)
    rows = [row for row in block.rows if any(figures.search(cell.raw) for cell in row.cells[1:])]
    after = of(changed, kind, block)
    if kind not in {"severity", "sla", "backup", "duty", "objective"} or not rows:
        assert len(after) == len(before)
        return
    assert len(after) == len(before)
    assert sum(1 for a, b in zip(before, after, strict=True) if a != b) == len(rows)


SYNONYMS = {
    "severity": {"severity": "Priority", "definition": "Criteria", "description": "Impact", "example": "Typical examples", "target response": "Initial response time", "response target": "First Response"},
    "sla": {"tier": "Priority", "response time": "First response", "resolution time": "Time to resolve", "description": "Definition"},
    "contact": {"role": "Team", "primary": "Main contact", "secondary": "Backup", "notes": "Remarks"},
    "duty": {"cadence": "Frequency", "frequency": "How often", "activities": "Tasks", "activity": "Task", "owner(s)": "Responsible", "artefacts": "Deliverables", "duration": "Estimated time"},
    "troubleshooting": {"symptom": "Problem", "checks": "Diagnosis", "mitigation": "Remediation"},
    "backup": {"data type": "Component", "frequency": "Schedule", "retention": "Retention period", "location": "Storage"},
    "objective": {"metric": "Indicator", "target": "Goal", "current": "Actual"},
    "role": {"role": "Position", "responsibility": "Responsibilities"},
    "backlog": {"theme": "Initiative", "tracking": "Tracked in"},
}  # fmt: skip


@pytest.mark.parametrize(("name", "line", "kind"), TABLES, ids=IDS)
def test_a_header_in_other_words_means_the_same(name: str, line: int, kind: str) -> None:
    text = DOCUMENTS[name]
    block = block_at(text, line)
    words = SYNONYMS.get(kind, {})
    assert block.header is not None
    header = block.header.line
    changed = rewritten(
        text,
        block,
        lambda cells, row: [words.get(cell.strip().lower(), cell) for cell in cells] if row == header else cells,
    )
    assert of(changed, kind, block) == of(text, kind, block)


@pytest.mark.parametrize(("name", "line", "kind"), TABLES, ids=IDS)
def test_decoration_changes_nothing(name: str, line: int, kind: str) -> None:
    """Bold or plain keys, no leading pipe, a header in capitals."""
    text = DOCUMENTS[name]
    block = block_at(text, line)
    assert block.header is not None
    header = block.header.line
    plain = rewritten(
        text,
        block,
        lambda cells, row: (
            [cell.upper() for cell in cells] if row == header else [f"**{cells[0].strip('*')}**", *cells[1:]]
        ),
    )
    assert of(plain, kind, block) == of(text, kind, block)
    lines = text.split("\n")
    for number in range(block.line - 1, block.end_line):
        lines[number] = lines[number].strip().removeprefix("|").strip()
    assert of("\n".join(lines), kind, block) == of(text, kind, block)


def test_no_recogniser_contains_a_name_of_a_seed() -> None:
    names = [
        "clarivum",
        "supabase",
        "vercel",
        "forest day",
        "sisu",
        "flagsmith",
        "ledger engineering",
        "rc_tag",
        "audit partner",
        "eng manager",
        "forest",
        "coh ",
    ]
    for path in [
        *(ROOT / "src/watchbill/language").rglob("*.py"),
        *(ROOT / "src/watchbill").glob("*/spec.py"),
        *(ROOT / "src/watchbill/handbook").glob("*.py"),
    ]:
        low = path.read_text().lower()
        assert [name for name in names if name in low] == [], path


def test_tables_of_all_forms_are_tables() -> None:
    assert Table(block_at("| a | b |\n|---|---|\n| c | d |\n", 1)).headers == ["a", "b"]
