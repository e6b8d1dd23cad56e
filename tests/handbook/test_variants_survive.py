"""The forms that public runbooks really have: each must compile to the same policy."""

from typing import Any

import pytest

from watchbill.handbook.compile import compile_sources
from watchbill.handbook.config import Config
from watchbill.handbook.files import Source


def items(text: str, kind: str) -> list[dict[str, Any]]:
    found = compile_sources([Source("a.md", text)], "x", Config())
    return [item.model_dump(mode="json") for item in found.items if item.kind == kind]


def clocks(text: str, kind: str = "severity") -> list[tuple[str, str | None, str | None]]:
    iso = lambda value: value["duration"] if value else None  # noqa: E731
    return [(item["name"], iso(item["respond"]), iso(item["resolve"])) for item in items(text, kind)]


WANTED = [("SEV-1", "PT15M", "PT4H"), ("SEV-2", "PT1H", "PT24H")]


@pytest.mark.parametrize(
    "text",
    [
        "## Severity levels\n\n| Severity | Impact | Response | Resolution |\n|---|---|---|---|\n| SEV-1 | All down | 15 min | 4 hours |\n| SEV-2 | Some down | 1 hour | 24 hours |\n",
        "## Severity levels\n\n| Severity | Impact |\n|---|---|\n| SEV-1 | All down |\n| SEV-2 | Some down |\n\n## Response times\n\n| Severity | Response | Resolution |\n|---|---|---|\n| SEV-1 | 15 min | 4 hours |\n| SEV-2 | 1 hour | 24 hours |\n",
        "## Severity levels\n\n| | SEV-1 | SEV-2 |\n|---|---|---|\n| Impact | All down | Some down |\n| Response time | 15 min | 1 hour |\n| Resolution time | 4 hours | 24 hours |\n",
        "## Severity levels\n\nSeverity | Response | Resolution\n---|---|---\n🔴 **SEV-1** | < 15 min | 4h\n🟠 `SEV-2` | ≤ 1 hour | 24h\n",
        "## Severity levels\n\n<table>\n<tr><th>Severity</th><th>Response</th><th>Resolution</th></tr>\n<tr><td>SEV-1</td><td>15 minutes</td><td>4 hours</td></tr>\n<tr><td>SEV-2</td><td>1 hour</td><td>24 hours</td></tr>\n</table>\n",
        "## Severity levels\n\n| Severity | Response | Resolution |\n|---|---|---|\n| SEV-1 | 15 min | 4 hours | a cell too many |\n| SEV-2 | 1 hour | 24 hours\n",
        "## Severity levels\n\n### SEV-1: critical\n\n- **Response time:** 15 minutes\n- **Resolution:** 4 hours\n\n### SEV-2: major\n\n- **Response time:** 1 hour\n- **Resolution:** 24 hours\n",
        "## Severity levels\n\n- **SEV-1**: all down; respond within 15 min, resolve within 4 hours\n- **SEV-2**: some down; respond within 1 hour, resolve within 24 hours\n",
    ],
    ids=["table", "two tables", "transposed", "decorated", "html", "ragged", "headings", "bullets"],
)  # fmt: skip
def test_severities(text: str) -> None:
    found = clocks(f"# Incidents\n\n{text}")
    assert [
        (name.strip("🔴🟠 "), respond, resolve.replace("PT1440M", "PT24H") if resolve else None)
        for name, respond, resolve in found
    ] == WANTED


def test_severities_in_two_tables_that_disagree_stay_two_and_are_named() -> None:
    text = "# A\n\n## Severity\n\n| Severity | Response |\n|---|---|\n| SEV-1 | 15 min |\n| SEV-2 | 1 h |\n\n## Severity again\n\n| Severity | Response |\n|---|---|\n| SEV-1 | 30 min |\n| SEV-2 | 1 h |\n"
    book = compile_sources([Source("a.md", text)], "x", Config())
    assert [one.line for one in book.findings if one.code == "WB109"] == [14]
    ruled = compile_sources(
        [
            Source("a.md", text.split("## Severity again")[0]),
            Source("b.md", "# B\n\n## Severity again" + text.split("## Severity again")[1]),
        ],
        "x",
        Config(precedence=["a.md", "b.md"]),
    )
    assert [one for one in ruled.findings if one.code == "WB109"] == []
    effects = {(item.source.path, item.name): item.effect for item in ruled.items if item.kind == "severity"}
    assert (effects["a.md", "SEV-1"], effects["b.md", "SEV-1"]) == ("proposed", "shown")


