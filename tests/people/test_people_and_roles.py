"""Commands of people: what they allow, refuse, and write into the ledger."""

import json
from typing import Any

import pytest

from tests.cast import Cast, acting, reader
from watchbill.base.errors import Conflict, Denied, Invalid, NotFound, WatchbillError
from watchbill.base.ids import HUB
from watchbill.people import commands, contacts
from watchbill.people.models import Membership, Person, RoleGrant
from watchbill.people.queries import access_matrix, access_people, access_person
from watchbill.people.rules import PERMISSIONS, ROLES, permissions_of, roles_for_groups, why


def last_entry(db: Any) -> dict[str, Any]:
    row = db.run(
        "SELECT e.body, p.body FROM ledger_entry e LEFT JOIN ledger_payload p ON p.entry_id = e.id ORDER BY e.id DESC LIMIT 1"
    )[0]
    return json.loads(row[0]) | {"content": json.loads(row[1]) if row[1] else None}


def test_every_role_is_made_of_known_permissions() -> None:
    for role, held in ROLES.items():
        assert held <= set(PERMISSIONS), role
    assert permissions_of(["nobody"]) == frozenset()
    assert "finance.read" not in ROLES["admin"]


def test_why_names_the_grants() -> None:
    grants = [("viewer", "granted"), ("admin", "group:ops_admin")]
    assert [(r.role, r.source) for r in why(grants, "role.grant")] == [("admin", "group:ops_admin")]
    assert why(grants, "finance.read") == []
    assert roles_for_groups(["b", "a", "x"], {"a": ["viewer"], "b": ["viewer", "editor"]}) == {
        "viewer": "a",
        "editor": "b",
    }


def test_an_invitation_makes_person_membership_role_and_entry(cast: Cast, db: Any) -> None:
    with cast.acts(cast.ada) as by:
        person = commands.invite_person(
            by=by, workspace_id=cast.main, name=" Nia   Novak ", email="Nia@Example.org", role="editor"
        )
    with acting(cast.ada):
        shown = access_person(reader(cast.ada).actor, cast.main, person.id)
    assert (shown.name, shown.roles) == ("Nia Novak", ("editor",))
    entry = last_entry(db)
    assert entry["action"] == "person.invite"
    assert entry["actor"] == str(cast.ada)
    assert entry["content"]["personal"]["email"] == "Nia@Example.org"
    assert entry["request"] == "test"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"email": "nobody"}, "e-mail"),
        ({"email": "a@b.c\r\nBcc: x@y.z"}, "e-mail"),
        ({"name": ""}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"role": "emperor"}, "role"),
    ],
)
def test_bad_invitations_say_which_field(cast: Cast, fields: dict[str, str], message: str) -> None:
    with pytest.raises(Invalid, match=message), cast.acts(cast.ada) as by:
        commands.invite_person(by=by, workspace_id=cast.main, **({"name": "Nia", "email": "nia@example.org"} | fields))


def test_an_editor_cannot_invite_and_nothing_is_written(cast: Cast, db: Any) -> None:
    before = db.run("SELECT count(*) FROM ledger_entry")
    with pytest.raises(Denied, match=r"person\.invite"), cast.acts(cast.edo) as by:
        commands.invite_person(by=by, workspace_id=cast.main, name="Nia", email="nia@example.org")
    assert db.run("SELECT count(*) FROM ledger_entry") == before


def test_an_address_of_another_workspace_is_not_revealed_as_a_person(cast: Cast) -> None:
    with pytest.raises(Conflict, match="another workspace"), cast.acts(cast.ada) as by:
        commands.invite_person(by=by, workspace_id=cast.main, name="Sam", email="sam@example.net")


def test_granting_and_revoking_are_recorded_and_take_effect(cast: Cast, db: Any) -> None:
    with cast.acts(cast.ada) as by:
        commands.grant_role(by=by, workspace_id=cast.main, person_id=cast.vera, role="approver")
    assert last_entry(db)["content"]["detail"] == {"role": "approver"}
    assert cast.actor(cast.vera).may("ledger.read", cast.main)
    with pytest.raises(Conflict), cast.acts(cast.ada) as by:
        commands.grant_role(by=by, workspace_id=cast.main, person_id=cast.vera, role="approver")
    with cast.acts(cast.ada) as by:
        commands.revoke_role(by=by, workspace_id=cast.main, person_id=cast.vera, role="approver")
    assert not cast.actor(cast.vera).may("ledger.read", cast.main)


def test_the_last_admin_cannot_go(cast: Cast) -> None:
    for act in (
        lambda by: commands.revoke_role(by=by, workspace_id=cast.main, person_id=cast.ada, role="admin"),
        lambda by: commands.remove_person(by=by, workspace_id=cast.main, person_id=cast.ada),
    ):
        with pytest.raises(Conflict, match="without an admin"), cast.acts(cast.ada) as by:
            act(by)


