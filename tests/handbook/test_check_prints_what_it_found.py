"""`watchbill check` in its four formats, its exit codes, its published schemas, its pages."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from watchbill.handbook import report
from watchbill.handbook.compile import compile_folder, compile_sources
from watchbill.handbook.config import Config
from watchbill.handbook.files import Source, load
from watchbill.language.findings import CODES

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "handbooks"


def run(*args: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The real command, with no database, hub or settings."""
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8"}
    return subprocess.run(
        [sys.executable, "-m", "watchbill.cli.main", *args],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_examples_are_clean_and_exit_zero() -> None:
    found = run("check", *map(str, sorted(EXAMPLES.iterdir())))
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr
    assert "5 documents: 0 errors" in found.stdout


def test_a_finding_has_its_line_a_caret_what_it_means_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(
        "# A\n\n## Tasks\n\n| Task | Frequency |\n|---|---|\n| Look | Bi-weekly |\n| Read | TBD |\n"
    )
    found = run("check", str(tmp_path))
    assert found.returncode == 0
    assert "warning WB103: “Bi-weekly” can mean every two weeks or twice a week" in found.stdout
    assert "--> a.md:7:10" in found.stdout
    assert "  7 | | Look | Bi-weekly |\n    |          ^" in found.stdout
    assert "= Write what you mean" in found.stdout
    assert run("check", "--strict", str(tmp_path)).returncode == 1


def test_errors_and_what_cannot_run_have_exit_codes(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A\n\n```yaml watchbill\n- kind: nonsense\n  name: x\n```\n")
    assert run("check", str(tmp_path)).returncode == 1
    missing = run("check", str(tmp_path / "missing"))
    assert missing.returncode == 2
    assert "cannot be opened: no such file or directory" in missing.stderr
    assert run("check", str(tmp_path), "--format", "pdf").returncode == 64
    twice = run("check", str(tmp_path), str(tmp_path))
    assert twice.returncode == 2
    assert "two of the paths are the handbook" in twice.stderr


@pytest.mark.parametrize("folder", sorted(path.name for path in EXAMPLES.iterdir()))
def test_json_follows_the_published_schema(folder: str) -> None:
    schema = json.loads(run("schema", "check").stdout)
    Draft202012Validator.check_schema(schema)
    found = run("check", "--format", "json", str(EXAMPLES / folder))
    Draft202012Validator(schema).validate(json.loads(found.stdout))


def test_durations_are_iso_and_business_time_is_marked() -> None:
    items = report.as_json([compile_folder(load(EXAMPLES / "ledger-and-agents"))])["items"]
    severities = {item["name"]: item["respond"] for item in items if item["kind"] == "severity"}
    assert severities["Sev1"]["duration"] == "PT30M"
    assert severities["Sev3"] == {"duration": "P1D", "business": True, "at_least": None, "note": ""}
    assert {item["workspace"] for item in items} == {"ledger-and-agents"}
    assert len({item["key"] for item in items}) == len(items)


def test_five_paths_are_five_workspaces() -> None:
    found = json.loads(run("check", "--format", "json", *map(str, sorted(EXAMPLES.iterdir()))).stdout)
    assert {document["workspace"] for document in found["documents"]} == {path.name for path in EXAMPLES.iterdir()}


def test_sarif_and_github_name_every_finding() -> None:
    folder = EXAMPLES / "production-operations"
    book = compile_folder(load(folder))
    sarif: dict[str, Any] = json.loads(run("check", "--format", "sarif", str(folder)).stdout)
    results = sarif["runs"][0]["results"]
    assert [one["ruleId"] for one in results] == [one.code for one in book.findings]
    assert {rule["id"] for rule in sarif["runs"][0]["tool"]["driver"]["rules"]} == {one.code for one in book.findings}
    region = results[0]["locations"][0]["physicalLocation"]["region"]
    assert region["startLine"] == book.findings[0].line
    github = run("check", "--format", "github", str(folder)).stdout.splitlines()
    assert len(github) == len(book.findings)
    assert all(re.match(r"::(error|warning|notice) file=[^,]+,line=\d+,col=\d+,title=WB\d+::", line) for line in github)


def test_a_name_cannot_break_out_of_an_annotation() -> None:
    folder = Path("/tmp")
    assert report._property("a,b:c\n%") == "a%2Cb%3Ac%0A%25"
    assert folder


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_has_its_page(code: str) -> None:
    page = (ROOT / "docs" / "findings" / f"{code}.md").read_text()
    assert page.startswith(f"# {code}: {CODES[code].title}\n")
    assert f"*{CODES[code].level.capitalize()}.*" in page
    assert CODES[code].hint in page
    index = (ROOT / "docs" / "findings" / "README.md").read_text()
    assert f"[{code}]({code}.md) | {CODES[code].level} | {CODES[code].title} |" in index


def test_every_code_is_used() -> None:
    source = "\n".join(
        path.read_text() for path in (ROOT / "src" / "watchbill").rglob("*.py") if path.name != "findings.py"
    )
    assert [code for code in CODES if f'"{code}"' not in source] == []


def test_explain_prints_a_page_and_lists_all() -> None:
    assert run("explain", "wb104").stdout.startswith("# WB104: A cadence that is no time")
    assert len(run("explain").stdout.splitlines()) == len(CODES)
    unknown = run("explain", "WB999")
    assert unknown.returncode == 2
    assert "no code of a finding" in unknown.stderr


EXPLICIT = """\
- kind: severity
  id: sev-1
  name: SEV-1
  rank: 1
  respond: 15 min
  update: {duration: PT30M}
- kind: rota
  name: Primary
  rotation: P7D
  participants: [Ada, "#oncall", ops@example.org]
- kind: duty
  name: Read the log
  every: 1 day
  at: [09:00]
  owners: SRE
- kind: objective
  name: Availability
  operator: ">="
  value: 99.9
  unit: "%"
"""


def test_explicit_items_are_read_and_follow_their_schema(tmp_path: Path) -> None:
    (tmp_path / "policy.watchbill.yaml").write_text(EXPLICIT)
    (tmp_path / "a.md").write_text(f"# A\n\n```yaml watchbill\n{EXPLICIT.replace('sev-1', 'sev-2')}```\n")
    book = compile_folder(load(tmp_path))
    assert [one for one in book.findings if one.level == "error"] == []
    found = {(item.source.path, item.kind): item.model_dump(mode="json") for item in book.items}
    severity, duty, rota = (
        found["policy.watchbill.yaml", "severity"],
        found["policy.watchbill.yaml", "duty"],
        found["a.md", "rota"],
    )
    assert (severity["key"], severity["respond"]["duration"], severity["source"]["line"]) == ("sev-1", "PT15M", 1)
    assert (duty["every"]["duration"], duty["at"], duty["owners"]) == (
        "P1D",
        ["09:00"],
        [{"name": "SRE", "type": "role"}],
    )
    assert [one["type"] for one in rota["participants"]] == ["role", "channel", "email"]
    assert found["a.md", "objective"]["effect"] == "later"
    schema = json.loads(run("schema", "items").stdout)
    Draft202012Validator.check_schema(schema)
    block = report.as_json([book])["documents"][0]["blocks"][1]
    assert (block["as"], block["state"], block["items"]) == ("severity", "compiled", 4) or block["items"] == 4


def test_comments_override_recognition() -> None:
    table = "| Thing | Much |\n|---|---|\n| SEV-1 | 15 min |\n| SEV-2 | 1 h |\n"
    from watchbill.handbook.compile import compile_sources
    from watchbill.handbook.config import Config
    from watchbill.handbook.files import Source

    def kinds(text: str) -> list[str]:
        return [item.kind for item in compile_sources([Source("a.md", text)], "x", Config()).items]

    assert kinds(f"# A\n\n## Severity\n\n{table}") == ["severity", "severity"]
    assert kinds(f"# A\n\n## Severity\n\n<!-- watchbill: ignore -->\n\n{table}") == []
    assert kinds("# A\n\n## Thoughts\n\n<!-- watchbill: procedure -->\n\n- stop it\n- start it\n") == ["procedure"]
    assert kinds("# A\n\n## Thoughts\n\n- blue\n- green\n") == []


TOLD = {
    "severity": "| Name | When |\n|---|---|\n| Red | The site is down |\n| Amber | Slow |\n",
    "contact": "| Hat | Reach |\n|---|---|\n| Captain | captain@ship.example |\n| Mate | mate@ship.example |\n",
    "role": "| Hat | Does |\n|---|---|\n| Captain | Decides |\n| Mate | Writes |\n",
    "duty": "| Chore | Rhythm | By |\n|---|---|---|\n| Wind the clock | every Monday | Mate |\n| Oil the gears | monthly | Mate |\n",
    "procedure": "- Stop the press\n- Clean it\n- Start it again\n",
    "rota": "| Watch | Person |\n|---|---|\n| Monday | Ann |\n| Tuesday | Bob |\n",
    "troubleshooting": "| We see | We do |\n|---|---|\n| It is cold | Light the fire |\n| It is dark | Light the lamp |\n",
    "sla": "| Plan | Answer |\n|---|---|\n| Gold | 1 hour |\n| Silver | 8 hours |\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(TOLD))
def test_a_comment_names_the_kind_where_no_heading_does(kind: str) -> None:
    text = f"# Ship\n\n## Various\n\n<!-- watchbill: {kind} -->\n\n{TOLD[kind]}"
    book = compile_sources([Source("a.md", text)], "x", Config())
    assert [one for one in book.findings if one.code in {"WB031", "WB032"}] == [], book.items
    assert kind in {item.kind for item in book.items}


def test_a_comment_that_cannot_be_followed_is_named() -> None:
    text = "# Ship\n\n## Various\n\n<!-- watchbill: rota -->\n\nThe sea is blue.\n"
    book = compile_sources([Source("a.md", text)], "x", Config())
    assert [(one.code, one.line) for one in book.findings if one.code in {"WB031", "WB032"}] == [("WB032", 7)]
    assert book.items == []
