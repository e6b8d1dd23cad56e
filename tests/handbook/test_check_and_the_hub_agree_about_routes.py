"""`watchbill check`, Review and “Can this hub page?” say the same about routes: one truth, however it is asked."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cast import Cast, as_worker
from tests.incidents import test_what_fires_is_heard
from tests.incidents.test_what_fires_is_heard import ROUTE, Acme, acme  # noqa: F401 - a fixture
from watchbill.paging.ability import Reason, ability
from watchbill.runtime.now import now

NOBODY = "unrouted: {pages: nobody, reason: another hub pages until March}\n"
SILENT = ROUTE.replace("pages: Checkout on-call", "pages: nobody\n  reason: the batch team looks in the morning")
SEV2 = ROUTE.replace("critical", "error").replace("Critical", "Errors").replace("SEV1", "Sev 2")
ADMINS_ONLY = "No route pages anybody: alerts reach only the admins."


def told(cast: Cast) -> list[Reason]:
    """What the hub says about routes, as Edo and as the worker, who see the same."""
    with cast.acts(cast.edo):
        mine = ability(cast.main, now())
    with as_worker():
        assert ability(cast.main, mine.at) == mine
    assert [one for one in mine.reasons if one.code == "could-not-look"] == []
    return [one for one in mine.reasons if one.code in ("no-route", "severity-without-route")]


def checked(acme: Acme) -> list[tuple[str, str]]:  # noqa: F811 - the fixture's value
    """What `watchbill check` says about the same folder."""
    from watchbill.handbook.compile import compile_folder
    from watchbill.handbook.files import load
    from watchbill.handbook.plan import UNHEARD

    found = compile_folder(load(acme.folder)).findings
    return [(one.code, one.message) for one in found if one.code in UNHEARD]


@pytest.mark.parametrize(
    ("routes", "config", "words"),
    [
        ("", "", [ADMINS_ONLY]),
        ("", "unrouted: admins\n", [ADMINS_ONLY]),
        ("", "unrouted: checkout ON-CALL\n", ["No route pages anybody: alerts reach only “checkout ON-CALL”."]),
        ("", NOBODY, []),
        (SILENT, "", [ADMINS_ONLY]),
        (SILENT, NOBODY, []),
        (ROUTE, "", ["2 severities of the handbook are given by no route: SEV2, SEV3."]),
        (ROUTE, NOBODY, []),
        (ROUTE, "unrouted: {quiet: [info, sev-3]}\n", ["1 severity of the handbook is given by no route: SEV2."]),
        (ROUTE + SEV2, "", ["1 severity of the handbook is given by no route: SEV3."]),
        (ROUTE + SEV2, "unrouted: {quiet: [info, Sev 3]}\n", []),
        (ROUTE.replace("severity: SEV1", "severity: Sev-1") + SEV2, "unrouted: {quiet: [SEV3]}\n", []),
    ],
)  # fmt: skip
def test_what_check_warns_of_is_what_keeps_the_hub_from_saying_yes(
    acme: Acme,  # noqa: F811 - the fixture's value
    cast: Cast,
    routes: str,
    config: str,
    words: list[str],
) -> None:
    acme.live(routes, config)
    found = told(cast)
    assert [one.text for one in found] == words
    assert {one.level for one in found} <= {"warning"}
    assert {one.code for one in found} == {
        {"WB121": "no-route", "WB122": "severity-without-route"}[code] for code, _ in checked(acme)
    }


def test_it_is_broken_where_none_of_the_admins_can_be_reached(acme: Acme, cast: Cast, db: Any) -> None:  # noqa: F811
    acme.live()
    db.run("DELETE FROM people_contact_method WHERE person_id = %s", cast.ada)
    (found,) = told(cast)
    assert found.level == "broken"
    assert found.text == "No route pages anybody, and none of the admins can be reached: alerts reach nobody."
    acme.live(ROUTE)
    assert [one.code for one in told(cast)] == ["severity-without-route"], "a route pages"


def test_it_is_broken_where_whom_unrouted_names_cannot_be_reached(acme: Acme, cast: Cast, db: Any) -> None:  # noqa: F811
    acme.live(config="unrouted: Checkout on-call\n")
    assert [one.level for one in told(cast)] == ["warning"]
    db.run("DELETE FROM people_contact_method WHERE person_id IN (%s, %s)", cast.edo, cast.apo)
    (found,) = told(cast)
    assert found.level == "broken"
    assert found.text == "No route pages anybody, and “Checkout on-call” cannot be reached: alerts reach nobody."


def test_before_a_handbook_is_live_alerts_reach_only_the_admins(acme: Acme, cast: Cast) -> None:  # noqa: F811
    assert [(one.level, one.text) for one in told(cast)] == [("warning", ADMINS_ONLY)]


def test_a_handbook_that_has_nobody_to_page_is_told_where_alerts_go_and_no_more(
    acme: Acme,  # noqa: F811 - the fixture's value
    cast: Cast,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(test_what_fires_is_heard, "RUNBOOK", "# Restarting\n\n1. Stop it.\n2. Start it.\n")
    acme.live()
    assert checked(acme) == []
    assert [(one.level, one.text) for one in told(cast)] == [("note", ADMINS_ONLY)]


def test_a_shadow_route_pages_nobody(acme: Acme, cast: Cast, db: Any) -> None:  # noqa: F811
    acme.live(ROUTE)
    db.run("UPDATE signals_route SET state = 'shadow'")
    assert [one.text for one in told(cast)] == [ADMINS_ONLY]