def test_rank_is_the_order_of_rows_whatever_the_digit() -> None:
    text = "# A\n\n## Severity\n\n| Severity | Response |\n|---|---|\n| P0 | 5 min |\n| P1 | 15 min |\n| P2 | 1 h |\n"
    assert [(item["name"], item["rank"]) for item in items(text, "severity")] == [("P0", 1), ("P1", 2), ("P2", 3)]


@pytest.mark.parametrize(
    "text",
    [
        "| Priority | Basic | Enterprise |\n|---|---|---|\n| P1 | 4 hours | 15 min |\n| P2 | 1 business day | 1 hour |\n",
        "| | Basic | Enterprise |\n|---|---|---|\n| Response time | 4 hours | 15 min |\n| Hours | business hours | 24/7 |\n",
    ],
    ids=["plans as columns", "plans as columns, fields as rows"],
)
def test_support_plans_as_columns(text: str) -> None:
    found = items(f"# Support SLA\n\n## Response times by plan\n\n{text}", "sla")
    responds = {item["respond"]["duration"] for item in found}
    assert {"PT4H", "PT15M"} <= responds
    assert all("Basic" in item["name"] or "Enterprise" in item["name"] for item in found)


def test_one_table_for_each_plan_with_the_plan_in_the_heading() -> None:
    table = "| Priority | Response | Resolution |\n|---|---|---|\n| P1 | {} | 4 hours |\n| P2 | 1 day | 3 days |\n\n"
    text = f"# Support SLA\n\n## Professional\n\n{table.format('2 hours')}## Enterprise\n\n{table.format('30 min')}"
    assert [(item["name"], item["plan"], item["respond"]["duration"]) for item in items(text, "sla")] == [
        ("P1", "Professional", "PT2H"),
        ("P2", "Professional", "P1D"),
        ("P1", "Enterprise", "PT30M"),
        ("P2", "Enterprise", "P1D"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "## Drill log\n\n| Date | Severity | Response time |\n|---|---|---|\n| 2026-01-02 | SEV-1 | 15 min |\n| 2026-02-02 | SEV-2 | 1 h |\n",
        "## Past incidents\n\n| Severity | Response time |\n|---|---|\n| SEV-1 | 15 min |\n| SEV-2 | 1 h |\n",
        "## Incident report template\n\n| Severity | Response time |\n|---|---|\n| SEV-1 | 15 min |\n| SEV-2 | 1 h |\n",
        "## Severity\n\n```\n| Severity | Response time |\n|---|---|\n| SEV-1 | 15 min |\n```\n",
        "## Revision history\n\n| Version | Date | Author | Changes |\n|---|---|---|---|\n| 1 | 2026-01-01 | Ops Lead | Weekly review added |\n| 2 | 2026-02-01 | Ops Lead | Escalation to the CTO |\n",
        "## Incidents by severity\n\n| Severity | Count | Average response time |\n|---|---|---|\n| SEV-1 | 4 | 12 min |\n| SEV-2 | 9 | 40 min |\n",
    ],
    ids=["drill log", "past incidents", "template", "fence", "revisions", "statistics"],
)
def test_history_templates_and_statistics_are_no_policy(text: str) -> None:
    found = compile_sources([Source("a.md", f"# A\n\n{text}")], "x", Config())
    assert [(item.kind, item.name) for item in found.items if item.kind not in {"reference", "template"}] == []


@pytest.mark.parametrize("gap", ["[Name]", "TBD", "+1-555-0100", "<your-team>", "REPLACE_ME", "[email]", "TODO: who?"])
def test_a_placeholder_is_never_a_person_or_target(gap: str) -> None:
    text = f"# A\n\n**Owner:** {gap}\n\n## Contacts\n\n| Role | Name | Phone |\n|---|---|---|\n| Lead | {gap} | {gap} |\n| Deputy | Ada Lovelace | +49 30 1234567 |\n\n## On-call contacts\n\n- **Primary:** {gap}\n- **Secondary:** ops@example.org\n"
    book = compile_sources([Source("a.md", text)], "x", Config())
    dumped = " ".join(target["name"] for item in book.items for target in _targets(item.model_dump(mode="json")))
    assert gap.strip("[]<>") not in dumped
    assert "WB101" in {one.code for one in book.findings}


