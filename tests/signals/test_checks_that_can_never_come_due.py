"""Checks whose cron line can never come due: refused when made, stopped where stored, shown and told; and schedules can be edited."""

import importlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.apps import apps

from tests.cast import Cast, as_worker, signed_in
from tests.intake.test_other_senders_are_understood import groups, ping, source, swept
from watchbill.base.errors import Denied, Invalid, NotFound
from watchbill.facts.publish import deliver_one
from watchbill.intake.adapters import ADAPTERS
from watchbill.signals.checks import create_check, due_at, edit_check, remove_check
from watchbill.signals.commands import take_in
from watchbill.signals.models import Check, Source

IMPOSSIBLE = [
    "0 0 30 2 *",
    "0 0 31 4 *",
    "R R * * *",
    "0 0 31 2,4,6,9,11 *",
    "0 0 29 2 */7",
    "nonsense",
    "0 0 * * * *",
    "60 * * * *",
]


@pytest.fixture
def jobs(cast: Cast) -> Source:
    return source(cast, "healthchecks")


def made(cast: Cast, of: Source, **more: Any) -> Check:
    with cast.acts(cast.ada) as by:
        return create_check(by=by, workspace_id=cast.main, source_id=of.id, **{"name": "Nightly", "grace": 60, **more})


def stored(cast: Cast, db: Any, of: Source, line: str, name: str = "Nightly") -> Check:
    """A check as the release before this one let people make it, with a ping that waits in the inbox."""
    check = made(cast, of, name=name, cron="0 3 * * *")
    db.run("UPDATE signals_check SET cron = %s WHERE id = %s", line, check.id)
    check.cron = line
    return check


def migrated() -> None:
    """What the migration does to what is stored."""
    with as_worker():
        importlib.import_module("watchbill.signals.migrations.0007_stopped_checks").stop(apps, None)


def delivered() -> None:
    """The worker delivers what is to be told."""
    with as_worker():
        while deliver_one():
            pass


@pytest.mark.parametrize("line", IMPOSSIBLE)
def test_a_line_that_can_never_come_due_is_refused_with_the_reason(cast: Cast, jobs: Source, line: str) -> None:
    with pytest.raises(Invalid) as raised:
        made(cast, jobs, cron=line)
    assert raised.value.field == "cron"
    assert line[:60] in raised.value.detail
    check = made(cast, jobs, cron="0 3 * * *")
    with cast.acts(cast.ada) as by, pytest.raises(Invalid):
        edit_check(by=by, workspace_id=cast.main, check_id=check.id, cron=line)


def test_a_step_that_means_another_thing_is_refused_for_a_check(cast: Cast, jobs: Source) -> None:
    with pytest.raises(Invalid, match="once an hour") as raised:
        made(cast, jobs, cron="*/90 * * * *")
    assert raised.value.field == "cron"


def test_an_alias_is_kept_as_what_it_means(cast: Cast, jobs: Source) -> None:
    assert made(cast, jobs, cron=" @daily ").cron == "0 0 * * *"
    assert made(cast, jobs, name="Leap day", cron="0 0 29 2 *").cron == "0 0 29 2 *"


@pytest.mark.parametrize("line", [*IMPOSSIBLE, "\u0661 * * * *", "1" * 3000, "\U0001f4a5"])
def test_what_is_stored_is_stopped_shown_and_told_once(
    cast: Cast, db: Any, clock: Any, jobs: Source, line: str
) -> None:
    check, other = stored(cast, db, jobs, line), made(cast, jobs, name="Hourly", cron="0 * * * *")
    db.run(
        "UPDATE signals_check SET next_at = wb_now() - interval '1 hour', last_ping_at = wb_now() WHERE id = %s",
        check.id,
    )
    migrated()
    assert db.run("SELECT next_at, problem <> '' FROM signals_check WHERE id = %s", check.id) == [(None, True)]
    assert db.run("SELECT problem FROM signals_check WHERE id = %s", other.id) == [("",)]
    page = signed_in(cast.ada).get("/w/main/integrations").content.decode()
    assert "stopped" in page
    assert "This schedule can never come due" in page
    told = signed_in(cast.ada).get(f"/api/v1/workspaces/main/integrations/{jobs.id}/checks").json()["items"]
    assert [(one["state"], bool(one["problem"]), one["due_at"]) for one in told if one["name"] == "Nightly"] == [
        ("stopped", True, None)
    ]
    for _ in range(3):
        assert swept() >= 0
        delivered()
    assert groups(db) == [], "it is not missing: nobody knows when it would be"
    pages = db.run("SELECT title, policy->'steps'->0->'targets' FROM paging_page")
    assert [title for title, _ in pages] == ["The check “Nightly” is stopped: its schedule can never come due"]
    assert [target["id"] for target in pages[0][1]] == [str(cast.ada)], "the admins"


@pytest.mark.parametrize("line", IMPOSSIBLE)
def test_a_ping_to_it_is_kept_and_holds_up_nobody(cast: Cast, db: Any, jobs: Source, line: str) -> None:
    check = stored(cast, db, jobs, line)
    ping(db, jobs, check, body=b"42 files")
    ping(db, jobs, check, "/start")
    ping(db, jobs, check, "/fail")
    assert db.run("SELECT count(*) FROM signals_arrival") == [(0,)]
    assert db.run("SELECT action, body FROM signals_ping ORDER BY id") == [
        ("success", b"42 files"),
        ("start", b""),
        ("fail", b""),
    ]
    assert groups(db) == [("Nightly", "open")], "a failure is one, whatever the schedule"
    assert db.run("SELECT problem <> '' FROM signals_check") == [(True,)], "found without the migration, too"


