"""Recognition proposes, people accept: keys survive renaming, a changed reading is a plan, what weakens is marked."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from watchbill.cli.main import cli
from watchbill.handbook.compile import Handbook, compile_sources
from watchbill.handbook.config import Config
from watchbill.handbook.files import Source
from watchbill.handbook.kinds import ENFORCED
from watchbill.handbook.lock import Lock, dump, parse_lock
from watchbill.handbook.plan import Plan, as_markdown, make_plan, weaker

ROOT = Path(__file__).resolve().parents[2]
RUNBOOK = """# Operations

**Owner:** SRE Lead

## Severity levels

| Severity | Definition | Response time | Escalation |
|---|---|---|---|
| SEV-1 | All is down | 15 min | Lead → Manager |
| SEV-2 | Something is down | 1 hour | Lead |
| SEV-3 | A blemish | 1 business day | Lead |

## Rollback

1. Stop the rollout.
2. Obtain approval from the Release Manager.
3. Deploy the last known good tag within 15 min.

## Daily checklist (09:00)

- [ ] Look at the board
- [ ] Read the log
"""


def compiled(text: str, lock: Lock | None = None, path: str = "a.md") -> Handbook:
    return compile_sources([Source(path, text)], "x", Config(), lock=lock)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.md").write_text(RUNBOOK)
    return tmp_path


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in args])


def accepted(folder: Path, *args: str) -> Lock:
    found = run("accept", folder, *(args or ("--all",)))
    assert found.exit_code == 0, found.output
    lock, findings = parse_lock((folder / "watchbill.lock").read_text())
    assert findings == []
    assert lock is not None
    return lock


def planned(folder: Path, text: str) -> Plan:
    lock = accepted(folder)
    book = compiled(text, lock)
    return make_plan(book, lock)


def steps(plan: Plan) -> list[tuple[str, str]]:
    return [(step.action, step.key) for step in plan.steps]


def test_nothing_is_accepted_before_somebody_says_so(folder: Path) -> None:
    found = run("plan", folder)
    assert found.exit_code == 1
    assert "6 new, 0 changed" in found.output
    assert {item.state for item in compiled(RUNBOOK).items} == {"proposed"}


def test_accepting_all_leaves_an_empty_plan_and_a_lock_that_reads_back(folder: Path) -> None:
    lock = accepted(folder)
    assert run("plan", folder).exit_code == 0
    assert dump(lock) == (folder / "watchbill.lock").read_text()
    assert {item.state for item in compiled(RUNBOOK, lock).items if item.kind != "reference"} == {"live"}


def test_no_effect_is_claimed_that_no_feature_has(folder: Path) -> None:
    """Live and without a feature is *later*, with the id of the map: an honest answer."""
    items = [item for item in compiled(RUNBOOK, accepted(folder)).items if item.state == "live"]
    assert {item.effect for item in items if item.kind in ENFORCED} == {"enforced"}
    assert {item.effect for item in items if item.kind not in ENFORCED} <= {"later", "shown"}


def test_some_documents_keys_and_states(folder: Path) -> None:
    (folder / "b.md").write_text(RUNBOOK.replace("SEV-", "P").replace("# Operations", "# Support"))
    assert {entry.path for entry in accepted(folder, "--document", "b.md").items.values()} == {"b.md"}
    lock = accepted(folder, "--key", "severity/sev-1", "--as", "shadow")
    assert lock.items["severity/sev-1"].state == "shadow"
    assert len([entry for entry in lock.items.values() if entry.path == "a.md"]) == 1
    assert accepted(folder, "--all").items["severity/sev-1"].state == "shadow"


def test_a_renamed_heading_keeps_its_key(folder: Path) -> None:
    plan = planned(folder, RUNBOOK.replace("## Rollback", "## Going back to the old release"))
    assert steps(plan) == [("change", "procedure/rollback")]
    assert [(change.field, change.before, change.after) for change in plan.steps[0].changes] == [
        ("name", "Rollback", "Going back to the old release")
    ]
    assert not plan.weakens


def test_an_item_that_moves_is_itself(folder: Path) -> None:
    lock = accepted(folder)
    head, tail = RUNBOOK.split("## Rollback")
    moved = make_plan(
        compiled(
            "# Operations\n\n**Owner:** SRE Lead\n\n## Rollback"
            + tail
            + head.partition("## Severity levels")[1]
            + head.partition("## Severity levels")[2],
            lock,
        ),
        lock,
    )
    assert steps(moved) == []
    elsewhere = make_plan(compiled(RUNBOOK, lock, "moved/b.md"), lock)
    assert {step.action for step in elsewhere.steps} == {"reread"}


def test_other_words_with_the_same_reading_are_no_change(folder: Path) -> None:
    plan = planned(folder, RUNBOOK.replace("| 15 min |", "| within 15 minutes |"))
    assert [(step.action, step.note) for step in plan.steps] == [
        ("reread", "its words changed; what is read is the same")
    ]


@pytest.mark.parametrize(
    ("before", "after", "field", "why"),
    [
        ("| 15 min |", "| 30 min |", "respond", "it takes longer"),
        ("| 1 hour |", "| 1 business day |", "respond", "it takes longer"),
        ("Lead → Manager", "Lead", "escalate", "without Manager"),
        ("2. Obtain approval from the Release Manager.\n", "", "steps", "without"),
        ("- [ ] Read the log\n", "", "checklist", "without Read the log"),
        ("| 1 hour |", "| best effort |", "respond", "it is gone"),
    ],
)
def test_what_weakens_is_marked(folder: Path, before: str, after: str, field: str, why: str) -> None:
    assert before in RUNBOOK
    plan = planned(folder, RUNBOOK.replace(before, after))
    assert plan.weakens
    reasons = {change.field: change.weaker for step in plan.steps for change in step.changes if change.weaker}
    assert why in reasons[field]


@pytest.mark.parametrize(("before", "after"), [("| 15 min |", "| 5 min |"), ("| Lead |\n| SEV-3", "| Lead → Director |\n| SEV-3"), ("- [ ] Read the log\n", "- [ ] Read the log\n- [ ] Read the mail\n")])  # fmt: skip
def test_what_strengthens_is_not(folder: Path, before: str, after: str) -> None:
    plan = planned(folder, RUNBOOK.replace(before, after))
    assert plan.steps
    assert not plan.weakens


def test_a_question_about_a_live_item_counts_as_weakening_until_it_is_answered(folder: Path) -> None:
    plan = planned(folder, RUNBOOK.replace("Daily checklist (09:00)", "Weekly checklist (09:00)"))
    assert {step.action for step in plan.steps} == {"ask", "add"}
    assert plan.weakens


def test_a_removed_live_item_weakens_and_a_removed_proposal_is_nothing(folder: Path) -> None:
    text = RUNBOOK.replace("| SEV-3 | A blemish | 1 business day | Lead |\n", "")
    plan = planned(folder, text)
    assert steps(plan) == [("remove", "severity/sev-3")]
    assert plan.weakens


def test_where_no_match_is_certain_the_plan_asks_and_accept_waits_for_the_answer(folder: Path) -> None:
    accepted(folder)
    text = RUNBOOK.replace("## Rollback", "## Backing out").replace(
        "1. Stop the rollout.", "1. Halt the rollout at once."
    )
    (folder / "a.md").write_text(text)
    plan = run("plan", folder)
    assert "To be answered:" in plan.output
    assert "--renamed procedure/rollback=KEY or --removed procedure/rollback" in plan.output
    before = (folder / "watchbill.lock").read_text()
    refused = run("accept", folder, "--all")
    assert refused.exit_code == 1
    assert (folder / "watchbill.lock").read_text() == before
    lock = accepted(folder, "--all", "--renamed", "procedure/rollback=procedure/backing-out")
    assert lock.items["procedure/rollback"].name == "Backing out"
    assert "procedure/backing-out" not in lock.items
    assert run("plan", folder).exit_code == 0


def test_a_new_item_cannot_take_the_key_of_another(folder: Path) -> None:
    lock = accepted(folder)
    text = RUNBOOK.replace("| SEV-1 | All is down | 15 min | Lead → Manager |\n", "") + "\n# Other\n"
    other = "# Other\n\n## Severity levels\n\n| Severity | Definition | Response time |\n|---|---|---|\n| SEV-1 | Quite different, in another document | 3 hours |\n| SEV-9 | x | 4 hours |\n"
    book = compile_sources([Source("a.md", text), Source("z.md", other)], "x", Config(), lock=lock)
    assert len({item.key for item in book.items}) == len(book.items)


def test_a_changed_compiler_is_said(folder: Path) -> None:
    lock = accepted(folder)
    lock.compiler = 0
    plan = make_plan(compiled(RUNBOOK, lock), lock)
    assert plan.compiler == (0, 1)


def test_a_broken_lock_is_an_error_and_nothing_is_accepted_over_it(folder: Path) -> None:
    accepted(folder)
    for text, why in (
        ("<<<<<<< HEAD\n{}", "no JSON"),
        ('{"version": 9}', "version is 9"),
        ('{"version": 1, "compiler": 1, "items": {"a": {}}}', "missing or wrong"),
        ('{"version": 1, "compiler": 1, "items": {"a": {"state": "maybe"}}}', "no state"),
    ):
        (folder / "watchbill.lock").write_text(text)
        found = run("check", folder)
        assert found.exit_code == 1
        assert "WB025" in found.output
        assert why in found.output
        assert run("plan", folder).exit_code == 2
        assert run("accept", folder, "--all").exit_code == 2
        assert (folder / "watchbill.lock").read_text() == text


def test_a_handbook_with_errors_is_not_accepted(folder: Path) -> None:
    (folder / "b.md").write_text("# B\n\n```yaml watchbill\n- kind: nonsense\n  name: x\n```\n")
    found = run("accept", folder, "--all")
    assert found.exit_code == 2
    assert "has 1 errors" in found.output
    assert not (folder / "watchbill.lock").exists()


def test_the_plan_has_a_digest_that_changes_with_it(folder: Path) -> None:
    one, same = (
        planned(folder, RUNBOOK.replace("15 min |", "20 min |")),
        planned(folder, RUNBOOK.replace("15 min |", "20 min |")),
    )
    other = planned(folder, RUNBOOK.replace("15 min |", "25 min |"))
    assert one.digest == same.digest != other.digest
    found: dict[str, Any] = json.loads(run("plan", folder, "--format", "json").output)
    assert found["steps"] == []
    assert len(found["digest"]) == 64


def test_markdown_of_a_plan_is_inert(folder: Path) -> None:
    plan = planned(folder, RUNBOOK.replace("SEV-3", "SEV-3 <img src=x> @everyone [x](javascript:1)"))
    text = "\n".join(as_markdown(plan))
    assert "<img" not in text.replace("\\<", "")
    assert "@everyone" not in text
    assert "](" not in text.replace("\\]", "")


def test_weakening_of_single_fields() -> None:
    minutes = lambda count: {"duration": f"PT{count}M"}  # noqa: E731
    assert weaker("retention", {"duration": "P1Y"}, {"duration": "P30D"}) == "it is shorter"
    assert weaker("retention", {"duration": "P30D"}, {"duration": "P1Y"}) == ""
    assert weaker("respond", minutes(30), {"duration": "PT30M", "business": True}) != ""
    assert weaker("respond", None, minutes(5)) == ""
    assert weaker("all_hands", True, None) == "it no longer holds"
    assert weaker("notes", "a", "b") == ""


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "examples" / "handbooks").iterdir()))
def test_the_examples_lock_is_up_to_date(name: str) -> None:
    found = run("plan", ROOT / "examples" / "handbooks" / name)
    assert found.exit_code == 0, found.output
