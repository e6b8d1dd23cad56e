"""Alerts that end and fire again a moment later: one incident, which goes on as if it had not been over, and says how often.

The rule, in one sentence: whoever took it has it still and hears, and where nobody took it the escalation goes on.

Alerts that join the group of an incident (`grow`): its owner hears; one that a person resolved is open again, and pages from its first step.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.urls import reverse

from watchbill.base.actor import Actor
from watchbill.clocks import commands as clocks
from watchbill.incidents import commands
from watchbill.incidents.models import Incident
from watchbill.incidents.rules import clocks_of
from watchbill.ledger.command import command, record
from watchbill.ledger.quieter import harmless
from watchbill.paging import commands as paging
from watchbill.paging.models import Page
from watchbill.people.models import Membership, Workspace
from watchbill.runtime.now import now
from watchbill.signals.models import Group
from watchbill.signals.rules import REOPEN_WITHIN, reopen_window, times

#: What a message is about by which the owner of an incident hears that it is not over.
AGAIN = "again"
#: The same for alerts that join an incident that somebody acknowledged.
GREW = "growth"


def count(group: Group, incident: Incident) -> bool:
    """Keeps on an incident how often its alerts fired again. Answers whether that is news."""
    if incident.flaps >= group.reopened:
        return False
    incident.flaps = group.reopened
    incident.save(update_fields=["flaps"])
    return True


def reopens_until(group: Group | None) -> datetime | None:
    """Until when what fires again reopens a group that is over; None where nothing does."""
    window = reopen_window(group.route) if group is not None else timedelta()
    return group.resolved_at + window if group is not None and group.resolved_at and window else None


@command("incident.fire_again", needs=None, quieter=harmless("only the hub itself does this"))
def fire_again(*, by: Actor, workspace_id: UUID, incident: Incident, group: Group) -> None:
    """Reopens an incident whose alerts fire again soon after they had ended. Only the hub itself does this."""
    was_over = incident.state == Incident.State.RESOLVED
    if count(group, incident) or was_over:
        commands.say(
            incident,
            "reopened" if was_over else "fires again",
            f"its alerts fire again, {times(group.reopened)} by now",
        )
    record(commands.subject_of(incident), detail={"number": incident.number, "times": group.reopened, "over": was_over})
    if was_over:
        _go_on(by, incident, group)
    commands.changed(incident, "reopened")


def _go_on(by: Actor, incident: Incident, group: Group) -> None:
    # What was resolved under the release before this one does not know its state.
    had = incident.resolved_from in ("", Incident.State.ACKNOWLEDGED)
    owner = incident.acknowledged_by if had and incident.acknowledged_by and _is_here(incident) else None
    incident.state = Incident.State.ACKNOWLEDGED if owner else Incident.State.OPEN
    incident.resolved_at, incident.resolved_by = None, None
    incident.save(update_fields=["state", "resolved_at", "resolved_by"])
    subject = commands.subject_of(incident)
    for kind in clocks_of(incident.policy.get("severity") or {}, incident.opened_at):
        if kind != "acknowledge" or owner is None:
            clocks.reopen(by=by, workspace_id=incident.workspace_id, subject=subject, kind=kind, undo=kind == "resolve")
    quiet = max(reopen_window(group.route), timedelta(seconds=REOPEN_WITHIN))
    page = paging.resume(by=by, workspace_id=incident.workspace_id, subject=subject, quiet=quiet)
    if page is not None and page.state == "acknowledged" and owner is None:
        paging.end(
            by=by,
            workspace_id=incident.workspace_id,
            page_id=page.id,
            why="whoever acknowledged it is gone",
            over=False,
        )
        page = None
    if page is None and incident.policy.get("escalation", {}).get("steps"):
        commands.page_about(by, incident)
    if owner is not None:
        _tell(by, incident, owner, quiet)


def _is_here(incident: Incident) -> bool:
    """Whether whoever acknowledged it is still in the workspace; else nobody has it."""
    mine = Membership.objects.filter(
        workspace_id=incident.workspace_id, person_id=incident.acknowledged_by or incident.id
    )
    return mine.filter(person__active=True, ended_at=None).exists()


def _tell(by: Actor, incident: Incident, owner: UUID, quiet: timedelta) -> None:
    """Whoever took it hears that it is not over, but not at every flap."""
    _notify_owner(
        by, incident, owner, quiet, AGAIN, f"It is not over: {incident.title} ({incident.code})",
        f"Its alerts ended and fire again, {times(incident.flaps)} by now. You acknowledged it, so nobody else is paged.",
        incident.policy.get("urgency", "high"),
    )  # fmt: skip


def _notify_owner(
    by: Actor, incident: Incident, owner: UUID, quiet: timedelta, kind: str, title: str, text: str, urgency: str
) -> None:
    """Sends whoever acknowledged an incident a message of a kind, at most once in ``quiet``."""
    told = Page.objects.filter(workspace_id=incident.workspace_id, subject_kind=kind, subject_id=str(incident.id))
    if told.filter(started_at__gt=now() - quiet).exists():
        return
    subject = (kind, incident.id)
    paging.end_about(by=by, workspace_id=incident.workspace_id, subject=subject, why="it is told again")
    slug = Workspace.objects.filter(id=incident.workspace_id).values_list("slug", flat=True).get()
    target = {"kind": "person", "id": str(owner), "name": "", "why": "you acknowledged it"}
    paging.start(
        by=by, workspace_id=incident.workspace_id, subject=subject, title=title, text=text, urgency=urgency, why="you acknowledged it",
        url=reverse("incident", args=[slug, incident.number]), policy=paging.told_once("Fires again" if kind == AGAIN else "Further alerts", target),
    )  # fmt: skip


@command("incident.grow", needs=None, quieter=harmless("only the hub itself does this"))
def grow(*, by: Actor, workspace_id: UUID, incident: Incident, group: Group, firing: int) -> None:
    """Further alerts joined the group of an incident. Its owner hears; nobody owns one that is resolved, so it opens again and pages.
    Only the hub itself does this."""
    record(commands.subject_of(incident), detail={"number": incident.number, "firing": firing, "state": incident.state})
    alerts = "1 alert fires" if firing == 1 else f"{firing} alerts fire"
    if incident.state == Incident.State.RESOLVED:
        commands.open_again(by, incident, f"another alert of its group fires; {alerts} now")
        return
    commands.say(incident, "grew", f"{firing} alerts fire")
    commands.changed(incident, "grew")
    if incident.state != Incident.State.ACKNOWLEDGED or incident.acknowledged_by is None:
        return
    if not _is_here(incident):
        page = commands.live_page(incident)
        if page is not None:
            why = "whoever acknowledged it is gone"
            paging.end(by=by, workspace_id=workspace_id, page_id=page.id, why=why, over=False)
        commands.open_again(by, incident, "another alert of its group fires, and whoever acknowledged it is gone")
        return
    _notify_owner(
        by, incident, incident.acknowledged_by, max(reopen_window(group.route), timedelta(seconds=REOPEN_WITHIN)), GREW,
        f"Another alert joined: {incident.title} ({incident.code})",
        f"{alerts} now. You acknowledged this incident, so nobody else is paged.", "low",
    )  # fmt: skip