def test_nobody_opens_finance_for_themselves(cast: Cast) -> None:
    with pytest.raises(Denied), cast.acts(cast.ada) as by:
        commands.grant_role(by=by, workspace_id=cast.main, person_id=cast.ada, role="finance")


def test_a_person_of_two_workspaces_is_not_deactivated_from_one(cast: Cast, db: Any) -> None:
    from watchbill.base.ids import uuid7

    db.run(
        "INSERT INTO people_membership (id, workspace_id, person_id, since) VALUES (%s, %s, %s, now())",
        uuid7(),
        cast.main,
        cast.sam,
    )
    with pytest.raises(Denied, match="another workspace"), cast.acts(cast.ada) as by:
        commands.deactivate_person(by=by, workspace_id=cast.main, person_id=cast.sam)
    with cast.acts(cast.ada) as by:
        commands.remove_person(by=by, workspace_id=cast.main, person_id=cast.sam)
    assert db.run("SELECT active FROM people_person WHERE id = %s", cast.sam) == [(True,)]


def test_a_deactivated_person_has_nothing_at_once(cast: Cast) -> None:
    with cast.acts(cast.ada) as by:
        commands.deactivate_person(by=by, workspace_id=cast.main, person_id=cast.edo)
    with acting(cast.edo):
        assert Person.objects.count() == 0
        assert Membership.objects.count() == 0


def test_contacts_are_masked_until_revealed_and_revealing_is_recorded(cast: Cast, db: Any) -> None:
    with cast.acts(cast.ada) as by:
        assert access_person(by, cast.main, cast.edo).contacts[0].value == "e•••@e•••.org"
        assert access_person(by, cast.main, cast.ada).contacts[0].value == "ada@example.org"
        commands.reveal_person(by=by, workspace_id=cast.main, person_id=cast.edo, reason="phone call")
        assert access_person(by, cast.main, cast.edo, revealed=True).contacts[0].value == "edo@example.org"
    assert last_entry(db)["action"] == "person.reveal"
    with pytest.raises(Denied), cast.acts(cast.edo) as by:
        commands.reveal_person(by=by, workspace_id=cast.main, person_id=cast.ada)


def test_names_of_outsiders_are_masked(cast: Cast) -> None:
    with cast.acts(cast.ada) as by:
        person = commands.invite_person(
            by=by, workspace_id=cast.main, name="Olga Outside", email="olga@else.example", outsider=True
        )
        assert access_person(by, cast.main, person.id).name == "O. O."
        assert access_people(by, cast.main, words="Olga") == []


def test_founding_a_workspace_is_the_hubs_admins(cast: Cast, db: Any) -> None:
    with pytest.raises(Denied), cast.acts(cast.ada) as by:
        commands.create_workspace(by=by, name="Third")
    with cast.acts(cast.hob) as by:
        made = commands.create_workspace(by=by, name="Third Place")
    assert made.slug == "third-place"
    logs = db.run("SELECT workspace_id FROM ledger_entry WHERE action = 'workspace.create'")
    assert {row[0] for row in logs} == {HUB, made.id}
    with pytest.raises(Conflict), cast.acts(cast.hob) as by:
        commands.create_workspace(by=by, name="Main")


def test_asking_for_a_second_factor_needs_ones_own_first(cast: Cast) -> None:
    with pytest.raises(Denied, match="own second factor"), cast.acts(cast.ada, mfa=False) as by:
        commands.edit_workspace(by=by, workspace_id=cast.main, require_mfa=True)
    with cast.acts(cast.ada, mfa=True) as by:
        assert commands.edit_workspace(by=by, workspace_id=cast.main, require_mfa=True).require_mfa


def test_a_token_cannot_hold_more_than_its_maker(cast: Cast) -> None:
    with pytest.raises(Denied, match=r"role\.grant"), cast.acts(cast.vera) as by:
        commands.create_token(by=by, workspace_id=cast.main, name="x", scopes=["role.grant"])
    with pytest.raises(Invalid, match="no permission"), cast.acts(cast.ada) as by:
        commands.create_token(by=by, workspace_id=cast.main, name="x", scopes=["everything"])


def test_the_token_is_nowhere_in_the_database(cast: Cast, db: Any) -> None:
    text = cast.token(cast.ada)
    for (table,) in db.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        assert db.run(f'SELECT count(*) FROM "{table}" t WHERE t::text LIKE %s', f"%{text[9:]}%") == [(0,)], table


def test_who_can_do_what_and_why(cast: Cast) -> None:
    with cast.acts(cast.ada) as by:
        rows = {row.permission: row for row in access_matrix(by, cast.main)}
    assert set(rows) == set(PERMISSIONS)
    holders = {person.name: [reason.role for reason in reasons] for person, reasons in rows["team.edit"].holders}
    assert holders == {"Ada Admin": ["admin"], "Edo Editor": ["editor"]}


