"""Everything that can be done with an incident, who may, and what its clocks do."""

import html
from datetime import timedelta
from typing import Any

import pytest

from tests.cast import Cast, api, signed_in
from tests.night import Night, example_files, night
from watchbill.base.errors import Conflict, Denied, Invalid, NotFound
from watchbill.clocks.commands import start
from watchbill.clocks.rules import Policy
from watchbill.incidents import calling, commands, timing
from watchbill.incidents.rules import guide_for, together, whom
from watchbill.paging import commands as paging


def clocks(it: Night) -> dict[str, str]:
    return dict(it.rows("SELECT kind, state FROM clocks_clock WHERE subject_kind = 'incident' ORDER BY id"))


def act(it: Night, who: str, name: str, **more: Any) -> Any:
    incident_id = it.rows("SELECT id FROM incidents_incident ORDER BY id DESC LIMIT 1")[0][0]
    with it.cast.acts(it.person(who)) as by:
        place = next(one for one in (commands, timing, calling) if hasattr(one, name))
        return getattr(place, name)(by=by, workspace_id=it.cast.main, incident_id=incident_id, **more)


def test_every_action_needs_the_permission(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web")
        for name, more in (
            ("acknowledge", {}),
            ("resolve", {}),
            ("escalate", {}),
            ("add_note", {"text": "x"}),
            ("snooze", {"minutes": 5}),
            ("change_severity", {"severity": "Sev2"}),
            ("wait", {"reason": "x"}),
            ("go_on", {}),
            ("call_in", {"target_kind": "person", "target_id": cast.apo}),
        ):
            with pytest.raises(Denied):
                act(it, "vera", name, **more)


def test_another_severity_reckons_the_clocks_anew_from_the_opening(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web")
        opened, due = it.rows("SELECT started_at, due_at FROM clocks_clock WHERE kind = 'acknowledge'")[0]
        assert due - opened == timedelta(minutes=30)
        clock.forward(minutes=10)
        act(it, "edo", "change_severity", severity="Sev2")
        assert it.rows("SELECT started_at, due_at - started_at FROM clocks_clock WHERE kind = 'acknowledge'") == [
            (opened, timedelta(hours=2))
        ]
        with pytest.raises(Conflict):
            act(it, "edo", "change_severity", severity="Sev2")
        with pytest.raises(Invalid):
            act(it, "edo", "change_severity", severity="Sev9")


def test_a_worse_severity_with_all_hands_pages_them_now(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web")
        act(it, "edo", "acknowledge")
        it.run()
        act(it, "edo", "change_severity", severity="Sev0")
        it.run()
        assert it.incident() == ("open", "Sev0")
        assert len({target for step, target, *_ in it.told() if step == 1}) >= 4
        assert clocks(it)["brief"] == "running" if "brief" in clocks(it) else True


def test_an_acknowledgement_after_the_deadline_stays_late_with_its_time(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web")
        clock.forward(minutes=31)
        it.run()
        act(it, "edo", "acknowledge")
        assert it.rows("SELECT state, met_at IS NOT NULL FROM clocks_clock WHERE kind = 'acknowledge'") == [
            ("breached", True)
        ]
        said = [row[0] for row in it.rows("SELECT text FROM incidents_event WHERE what = 'late'")]
        assert said == ["the time to acknowledge is over"]


def test_executives_who_were_not_briefed_in_time_hear_of_it(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire()
        assert clocks(it)["brief"] == "running"
        act(it, "edo", "acknowledge")
        clock.forward(minutes=61)
        it.run()
        assert any(
            "You were not briefed about INC-1" in str(message["Subject"])
            for to, message in it.mail.got
            if to == "ada@example.org"
        )
        act(it, "edo", "briefed")
        assert clocks(it)["brief"] == "breached", "late stays late"
        with pytest.raises(Conflict):
            act(it, "edo", "briefed")


def test_snoozed_it_rests_and_then_pages_again(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web")
        act(it, "edo", "snooze", minutes=60)
        before = len(it.mail.to("edo@example.org"))
        clock.forward(minutes=59)
        it.run()
        assert len(it.mail.to("edo@example.org")) == before
        clock.forward(minutes=2)
        it.run()
        assert it.incident()[0] == "open"
        assert len(it.mail.to("edo@example.org")) == before + 1
        with pytest.raises(Invalid):
            act(it, "edo", "snooze", minutes=0)


def test_while_it_waits_for_others_its_time_stands_still_and_updates_stay_due(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web")
        with pytest.raises(Conflict, match="Nobody acknowledged"):
            act(it, "edo", "wait", reason="the vendor")
        act(it, "edo", "acknowledge")
        with it.cast.acts(it.cast.edo) as by:
            incident_id = it.rows("SELECT id FROM incidents_incident")[0][0]
            start(
                by=by,
                workspace_id=it.cast.main,
                subject=("incident", incident_id),
                kind="resolve",
                policy=Policy("PT4H"),
            )
        with pytest.raises(Invalid):
            act(it, "edo", "wait", reason=" ")
        browser = signed_in(cast.edo)
        assert "Pause its clocks" in browser.get("/w/main/incidents/1").content.decode()
        assert browser.post("/w/main/incidents/1", {"do": "wait", "text": "the  vendor's fix"}).status_code == 302
        reads = html.unescape(browser.get("/w/main/incidents/1").content.decode())
        assert "it waits for something: the vendor's fix." in reads
        assert "Go on" in reads
        assert "Pause its clocks" not in reads
        assert "waits for something" in browser.get("/w/main/incidents").content.decode()
        assert clocks(it)["resolve"] == "paused"
        with pytest.raises(Conflict, match="waits already"):
            act(it, "edo", "wait", reason="again")
        clock.forward(hours=9)
        it.run()
        assert clocks(it)["resolve"] == "paused", "nobody is late while it waits"
        act(it, "edo", "go_on")
        ((due,),) = it.rows("SELECT due_at - wb_now() FROM clocks_clock WHERE kind = 'resolve'")
        assert clocks(it)["resolve"] == "running"
        assert timedelta(hours=3, minutes=59) < due <= timedelta(hours=4)
        with pytest.raises(Conflict, match="does not wait"):
            act(it, "edo", "go_on")
        act(it, "edo", "wait", reason="the vendor")
        act(it, "edo", "change_severity", severity="Sev2")
        assert it.rows("SELECT waiting_for FROM incidents_incident") == [("",)], (
            "another severity reckons its clocks anew"
        )
        act(it, "edo", "resolve")
        assert it.rows("SELECT count(*) FROM clocks_clock WHERE state = 'paused'") == [(0,)]


def test_an_expert_is_called_in_comes_and_is_let_go_at_the_end(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web")
        act(it, "edo", "acknowledge")
        it.run()
        it.mail.got.clear()
        act(it, "edo", "call_in", target_kind="person", target_id=cast.apo, reason="the ledger's numbers")
        it.run()
        ((_, letter), *_) = it.mail.got
        assert "Edo Editor calls you in" in str(letter["subject"])
        page = it.rows("SELECT id FROM paging_page WHERE subject_kind = 'call'")[0][0]
        with cast.acts(cast.apo) as by:
            paging.acknowledge(by=by, workspace_id=cast.main, page_id=page)
        it.run()
        lines = [tuple(row) for row in it.rows("SELECT what, about->>'name', text FROM incidents_event ORDER BY id")]
        assert ("called in", "Apo Approver", "the ledger's numbers") in lines
        assert lines[-1][0] == "comes"
        told = api(cast.token(cast.edo)).get("/api/v1/workspaces/main/incidents/1").json()
        assert [(one["name"], one["reason"], one["state"]) for one in told["calls"]] == [
            ("Apo Approver", "the ledger's numbers", "coming")
        ]
        act(it, "edo", "resolve")
        assert it.rows("SELECT state FROM paging_page WHERE subject_kind = 'call'") == [("ended",)]
        with pytest.raises(Conflict):
            act(it, "edo", "call_in", target_kind="person", target_id=cast.apo)


def test_where_nobody_who_was_called_in_answers_whoever_asked_hears_so(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web")
        act(it, "edo", "acknowledge")
        it.run()
        contact = it.rows("SELECT id FROM paging_policy WHERE name = 'Ledger Engineering Lead'")[0][0]
        with pytest.raises(NotFound):
            act(it, "edo", "call_in", target_kind="policy", target_id=cast.main)
        with pytest.raises(NotFound):
            act(it, "edo", "call_in", target_kind="person", target_id=cast.sam)
        act(it, "edo", "call_in", target_kind="person", target_id=cast.apo)
        act(it, "edo", "call_in", target_kind="policy", target_id=contact)
        it.run()
        assert {row[0] for row in it.rows("SELECT d.target FROM paging_delivery d JOIN paging_page p ON p.id = d.page_id WHERE p.subject_kind = 'call'")} == {"Apo Approver"}  # fmt: skip
        it.mail.got.clear()
        clock.forward(minutes=6)
        it.run()
        assert ("called in, and did not answer",) in it.rows(
            "SELECT text FROM incidents_event WHERE what = 'no answer'"
        ), "the page went out to them"
        assert it.rows("SELECT DISTINCT d.target FROM paging_delivery d JOIN paging_page p ON p.id = d.page_id WHERE p.subject_kind = 'call' AND d.step = 0 ORDER BY 1")[0] in [("Edo Editor",), ("Ada Admin",)]  # fmt: skip
        reads = signed_in(cast.edo).get("/w/main/incidents/1").content.decode()
        assert "no answer" in reads
        assert "not reached" not in reads


def test_resolved_it_pages_nobody_and_reopened_it_pages_again(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web")
        act(it, "edo", "resolve", text="Rolled back.")
        clock.forward(hours=1)
        it.run()
        assert len(it.mail.got) == 1
        with pytest.raises(Conflict):
            act(it, "edo", "resolve")
        with pytest.raises(Invalid):
            act(it, "edo", "reopen", reason="")
        act(it, "edo", "reopen", reason="It fails again")
        it.run()
        assert len(it.mail.to("edo@example.org")) == 2
        assert it.rows("SELECT count(*) FROM clocks_clock WHERE kind = 'acknowledge' AND state = 'running'") == [(1,)]


def test_a_note_stands_in_the_timeline_and_an_empty_one_is_refused(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web")
        act(it, "edo", "add_note", text="Vera saw it first.\nLooking at the queue.")
        assert it.rows("SELECT text FROM incidents_event WHERE what = 'note'") == [
            ("Vera saw it first.\nLooking at the queue.",)
        ]
        with pytest.raises(Invalid):
            act(it, "edo", "add_note", text=" \n ")


def test_a_running_incident_keeps_what_it_began_with(cast: Cast, db: Any, clock: Any) -> None:
    from watchbill.handbook.commands import apply_handbook

    with night(cast, db) as it:
        it.set_up().fire(service="web")
        cast.bind("On-Call SRE", "Ledger Engineering Lead", person_id=cast.vera)
        clock.forward(minutes=6)
        it.run()
        assert {target for step, target, *_ in it.told() if step == 2} == {"Apo Approver"}, (
            "steps are stamped when it starts"
        )
        it.fire("Another", service="web")
        assert {target for step, target, *_ in it.told() if step == 1} == {"Vera Viewer"}, (
            "what begins now knows the new binding"
        )
        files, lock, config = example_files()
        with cast.acts(cast.ada) as by:
            apply_handbook(by=by, workspace_id=cast.main, slug="main", files=files, lock=lock, config=config)
        assert it.rows("SELECT count(*) FROM signals_route") == [(4,)], "applied again, not added"


def test_a_declared_incident_pages_as_its_severity_or_as_it_is_told(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        with cast.acts(cast.edo) as by:
            commands.declare_incident(
                by=by, workspace_id=cast.main, title="Customers cannot pay", severity="Sev1", pages="Production"
            )
            with pytest.raises(Invalid):
                commands.declare_incident(by=by, workspace_id=cast.main, title="  ")
            with pytest.raises(Invalid):
                commands.declare_incident(by=by, workspace_id=cast.main, title="x", severity="Sev9")
            with pytest.raises(Invalid, match="no such escalation"):
                commands.declare_incident(by=by, workspace_id=cast.main, title="x", pages="Nonsense")
        it.run()
        assert len(it.mail.to("edo@example.org")) == 1
        page = signed_in(cast.edo).get("/w/main/incidents/1").content.decode()
        assert "whoever declared it chose Production" in page


def test_due_and_the_overview_say_what_an_incident_waits_for(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web")
        browser = signed_in(cast.edo)
        assert "Acknowledge INC-1" in browser.get("/w/main/due").content.decode()
        db.run("INSERT INTO runtime_heartbeat VALUES ('worker@x/1', 'worker', '0', now())")
        assert "1 incident is not acknowledged." in browser.get("/w/main/").content.decode()
        titles = [one["title"] for one in api(cast.token(cast.edo)).get("/api/v1/workspaces/main/due").json()["items"]]
        assert any(title.startswith("Acknowledge INC-1") for title in titles)


def test_a_stranger_sees_nothing_of_it(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web")
        assert signed_in(cast.sam).get("/w/main/incidents/1").status_code == 404
        assert api(cast.token(cast.sam)).get("/api/v1/workspaces/main/incidents/1").status_code == 404


# Rules


GUIDES = [
    ("a", "HighErrorRate", True),
    ("b", "Customers see a high error rate at checkout", False),
    ("c", "Disk is full", False),
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("HighErrorRate", "a"),
        ("high_error_rate", "a"),
        ("CheckoutErrorRate", "b"),
        ("DiskFull", "c"),
        ("SomethingElse", None),
        ("", None),
    ],
)
def test_an_alert_finds_its_runbook_page(name: str, expected: str | None) -> None:
    assert guide_for(name, GUIDES) == expected


def test_the_route_says_whom_before_the_severity() -> None:
    severity = {"name": "Sev1", "pages": ["ladder"], "path": "r.md", "line": 3}
    assert whom({"pages": "The Production", "name": "r", "path": "x.yaml", "line": 1}, severity).names == (
        "production",
    )
    assert whom({"name": "r", "path": "x.yaml", "line": 1}, severity).names == ("ladder",)
    assert whom({}, None).names == ()


def test_all_hands_are_added_once_to_the_first_step() -> None:
    policy = {
        "name": "p",
        "steps": [{"after": 0, "targets": [{"kind": "person", "id": "1", "name": "a"}]}, {"after": 300, "targets": []}],
    }
    everyone = [
        {"kind": "person", "id": "1", "name": "a"},
        {"kind": "person", "id": "2", "name": "b"},
        {"kind": "none", "id": "", "name": "c"},
    ]
    found = together(policy, everyone)
    assert [one["id"] for one in found["steps"][0]["targets"]] == ["1", "2"]
    assert len(policy["steps"][0]["targets"]) == 1, "the handbook's own stays as it is"


def test_whoever_joins_the_team_takes_turns_and_whoever_left_does_not(cast: Cast, db: Any) -> None:
    from watchbill.people import commands as people
    from watchbill.people import teams

    with night(cast, db) as it:
        it.set_up()
        with cast.acts(cast.ada) as by:
            team = teams.create_team(by=by, workspace_id=cast.main, name="SRE")
            teams.add_team_member(by=by, workspace_id=cast.main, team_id=team.id, person_id=cast.edo)
        from watchbill.handbook.bindings import bind_name

        with cast.acts(cast.ada) as by:
            bind_name(by=by, workspace_id=cast.main, name="On-Call SRE", target_kind="team", target_id=team.id)
            teams.add_team_member(by=by, workspace_id=cast.main, team_id=team.id, person_id=cast.apo)
        it.run()
        assert it.rows("SELECT jsonb_array_length(layers->0->'participants') FROM oncall_schedule") == [(2,)]
        with cast.acts(cast.ada) as by:
            people.deactivate_person(by=by, workspace_id=cast.main, person_id=cast.apo)
        it.run()
        assert it.rows("SELECT jsonb_array_length(layers->0->'participants') FROM oncall_schedule") == [(1,)]


def test_a_worker_that_starts_makes_the_live_handbook_run(cast: Cast, db: Any) -> None:
    """Also one that an earlier release applied, which knew of no routes."""
    from tests.cast import as_worker
    from watchbill.handbook.apply import bring_all

    with night(cast, db) as it:
        it.set_up()
        for table in ("signals_route", "paging_policy", "incidents_severity"):
            db.run(f"DELETE FROM {table}")
        with as_worker():
            assert bring_all() == 1
        it.fire(service="web")
        assert it.incident() == ("open", "Sev1")
