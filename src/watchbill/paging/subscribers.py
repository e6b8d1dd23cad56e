"""What paging hears of: the hub's own test, which goes the way of every alert."""

from uuid import UUID

from watchbill.base.actor import system
from watchbill.base.ids import HUB
from watchbill.facts.models import Fact
from watchbill.facts.publish import subscribe
from watchbill.paging import commands
from watchbill.paging.models import Channel, Page
from watchbill.signals.models import Group

#: The integration and the channel of the test, in the hub's own workspace.
NAME = "Self-test"


@subscribe("group.opened", "paging.self_test")
def begin(fact: Fact) -> None:
    """A test alert pages the test channel, by the same steps and stages as any other."""
    if fact.workspace_id != HUB:
        return
    group = Group.objects.select_related("source").filter(id=UUID(fact.subject_id), source__name=NAME).first()
    channel = Channel.objects.filter(workspace_id=HUB, kind="selftest", removed_at=None).first()
    if group is None or channel is None:
        return
    target = {"kind": "channel", "id": str(channel.id), "name": NAME, "why": "the hub tests itself"}
    policy = {"name": NAME, "steps": [{"after": 0, "targets": [target]}], "repeat": 0, "otherwise": commands.ONCE}
    commands.start(
        by=system("worker"),
        workspace_id=HUB,
        subject=("group", group.id),
        title=group.title,
        policy=policy,
        why="the hub tests itself",
    )


@subscribe("group.resolved", "paging.self_test_over")
def end(fact: Fact) -> None:
    """The test is over."""
    if fact.workspace_id != HUB:
        return
    for page in Page.objects.filter(workspace_id=HUB, subject_kind="group", subject_id=fact.subject_id).exclude(
        state="ended"
    ):
        commands.end(by=system("worker"), workspace_id=HUB, page_id=page.id, why="the test is over")
