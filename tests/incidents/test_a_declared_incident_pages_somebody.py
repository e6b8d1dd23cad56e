"""“Declare and page” pages somebody, whatever the handbook leaves out."""

from typing import Any

import pytest

from tests.cast import Cast, signed_in
from tests.night import Night, night


def targets(it: Night) -> set[str]:
    """Whom the incidents' pages went to."""
    return {
        name
        for (name,) in it.rows(
            "SELECT DISTINCT d.target FROM paging_delivery d JOIN paging_page p ON p.id = d.page_id "
            "WHERE p.subject_kind = 'incident' AND d.state IN ('sent', 'delivered')"
        )
    }


def declare(it: Night, severity: str = "", pages: str = "") -> str:
    """Declares one in the browser, and answers its page."""
    browser = signed_in(it.cast.edo)
    answer = browser.post("/w/main/incidents", {"title": "Checkout is down", "severity": severity, "pages": pages})
    assert answer.status_code == 302
    it.run()
    return browser.get(answer["Location"]).content.decode()


@pytest.mark.parametrize("severity", ["Sev0", "Sev1", ""])
def test_declaring_pages_the_admins_where_the_severity_names_nobody(cast: Cast, db: Any, severity: str) -> None:
    with night(cast, db) as it:
        it.set_up()
        db.run("UPDATE incidents_severity SET pages = '{}', all_hands = false")
        page = declare(it, severity)
        assert targets(it) == {"Ada Admin"}
        assert "pages nobody" not in page
        assert "the admins hear of it" in page
        assert "page nobody" not in signed_in(cast.ada).get("/w/main/").content.decode().split("can-page")[0]


def test_it_pages_whom_unrouted_names(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        db.run("UPDATE incidents_severity SET pages = '{}', all_hands = false")
        db.run("DELETE FROM signals_unrouted")
        ((name,),) = it.rows(
            "SELECT name FROM paging_policy WHERE state = 'live' AND key NOT LIKE '%#%' ORDER BY key LIMIT 1"
        )
        db.run(
            "INSERT INTO signals_unrouted (workspace_id, pages, reason, quiet, revision, path, line) VALUES (%s, %s, '', '{}', 1, 'watchbill.yaml', 3)",
            cast.main, name,
        )  # fmt: skip
        page = declare(it, "Sev1")
        assert f"names {name}" in page
        assert it.rows("SELECT state FROM paging_page WHERE subject_kind = 'incident'")[0][0] != "ended"


def test_it_pages_the_admins_where_alerts_without_a_route_page_nobody(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        db.run("UPDATE incidents_severity SET pages = '{}', all_hands = false")
        db.run("DELETE FROM signals_unrouted")
        db.run(
            "INSERT INTO signals_unrouted (workspace_id, pages, reason, quiet, revision, path, line) VALUES (%s, 'nobody', 'a lab', '{}', 1, 'watchbill.yaml', 3)",
            cast.main,
        )  # fmt: skip
        declare(it, "Sev1")
        assert targets(it) == {"Ada Admin"}


def test_it_pages_the_admins_where_the_escalation_is_gone(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        db.run("UPDATE incidents_severity SET pages = '{left behind}', all_hands = false")
        declare(it, "Sev1")
        assert targets(it) == {"Ada Admin"}


def test_a_severity_raised_by_hand_still_pages_somebody(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        db.run("UPDATE incidents_severity SET pages = '{}', all_hands = false")
        declare(it, "Sev1")
        browser = signed_in(cast.edo)
        assert browser.post("/w/main/incidents/1", {"do": "severity", "severity": "Sev0"}).status_code == 302
        it.run()
        ((steps,),) = it.rows("SELECT jsonb_array_length(policy->'escalation'->'steps') FROM incidents_incident")
        assert steps > 0


def test_nobody_answers_and_the_admins_are_paged_again(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        db.run("UPDATE incidents_severity SET pages = '{}', all_hands = false")
        declare(it, "Sev1")
        before = len(it.mail.got)
        clock.forward(minutes=11)
        it.run()
        assert len(it.mail.got) > before


def test_the_form_says_whom_it_pages_where_the_severity_names_nobody(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        page = signed_in(cast.edo).get("/w/main/incidents").content.decode()
        assert "as the severity says, else the admins" in page