def _targets(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        own = [value] if set(value) == {"name", "type"} else []
        return own + [one for part in value.values() for one in _targets(part)]
    return [one for part in value for one in _targets(part)] if isinstance(value, list) else []


@pytest.mark.parametrize(
    ("text", "every", "count"),
    [
        ("## Weekly tasks (every Monday)\n\n- Read the log\n- Look at costs\n", "P7D", 1),
        (
            "## Monthly checks (1st of month)\n\n| Task | Owner |\n|---|---|\n| Read the log | SRE |\n| Look at costs | FinOps |\n",
            "P1M",
            2,
        ),
        (
            "## Duties\n\n| Task | Frequency | Owner |\n|---|---|---|\n| Read the log | Quarterly | SRE |\n| Look | Quarterly | SRE |\n",
            "P3M",
            2,
        ),
        ("## Duties\n\n- **Daily:** read the log\n- **Daily:** look at costs\n", "P1D", 2),
        ("## Backups\n\nTest the restore procedure quarterly.\n", "P3M", 1),
        ("## Reviews\n\n**Monthly reviews:**\n\n- Read the log\n- Look at costs\n", "P1M", 1),
    ],
    ids=["heading and list", "heading and table", "column", "bold leads", "prose", "bold line"],
)
def test_duties_in_all_places(text: str, every: str, count: int) -> None:
    found = items(f"# Operations\n\n{text}", "duty")
    assert [item["every"]["duration"] for item in found] == [every] * count


@pytest.mark.parametrize(
    "text",
    [
        "## Contacts\n\n| Role | Contact |\n|---|---|\n| On-call | ops@example.org |\n| Lead | #leads |\n",
        "## Contacts\n\n- **On-call:** ops@example.org\n- **Lead:** #leads\n",
        "## Escalation path\n\n1. On-call engineer (ops@example.org)\n2. Engineering lead (#leads)\n",
        "## Escalation\n\n| Level | Who | When |\n|---|---|---|\n| L1 | ops@example.org | always |\n| L2 | #leads | after 15 min |\n",
    ],
    ids=["table", "bullets", "ladder", "levels"],
)
def test_contacts_in_all_places(text: str) -> None:
    found = items(f"# Operations\n\n{text}", "contact")
    assert len(found) == 2
    assert found[0]["primary"][0]["name"] == "ops@example.org"
    assert found[1]["primary"][0]["name"] == "#leads"


def test_the_page_of_an_alert() -> None:
    text = "# KubePodCrashLooping\n\n## Meaning\n\nA pod restarts again and again.\n\n## Impact\n\nIt serves nothing.\n\n## Diagnosis\n\n- Read its log\n\n## Mitigation\n\n- Roll back\n"
    found = items(text, "alert-runbook")
    assert [(item["alert"], item["diagnosis"], item["mitigation"]) for item in found] == [
        ("KubePodCrashLooping", ["Read its log"], ["Roll back"])
    ]
    labelled = "# Alerts\n\n### HighErrorRate\n\n**Symptoms:** errors\n\n**Diagnosis:** read the log\n\n**Resolution:** roll back\n"
    assert [item["alert"] for item in items(labelled, "alert-runbook")] == ["HighErrorRate"]


def test_procedures_in_all_places() -> None:
    ordered = "## Rollback\n\n1. Stop the rollout\n2. Deploy the last tag\n"
    headings = "## Restore\n\n### Step 1: Stop writes\n\n```sh\nstop\n```\n\n### Step 2: Restore (15 minutes)\n\n```sh\nrestore\n```\n"
    script = "## Failover\n\n```bash\n# 1. Stop the primary\nstop\n# 2. Promote the replica\npromote\n```\n"
    table = "## Recovery\n\n| Step | Action | Time |\n|---|---|---|\n| 1 | Stop writes | 5 min |\n| 2 | Restore | 30 min |\n"
    for text in (ordered, headings, script, table):
        found = items(f"# A\n\n{text}", "procedure")
        assert [len(item["steps"]) for item in found] == [2], text
    assert items(f"# A\n\n{headings}", "procedure")[0]["steps"][1]["within"]["duration"] == "PT15M"


def test_prose_inside_of_steps() -> None:
    text = "# A\n\n## Incident response\n\n1. Acknowledge the page.\n2. If nobody acknowledges, escalate to the Engineering Manager after 15 min.\n3. Publish the review within 5 business days.\n"
    (procedure,) = items(text, "procedure")
    assert procedure["steps"][2]["within"] == {"duration": "P5D", "business": True, "at_least": None, "note": ""}
    (contact,) = items(text, "contact")
    assert (contact["to"], contact["after"]["duration"]) == (["Engineering Manager"], "PT15M")
