"""“Can this hub page?” names every reason against it, with true counts and what to do; each look fails alone."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.cast import Cast, api, as_worker, signed_in
from tests.night import Night, night
from watchbill.base.ids import HUB, uuid7
from watchbill.paging.ability import _LOOKS, CODES, Ability, Reason, ability
from watchbill.runtime.now import now
from watchbill.signals.rules import words_of_clock

ROOT = Path(__file__).resolve().parents[2]
Break = Callable[[Night], object]


@contextmanager
def ready(cast: Cast, db: Any) -> Iterator[Night]:
    """A night that can page: the example is live, everybody verified, a test went out, the worker gives signs of life."""
    from watchbill.paging.own import test_me as page_me

    with night(cast, db) as it:
        it.set_up()
        db.run("UPDATE people_contact_method SET verified_at = wb_now() WHERE person_id = %s", cast.aud)
        with cast.acts(cast.edo) as by:
            page_me(by=by, workspace_id=cast.main)
        it.run()
        beat(db)
        yield it


def beat(db: Any) -> None:
    """A sign of life of the worker."""
    db.run(
        "INSERT INTO runtime_heartbeat VALUES ('worker@x/1', 'worker', '0', wb_now()) ON CONFLICT (process) DO UPDATE SET at = wb_now()"
    )


def look(cast: Cast, workspace_id: Any = None) -> Ability:
    """As Edo sees it."""
    with cast.acts(cast.edo):
        return ability(workspace_id or cast.main, now())


def told(cast: Cast, code: str) -> list[Reason]:
    return [one for one in look(cast).reasons if one.code == code]


def schedule(it: Night, name: str, participants: list[Any], **more: Any) -> Any:
    """A schedule of the live handbook."""
    key = uuid7()
    layer = {
        "participants": [str(one) for one in participants], "count": 1, "unit": "week", "handover": "09:00", "zone": "UTC", "start": "2026-01-05", "name": "",
        "begins": False, "until": None, "windows": [], **more,
    }  # fmt: skip
    it.db.run(
        "INSERT INTO oncall_schedule (id, workspace_id, key, name, level, layers, problems, path, line) VALUES (%s, %s, %s, %s, 'primary', %s, '[]', 'a.md', 1)",
        key, it.cast.main, f"rota/{key}", name, json.dumps([layer]),
    )  # fmt: skip
    return key


def group(it: Night, severity: str, route: str = "{}") -> None:
    """A group of alerts that fires."""
    it.db.run(
        "INSERT INTO signals_group (id, workspace_id, source_id, key, title, labels, severity, route, shadow, state, firing, opened_at, changed_at) "
        "VALUES (%s, %s, %s, %s, 'Disk full', '{}', %s, %s, '{}', 'open', 1, wb_now(), wb_now())",
        uuid7(), it.cast.main, it.source.id, str(uuid7()), severity, route,
    )  # fmt: skip


def silence(it: Night, *match: str) -> None:
    from watchbill.signals.silences import create_silence

    with it.cast.acts(it.cast.ada) as by:
        at = now()
        create_silence(
            by=by, workspace_id=it.cast.main, match=match, reason="noise", starts_at=at - timedelta(minutes=1), ends_at=at + timedelta(hours=1)
        )  # fmt: skip


def old_arrival(it: Night) -> None:
    it.db.run(
        "INSERT INTO signals_arrival (source_id, workspace_id, received_at, body) VALUES (%s, %s, wb_now() - interval '10 minutes', '{}')",
        it.source.id, it.cast.main,
    )  # fmt: skip


def late_message(it: Night) -> None:
    it.db.run(
        "UPDATE paging_delivery SET state = 'waiting', priority = 1, due_at = wb_now() - interval '5 minutes' WHERE id = (SELECT id FROM paging_delivery ORDER BY id LIMIT 1)"
    )


def test_a_hub_that_can_page_says_so(cast: Cast, db: Any) -> None:
    with ready(cast, db) as it:
        found = look(cast)
        assert [one for one in found.reasons if one.level == "broken"] == []
        assert found.can_page
        assert set(found.looked) >= {"the channels", "the contacts", "the schedules", "the alerts", "the worker"}
        assert it.rows("SELECT 1 FROM paging_channel WHERE last_problem <> ''") == []


BROKEN: dict[str, tuple[Break, str]] = {
    "no-channel": (lambda it: it.db.run("UPDATE paging_channel SET removed_at = wb_now()"), "No channel is set up"),
    "channel-down": (
        lambda it: it.db.run(
            "UPDATE paging_channel SET last_problem = 'refused', last_problem_at = wb_now() WHERE kind = 'email'"
        ),
        "“Mail” failed",
    ),
    "unreachable": (
        lambda it: it.db.run("DELETE FROM people_contact_method WHERE person_id = %s", it.cast.apo),
        "1 person whom the live handbook pages cannot be reached: Apo Approver.",
    ),
    "unbound-name": (
        lambda it: it.db.run(
            "UPDATE paging_policy SET otherwise = %s WHERE key = (SELECT min(key) FROM paging_policy)",
            json.dumps([{"kind": "none", "id": "", "said": "Night Captain", "reason": "“Night Captain” is not bound"}]),
        ),
        "1 name of the live handbook means nobody: Night Captain.",
    ),
    "empty-schedule": (lambda it: schedule(it, "Empty rota", []), "Nobody takes turns in Empty rota."),
    "gap-now": (
        lambda it: schedule(it, "Web on-call", [it.cast.edo], until="2026-02-01"),
        "Nobody is on call in Web on-call for the next 7 days.",
    ),
    "no-route": (
        lambda it: it.db.run(
            "WITH r AS (DELETE FROM signals_route) DELETE FROM people_contact_method WHERE person_id = %s", it.cast.ada
        ),
        "No route pages anybody, and none of the admins can be reached",
    ),
    "unrouted": (
        lambda it: (group(it, "critical"), it.db.run("UPDATE signals_group SET opened_at = wb_now() - interval '3 minutes'")),
        "1 critical alert fires and pages nobody; nobody was paged about it instead.",
    ),
    "silenced-all": (
        lambda it: silence(it, 'severity=~".+"'),
        "A silence holds back every alert",
    ),
    "no-worker": (
        lambda it: it.db.run("UPDATE runtime_heartbeat SET at = wb_now() - interval '5 minutes'"),
        "No worker has given a sign of life for 5 min",
    ),
    "lag": (old_arrival, "1 arrival has waited "),
    "late-deliveries": (late_message, "1 message has been due for up to 5 min."),
    "test-failed": (
        lambda it: it.db.run(
            "WITH d AS (UPDATE paging_delivery SET state = 'failed') UPDATE paging_channel SET last_ok_at = NULL"
        ),
        "reached nobody",
    ),
}  # fmt: skip


@pytest.mark.parametrize("code", BROKEN)
def test_each_reason_that_keeps_it_from_paging_is_named_with_true_counts(cast: Cast, db: Any, code: str) -> None:
    with ready(cast, db) as it:
        assert told(cast, code) == []
        breaks, words = BROKEN[code]
        breaks(it)
        found = look(cast)
        reasons = [one for one in found.reasons if one.code == code]
        assert [one.level for one in reasons] == ["broken"]
        assert words in reasons[0].text
        assert reasons[0].fix
        assert reasons[0].url.startswith("/w/main/")
        assert signed_in(cast.ada).get(reasons[0].url).status_code == 200, "where it is put right"
        assert not found.can_page


def resolved_by_hand(it: Night) -> None:
    from watchbill.incidents.commands import resolve
    from watchbill.incidents.models import Incident

    it.fire()
    with it.cast.acts(it.cast.edo) as by:
        resolve(by=by, workspace_id=it.cast.main, incident_id=Incident.objects.get().id)


WARNINGS: dict[str, tuple[Break, str, str]] = {
    "unverified": (
        lambda it: it.db.run("UPDATE people_contact_method SET verified_at = NULL WHERE person_id = %s", it.cast.apo),
        "warning",
        "1 person is paged by contacts that nobody verified: Apo Approver.",
    ),
    "invalid-phone": (
        lambda it: it.db.run("UPDATE people_contact_method SET value = '+4412' WHERE kind = 'phone' AND person_id = %s", it.cast.apo),
        "warning",
        "1 person has a phone number that is not valid: Apo Approver.",
    ),
    "gap-soon": (
        lambda it: schedule(
            it, "Web on-call", [it.cast.edo], until=(now_text(it, 3)),
        ),
        "warning",
        "1 gap in the next 7 days in Web on-call",
    ),
    "severity-without-route": (
        lambda it: it.db.run("UPDATE signals_route SET severity = 'Sev0'"),
        "warning",
        "of the handbook are given by no route: Sev1",
    ),
    "resolved-firing": (resolved_by_hand, "warning", "1 incident is resolved, and its alerts still fire: INC-1."),
    "no-sender": (
        lambda it: it.db.run("UPDATE signals_source SET revoked_at = wb_now()"),
        "warning",
        "No integration takes alerts in",
    ),
    "sender-clock": (
        lambda it: it.db.run("UPDATE signals_source SET last_problem_at = wb_now(), last_problem = %s", words_of_clock(timedelta(minutes=-10))),
        "warning",
        "clock is about 10 min behind",
    ),
    "unusable-message": (
        lambda it: it.db.run(
            "INSERT INTO signals_arrival (source_id, workspace_id, received_at, body, problem) "
            "SELECT id, workspace_id, wb_now(), '', 'This is no JSON.' FROM signals_source LIMIT 1"
        ),
        "warning",
        "1 message of the last 24 hours could not be used",
    ),
    "silenced": (lambda it: silence(it, 'service="web"'), "note", "1 silence holds alerts back now."),
    "unrouted-quiet": (lambda it: group(it, "info"), "note", "1 alert fires without a route"),
    "never-tested": (
        lambda it: it.db.run("UPDATE paging_page SET subject_kind = 'other' WHERE subject_kind = 'test'"),
        "warning",
        "Nobody has tested",
    ),
    "test-old": (
        lambda it: it.db.run("UPDATE paging_page SET started_at = started_at - interval '40 days'"),
        "warning",
        "is 40 days old",
    ),
}  # fmt: skip


def test_an_integration_that_only_carries_answers_sends_no_alerts(cast: Cast, db: Any) -> None:
    from watchbill.signals.commands import create_source

    with ready(cast, db):
        db.run("UPDATE signals_source SET revoked_at = wb_now()")
        for protocol, counts in (("slack", 1), ("twilio", 1), ("healthchecks", 0)):
            with cast.acts(cast.ada) as by:
                create_source(by=by, workspace_id=cast.main, protocol=protocol, name=protocol)
            assert len(told(cast, "no-sender")) == counts, protocol


def now_text(it: Night, days: int) -> str:
    ((found,),) = it.rows("SELECT to_char(wb_now() + %s * interval '1 day', 'YYYY-MM-DD')", days)
    return str(found)


@pytest.mark.parametrize("code", WARNINGS)
def test_each_reason_that_may_come_to_it_is_named_and_does_not_say_no(cast: Cast, db: Any, code: str) -> None:
    with ready(cast, db) as it:
        assert told(cast, code) == []
        breaks, level, words = WARNINGS[code]
        breaks(it)
        (reason,) = told(cast, code)
        assert reason.level == level
        assert words in reason.text
        assert look(cast).can_page


def test_every_code_is_tested_here_or_named_as_hard_to_make(cast: Cast) -> None:
    assert set(BROKEN) | set(WARNINGS) | {"could-not-look"} == set(CODES)


def test_the_documentation_has_every_code_in_its_table() -> None:
    table = dict(
        line.strip("| \n").split(" | ", 1)
        for line in (ROOT / "docs" / "paging.md").read_text("utf-8").splitlines()
        if line.startswith("| `") and line.split("`")[1] in CODES
    )
    assert {code.strip("`"): words for code, words in table.items()} == CODES


@pytest.mark.parametrize("name", sorted(_LOOKS))
def test_a_look_that_fails_is_a_reason_and_the_others_go_on(
    cast: Cast, db: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    def fails(place: object) -> list[Reason]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM no_such_table")
        return []

    with ready(cast, db):
        whole = look(cast)
        monkeypatch.setitem(_LOOKS, name, replace(_LOOKS[name], look=fails))
        found = look(cast)
        (reason,) = [one for one in found.reasons if one.code == "could-not-look"]
        assert (reason.level, reason.text) == ("broken", f"Could not look at {name}: ProgrammingError.")
        assert not found.can_page
        assert found.looked == whole.looked, "the others were looked at"


def test_the_number_of_queries_does_not_grow(cast: Cast, db: Any) -> None:
    with ready(cast, db) as it, cast.acts(cast.edo):
        at = now()
        group(it, "critical")
        with CaptureQueriesContext(connection) as few:
            ability(cast.main, at)
        for number in range(12):
            schedule(it, f"Rota {number}", [cast.edo])
            group(it, "critical")
            group(it, "warning")
        with CaptureQueriesContext(connection) as many:
            ability(cast.main, at)
        assert len(few) == len(many)
        assert len(many) < 60


def test_a_gap_that_others_of_the_step_stand_in_for_is_a_warning(cast: Cast, db: Any) -> None:
    with ready(cast, db) as it:
        key = schedule(it, "Day rota", [cast.edo], until="2026-02-01")
        step = {"kind": "schedule", "id": str(key), "name": "Day rota", "why": "x"}
        edo = {"kind": "person", "id": str(cast.edo), "name": "Edo", "why": "x"}
        steps = [{"after": 0, "targets": [step, edo]}]
        db.run(
            "UPDATE paging_policy SET steps = %s WHERE key = (SELECT min(key) FROM paging_policy)", json.dumps(steps)
        )
        (reason,) = told(cast, "gap-now")
        assert (reason.level, "others of the same step" in reason.text) == ("warning", True)
        db.run(
            "UPDATE paging_policy SET steps = %s WHERE key = (SELECT min(key) FROM paging_policy)",
            json.dumps([{"after": 0, "targets": [step]}]),
        )
        (reason,) = told(cast, "gap-now")
        assert reason.level == "broken"


def test_a_message_that_can_wait_is_late_later(cast: Cast, db: Any) -> None:
    with ready(cast, db) as it:
        late_message(it)
        db.run("UPDATE paging_delivery SET priority = 2")
        assert told(cast, "late-deliveries") == []
        db.run("UPDATE paging_delivery SET due_at = due_at - interval '6 minutes' WHERE state = 'waiting'")
        assert len(told(cast, "late-deliveries")) == 1


def test_a_turn_of_somebody_who_left_is_a_gap(cast: Cast, db: Any) -> None:
    with ready(cast, db) as it:
        schedule(it, "Web on-call", [cast.vera])
        assert told(cast, "gap-now") == []
        db.run("UPDATE people_membership SET ended_at = wb_now() WHERE person_id = %s", cast.vera)
        assert len(told(cast, "gap-now")) == 1


def test_a_second_channel_of_a_kind_makes_a_dead_one_a_warning(cast: Cast, db: Any) -> None:
    from watchbill.paging.setup import set_channel

    with ready(cast, db) as it:
        with cast.acts(cast.ada) as by:
            set_channel(by=by, workspace_id=cast.main, kind="email", name="Spare", config=it.mail.config())
        db.run("UPDATE paging_channel SET last_problem = 'refused', last_problem_at = wb_now() WHERE name = 'Mail'")
        (reason,) = told(cast, "channel-down")
        assert (reason.level, "stands in" in reason.text) == ("warning", True)


def test_a_member_of_a_team_who_cannot_be_reached_is_a_warning_while_others_hear(cast: Cast, db: Any) -> None:
    with ready(cast, db):
        from watchbill.people.teams import add_team_member, create_team

        with cast.acts(cast.ada) as by:
            team = create_team(by=by, workspace_id=cast.main, name="Web")
            for who in (cast.edo, cast.vera):
                add_team_member(by=by, workspace_id=cast.main, team_id=team.id, person_id=who)
        db.run("DELETE FROM people_contact_method WHERE person_id = %s", cast.vera)
        target = {"kind": "team", "id": str(team.id), "name": "Web", "why": "x"}
        db.run(
            "UPDATE paging_policy SET steps = %s WHERE key = (SELECT min(key) FROM paging_policy)",
            json.dumps([{"after": 0, "targets": [target]}]),
        )
        (reason,) = told(cast, "unreachable")
        assert reason.level == "warning"


def test_alerts_that_page_nobody_are_counted_by_severity(cast: Cast, db: Any) -> None:
    with ready(cast, db) as it:
        for severity in ("critical", "critical", "warning", "", "info", "none", "debug", "INFO"):
            group(it, severity)
        group(it, "critical", json.dumps({"name": "a decision", "pages": "nobody"}))
        (loud,) = told(cast, "unrouted")
        assert (
            loud.text
            == "4 alerts (2 critical, 1 without a severity, 1 warning) fire and page nobody; the admins are paged instead."
        )
        (quiet,) = told(cast, "unrouted-quiet")
        assert quiet.text.startswith("4 alerts fire without a route")


def test_a_demo_says_that_it_is_one_and_a_stranger_sees_nothing(cast: Cast, db: Any) -> None:
    with ready(cast, db) as it:
        schedule(it, "Empty rota", [])
        db.run("UPDATE people_workspace SET demo = true WHERE id = %s", cast.main)
        found = look(cast)
        assert found.demo
        assert not found.can_page
        assert found.broken == [], "nothing leaves a demo anyway"
        assert [one.code for one in found.warnings if one.code == "empty-schedule"] == ["empty-schedule"]
        assert api(cast.token(cast.edo)).get("/api/v1/workspaces/main/ability").json()["can_page"] == "demo"
        assert api(cast.token(cast.sam)).get("/api/v1/workspaces/main/ability").status_code == 404


def test_the_api_says_it_and_needs_the_permission(cast: Cast, db: Any) -> None:
    with ready(cast, db) as it:
        answer = api(cast.token(cast.vera)).get("/api/v1/workspaces/main/ability").json()
        assert answer["can_page"] == "yes"
        group(it, "critical")
        answer = api(cast.token(cast.vera)).get("/api/v1/workspaces/main/ability").json()
        assert answer["can_page"] == "yes"
        assert (answer["reasons"][0]["code"], answer["reasons"][0]["level"]) == ("unrouted", "alarm")
        assert "example.org" not in json.dumps(answer), "never an address"
        narrow = cast.token(cast.vera, scopes=["workspace.read"])
        assert api(narrow).get("/api/v1/workspaces/main/ability").status_code == 403


def test_the_hubs_own_workspace_looks_at_what_concerns_it(cast: Cast, db: Any) -> None:
    with ready(cast, db), cast.acts(cast.hob):
        found = ability(HUB, now())
        assert found.looked
        assert not {"the channels", "the routes"} & set(found.looked)
        assert found.can_page


def test_the_worker_sees_the_same(cast: Cast, db: Any) -> None:
    with ready(cast, db) as it:
        group(it, "critical")
        mine = look(cast)
        with as_worker():
            found = ability(cast.main, mine.at)
        assert found == mine
