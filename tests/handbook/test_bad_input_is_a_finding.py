"""Promise 7: hostile input is a finding with a line, in bounded time and memory, never a traceback."""

import os
import sys
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from watchbill.handbook.compile import Handbook, compile_folder, compile_sources
from watchbill.handbook.config import Config
from watchbill.handbook.files import Source, load
from watchbill.handbook.report import as_github, as_json, as_sarif, as_text


def book(text: str, path: str = "a.md") -> Handbook:
    return compile_sources([Source(path, text)], "test", Config())


def codes(found: Handbook) -> set[str]:
    return {one.code for one in found.findings}


def folder(tmp_path: Path, data: bytes, name: str = "a.md") -> Handbook:
    (tmp_path / name).write_bytes(data)
    return compile_folder(load(tmp_path))


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    assert "WB002" in codes(folder(tmp_path, b"a" * 2_000_001))


@pytest.mark.parametrize(("data", "line"), [(b"# A\n\nfine\nM\xfcnchen\n", 4), ("# Ä".encode("utf-16"), 1)])
def test_another_encoding_is_named_with_its_line(tmp_path: Path, data: bytes, line: int) -> None:
    found = folder(tmp_path, data)
    assert [(one.code, one.line) for one in found.findings] == [("WB003", line)]


def test_a_byte_order_mark_and_windows_lines_change_nothing(tmp_path: Path) -> None:
    text = "# A\n\n| Severity | Response |\n|---|---|\n| SEV-1 | 15 min |\n| SEV-2 | 1 h |\n"
    plain, marked = book(text), folder(tmp_path, b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert [(item.kind, item.name, item.source.line) for item in plain.items] == [
        (item.kind, item.name, item.source.line) for item in marked.items
    ]
    assert len(plain.items) == 2


def test_nul_bytes_are_shown_and_named() -> None:
    found = book("# A\n\nb\0c\n\n| Severity | Response |\n|---|---|\n| SEV-1 | 15 min |\n| SEV-2 | 1 h |\n")
    assert ("WB012", 3) in {(one.code, one.line) for one in found.findings}
    assert len([item for item in found.items if item.kind == "severity"]) == 2


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    (tmp_path / "secret.md").write_text("# Secret")
    (inside / "link.md").symlink_to(tmp_path / "secret.md")
    (inside / "real.md").write_text("# Real")
    (inside / "twin.md").symlink_to(inside / "real.md")
    (inside / "loop").symlink_to(inside)
    found = load(inside)
    assert {one.code for one in found.findings} == {"WB004"}
    assert {source.path for source in found.sources} == {"real.md", "twin.md"}


def test_a_fifo_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    found = load(tmp_path)
    assert [(one.code, one.path) for one in found.findings] == [("WB005", "pipe.md")]


def test_a_file_without_permission_and_an_empty_folder(tmp_path: Path) -> None:
    assert "WB006" in {one.code for one in load(tmp_path).findings}
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing")


def test_a_long_line_and_a_wide_table_are_kept() -> None:
    assert "WB013" in codes(book("# A\n\n" + "x" * 1_000_001))
    wide = "|" + "a|" * 10_000 + "\n|" + "-|" * 10_000 + "\n|" + "b|" * 10_000 + "\n"
    assert codes(book(wide)) & {"WB013", "WB014"}


@pytest.mark.parametrize(
    "text",
    ["> " * 10_000 + "deep", "\n".join("  " * n + "- x" for n in range(3000)), "[" * 20_000, "*" * 20_000, "`" * 20_001, "<" * 20_000, "#" * 10_000, "&" * 20_000, "- " * 10_000, "| " * 10_000],
    ids=["quotes", "lists", "brackets", "stars", "ticks", "angles", "hashes", "amps", "dashes", "pipes"],
)  # fmt: skip
def test_deep_nesting_ends(text: str) -> None:
    found = book("# A\n\n" + text + "\n\n| Severity | Response |\n|---|---|\n| SEV-1 | 15 min |\n| SEV-2 | 1 h |\n")
    assert as_json([found])["documents"]


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b]\n"


