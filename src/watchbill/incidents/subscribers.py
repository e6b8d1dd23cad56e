"""What incidents hear of: groups of alerts, answered pages, clocks."""

from uuid import UUID

from django.urls import reverse

from watchbill.base.actor import system
from watchbill.facts.models import Fact
from watchbill.facts.publish import subscribe
from watchbill.incidents import calling, commands, flapping, timing
from watchbill.incidents.models import Incident, IncidentEvent
from watchbill.paging import commands as paging
from watchbill.paging.models import Page
from watchbill.paging.subscribers import ERASED
from watchbill.paging.unanswered import WORDS, judged
from watchbill.people.models import Workspace
from watchbill.runtime.now import now
from watchbill.runtime.rows import row_of
from watchbill.signals import history, silences
from watchbill.signals.models import Check, Group, Silence
from watchbill.signals.unrouted import is_decision


def _incident(about: list[str]) -> Incident | None:
    kind, identifier = about
    return row_of(Incident, UUID(identifier), "UPDATE") if kind == "incident" else None


@subscribe("group.opened", "incidents.open")
def open_incident(fact: Fact) -> None:
    """A group whose route says so becomes an incident; why it does not is in its history."""
    group = Group.objects.select_for_update().filter(id=UUID(fact.subject_id)).first()
    if group is None:
        return
    if group.shadow:
        commands.shadow_for_group(by=system("worker"), workspace_id=group.workspace_id, group=group)
    _page(group)


def _page(group: Group) -> None:
    if group.state != "open":
        history.say(group, "pages nobody", "it was over before anybody was paged")
    elif silences.hold_back(group, now()):
        return
    elif not group.route:
        history.say(group, "pages nobody", "no route of the live handbook fits its alerts")
    elif is_decision(group.route):
        route = group.route
        history.say(group, "pages nobody", f"the route “{route['name']}” says so ({route['path']}:{route['line']})")
    elif (there := _over(group)) is not None:
        flapping.fire_again(by=system("worker"), workspace_id=group.workspace_id, incident=there, group=group)
    else:
        commands.open_for_group(by=system("worker"), workspace_id=group.workspace_id, group=group)


@subscribe("group.routed", "incidents.open_routed")
def open_routed(fact: Fact) -> None:
    """A group that paged nobody is taken by a route of a handbook that is live by now, or of one of its alerts: it pages now."""
    group = Group.objects.select_for_update().filter(id=UUID(fact.subject_id)).first()
    if group is not None and group.state == "open":
        _page(group)


def _over(group: Group) -> Incident | None:
    """The incident of a group that fires again, where there is one that has not heard so."""
    found = Incident.objects.select_for_update().filter(group_id=group.id).first()
    return found if found is not None and (found.state == "resolved" or found.flaps < group.reopened) else None


@subscribe("group.reopened", "incidents.fire_again")
def fire_again(fact: Fact) -> None:
    """A group that was over a moment ago fires again: its incident goes on; without one, it is paged as any other."""
    group = Group.objects.select_for_update().filter(id=UUID(fact.subject_id)).first()
    # One that ended in the meantime is reported when it fires next, or was over in time.
    if group is not None and group.state == "open":
        if (
            group.shadow
            and not Page.objects.filter(subject_kind="group", subject_id=str(group.id), shadow=True).exists()
        ):
            commands.shadow_for_group(by=system("worker"), workspace_id=group.workspace_id, group=group)
        _page(group)


@subscribe("group.released", "incidents.open_released")
def open_released(fact: Fact) -> None:
    """What a silence held back is paged when it ends; its shadow was recorded when it opened."""
    group = Group.objects.select_for_update().filter(id=UUID(fact.subject_id)).first()
    if group is not None:
        _page(group)


@subscribe("silence.ends_soon", "incidents.remind")
def remind(fact: Fact) -> None:
    """Whoever made a silence hears before it ends: what it hides will page again."""
    row = Silence.objects.filter(id=UUID(fact.subject_id)).first()
    if row is None or row.ended_at is not None:
        return
    target = {"kind": "person", "id": fact.data["by"], "name": "", "why": "you made this silence"}
    paging.start(
        by=system("worker"), workspace_id=row.workspace_id, subject=("silence", row.id), title=f"Your silence ends at {row.ends_at:%H:%M} UTC: {row.reason[:120]}",
        text=", ".join(row.match), urgency="low", why="you made this silence",
        policy=paging.told_once("Reminder", target),
    )  # fmt: skip


@subscribe("check.stopped", "incidents.check_stopped")
def check_stopped(fact: Fact) -> None:
    """The admins hear once that a check's schedule can never come due: nobody would notice that its job is missing."""
    check = Check.objects.filter(id=UUID(fact.subject_id), removed_at=None).first()
    if check is None or not check.problem:
        return
    slug = Workspace.objects.filter(id=check.workspace_id).values_list("slug", flat=True).get()
    paging.start(
        by=system("worker"), workspace_id=check.workspace_id, subject=("check", check.id), title=f"The check “{check.name}” is stopped: its schedule can never come due",
        text=f"{check.problem} Nobody hears when this job is missing. Edit its schedule under Integrations.", urgency="low", url=reverse("integrations", args=[slug]),
        policy=paging.told_once("Stopped check", *paging.admins_of(check.workspace_id, "you look after this workspace")),
        why="nobody would hear if this job stops running",
    )  # fmt: skip


