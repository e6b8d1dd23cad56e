"""What the handbook hears of."""

from uuid import UUID

from watchbill.facts.models import Fact
from watchbill.facts.publish import subscribe
from watchbill.handbook.apply import bring
from watchbill.handbook.models import Binding
from watchbill.people.models import TeamMember


@subscribe("person.erased", "handbook.forget")
def forget(fact: Fact) -> None:
    """Takes an erased person out of the bindings, in every workspace; what is live and needs them is unbound from then on."""
    gone = Binding.objects.filter(target_kind="person", target_id=UUID(fact.subject_id))
    places = set(gone.values_list("workspace_id", flat=True))
    gone.delete()
    for workspace_id in places:
        bring(workspace_id)


@subscribe("team.changed", "handbook.team")
def team_changed(fact: Fact) -> None:
    """Turns of a team go round its members: whoever joined has a turn, whoever left has none."""
    bring(fact.workspace_id)


@subscribe("person.deactivated", "handbook.gone")
def person_gone(fact: Fact) -> None:
    """Whoever may no longer sign in has no turn any more, in every workspace."""
    person_id = UUID(fact.subject_id)
    bound = Binding.objects.filter(target_kind="person", target_id=person_id)
    member = TeamMember.objects.filter(person_id=person_id)
    for workspace_id in {*bound.values_list("workspace_id", flat=True), *member.values_list("workspace_id", flat=True)}:
        bring(workspace_id)
