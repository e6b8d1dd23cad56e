"""A handbook by which no alert would page anybody says so, at the severity's line, with a route to paste."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from watchbill.handbook.compile import Handbook, compile_sources
from watchbill.handbook.config import FILE, Config
from watchbill.handbook.explicit import validate
from watchbill.handbook.files import Folder, Source
from watchbill.handbook.plan import as_json, as_text, make_plan, settings_changes

RUNBOOK = """# Acme on-call

## Severity levels

| Severity | Definition | Acknowledge |
|---|---|---|
| SEV1 | Customers cannot pay | 15 min |
| SEV2 | Customers are slowed down | 30 min |
| SEV3 | Nobody notices | 4 hours |

## Contacts

| Role | Primary | Secondary |
|---|---|---|
| Checkout on-call | Dana | Ben |
"""
CRITICAL = (
    "- {kind: route, name: Critical, match: ['severity=\"critical\"'], severity: SEV1, pages: Checkout on-call}\n"
)


def settings(text: str) -> Config:
    made, found = validate(Config, text, FILE)
    assert not found, found
    assert isinstance(made, Config)
    return made


def compiled(routes: str = "", config: str = "", runbook: str = RUNBOOK) -> Handbook:
    sources = [Source("runbook.md", runbook)] + ([Source("routes.watchbill.yaml", routes)] if routes else [])
    return compile_sources(sources, "acme", settings(config))


def told(book: Handbook) -> list[tuple[str, str]]:
    return [
        (one.code, f"{one.path}:{one.line}")
        for one in book.findings
        if one.code in {"WB121", "WB122", "WB124", "WB125"}
    ]


def test_a_handbook_without_a_route_is_a_warning_with_a_route_to_paste() -> None:
    book = compiled()
    assert told(book) == [("WB121", "runbook.md:7")]
    (found,) = [one for one in book.findings if one.code == "WB121"]
    assert "has no route: no alert would page anybody" in found.message
    pasted = found.hint[found.hint.index("- {") :]
    (route,) = yaml.safe_load(pasted)
    assert route["pages"] == "Checkout on-call"
    after = compiled(pasted)
    assert ("WB121", "runbook.md:7") not in told(after), "pasted, it is no warning any more"
    assert not [one for one in after.findings if one.level == "error"]


def test_a_severity_that_no_route_gives_is_a_warning_at_its_line() -> None:
    book = compiled(CRITICAL)
    assert told(book) == [("WB122", "runbook.md:8"), ("WB122", "runbook.md:9")]
    hints = [one.hint[one.hint.index("- {") :] + "\n" for one in book.findings if one.code == "WB122"]
    assert told(compiled(CRITICAL + "".join(hints))) == []


@pytest.mark.parametrize("spelling", ["sev1", "SEV-1", "Sev 1", "**SEV1** (critical)"])
def test_a_route_gives_a_severity_however_it_is_spelled(spelling: str) -> None:
    book = compiled(CRITICAL.replace("severity: SEV1", f'severity: "{spelling}"'))
    assert ("WB122", "runbook.md:7") not in told(book)


@pytest.mark.parametrize("quiet", ["SEV3", "sev-3", "Sev 3"])
def test_a_severity_that_is_quiet_needs_no_route(quiet: str) -> None:
    assert told(compiled(CRITICAL, f"unrouted: {{quiet: [info, {quiet}]}}\n")) == [("WB122", "runbook.md:8")]


def test_nobody_with_a_reason_is_a_decision() -> None:
    assert told(compiled(config="unrouted: {pages: nobody, reason: another hub pages until March}\n")) == []


def test_what_has_nobody_to_page_needs_no_route() -> None:
    assert told(compiled(runbook="# Restarting\n\n1. Stop it.\n2. Start it.\n")) == []


def test_a_route_to_nobody_needs_a_reason_and_is_no_route_that_pages() -> None:
    silent = CRITICAL.replace("Checkout on-call", "Nobody")
    assert told(compiled(silent)) == [("WB124", "routes.watchbill.yaml:1"), ("WB121", "runbook.md:7")]
    assert told(compiled(silent.replace("Nobody", "nobody, reason: the batch team looks in the morning"))) == [
        ("WB121", "runbook.md:7")
    ]
    assert told(compiled(silent.replace("Nobody", "nobody, reason: ''")))[0][0] == "WB124"


def test_unrouted_names_somebody_who_is_there() -> None:
    config = "name: Acme\nunrouted: Chekout\n"
    book = compiled(CRITICAL, config)
    assert ("WB125", "watchbill.yaml:2") in told(book)
    assert "Checkout on-call" in next(one.hint for one in book.findings if one.code == "WB125")
    assert "WB125" not in {code for code, _ in told(compiled(CRITICAL, "unrouted: checkout ON-CALL\n"))}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("unrouted: nobody\n", "needs a reason"),
        ("unrouted: {pages: nobody, reason: ' '}\n", "needs a reason"),
        ("unrouted: {pages: ''}\n", "it names nobody"),
        ("unrouted: {quiet: ['']}\n", "must be heard"),
        ("unrouted: [admins]\n", "write unrouted: admins"),
        ("unrouted: {page: admins}\n", "there is no such field"),
    ],
)
def test_a_wrong_setting_says_what_to_write(text: str, words: str) -> None:
    made, (found,) = validate(Config, f"name: Acme\n{text}", FILE)
    assert made is None
    assert (found.path, found.line) == (FILE, 2)
    assert words in found.message


def test_hearing_less_weakens_the_policy() -> None:
    def weak(before: str, after: str) -> list[str]:
        return [one.weaker for one in settings_changes(settings(before), settings(after))]

    silent = "unrouted: {pages: nobody, reason: x}\n"
    assert weak("", silent) == ["alerts that no route takes page nobody"]
    assert weak("", "unrouted: {quiet: [info, none, debug, warning]}\n") == [
        "more severities page nobody without a route: warning"
    ]
    assert weak(silent, "") == [""]
    assert weak("", "unrouted: {quiet: [INFO, none, debug]}\n") == [""]


def test_the_plan_says_it_and_its_digest_stays() -> None:
    plan = make_plan(compiled(), None)
    assert [one["code"] for one in as_json(plan)["warnings"]] == ["WB121"]
    assert any("no alert would page anybody" in line for line in as_text(plan))
    before = plan.digest
    plan.warnings = []
    assert plan.digest == before


def test_large_folders_say_it_too(tmp_path: Path) -> None:
    from watchbill.handbook.shelf import check_folder

    sources = [Source("runbook.md", RUNBOOK), *(Source(f"page{n}.md", f"# Page {n}\n\nText.\n") for n in range(60))]
    found: Any = check_folder(Folder("acme", tmp_path, sources=sources))
    assert "WB121" in {one.code for one in found.findings}
