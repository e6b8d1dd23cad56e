"""Teams and who is in them."""

from uuid import UUID

from django.db import IntegrityError, transaction

from watchbill.base.actor import Actor
from watchbill.base.errors import Conflict, Invalid, NotFound
from watchbill.base.ids import slugify
from watchbill.facts.publish import declare, publish
from watchbill.ledger.command import announce, command, record
from watchbill.ledger.quieter import announced, harmless
from watchbill.people.commands import person_here
from watchbill.people.models import Team, TeamMember
from watchbill.people.values import clean_name
from watchbill.runtime.now import now

TEAM_CHANGED = declare("team.changed", "somebody joined or left a team")


@command("team.create", needs="team.edit", quieter=harmless("a team that nothing pages yet"))
def create_team(*, by: Actor, workspace_id: UUID, name: str, purpose: str = "") -> Team:
    """Makes a team."""
    name = clean_name(name)
    slug = slugify(name)
    if not slug:
        raise Invalid("The team's name needs a letter or digit.", field="name")
    team = Team(
        workspace_id=workspace_id, slug=slug, name=name, purpose=" ".join(purpose.split())[:300], created_at=now()
    )
    try:
        with transaction.atomic():
            team.save(force_insert=True)
    except IntegrityError:
        raise Conflict(f"There is a team “{slug}” already.", field="name") from None
    record(("team", team.id), detail={"name": name})
    return team


def _team_here(workspace_id: UUID, team_id: UUID) -> Team:
    team = Team.objects.filter(workspace_id=workspace_id, id=team_id).first()
    if team is None:
        raise NotFound("There is no such team here.")
    return team


@command("team.edit", needs="team.edit", quieter=harmless("a name"))
def edit_team(*, by: Actor, workspace_id: UUID, team_id: UUID, name: str, purpose: str = "") -> Team:
    """Changes a team's name and purpose; its address stays."""
    team = _team_here(workspace_id, team_id)
    before = team.name
    team.name, team.purpose = clean_name(name), " ".join(purpose.split())[:300]
    team.save(update_fields=["name", "purpose"])
    record(("team", team_id), detail={"name": {"from": before, "to": team.name}})
    return team


@command("team.member.add", needs="team.edit", quieter=harmless("more people are paged"))
def add_team_member(*, by: Actor, workspace_id: UUID, team_id: UUID, person_id: UUID) -> None:
    """Puts a person into a team."""
    _team_here(workspace_id, team_id)
    person_here(workspace_id, person_id)
    try:
        with transaction.atomic():
            TeamMember(workspace_id=workspace_id, team_id=team_id, person_id=person_id).save(force_insert=True)
    except IntegrityError:
        raise Conflict("They are in this team already.") from None
    publish(TEAM_CHANGED, workspace_id=workspace_id, subject=("team", team_id))
    record(("team", team_id), detail={"person": str(person_id)})


@command("team.member.remove", needs="team.edit", quieter=announced("somebody is not paged with their team any more"))
def remove_team_member(*, by: Actor, workspace_id: UUID, team_id: UUID, person_id: UUID) -> None:
    """Takes a person out of a team."""
    team = _team_here(workspace_id, team_id)
    if not TeamMember.objects.filter(team_id=team_id, person_id=person_id).delete()[0]:
        raise NotFound("They are not in this team.")
    publish(TEAM_CHANGED, workspace_id=workspace_id, subject=("team", team_id))
    record(("team", team_id), detail={"person": str(person_id)})
    undo = {"team_id": team_id, "person_id": person_id}
    announce(
        f"{{0}} is not in the team {team.name} any more",
        people=[person_id],
        loses=[person_id],
        undo=("team.member.add", undo),
    )
