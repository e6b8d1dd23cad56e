"""`cast.yaml`: the people of a demo, and whom the names of its runbooks mean.

It serves the workspaces of a new hub only; where there is anybody yet it is refused. Nothing reads it later.
"""

from typing import cast as typed
from uuid import UUID

from pydantic import Field

from watchbill.base.actor import Actor
from watchbill.base.errors import Conflict, Invalid
from watchbill.handbook.bindings import bind_name
from watchbill.handbook.explicit import validate
from watchbill.handbook.models import Binding, Revision
from watchbill.language.items import Model
from watchbill.people.commands import invite_person, mark_demo
from watchbill.people.teams import add_team_member, create_team

FILE = "cast.yaml"


class Player(Model):
    """Somebody of the demo. Addresses end in .example or .invalid: a demo never writes to anybody."""

    name: str = Field(min_length=1, max_length=120)
    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+\.(example|invalid)$")
    role: str = "responder"
    teams: list[str] = Field(default_factory=list)


class Cast(Model):
    """People with their teams, and name in the runbooks → name of a person or team here."""

    people: list[Player] = Field(default_factory=list, max_length=50)
    bindings: dict[str, str] = Field(default_factory=dict)


def read_cast(text: str) -> Cast:
    """Reads a cast.yaml. Raises Invalid with the line."""
    made, findings = validate(Cast, text, FILE)
    if findings:
        raise Invalid(f"{FILE}:{findings[0].line} {findings[0].message}", hint=findings[0].hint, field=FILE)
    return typed(Cast, made)


def play(*, by: Actor, workspace_id: UUID, cast: Cast) -> None:
    """Makes the people and teams, and binds the names. Raises Conflict where the workspace is not new."""
    if Revision.objects.filter(workspace_id=workspace_id).exists() or Binding.objects.filter(workspace_id=workspace_id):
        raise Conflict("A cast plays in an empty workspace only.")
    # Nobody of a cast is real: nothing may leave this workspace.
    mark_demo(by=by, workspace_id=workspace_id, demo=True)
    found: dict[str, tuple[str, UUID]] = {}
    for name in dict.fromkeys(team for player in cast.people for team in player.teams):
        found[name] = ("team", create_team(by=by, workspace_id=workspace_id, name=name).id)
    for player in cast.people:
        person = invite_person(by=by, workspace_id=workspace_id, name=player.name, email=player.email, role=player.role)
        found.setdefault(player.name, ("person", person.id))
        for team in player.teams:
            add_team_member(by=by, workspace_id=workspace_id, team_id=found[team][1], person_id=person.id)
    for name, target in cast.bindings.items():
        if target not in found:
            raise Invalid(f"{FILE}: “{target}” is no person or team of the cast.", field="bindings")
        kind, target_id = found[target]
        bind_name(by=by, workspace_id=workspace_id, name=name, target_kind=kind, target_id=target_id)