@pytest.mark.parametrize(
    ("yaml", "code", "line"),
    [
        (BOMB, "WB021", 5), ("- kind: duty\n  name: !!python/object/apply:os.system ['true']\n", "WB021", 5), ("- [1, 2", "WB021", 5), ("- kind: nonsense\n  name: x\n", "WB022", 4),
        ("- kind: severity\n  name: S\n  respond: -5 minutes ago or so\n  rank: 0\n", "WB023", 7), ("- kind: duty\n  name: x\n  every: P-1D\n", "WB023", 6), ("- kind: duty\n  name: x\n  colour: red\n", "WB023", 6),
        ("- kind: duty\n", "WB023", 4), ("- just text\n", "WB021", 4), ("- kind: duty\n  name: x\n  day: 99\n", "WB023", 6), ("- kind: duty\n  name: x\n  source: {path: /etc}\n", "WB023", 6),
    ],
)  # fmt: skip
def test_a_wrong_explicit_item_is_named_at_its_line(yaml: str, code: str, line: int) -> None:
    found = book(f"# A\n\n```yaml watchbill\n{yaml}```\n")
    assert (code, line) in {(one.code, one.line) for one in found.findings}


def test_the_same_id_twice_and_names_that_repeat() -> None:
    found = book(
        "# A\n\n```yaml watchbill\n- {kind: duty, id: a, name: One, every: 1 day}\n- {kind: duty, id: a, name: Two, every: 1 day}\n- {kind: duty, name: Same, every: 1 day}\n- {kind: duty, name: Same, every: 2 days}\n```\n"
    )
    assert "WB024" in codes(found)
    assert len({item.key for item in found.items}) == 4


def test_an_escalation_in_a_circle_is_an_error() -> None:
    found = book(
        "# A\n\n## Escalation\n\n| From | To | Condition |\n|---|---|---|\n| Primary | Secondary | after 5 min |\n| Secondary | Manager | after 5 min |\n| Manager | Primary | after 5 min |\n"
    )
    circles = [one for one in found.findings if one.code == "WB116"]
    assert len(circles) == 1
    assert "primary" in circles[0].message.lower()


@pytest.mark.parametrize(
    "text",
    ["**Owner:** A\n**Last reviewed:** 2026-02-31\n", "## Tasks\n\n| Task | Frequency |\n|---|---|\n| Look | Daily at 25:10 |\n| Read | Weekly |\n", "## Tasks\n\n| Task | Frequency |\n|---|---|\n| Look | 35th of month |\n| Read | Weekly |\n"],
)  # fmt: skip
def test_a_time_that_cannot_be_is_named(text: str) -> None:
    assert "WB117" in codes(book(f"# A\n\n{text}"))


def test_a_negative_deadline_is_not_read() -> None:
    found = book(
        "# A\n\n## Severity\n\n| Severity | Response | Resolve |\n|---|---|---|\n| SEV-1 | -15 minutes | 1 h |\n| SEV-2 | 1 h | 2 h |\n"
    )
    assert "WB105" in codes(found)
    assert found.items[0].model_dump()["respond"] is None


def test_an_unknown_severity_is_named() -> None:
    found = book(
        "# A\n\n## Severity\n\n| Severity | Response |\n|---|---|\n| SEV-1 | 15 min |\n| SEV-2 | 1 h |\n\nEscalate SEV-7 to the Head of Engineering after 5 min.\n"
    )
    assert "WB115" in codes(found)


@pytest.mark.parametrize(
    ("text", "field"),
    [("time_zone: Mars/Base\n", "time_zone"), ("business_hours: {start: '17:00', end: '09:00'}\n", "end"), ("business_hours: {days: [someday]}\n", "days"), ("holidays: {country: XX}\n", "country"), ("holidays: {also: ['2026-02-31']}\n", "also"), ("colour: red\n", "colour"), ("immediate: soon\n", "immediate")],
)  # fmt: skip
def test_a_wrong_watchbill_yaml_is_named(tmp_path: Path, text: str, field: str) -> None:
    (tmp_path / "watchbill.yaml").write_text(text)
    (tmp_path / "a.md").write_text("# A\n")
    found = [one for one in compile_folder(load(tmp_path)).findings if one.code == "WB023"]
    assert found
    assert field in found[0].message
    assert found[0].path == "watchbill.yaml"


