"""No page calms anybody while something keeps the hub from paging; the words that calm stand in one module."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cast import Cast, api, signed_in
from tests.night import Night
from tests.paging.test_can_this_hub_page import BROKEN, group, ready, schedule
from watchbill.base.ids import uuid7
from watchbill.console import calm

SOURCE = Path(__file__).resolve().parents[2] / "src" / "watchbill"
PAGES = {
    "overview": "/w/main/",
    "incidents": "/w/main/incidents",
    "oncall": "/w/main/oncall",
    "contacts": "/w/main/oncall/contacts",
    "mine": "/w/main/my-paging",
    "alerts": "/w/main/alerts",
}


def text_of(browser: Any, url: str) -> str:
    """The main part of a page as one line of plain text."""
    page = browser.get(url)
    assert page.status_code == 200
    main = re.search(r"<main.*</main>", page.content.decode(), re.S)
    assert main is not None
    plain = re.sub(r"<[^>]+>", " ", main[0]).replace("&#x27;", "'").replace("&quot;", '"')
    return " ".join(plain.split())


def calming(text: str) -> list[str]:
    return [words for words in calm.WORDS if words in text.casefold()]


def sources() -> Iterator[Path]:
    yield from SOURCE.rglob("*.html")
    yield from (path for path in SOURCE.rglob("*.py") if path.name != "calm.py" and "migrations" not in path.parts)


def test_the_words_that_calm_stand_in_one_module() -> None:
    for path in sources():
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if not line.lstrip().startswith("#"):
                assert not calming(line), (
                    f"{path}:{number}: say it through console/calm.py ({{% calm %}}): {calming(line)}"
                )


def test_every_calm_sentence_is_among_the_words() -> None:
    for sentence, _ in calm._SENTENCES.values():
        assert calming(sentence), sentence


@pytest.mark.parametrize("code", BROKEN)
def test_no_page_calms_while_something_is_broken(cast: Cast, db: Any, code: str) -> None:
    with ready(cast, db) as it:
        schedule(it, "Web on-call", [cast.edo])
        BROKEN[code][0](it)
        browser = signed_in(cast.ada)
        for name, url in PAGES.items():
            text = text_of(browser, url)
            assert calming(text) == [], name
            assert re.search(r"This hub cannot page: \d problems?\.", text), name
        overview = text_of(browser, PAGES["overview"])
        assert re.search(r"Can this hub page\? No: \d problems?\.", overview)
        assert BROKEN[code][1] in overview


def test_no_page_calms_while_something_pages_only_the_admins(cast: Cast, db: Any) -> None:
    with ready(cast, db) as it:
        schedule(it, "Web on-call", [cast.edo])
        group(it, "critical")
        browser = signed_in(cast.ada)
        for name, url in PAGES.items():
            text = text_of(browser, url)
            assert calming(text) == [], name
            assert "1 critical alert fires and pages nobody; the admins are paged instead." in text, name
            assert "cannot page" not in text, name


def test_pages_calm_when_the_hub_can_page(cast: Cast, db: Any) -> None:
    with ready(cast, db) as it:
        schedule(it, "Web on-call", [cast.edo])
        db.run("UPDATE signals_route SET severity = ''")
        browser = signed_in(cast.ada, mfa=True)
        for name in ("incidents", "oncall", "contacts", "alerts", "mine"):
            sentence = calm._SENTENCES[name][0]  # type: ignore[index]
            assert sentence in text_of(browser, PAGES[name]), name
        assert "Can this hub page? Yes, as far as it looked: channels, contacts" in text_of(browser, "/w/main/")


def test_a_demo_calms_nobody_and_says_that_it_is_one(cast: Cast, db: Any) -> None:
    with ready(cast, db):
        db.run("UPDATE people_workspace SET demo = true WHERE id = %s", cast.main)
        browser = signed_in(cast.ada)
        for name, url in PAGES.items():
            text = text_of(browser, url)
            assert calming(text) == [], name
            assert "demo workspace" in text, name


def test_own_paging_does_not_calm_whose_contacts_nobody_verified(cast: Cast, db: Any) -> None:
    with ready(cast, db):
        text = text_of(signed_in(cast.vera), PAGES["mine"])
        assert "None of your contacts is verified" in text
        assert calming(text) == []


def test_who_may_not_see_pages_is_not_calmed_either() -> None:
    for name in calm._SENTENCES:
        text = calm.sentence(name, None)
        assert calming(text) == []
        assert "not shown to you" in text


# The bad day.


def incident(
    it: Night, number: int, severity: str, rank: int, *, minutes: float, title: str = "", state: str = "open"
) -> Any:
    key = uuid7()
    it.db.run(
        "INSERT INTO incidents_incident (id, workspace_id, number, title, summary, state, severity, rank, policy, route, labels, runbook_url, opened_at, waiting_for, reopened) "
        "VALUES (%s, %s, %s, %s, '', %s, %s, %s, '{}', '{}', '{}', '', wb_now() - %s * interval '1 minute', '', 0)",
        key, it.cast.main, number, title or f"{severity} trouble", state, severity, rank, minutes,
    )  # fmt: skip
    return key


def page(it: Night, about: Any, state: str) -> None:
    it.db.run(
        "INSERT INTO paging_page (id, workspace_id, subject_kind, subject_id, title, text, url, labels, urgency, shadow, policy, why, state, round, step, started_at, acknowledged_via, ended_why) "
        "VALUES (%s, %s, 'incident', %s, 'x', '', '', '{}', 'high', false, '{}', '', %s, 0, 1, wb_now(), '', '')",
        uuid7(), it.cast.main, str(about), state,
    )  # fmt: skip


def late(it: Night, about: Any, kind: str = "acknowledge") -> None:
    it.db.run(
        "INSERT INTO clocks_clock (id, workspace_id, subject_kind, subject_id, kind, state, policy, started_at, due_at, breached_at, warned) "
        "VALUES (%s, %s, 'incident', %s, %s, 'breached', '{}', wb_now() - interval '1 hour', wb_now() - interval '4 minutes', wb_now(), 80)",
        uuid7(), it.cast.main, str(about), kind,
    )  # fmt: skip


def bad_day(it: Night) -> None:
    """Sev0 late with nobody reached, Sev1, Sev2, six Sev3, newest last; a dead channel, a gap, an unrouted critical alert."""
    worst = incident(it, 1, "Sev0", 1, minutes=19, title="KubeDeploymentGenerationMismatch" * 2)
    page(it, worst, "exhausted")
    late(it, worst)
    for number, severity, rank in ((2, "Sev2", 3), (3, "Sev1", 2), *((number, "Sev3", 4) for number in range(4, 10))):
        page(it, incident(it, number, severity, rank, minutes=18 - number), "running")
    it.db.run("UPDATE paging_channel SET last_problem = 'refused', last_problem_at = wb_now() WHERE kind = 'email'")
    schedule(it, "Web on-call", [it.cast.edo], until="2026-02-01")
    group(it, "critical")


def test_a_bad_day_stands_on_overview_in_the_order_in_which_to_look(cast: Cast, db: Any) -> None:
    with ready(cast, db) as it:
        bad_day(it)
        text = text_of(signed_in(cast.ada), "/w/main/")
        assert "9 incidents are not acknowledged." in text
        order = [
            "1 incident is late; nobody could be reached about 1 incident.",
            "No: 2 problems.",
            "The last message by “Mail” failed",
            "Nobody is on call in Web on-call",
            "1 critical alert fires and pages nobody; the admins are paged instead.",
            "INC-1 ",
            "late: acknowledge",
            "nobody could be reached",
            "nobody has it",
            "INC-3 ",
            "INC-2 ",
            *(f"INC-{number} " for number in range(4, 10)),
        ]
        at = 0
        for words in order:
            found = text.find(words, at)
            assert found >= 0, (words, text)
            at = found
        assert text.count("Acknowledge INC-") == 9 + 2, "in each row, and once each in Needs you and Due"
        assert calming(text) == []


def test_the_list_of_incidents_has_the_same_order_and_numbers(cast: Cast, db: Any) -> None:
    with ready(cast, db) as it:
        bad_day(it)
        text = text_of(signed_in(cast.edo), "/w/main/incidents")
        assert "9 incidents are not over, 9 not acknowledged, 1 late, nobody could be reached about 1." in text
        assert re.findall(r"INC-(\d) \w", text.replace("Acknowledge INC-", "")) == [*"132456789"]


def test_the_api_lists_them_so_too_a_page_at_a_time(cast: Cast, db: Any) -> None:
    with ready(cast, db) as it:
        bad_day(it)
        program, url, found = api(cast.token(cast.edo)), "/api/v1/workspaces/main/incidents?order=urgent&limit=4", []
        answer = program.get(url).json()
        while True:
            found += [one["number"] for one in answer["items"]]
            if answer["next"] is None:
                break
            answer = program.get(f"{url}&cursor={answer['next']}").json()
        assert found == [1, 3, 2, 4, 5, 6, 7, 8, 9]
        assert program.get("/api/v1/workspaces/main/incidents?order=urgent&state=resolved").status_code == 422
        newest = program.get("/api/v1/workspaces/main/incidents").json()["items"]
        assert [one["number"] for one in newest] == [9, 8, 7, 6, 5, 4, 3, 2, 1]


def test_within_a_severity_what_is_late_comes_first_then_the_oldest_and_none_comes_last(cast: Cast, db: Any) -> None:
    from watchbill.incidents.queries import access_burning, access_urgent

    with ready(cast, db) as it:
        for number, rank, minutes in ((1, 0, 90), (2, 2, 5), (3, 2, 9), (4, 2, 7), (5, 1, 1)):
            one = incident(it, number, f"Sev{rank}" if rank else "", rank, minutes=minutes)
            if number == 4:
                late(it, one, "resolve")
        incident(it, 6, "Sev1", 1, minutes=3, state="acknowledged")
        with cast.acts(cast.edo) as by:
            assert [one.number for one in access_urgent(by, cast.main)] == [5, 6, 4, 3, 2, 1]
            for limit in (20, 6, 2):
                shown, found = access_burning(by, cast.main, limit)
                assert [one.number for one in shown] == [5, 6, 4, 3, 2, 1][:limit]
                assert (found.total, found.waiting, found.late, found.unpaged, found.alarming) == (6, 5, 1, 5, 5)
        assert (found.total, found.waiting, found.late, found.unpaged, found.alarming) == (6, 5, 1, 5, 5)


def test_within_a_severity_what_nobody_has_acknowledged_comes_first(cast: Cast, db: Any) -> None:
    from watchbill.incidents.queries import access_urgent

    with ready(cast, db) as it:
        rows = ((1, 1, "acknowledged", True), (2, 1, "open", False), (3, 1, "open", True), (4, 2, "open", True), (5, 0, "acknowledged", False), (6, 0, "open", False))  # fmt: skip
        for number, rank, state, is_late in rows:
            one = incident(it, number, f"Sev{rank}" if rank else "", rank, minutes=20 - number, state=state)
            if is_late:
                late(it, one, "resolve")
        with cast.acts(cast.edo) as by:
            assert [one.number for one in access_urgent(by, cast.main)] == [3, 2, 1, 4, 6, 5]
        program = api(cast.token(cast.edo))
        answer = program.get("/api/v1/workspaces/main/incidents?order=urgent").json()["items"]
        assert [one["number"] for one in answer] == [3, 2, 1, 4, 6, 5]
        for url in ("/w/main/", "/w/main/incidents"):
            listed = re.findall(
                r'<li class="incident .*?<b>INC-(\d)', signed_in(cast.edo).get(url).content.decode(), re.S
            )
            assert listed == [*"321465"], url


@pytest.mark.parametrize(("alarming", "others", "more"), [(3, 0, ""), (5, 0, "and 2 more"), (4, 25, "and 1 more"), (30, 0, "and 27 more")])  # fmt: skip
def test_the_red_banner_says_how_many_more_there_are(
    cast: Cast, db: Any, alarming: int, others: int, more: str
) -> None:
    """Also where what is late stands below all that is listed, since its severity is low."""
    with ready(cast, db) as it:
        for number in range(1, others + 1):
            page(it, incident(it, number, "Sev0", 1, minutes=60 - number), "running")
        for number in range(others + 1, others + alarming + 1):
            one = incident(it, number, "Sev3", 4, minutes=60 - number)
            page(it, one, "running")
            late(it, one)
        whole = signed_in(cast.ada).get("/w/main/").content.decode()
        banner = re.search(r'id="alarm">.*?</div>\s*</div>', whole, re.S)
        assert banner is not None
        assert f"{alarming} incidents are late." in banner[0]
        assert re.findall(r"INC-(\d+)", banner[0]) == [str(others + number) for number in (1, 2, 3)]
        assert ("more" in banner[0]) is bool(more)
        assert more in banner[0]


def test_acknowledge_in_the_row_leads_back_to_the_list(cast: Cast, db: Any) -> None:
    with ready(cast, db) as it:
        it.fire(service="web")
        browser = signed_in(cast.edo)
        for back, where in (("overview", "/w/main/"), ("https://evil.example/", "/w/main/incidents/1")):
            answer = browser.post(
                "/w/main/incidents/1",
                {"do": "acknowledge" if back == "overview" else "note", "text": "x", "back": back},
            )
            assert (answer.status_code, answer["Location"]) == (302, where)
        text = text_of(browser, "/w/main/")
        assert "Edo Editor has it" in text
        assert "Acknowledge INC-1" not in text


def test_who_may_not_respond_has_no_button(cast: Cast, db: Any) -> None:
    with ready(cast, db) as it:
        incident(it, 1, "Sev0", 1, minutes=4)
        assert "Acknowledge" not in text_of(signed_in(cast.vera), "/w/main/incidents")


def test_what_is_late_needs_everybody_who_may_respond(cast: Cast, db: Any) -> None:
    with ready(cast, db) as it:
        late(it, incident(it, 1, "Sev0", 1, minutes=19))
        for who, wanted in ((cast.apo, True), (cast.vera, False)):
            due = text_of(signed_in(who), "/w/main/due")
            assert ("Acknowledge INC-1" in due) is wanted


def test_overview_follows_alerts_and_incidents(cast: Cast, db: Any) -> None:
    with ready(cast, db):
        for url in ("/w/main/", "/w/main/incidents"):
            assert 'data-live="ledger alerts"' in signed_in(cast.ada).get(url).content.decode()


def test_overview_asks_no_query_for_each_incident(cast: Cast, db: Any) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with ready(cast, db) as it:
        browser = signed_in(cast.ada)
        incident(it, 1, "Sev0", 1, minutes=4, state="acknowledged")
        with CaptureQueriesContext(connection) as few:
            browser.get("/w/main/")
        for number in range(2, 18):
            incident(it, number, "Sev0", 1, minutes=4, state="acknowledged")
        with CaptureQueriesContext(connection) as many:
            browser.get("/w/main/")
        assert abs(len(many) - len(few)) <= 2
