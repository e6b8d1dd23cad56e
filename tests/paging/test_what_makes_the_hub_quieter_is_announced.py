"""What one person makes quieter without a second one, the other admins and whoever loses a page hear within a minute, and can undo."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.cast import Cast, as_worker, signed_in
from tests.night import PHONES, Night, night
from tests.paging.test_can_this_hub_page import schedule
from watchbill.base.actor import Actor, system
from watchbill.base.errors import Conflict, Denied
from watchbill.clocks.commands import start
from watchbill.clocks.rules import Policy
from watchbill.ledger.command import CALLS, COMMANDS
from watchbill.oncall.queries import who_is_on
from watchbill.paging.announcements import TOGETHER, access_announcements, sweep, undo
from watchbill.paging.models import Announcement
from watchbill.runtime.now import now


def call(it: Night, by: Actor, command: str, /, **values: Any) -> Any:
    return CALLS[command](by=by, workspace_id=it.cast.main, **values)


def silence(it: Night, by: Actor) -> Any:
    values = {"match": ['service="web"'], "reason": "works", "starts_at": now(), "ends_at": now() + timedelta(hours=1)}
    return call(it, by, "silence.create", **values)


def incident(it: Night) -> UUID:
    it.fire(service="web")
    return it.rows("SELECT id FROM incidents_incident ORDER BY id DESC LIMIT 1")[0][0]  # type: ignore[no-any-return]


def acknowledged(it: Night) -> UUID:
    found = incident(it)
    with it.cast.acts(it.cast.edo) as by:
        call(it, by, "incident.acknowledge", incident_id=found)
        start(
            by=by, workspace_id=it.cast.main, subject=("incident", found), kind="resolve", policy=Policy("PT4H"), started_at=now(),
        )  # fmt: skip
    return found


def check(it: Night, by: Actor) -> Any:
    source, _ = call(it, by, "source.create", protocol="healthchecks", name="Jobs")
    return call(it, by, "check.create", source_id=source.id, name="Nightly")


def channel(it: Night) -> dict[str, Any]:
    return {"kind": "email", "name": "Mail", "config": {**it.mail.config(), "from": "other@example.org"}}


def secret(it: Night) -> UUID:
    return it.rows("SELECT id FROM secrets_secret ORDER BY id LIMIT 1")[0][0]  # type: ignore[no-any-return]


def team(it: Night, by: Actor) -> UUID:
    made = call(it, by, "team.create", name="Team")
    call(it, by, "team.member.add", team_id=made.id, person_id=it.cast.edo)
    return made.id  # type: ignore[no-any-return]


def mail_of(it: Night, who: UUID) -> UUID:
    return it.rows("SELECT id FROM people_contact_method WHERE person_id = %s AND kind = 'email'", who)[0][0]  # type: ignore[no-any-return]


def low(it: Night, by: Actor, found: UUID) -> None:
    call(it, by, "incident.severity", incident_id=found, severity="Sev3")


Before = Callable[[Night, Actor], Any]
Does = Callable[[Night, Actor, Any], Any]
NOTHING: Before = lambda it, by: None  # noqa: E731
#: command → (what is there before, how it makes the hub quieter, who loses a page, what undoes it).
WAYS: dict[str, tuple[Before, Does, list[str], str]] = {
    "channel.set": (NOTHING, lambda it, by, _: call(it, by, "channel.set", **channel(it)), [], "channel.set"),
    "channel.remove": (
        lambda it, by: it.rows("SELECT id FROM paging_channel WHERE name = 'Mail'")[0][0],
        lambda it, by, found: call(it, by, "channel.remove", channel_id=found), [], "",
    ),
    "handbook.bind": (
        NOTHING,
        lambda it, by, _: call(it, by, "handbook.bind", name="On-Call SRE", target_kind="person", target_id=it.cast.vera), ["edo"], "handbook.bind",
    ),
    "handbook.unbind": (NOTHING, lambda it, by, _: call(it, by, "handbook.unbind", name="On-Call SRE"), ["edo"], "handbook.bind"),
    "incident.severity": (lambda it, by: incident(it), low, [], "incident.severity"),
    "incident.wait": (
        lambda it, by: acknowledged(it), lambda it, by, found: call(it, by, "incident.wait", incident_id=found, reason="a vendor"), [], "incident.go_on",
    ),
    "incident.snooze": (
        lambda it, by: incident(it), lambda it, by, found: call(it, by, "incident.snooze", incident_id=found, minutes=60), [], "incident.end_snooze",
    ),
    "incident.resolve": (
        lambda it, by: incident(it), lambda it, by, found: call(it, by, "incident.resolve", incident_id=found), [], "incident.reopen",
    ),
    "silence.create": (NOTHING, lambda it, by, _: silence(it, by), [], "silence.end"),
    "source.rotate": (NOTHING, lambda it, by, _: call(it, by, "source.rotate", source_id=it.source.id), [], ""),
    "source.revoke": (NOTHING, lambda it, by, _: call(it, by, "source.revoke", source_id=it.source.id), [], ""),
    "check.edit": (check, lambda it, by, found: call(it, by, "check.edit", check_id=found.id, grace=86400), [], "check.edit"),
    "check.remove": (check, lambda it, by, found: call(it, by, "check.remove", check_id=found.id), [], ""),
    "secret.replace": (NOTHING, lambda it, by, _: call(it, by, "secret.replace", secret_id=secret(it), value="other"), [], ""),
    "secret.delete": (NOTHING, lambda it, by, _: call(it, by, "secret.delete", secret_id=secret(it)), [], ""),
    "workspace.edit": (NOTHING, lambda it, by, _: call(it, by, "workspace.edit", time_zone="Asia/Tokyo"), [], "workspace.edit"),
    "workspace.demo": (NOTHING, lambda it, by, _: call(it, by, "workspace.demo", demo=True), [], "workspace.demo"),
    "person.deactivate": (NOTHING, lambda it, by, _: call(it, by, "person.deactivate", person_id=it.cast.edo), ["edo"], "person.reactivate"),
    "person.remove": (NOTHING, lambda it, by, _: call(it, by, "person.remove", person_id=it.cast.edo), ["edo"], ""),
    "person.erase": (NOTHING, lambda it, by, _: call(it, by, "person.erase", person_id=it.cast.edo), [], ""),
    "role.grant": (NOTHING, lambda it, by, _: call(it, by, "role.grant", person_id=it.cast.vera, role="editor"), [], "role.revoke"),
    "role.revoke": (NOTHING, lambda it, by, _: call(it, by, "role.revoke", person_id=it.cast.edo, role="editor"), ["edo"], "role.grant"),
    "role.group.map": (NOTHING, lambda it, by, _: call(it, by, "role.group.map", group="sre", role="admin"), [], "role.group.unmap"),
    "role.group.unmap": (
        lambda it, by: call(it, by, "role.group.map", group="sre", role="admin"),
        lambda it, by, found: call(it, by, "role.group.unmap", mapping_id=found.id), [], "role.group.map",
    ),
    "team.member.remove": (
        team, lambda it, by, found: call(it, by, "team.member.remove", team_id=found, person_id=it.cast.edo), ["edo"], "team.member.add",
    ),
    "person.contact.remove": (
        NOTHING, lambda it, by, _: call(it, by, "person.contact.remove", person_id=it.cast.edo, contact_id=mail_of(it, it.cast.edo)), ["edo"], "",
    ),
}  # fmt: skip
#: Told by tests of their own, on a schedule.
ON_A_SCHEDULE = {"oncall.override", "oncall.override.end"}


def test_every_command_that_is_announced_is_tried() -> None:
    declared = {name for name, info in COMMANDS.items() if info.quieter.guard == "announced"}
    assert declared == set(WAYS) | ON_A_SCHEDULE


def announced(it: Night) -> list[Announcement]:
    with as_worker():
        return list(Announcement.objects.order_by("at", "id"))


@pytest.mark.parametrize("name", WAYS)
def test_it_is_kept_with_who_loses_a_page_and_what_undoes_it(cast: Cast, db: Any, name: str) -> None:
    before, does, loses, back = WAYS[name]
    with night(cast, db) as it:
        it.set_up()
        with cast.acts(cast.ada) as by:
            found = before(it, by)
        assert [one for one in announced(it) if one.command == name] == []
        with cast.acts(cast.ada) as by:
            does(it, by, found)
        (row,) = [one for one in announced(it) if one.command == name]
        assert row.by == cast.ada
        assert row.loses == [it.person(one) for one in loses]
        assert row.undo.get("command", "") == back
        with cast.acts(cast.ada) as by:
            shown = access_announcements(by, cast.main)[0]
            assert "{" not in shown.words.replace("{{", "")
            if back:
                undo(by=by, workspace_id=cast.main, announcement_id=row.id)
        if back:
            with cast.acts(cast.ada) as by, pytest.raises(Conflict):
                undo(by=by, workspace_id=cast.main, announcement_id=row.id)


LOUDER: dict[str, Callable[[Night, Actor], Any]] = {
    "a new channel": lambda it, by: call(it, by, "channel.set", **{**channel(it), "name": "Second"}),
    "the same settings": lambda it, by: call(it, by, "channel.set", kind="email", name="Mail", config=it.mail.config()),
    "a name that meant nobody": lambda it, by: call(
        it, by, "handbook.bind", name="Somebody new", target_kind="person", target_id=it.cast.vera
    ),
    "the same binding": lambda it, by: call(
        it, by, "handbook.bind", name="On-Call SRE", target_kind="person", target_id=it.cast.edo
    ),
    "another name of the workspace": lambda it, by: call(it, by, "workspace.edit", name="Other name"),
    "a second factor": lambda it, by: call(it, by, "workspace.edit", require_mfa=True),
    "a viewer": lambda it, by: call(it, by, "role.grant", person_id=it.cast.edo, role="viewer"),
    "one's own contact": lambda it, by: call(
        it, by, "person.contact.remove", person_id=it.cast.ada, contact_id=mail_of(it, it.cast.ada)
    ),
}


@pytest.mark.parametrize("case", LOUDER)
def test_what_makes_nothing_quieter_is_not_announced(cast: Cast, db: Any, case: str) -> None:
    with night(cast, db) as it:
        it.set_up()
        with cast.acts(cast.ada) as by:
            LOUDER[case](it, by)
        assert announced(it) == []


def test_whoever_loses_a_shift_hears_of_it(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        key = schedule(it.set_up(), "Platform", [cast.edo])
        span = {"starts_at": now(), "ends_at": now() + timedelta(hours=8)}
        with cast.acts(cast.ada) as by:
            same = call(it, by, "oncall.override", schedule_id=key, person_id=cast.edo, **span)
            assert Announcement.objects.count() == 0, "Edo is on call anyway"
            call(it, by, "oncall.override.end", override_id=same.id)
            call(it, by, "oncall.override", schedule_id=key, person_id=cast.vera, **span)
        *_, row = announced(it)
        assert (row.loses, row.undo["command"]) == ([cast.edo], "oncall.override.end")
        send(it, clock)
        told = {to: text for to, _, text in mails(it)}
        assert "Vera Viewer takes over from Edo Editor in Platform" in told["edo@example.org"]
        with cast.acts(cast.ada) as by:
            undo(by=by, workspace_id=cast.main, announcement_id=row.id)
        *_, ended = announced(it)
        assert (ended.command, ended.loses) == ("oncall.override.end", [cast.vera])
        with cast.acts(cast.ada) as by:
            undo(by=by, workspace_id=cast.main, announcement_id=ended.id)
            assert "takes over from Edo Editor" in access_announcements(by, cast.main)[0].words


def admin(it: Night, who: UUID) -> None:
    """A second admin, as if they had always been one."""
    it.db.run("UPDATE people_role_grant SET role = 'admin' WHERE person_id = %s", who)


def send(it: Night, clock: Any) -> None:
    clock.forward(seconds=TOGETHER.total_seconds() + 1)
    with as_worker():
        while sweep():
            pass
    it.run()


def mails(it: Night) -> list[tuple[str, str, str]]:
    return [
        (to, str(mail["Subject"]), mail.get_content()) for to, mail in it.mail.got if "quieter" in str(mail["Subject"])
    ]  # type: ignore[attr-defined]


def test_the_other_admins_hear_of_several_at_once_and_undo_one(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        admin(it, cast.apo)
        calls, texts = len(it.twilio.calls), len(it.twilio.messages)
        with cast.acts(cast.ada) as by:
            silence(it, by)
            call(it, by, "handbook.bind", name="On-Call SRE", target_kind="person", target_id=cast.vera)
        with as_worker():
            assert sweep() == 0, "others may follow"
        send(it, clock)
        found = {to: (subject, text) for to, subject, text in mails(it)}
        assert set(found) == {"apo@example.org", "edo@example.org"}, "not whoever did it"
        assert found["apo@example.org"][0] == "2 changes made this hub quieter"
        assert 'Ada Admin: Alerts with service="web" page nobody' in found["apo@example.org"][1]
        assert "“On-Call SRE” means Vera Viewer now, and no more Edo Editor" in found["apo@example.org"][1]
        assert found["edo@example.org"][0] == "A change made this hub quieter"
        assert "/w/main/pages/quieter" in found["edo@example.org"][1]
        assert (len(it.twilio.calls), len(it.twilio.messages)) == (calls, texts), "nobody is called"
        send(it, clock)
        assert len(mails(it)) == 2, "once"
        client = signed_in(cast.apo)
        page = client.get("/w/main/pages/quieter")
        assert page.status_code == 200
        (row,) = [one for one in announced(it) if one.command == "handbook.bind"]
        assert client.post("/w/main/pages/quieter", {"do": "undo", "announcement": str(row.id)}).status_code == 302
        assert "undone by Apo Approver" in client.get("/w/main/pages/quieter").content.decode()
        assert client.post("/w/main/pages/quieter", {"do": "undo", "announcement": str(row.id)}).status_code == 409
        assert it.rows("SELECT target_id FROM handbook_binding WHERE text = 'On-Call SRE'") == [(cast.edo,)]


def test_who_may_not_do_the_opposite_may_not_undo(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        with cast.acts(cast.ada) as by:
            call(it, by, "channel.set", **channel(it))
        row = announced(it)[0]
        with cast.acts(cast.edo) as by, pytest.raises(Denied):
            undo(by=by, workspace_id=cast.main, announcement_id=row.id)
        assert signed_in(cast.sam).get("/w/main/pages/quieter").status_code == 404


def test_whoever_is_taken_out_a_moment_later_hears_what_was_done_before(cast: Cast, db: Any, clock: Any) -> None:
    """Taking the other admins out first, or right after, keeps nothing from them."""
    with night(cast, db) as it:
        it.set_up()
        admin(it, cast.apo)
        with cast.acts(cast.ada) as by:
            silence(it, by)
            call(it, by, "person.deactivate", person_id=cast.apo)
            call(it, by, "handbook.unbind", name="On-Call SRE")
        send(it, clock)
        told = {to: text for to, _, text in mails(it)}
        assert set(told) == {"apo@example.org", "ada@example.org", "edo@example.org"}
        assert "page nobody" in told["apo@example.org"]
        assert "Apo Approver was deactivated" in told["apo@example.org"]
        assert "means nobody" not in told["apo@example.org"], "what came afterwards is not theirs any more"


def test_what_is_done_on_the_command_line_is_announced_and_what_the_hub_does_is_not(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        with as_worker():
            silence(it, system("worker"))
            assert Announcement.objects.count() == 0
            silence(it, system("cli"))
            assert [one.hears for one in Announcement.objects.all()] == [[cast.ada]]


def test_a_dozen_of_one_kind_hide_none_of_another(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        with cast.acts(cast.ada) as by:
            for _ in range(12):
                silence(it, by)
            call(it, by, "handbook.unbind", name="On-Call SRE")
        send(it, clock)
        told = {to: text for to, _, text in mails(it)}["ada@example.org"]
        assert "“On-Call SRE” means nobody now" in told
        assert "And 3 more." in told


def test_an_override_that_begins_in_ones_own_turn_tells_those_whose_turns_follow(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        key = schedule(it.set_up(), "Platform", [cast.edo, cast.apo])
        with cast.acts(cast.edo) as by:
            first = who_is_on(cast.main, key, now())
        assert first is not None
        with cast.acts(cast.ada) as by:
            call(
                it,
                by,
                "oncall.override",
                schedule_id=key,
                person_id=first,
                starts_at=now(),
                ends_at=now() + timedelta(days=20),
            )
        (row,) = announced(it)
        assert row.loses == [cast.apo if first == cast.edo else cast.edo]


def test_whoever_has_a_telephone_only_gets_a_text(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        db.run("DELETE FROM people_contact_method WHERE kind = 'email' AND person_id = %s", cast.edo)
        with cast.acts(cast.ada) as by:
            call(it, by, "handbook.unbind", name="On-Call SRE")
        send(it, clock)
        (text,) = [one for one in it.twilio.messages if one["To"] == PHONES["edo"]]
        assert text["Body"].startswith("A change made this hub quieter")
        assert it.twilio.calls == []


def test_what_is_over_is_resolved_without_a_message(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        with cast.acts(cast.edo) as by:
            found = call(it, by, "incident.declare", title="Declared", severity="")
            call(it, by, "incident.resolve", incident_id=found.id)
        assert announced(it) == []


def test_the_only_admin_hears_of_it_themself(cast: Cast, db: Any, clock: Any) -> None:
    """Somebody else may have used their session."""
    with night(cast, db) as it:
        it.set_up()
        with cast.acts(cast.ada) as by:
            silence(it, by)
        send(it, clock)
        assert [to for to, *_ in mails(it)] == ["ada@example.org"]


def test_that_a_workspace_is_a_demo_now_leaves_it_nevertheless(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        admin(it, cast.apo)
        with cast.acts(cast.ada) as by:
            call(it, by, "workspace.demo", demo=True)
        send(it, clock)
        assert [to for to, *_ in mails(it)] == ["apo@example.org"]


def test_no_silence_and_no_quiet_hours_hold_it_back(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        admin(it, cast.apo)
        with cast.acts(cast.apo) as by:
            call(
                it, by, "paging.rules", urgency="low", steps=[{"method": "voice", "delay": 0}, {"method": "email", "delay": 600}],
                quiet={"start": "00:00", "end": "23:59", "zone": "UTC"},
            )  # fmt: skip
        with cast.acts(cast.ada) as by:
            call(
                it, by, "silence.create", match=['x=~"|y"'], reason="all", starts_at=now(), ends_at=now() + timedelta(hours=1)
            )  # fmt: skip
        send(it, clock)
        assert [to for to, *_ in mails(it)] == ["apo@example.org"]
        assert it.twilio.calls == []