def test_every_setting_of_watchbill_yaml_that_the_compiler_names_does_something(tmp_path: Path) -> None:
    (tmp_path / "watchbill.yaml").write_text(
        "slug: mine\nimmediate: 1 day\nescalation_wait: 9 min\nexclude: ['drafts/*']\n"
    )
    (tmp_path / "drafts").mkdir()
    (tmp_path / "drafts" / "b.md").write_text("# B\n")
    text = "# A\n\n## Severity\n\n| Severity | Response |\n|---|---|\n| SEV-1 | Immediate |\n| SEV-2 | 1 h |\n\nEscalate SEV-1 to the Head of Engineering.\n"
    (tmp_path / "a.md").write_text(text)
    found = compile_folder(load(tmp_path))
    assert found.slug == "mine"
    assert [reading.document.path for reading in found.readings] == ["a.md"]
    items = {item.kind: item.model_dump(mode="json") for item in reversed(found.items)}
    assert items["severity"]["respond"]["duration"] == "P1D"
    assert items["contact"]["after"]["duration"] == "PT9M"
    assert any("waits PT9M" in one.message for one in found.findings)


def test_broken_frontmatter_is_named_and_the_rest_is_read() -> None:
    found = book(
        "---\nowner: [a\n---\n\n# A\n\n| Severity | Response |\n|---|---|\n| SEV-1 | 15 min |\n| SEV-2 | 1 h |\n"
    )
    assert "WB020" in codes(found)
    assert len([item for item in found.items if item.kind == "severity"]) == 2


markdown = st.lists(
    st.one_of(
        st.text(max_size=60),
        st.sampled_from(
            ["# Severity levels", "| Severity | Response |", "|---|---|", "| SEV-1 | Immediate |", "- **On-call:** [Name]", "1. Stop within 5 min", "```yaml watchbill", "```", "---", "> - a", "## Daily checklist (09:00)", "- [ ] x", "<table><tr><td>a", "<!-- watchbill: severity -->", "**Owner**: X", "    code", "\t\t- y", "Escalate to the Lead after 15 min.", "| a \\| b | c | d |"],
        ),
    ),
    max_size=30,
).map("\n".join)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(markdown)
@example("---\n---\n")
@example("| a |\n|-|\n" + "| b | c |\n" * 3)
def test_any_text_compiles_and_prints(text: str) -> None:
    found = book(text)
    assert list(as_text([found]))
    assert list(as_github([found])) is not None
    assert as_sarif([found], "0")
    report = as_json([found])
    for block in report["documents"][0]["blocks"]:
        assert block["line"] <= block["end_line"]
    covered = {n for block in report["documents"][0]["blocks"] for n in range(block["line"], block["end_line"] + 1)}
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    lost = [
        n
        for n, line in enumerate(lines, 1)
        if line.strip(" \t>") and n not in covered and not set(line.strip(" \t>")) <= set("-*_ \t")
    ]
    assert all(
        not lines[n - 1].strip().strip("-+*>0123456789.) #`~\x1c\x1d\x1e\x1f\x85\xa0\u2028\u2029\x0b\x0c") for n in lost
    ), [lines[n - 1] for n in lost]


def work(text: str) -> int:
    """How many Python function calls a compile takes: the same on every machine."""
    count = 0

    def tick(frame: object, event: str, arg: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(tick)
    try:
        book(text)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    "piece",
    ["- a\n", "1. Stop the service within 5 min\n", "| SEV-1 | 15 min |\n", "# Severity {n}\n\ntext\n\n", "- **On-call:** a@example.org\n", "> quote\n", "para [x](y.md) `z`\n\n", "```\ncode\n```\n\n", "[a]: http://x\n", "**Owner**: X\n\n", "## Step {n}: do\n\n- a\n\n", "### SEV-{n}\n\n- Response: 5 min\n\n", "| a | b |\n|---|---|\n| c | d |\n\n"],
)  # fmt: skip
def test_doubling_the_input_does_not_quadruple_the_work(piece: str) -> None:
    made = lambda count: "# A\n\n" + "".join(piece.replace("{n}", str(n)) for n in range(count))  # noqa: E731
    work(made(40))
    small, large = work(made(200)), work(made(400))
    assert large <= 2.5 * small, (small, large)


def test_a_million_characters_of_regex_bait_end_in_time() -> None:
    """A bound on time alone, generous: a pattern that backtracks would take minutes here."""
    bait = [
        "escalate " * 3000,
        "every " * 4000,
        "1 " * 8000,
        "a, " * 8000,
        "SEV-1 " * 4000,
        "- " + "x@" * 8000,
        "after any " + "a " * 8000 + "change",
        "(" * 8000 + "daily",
    ]
    begun = time.process_time()
    for text in bait:
        book(f"# A\n\n{text}\n\n- {text[:20000]}\n\n| a | b |\n|---|---|\n| {text[:20000]} | b |\n")
    assert time.process_time() - begun < 20