@subscribe("check.changed", "incidents.check_changed")
def check_changed(fact: Fact) -> None:
    """Its schedule was corrected, or it was removed: nothing is left to tell."""
    paging.end_about(
        by=system("worker"), workspace_id=fact.workspace_id, subject=("check", fact.subject_id), why="the check was changed"
    )  # fmt: skip


@subscribe("group.grew", "incidents.grow")
def grow(fact: Fact) -> None:
    """Further alerts join an incident: its owner hears, and one that a person resolved is open again."""
    group = Group.objects.select_for_update().filter(id=UUID(fact.subject_id)).first()
    if group is None:
        return
    incident = Incident.objects.select_for_update().filter(group_id=group.id).first()
    if incident is None:
        return
    if incident.state == "resolved":
        # What was over already, or fires again after that, is told by a fact of its own.
        if group.state != "open" or group.firing == 0 or incident.flaps < group.reopened:
            return
        if silences.hold_back(group, now()):
            return
    flapping.grow(
        by=system("worker"),
        workspace_id=group.workspace_id,
        incident=incident,
        group=group,
        firing=int(fact.data["firing"]),
    )


@subscribe("group.resolved", "incidents.resolve")
def resolve(fact: Fact) -> None:
    """An incident whose alerts have all ended is over, and so is what a shadow would have paged about."""
    by = system("worker")
    group = Group.objects.select_for_update().filter(id=UUID(fact.subject_id)).first()
    if group is not None and group.state == "open":
        # It fires again already: that is told next.
        return
    paging.end_about(
        by=by, workspace_id=fact.workspace_id, subject=("group", fact.subject_id), why="its alerts have ended"
    )
    incident = (
        Incident.objects.select_for_update().filter(group_id=UUID(fact.subject_id)).exclude(state="resolved").first()
    )
    if incident is not None:
        if group is not None:
            flapping.count(group, incident)
        until = flapping.reopens_until(group)
        commands.resolve_for_group(by=by, workspace_id=incident.workspace_id, incident=incident, until=until)


@subscribe("page.acknowledged", "incidents.answered")
def answered(fact: Fact) -> None:
    """A page that was acknowledged in a message or on the phone; or somebody who was called in comes."""
    page = Page.objects.filter(id=UUID(fact.subject_id)).first()
    if fact.data["about"][0] == commands.CALL and page is not None:
        calling.answered(fact.data["about"][1], page)
        return
    incident = _incident(fact.data["about"])
    if incident is not None and page is not None and incident.state == "open" and page.state == "acknowledged":
        commands.note_answer(by=system("worker"), workspace_id=incident.workspace_id, incident=incident, page=page)


@subscribe("page.exhausted", "incidents.unreached")
def unreached(fact: Fact) -> None:
    """All steps of a page went by: the timeline says whether nobody acknowledged, or nobody could be reached."""
    page = Page.objects.filter(id=UUID(fact.subject_id)).first()
    if page is None:
        return
    if fact.data["about"][0] == commands.CALL:
        calling.unanswered(fact.data["about"][1], page)
        return
    incident = _incident(fact.data["about"])
    if incident is not None:
        found = judged(page)
        what = "unreached" if found == "unreached" else "no answer"
        commands.say(incident, what, f"{WORDS[found]}: all steps went by")
        commands.changed(incident, what)


@subscribe("page.escalated", "incidents.escalated", about="incident")
def escalated(fact: Fact) -> None:
    """The next step began: the timeline says so."""
    incident = _incident(fact.data["about"])
    if incident is not None:
        commands.say(incident, "next step", f"step {fact.data['step']} of the escalation began")
        commands.changed(incident, "escalated")


@subscribe("clock.warned", "incidents.warned", about="incident")
def warned(fact: Fact) -> None:
    """Half, or four fifths, of a clock's time is over."""
    incident = _incident(fact.data["about"])
    if incident is not None:
        timing.say_clock(incident, fact.data["kind"], int(fact.data["percent"]))


@subscribe("clock.breached", "incidents.late", about="incident")
def late(fact: Fact) -> None:
    """A clock was not met: the timeline says so, and those who are to hear of it do."""
    incident = _incident(fact.data["about"])
    if incident is not None:
        timing.say_clock(incident, fact.data["kind"], None)
        timing.follow_up(
            by=system("worker"), workspace_id=incident.workspace_id, incident=incident, kind=fact.data["kind"]
        )


@subscribe("person.erased", "incidents.forget")
def forget(fact: Fact) -> None:
    """Takes an erased person's name out of the timelines, in every workspace; that somebody was called in stays."""
    rows = IncidentEvent.objects.filter(about__contains={"kind": "person", "id": fact.subject_id})
    for row in rows:
        row.about = {**row.about, "name": ERASED}
        row.save(update_fields=["about"])
