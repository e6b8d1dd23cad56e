"""What paging hears of: the hub's own test, answers that belong into a thread, handovers, and persons who are erased."""

import json
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import Q
from django.urls import reverse

from watchbill.base.actor import system
from watchbill.base.ids import HUB
from watchbill.facts.models import Fact
from watchbill.facts.publish import subscribe
from watchbill.oncall.models import Schedule
from watchbill.paging import commands
from watchbill.paging.channels.slack.channel import THREAD
from watchbill.paging.models import Channel, Delivery, Habit, NoticesOff, Page, PageEvent, TextsStopped
from watchbill.paging.presses import thread
from watchbill.paging.queries import digest
from watchbill.people.models import Person, Workspace
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
    commands.start(
        by=system("worker"),
        workspace_id=HUB,
        subject=("group", group.id),
        title=group.title,
        policy=commands.told_once(NAME, target),
        why="the hub tests itself",
    )


@subscribe("group.resolved", "paging.self_test_over")
def end(fact: Fact) -> None:
    """The test is over."""
    if fact.workspace_id != HUB:
        return
    commands.end_about(
        by=system("worker"), workspace_id=HUB, subject=("group", fact.subject_id), why="the test is over"
    )


_IN_SLACK = "SELECT id FROM paging_delivery WHERE page_id = %s AND method = 'slack' AND step > 0 AND state = 'sent' AND address NOT LIKE %s"


def _threads(fact: Fact, what: str, text: str) -> None:
    """A line in the thread of every message of a page that went to Slack."""
    with connection.cursor() as cursor:
        # Most pages have none, and every step asks.
        cursor.execute(_IN_SLACK, [fact.subject_id, f"{THREAD}%"])
        found = [row[0] for row in cursor.fetchall()]
    for delivery in Delivery.objects.filter(id__in=found) if found else ():
        thread(delivery, what, text)


@subscribe("page.acknowledged", "paging.thread_acknowledged")
def acknowledged(fact: Fact) -> None:
    """Who took it, in the thread."""
    name = Person.objects.filter(id=UUID(fact.data["by"])).values_list("name", flat=True).first() or "somebody"
    _threads(fact, "acknowledged", f"Acknowledged by {name} ({fact.data['via']}).")


@subscribe("page.escalated", "paging.thread_escalated")
def escalated(fact: Fact) -> None:
    """That the next step began, in the thread."""
    _threads(fact, f"step {fact.data['step']}", f"Step {fact.data['step']} of the escalation began.")


@subscribe("page.ended", "paging.thread_ended")
def ended(fact: Fact) -> None:
    """That it is over, in the thread."""
    _threads(fact, "over", f"Over: {fact.data['why']}.")


@subscribe("oncall.handed_over", "paging.handover")
def handed_over(fact: Fact) -> None:
    """Whoever is on call from now on hears so; what can wait until quiet hours end waits."""
    schedule = Schedule.objects.filter(id=UUID(fact.subject_id), retired_at=None).first()
    if schedule is None or not fact.data["from"] or not fact.data["to"]:
        # The first look at a schedule is no handover, and nobody is told of a gap here: On-call shows it.
        return
    by = system("worker")
    subject = ("handover", schedule.id)
    commands.end_about(
        by=by, workspace_id=schedule.workspace_id, subject=subject, why="somebody else is on call by now"
    )
    slug = Workspace.objects.filter(id=schedule.workspace_id).values_list("slug", flat=True).get()
    target = {"kind": "person", "id": fact.data["to"], "name": "", "why": f"{schedule.name} hands over to you"}
    since = datetime.fromisoformat(fact.data["since"]) if fact.data.get("since") else None
    commands.start(
        by=by, workspace_id=schedule.workspace_id, subject=subject, title=f"You are on call now: {schedule.name}", urgency="low",
        text=digest(schedule.workspace_id, UUID(fact.data["from"]), since, fact.at),
        url=reverse("oncall_schedule", args=[slug, schedule.id]), policy=commands.told_once("Handover", target), why=f"{schedule.name} hands over to you",
    )  # fmt: skip


ERASED = "somebody who was erased"


@subscribe("person.erased", "paging.forget")
def forget(fact: Fact) -> None:
    """Takes an erased person's name out of every page, message and history, in every workspace; that somebody was paged stays."""
    person_id = UUID(fact.subject_id)
    mine = Delivery.objects.filter(person_id=person_id)
    told = list(mine.values_list("page_id", "target").distinct())
    names = {name for _, name in told if name and name != ERASED}
    pages = list(Page.objects.filter(id__in={page_id for page_id, _ in told}))
    # Also where the name stands in a stamped escalation whose turn never came, or who asked for it.
    mine_too = Q(policy__contains={"steps": [{"targets": [{"id": str(person_id)}]}]}) | Q(
        policy__contains={"otherwise": [{"id": str(person_id)}]}
    )
    pages += list(Page.objects.filter(mine_too).exclude(id__in=[one.id for one in pages]))
    for page in pages:
        targets = [target for step in page.policy.get("steps", []) for target in step["targets"]]
        targets += page.policy.get("otherwise") or []
        names |= {str(target.get("name") or "") for target in targets if target["id"] == str(person_id)}
    names.discard("")
    for page in pages:
        text = json.dumps(page.policy, ensure_ascii=False)
        for name in names:
            text = text.replace(json.dumps(name, ensure_ascii=False)[1:-1], ERASED)
        page.policy = json.loads(text)
        for name in names:
            page.title, page.text, page.why = (told.replace(name, ERASED) for told in (page.title, page.text, page.why))
        page.save(update_fields=["policy", "title", "text", "why"])
        for event in PageEvent.objects.filter(page=page):
            what, why = event.what, event.why
            for name in names:
                what, why = what.replace(name, ERASED), why.replace(name, ERASED)
            if (what, why) != (event.what, event.why):
                PageEvent.objects.filter(id=event.id).update(what=what, why=why)
    for row in Delivery.objects.filter(page__in=pages):
        why, reason, target = row.why, row.reason, ERASED if row.person_id == person_id else row.target
        for name in names:
            why, reason = why.replace(name, ERASED), reason.replace(name, ERASED)
        Delivery.objects.filter(id=row.id).update(why=why, reason=reason, target=target)
    Habit.objects.filter(person_id=person_id).delete()
    NoticesOff.objects.filter(person_id=person_id).delete()
    TextsStopped.objects.filter(person_id=person_id).delete()
