"""What the handbook hears of."""

from uuid import UUID

from django.urls import reverse

from watchbill.base.actor import system
from watchbill.facts.models import Fact
from watchbill.facts.publish import subscribe
from watchbill.handbook.apply import bring, owners_of
from watchbill.handbook.models import Binding, Draft
from watchbill.paging import commands as paging
from watchbill.paging.reach import Target
from watchbill.people.models import TeamMember, Workspace


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


@subscribe("handbook.drafted", "handbook.broken")
def broken(fact: Fact) -> None:
    """A handbook of the folder that cannot go live is told to those who own what is broken; once it is mended, or gone, that is over."""
    by, workspace_id = system("worker"), fact.workspace_id
    draft = Draft.objects.filter(id=UUID(fact.subject_id), origin="folder").first()
    subject = ("draft", fact.subject_id)
    if draft is None or not draft.errors:
        paging.end_about(by=by, workspace_id=workspace_id, subject=subject, why="the handbook was mended")
        return
    slug = Workspace.objects.filter(id=workspace_id).values_list("slug", flat=True).get()
    paths = list(dict.fromkeys(str(one[0]) for one in draft.errors))
    paging.start(
        by=by, workspace_id=workspace_id, subject=subject, title=f"The handbook cannot go live: {len(draft.errors)} error{'s' if len(draft.errors) > 1 else ''} in {', '.join(paths[:3])}",
        text="\n".join(f"{path}:{line} {code} {message}" for path, line, code, message, *_ in draft.errors[:5]), urgency="low",
        url=reverse("handbook_review", args=[slug]), policy=paging.told_once("Broken handbook", *_keepers(workspace_id, paths)),
        why="a change in the folder of the runbooks; the live handbook stays as it is",
    )  # fmt: skip


def _keepers(workspace_id: UUID, paths: list[str]) -> list[Target]:
    """Who is to hear of a broken document: its owners, where the live handbook names some that are bound; else the admins."""
    found: list[Target] = [*owners_of(workspace_id, paths)]
    return found or paging.admins_of(workspace_id, "you look after this workspace")


@subscribe("handbook.withdrawn", "handbook.mended")
def withdrawn(fact: Fact) -> None:
    """What was broken was taken back."""
    paging.end_about(
        by=system("worker"), workspace_id=fact.workspace_id, subject=("draft", fact.subject_id), why="the change was taken back"
    )  # fmt: skip
