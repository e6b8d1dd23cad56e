"""The accepted examples page for real: routes, severities with their clocks, escalations and whoever the names mean."""

from pathlib import Path
from typing import Any

import pytest

from tests.cast import Cast
from tests.night import EXAMPLE, Night, night
from watchbill.handbook.commands import apply_handbook
from watchbill.paging.setup import set_channel
from watchbill.signals.commands import create_source


def live(it: Night, folder: str, **others: Any) -> Night:
    """An example with all of its names bound to Edo, but for those that are bound to somebody else."""
    place: Path = EXAMPLE.parent / folder
    it.cast.bind_example(folder)
    for name, who in others.items():
        it.cast.bind(name.replace("_", " "), person_id=who)
    documents = sorted(
        one
        for one in place.iterdir()
        if one.name == "runbook.md" or (one.name.endswith(".watchbill.yaml") and one.name != "watchbill.yaml")
    )
    with it.cast.acts(it.cast.ada) as by:
        apply_handbook(
            by=by, workspace_id=it.cast.main, slug="main", files=[(one.name, one.read_text("utf-8")) for one in documents],
            lock=(place / "watchbill.lock").read_text("utf-8"), config=(place / "watchbill.yaml").read_text("utf-8"),
        )  # fmt: skip
        set_channel(by=by, workspace_id=it.cast.main, kind="email", name="Mail", config=it.mail.config())
        it.source = create_source(by=by, workspace_id=it.cast.main, protocol="alertmanager", name="Prometheus")[0]
    it.verify("edo", "apo", "ada")
    return it


def steps(it: Night) -> list[tuple[int, str]]:
    """Whom the newest page is for by its steps, as they were stamped."""
    ((policy,),) = it.rows("SELECT policy FROM paging_page ORDER BY id DESC LIMIT 1")
    return [(number, one["name"]) for number, step in enumerate(policy["steps"], 1) for one in step["targets"]]


def test_whatever_blocks_a_release_pages_the_audit_partner_too(cast: Cast, db: Any) -> None:
    """“The escalation policies must include Audit Partner for whatever blocks a release.”"""
    with night(cast, db) as it:
        live(it, "production-operations", Audit_Partner=cast.apo, Eng_Manager=cast.ada)
        it.fire("MigrationStuck", service="web", severity="warning", blocks="release")
        assert steps(it) == [(1, "Edo Editor"), (1, "Apo Approver"), (2, "Ada Admin")]
        it.fire("Slow", service="web", severity="warning")
        assert steps(it) == [(1, "Edo Editor"), (2, "Ada Admin")]


@pytest.mark.parametrize(("labels", "severity", "minutes"), [({"severity": "critical", "scope": "everybody"}, "SEV-1", 15), ({"severity": "critical"}, "SEV-2", 60), ({"severity": "warning"}, "SEV-3", 240)])  # fmt: skip
def test_an_alert_has_the_severity_and_the_time_that_the_runbook_gives_it(
    cast: Cast, db: Any, labels: dict[str, str], severity: str, minutes: int
) -> None:
    with night(cast, db) as it:
        live(it, "operations-and-maintenance", DevOps_Lead=cast.apo).fire("Slow", service="web", **labels)
        assert it.incident() == ("open", severity)
        assert it.rows(
            "SELECT extract(epoch from due_at - started_at)::int / 60 FROM clocks_clock WHERE kind = 'acknowledge'"
        ) == [(minutes,)]
        assert steps(it) == [(1, "Edo Editor"), (2, "Edo Editor"), (2, "Apo Approver")]


def test_the_rota_of_the_hub_says_who_is_paged(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        live(it, "operations-hub", Operations_Program_Manager=cast.apo).fire(
            "QueueLong", service="digest", severity="warning"
        )
        ((_, first), second) = steps(it)
        assert second == (2, "Apo Approver")
        assert "Platform engineer on-call" in first, "whoever is on, not a person"
        assert len(it.mail.to("edo@example.org")) == 1
        assert it.rows("SELECT problems FROM oncall_schedule") == [([],)]


def test_each_name_that_means_nobody_has_its_own_reason(cast: Cast, db: Any) -> None:
    """Two names of one step that nobody is bound to any more: both are said, each as itself."""
    from watchbill.handbook.bindings import unbind_name

    with night(cast, db) as it:
        live(it, "production-operations")
        with cast.acts(cast.ada) as by:
            for name in ("On-call engineer", "Audit Partner"):
                unbind_name(by=by, workspace_id=cast.main, name=name)
        it.fire("MigrationStuck", service="web", severity="warning", blocks="release")
        said = dict(
            it.rows("SELECT what, why FROM paging_event WHERE what LIKE '%%reaches nobody' AND why LIKE '%%bound%%'")
        )
        assert said == {
            f"“{name}” reaches nobody": f"“{name}” is not bound to anybody"
            for name in ("On-call engineer", "Audit Partner")
        }