def test_a_role_follows_the_group_and_ends_with_it(cast: Cast, db: Any) -> None:
    from watchbill.signin.commands import sync_all_groups

    with cast.acts(cast.ada) as by:
        mapping = commands.map_group(by=by, workspace_id=cast.main, group="ops_editor", role="editor")
    sync_all_groups(cast.sam, ["ops_editor", "unknown"], request_id="r1")
    assert db.run(
        "SELECT role, source FROM people_role_grant WHERE person_id = %s AND workspace_id = %s", cast.sam, cast.main
    ) == [("editor", "group:ops_editor")]
    assert last_entry(db)["action"] == "role.sync"
    before = db.run("SELECT count(*) FROM ledger_entry")
    sync_all_groups(cast.sam, ["ops_editor"], request_id="r2")
    assert db.run("SELECT count(*) FROM ledger_entry") == before
    with cast.acts(cast.ada) as by:
        commands.unmap_group(by=by, workspace_id=cast.main, mapping_id=mapping.id)
    with acting(cast.ada):
        assert not RoleGrant.objects.filter(person_id=cast.sam, ended_at=None, workspace_id=cast.main).exists()


@pytest.mark.parametrize("who", ["vera", "aud", "edo"])
def test_no_command_runs_without_its_permission(cast: Cast, who: str) -> None:
    """Every command with a declared permission refuses those who do not hold it, before doing anything."""
    import importlib
    import inspect

    import watchbill.server.urls  # noqa: F401 - everything is registered
    from watchbill.ledger.command import COMMANDS

    person = getattr(cast, who)
    held = cast.actor(person).grants[cast.main]
    refused = 0
    for info in COMMANDS.values():
        if info.needs is None or info.needs in held:
            continue
        module = vars(importlib.import_module(info.module)).values()
        run = next(value for value in module if getattr(value, "command", None) is info)
        blank = {name: None for name in inspect.signature(run).parameters if name not in {"by", "workspace_id"}}
        place = {"workspace_id": cast.main} if "workspace_id" in inspect.signature(run).parameters else {}
        with pytest.raises(WatchbillError, match=info.needs.replace(".", r"\.")), cast.acts(person) as by:
            run(by=by, **place, **blank)
        refused += 1
    assert refused > 5


def test_absent_and_forbidden_look_the_same(cast: Cast) -> None:
    from watchbill.base.ids import uuid7

    messages = set()
    for person_id in (cast.sam, uuid7()):
        with pytest.raises(NotFound) as caught, cast.acts(cast.ada) as by:
            access_person(by, cast.main, person_id)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_who_reaches_further_elsewhere_is_out_of_reach_here(cast: Cast, db: Any) -> None:
    """Edo was added in Main and became admin of Other since, which Ada of Main cannot see: she gets no way to become him."""
    from watchbill.base.ids import uuid7
    from watchbill.signin.commands import make_link

    db.run(
        "INSERT INTO people_membership (id, workspace_id, person_id, since) VALUES (%s, %s, %s, now())",
        uuid7(),
        cast.other,
        cast.edo,
    )
    attempts = (
        lambda by: make_link(by=by, workspace_id=cast.main, person_id=cast.edo),
        lambda by: contacts.add_contact(
            by=by, workspace_id=cast.main, person_id=cast.edo, kind="email", value="mine@example.org"
        ),
        lambda by: commands.deactivate_person(by=by, workspace_id=cast.main, person_id=cast.edo),
        lambda by: commands.erase_person(by=by, workspace_id=cast.main, person_id=cast.edo),
    )
    for attempt in attempts:
        with pytest.raises(Denied, match="another workspace"), cast.acts(cast.ada) as by:
            attempt(by)


def test_a_narrow_token_is_no_way_to_a_whole_session(cast: Cast) -> None:
    from tests.cast import api

    program = api(cast.token(cast.ada, scopes=["person.invite", "person.edit", "person.read"]))
    for path, body in (
        (f"people/{cast.ada}/link", {}),
        (f"people/{cast.ada}/contacts", {"kind": "email", "value": "mine@example.org"}),
    ):
        answer = program.post(f"/api/v1/workspaces/main/{path}", body, content_type="application/json")
        assert answer.status_code == 403, path
        assert "more than you" in answer.json()["detail"]
    whole = api(cast.token(cast.ada))
    assert (
        whole.post(f"/api/v1/workspaces/main/people/{cast.edo}/link", {}, content_type="application/json").status_code
        == 201
    )


def test_an_editor_cannot_take_an_admins_place_through_their_address(cast: Cast, db: Any) -> None:
    from types import MappingProxyType

    from watchbill.base.actor import Actor

    grants = MappingProxyType({cast.main: cast.actor(cast.edo).grants[cast.main] | {"person.edit"}})
    with pytest.raises(Denied, match="more than you"), acting(cast.edo):
        contacts.add_contact(
            by=Actor("person", cast.edo, "web", "", grants),
            workspace_id=cast.main,
            person_id=cast.ada,
            kind="email",
            value="x@example.org",
        )