def test_a_zone_that_is_gone_stops_a_check_and_nothing_else(cast: Cast, db: Any, jobs: Source) -> None:
    check = made(cast, jobs, cron="0 3 * * *")
    db.run("UPDATE signals_check SET zone = 'Mars/Olympus'")
    ping(db, jobs, check)
    assert db.run("SELECT problem FROM signals_check") == [("The time zone “Mars/Olympus” is unknown.",)]
    assert due_at(Check.objects.model(last_ping_at=datetime.now(UTC), cron="0 3 * * *", zone="../etc")) is None


def test_a_schedule_is_edited_and_counts_from_then_on(cast: Cast, db: Any, clock: Any, jobs: Source) -> None:
    check = stored(cast, db, jobs, "0 0 30 2 *")
    ping(db, jobs, check)
    swept()
    delivered()
    clock.forward(days=3)
    with cast.acts(cast.ada) as by:
        edited = edit_check(by=by, workspace_id=cast.main, check_id=check.id, cron="", period=3600, grace=600)
        at = clock.now()
    assert (edited.problem, edited.shown_state) == ("", "up")
    due = due_at(edited)
    assert due is not None
    assert timedelta(minutes=59) < due - at < timedelta(minutes=61), "not three days ago"
    delivered()
    assert db.run("SELECT state FROM paging_page") == [("ended",)], "nothing is left to tell"
    assert swept() == 0
    clock.forward(minutes=71)
    assert swept() == 1
    assert groups(db) == [("Nightly", "open")]
    ping(db, jobs, check)
    assert groups(db) == [("Nightly", "resolved")]
    actions = [row[0] for row in db.run("SELECT action FROM ledger_entry ORDER BY id")]
    assert "check.edit" in actions


def test_who_may_edit(cast: Cast, jobs: Source) -> None:
    check = made(cast, jobs)
    with cast.acts(cast.vera) as by, pytest.raises(Denied):
        edit_check(by=by, workspace_id=cast.main, check_id=check.id, period=3600)
    with cast.acts(cast.ada) as by:
        remove_check(by=by, workspace_id=cast.main, check_id=check.id)
        with pytest.raises(NotFound):
            edit_check(by=by, workspace_id=cast.main, check_id=check.id, period=3600)


def test_forms_and_the_api_edit_and_refuse(cast: Cast, db: Any, jobs: Source) -> None:
    check = made(cast, jobs, grace=90)
    ada = signed_in(cast.ada)
    page = ada.get("/w/main/integrations").content.decode()
    assert 'value="1.5"' in page, "ninety seconds stay ninety seconds"
    form = {
        "do": "recheck",
        "check": str(check.id),
        "period": "1440",
        "grace": "1.5",
        "zone": "Europe/Berlin",
        "severity": "critical",
    }
    assert ada.post("/w/main/integrations", {**form, "cron": "30 2 * * *"}).status_code == 302
    assert db.run("SELECT cron, zone, grace, severity FROM signals_check") == [
        ("30 2 * * *", "Europe/Berlin", 90, "critical")
    ]
    for line in IMPOSSIBLE:
        answer = ada.post("/w/main/integrations", {**form, "cron": line})
        assert answer.status_code == 422
        assert line[:20].replace("*", "*") in answer.content.decode()
    where = f"/api/v1/workspaces/main/checks/{check.id}"
    answer = ada.patch(where, json.dumps({"cron": "0 0 31 4 *"}), content_type="application/json")
    assert (answer.status_code, "can never come due" in answer.json()["detail"]) == (422, True)
    answer = ada.patch(where, json.dumps({"cron": "@hourly"}), content_type="application/json")
    assert (answer.status_code, answer.json()["cron"], answer.json()["zone"]) == (200, "0 * * * *", "Europe/Berlin")


@pytest.mark.parametrize(
    "body",
    [b"[]", b"7", b"null", b"{}", b'"x"', b'{"key":7,"slug":[],"action":null}', b'{"slug":"a","action":"","body":"!","run":"","method":"","agent":"","size":1}',
     b'{"slug":"a","create":true,"action":"","body":"","run":"","method":"","agent":"","size":"many"}', b'{"slug":"a","action":"9999999999999999999999","body":""}'],
)  # fmt: skip
def test_what_is_no_ping_stays_with_its_reason(cast: Cast, db: Any, jobs: Source, body: bytes) -> None:
    check = made(cast, jobs)
    db.run(
        "INSERT INTO signals_arrival (source_id, workspace_id, received_at, body) VALUES (%s, %s, wb_now(), %s)", jobs.id, jobs.workspace_id, body
    )  # fmt: skip
    ping(db, jobs, check)
    assert db.run("SELECT count(*) FROM signals_ping") == [(1,)], "the next one is taken"
    with as_worker():
        assert take_in(ADAPTERS) == 0
    assert db.run("SELECT count(*) FROM signals_arrival WHERE problem IS NOT NULL") == [(1,)]
