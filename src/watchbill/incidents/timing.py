"""An incident's time: its severity and clocks, waiting for somebody else, rest; what follows where a clock was not met."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from watchbill.base.actor import Actor, system
from watchbill.base.errors import Conflict, Invalid
from watchbill.clocks import commands as clocks
from watchbill.clocks.models import Clock
from watchbill.incidents.commands import (
    acknowledge,
    changed,
    clean,
    escalation_of,
    incident_of,
    level_named,
    live_page,
    not_over,
    page_about,
    say,
    stamp,
    subject_of,
)
from watchbill.incidents.models import Incident
from watchbill.incidents.rules import CLOCKS, WAIT, WORDS, clocks_of
from watchbill.ledger.command import announce, command, record
from watchbill.ledger.quieter import announced, harmless
from watchbill.paging import commands as paging
from watchbill.runtime.isolation import together_or_apart
from watchbill.runtime.now import now


@command("incident.brief", needs="incident.respond", quieter=harmless("it says that a briefing was given"))
def briefed(*, by: Actor, workspace_id: UUID, incident_id: UUID) -> Incident:
    """Says that those who have to be briefed were briefed."""
    incident = incident_of(workspace_id, incident_id)
    met = clocks.meet(by=by, workspace_id=workspace_id, subject=subject_of(incident), kind="brief")
    if met is None:
        raise Conflict("Nobody waits for a briefing here.")
    say(incident, "briefed", "", by)
    record(subject_of(incident), detail={"late": met.state == "breached"})
    changed(incident, "briefed")
    return incident


@command("incident.severity", needs="incident.respond", quieter=announced("an open incident gets a lower severity"))
def change_severity(*, by: Actor, workspace_id: UUID, incident_id: UUID, severity: str) -> Incident:
    """Gives an incident another severity of the live handbook. Its clocks are reckoned anew from the opening; who is paged stays."""
    incident = incident_of(workspace_id, incident_id)
    not_over(incident)
    level = level_named(workspace_id, severity)
    if level is None or level.state != "live":
        raise Invalid(f"“{severity[:40]}” is no severity of the live handbook.", field="severity")
    if level.name == incident.severity:
        raise Conflict(f"{incident.code} is {level.name} already.")
    if incident.waiting_for:
        # Clocks are reckoned anew from the opening: none of them is paused then.
        _go_on(by, incident)
    before, worse, lower = incident.severity, level.rank < (incident.rank or 99), level.rank > (incident.rank or 99)
    incident.severity, incident.rank = level.name, level.rank
    incident.policy = {**incident.policy, "severity": stamp(level)}
    incident.save()
    _rewind(by, incident)
    say(incident, "severity", f"{before or 'none'} → {level.name}", by)
    record(subject_of(incident), detail={"changes": {"severity": {"from": before, "to": level.name}}})
    if lower:
        back = {"incident_id": incident.id, "severity": before}
        announce(f"{incident.code} is {level.name} now, no more {before}", undo=("incident.severity", back))
    if worse and level.all_hands:
        # Worse, and all hands: those who were not paged are paged now.
        policy, why = escalation_of(workspace_id, incident.route, incident.policy["severity"], False)
        incident.policy = {**incident.policy, "escalation": policy, "why": why}
        incident.save(update_fields=["policy"])
        page = live_page(incident)
        if page is not None:
            paging.end(
                by=by, workspace_id=workspace_id, page_id=page.id, why=f"it is {level.name} now: all hands", over=False
            )
        incident.state, incident.snoozed_until = Incident.State.OPEN, None
        incident.save(update_fields=["state", "snoozed_until"])
        page_about(by, incident)
    changed(incident, "severity")
    return incident


def _rewind(by: Actor, incident: Incident) -> None:
    """The clocks of the new severity, reckoned from the opening: running ones change, others begin or end; what was met stays met."""
    wanted = clocks_of(incident.policy.get("severity") or {}, incident.opened_at)
    rows = Clock.objects.filter(subject_kind="incident", subject_id=str(incident.id))
    known = {one.kind: one for one in rows.order_by("id")}
    common: dict[str, Any] = {"by": by, "workspace_id": incident.workspace_id, "subject": subject_of(incident)}
    for kind in CLOCKS:
        clock = known.get(kind)
        if kind in wanted and clock is not None and clock.state == "running":
            clocks.change(**common, kind=kind, policy=wanted[kind])
        elif kind in wanted and clock is None:
            clocks.start(**common, kind=kind, policy=wanted[kind], started_at=incident.opened_at)
        elif kind not in wanted and clock is not None and clock.state in ("running", "paused"):
            clocks.cancel(**common, kind=kind)


@command("incident.wait", needs="incident.respond", quieter=announced("the clocks of an open incident stand still"))
def wait(*, by: Actor, workspace_id: UUID, incident_id: UUID, reason: str) -> Incident:
    """Pauses the clocks “respond” and “resolve”: somebody else has to do something first, a vendor say. “Update” and “brief” run on."""
    incident = incident_of(workspace_id, incident_id)
    not_over(incident)
    reason = clean(reason, 300)
    if not reason:
        raise Invalid("Say for what it waits.", field="reason")
    if incident.state == "open":
        raise Conflict(
            "Nobody acknowledged it yet.", hint="Acknowledge it first: somebody has to see to it while it waits."
        )
    if incident.waiting_for:
        raise Conflict(f"It waits already: {incident.waiting_for}.")
    paused = _clocks_in(incident, "running")
    if not paused:
        raise Conflict("No clock runs here that waiting would pause.")
    for kind in paused:
        clocks.pause(by=by, workspace_id=workspace_id, subject=subject_of(incident), kind=kind, reason=reason)
    incident.waiting_for = reason
    incident.save(update_fields=["waiting_for"])
    say(incident, "waits", reason, by)
    record(subject_of(incident), detail={"clocks": paused}, personal={"reason": reason})
    announce(
        f"The clocks of {incident.code} stand still: it waits for somebody else",
        undo=("incident.go_on", {"incident_id": incident.id}),
    )
    changed(incident, "waits")
    return incident


@command("incident.go_on", needs="incident.respond", quieter=harmless("the clocks run again"))
def go_on(*, by: Actor, workspace_id: UUID, incident_id: UUID) -> Incident:
    """Ends waiting: the paused clocks go on with the time that was left."""
    incident = incident_of(workspace_id, incident_id)
    not_over(incident)
    if not incident.waiting_for:
        raise Conflict("It does not wait.")
    resumed = _go_on(by, incident)
    record(subject_of(incident), detail={"clocks": resumed})
    changed(incident, "goes on")
    return incident


def _clocks_in(incident: Incident, state: str) -> list[str]:
    rows = Clock.objects.filter(subject_kind="incident", subject_id=str(incident.id), state=state, kind__in=WAIT)
    if state == "running":
        # What is late by now is not saved by waiting.
        rows = rows.filter(due_at__gt=now())
    return list(rows.order_by("id").values_list("kind", flat=True))


def _go_on(by: Actor, incident: Incident) -> list[str]:
    resumed = _clocks_in(incident, "paused")
    for kind in resumed:
        clocks.resume(by=by, workspace_id=incident.workspace_id, subject=subject_of(incident), kind=kind)
    say(incident, "goes on", f"it waited: {incident.waiting_for}", by)
    incident.waiting_for = ""
    incident.save(update_fields=["waiting_for"])
    return resumed


@command(
    "incident.snooze",
    needs="incident.respond",
    quieter=announced("nothing is paged about an open incident for a while"),
)
def snooze(*, by: Actor, workspace_id: UUID, incident_id: UUID, minutes: int) -> Incident:
    """Lets an incident rest; it counts as acknowledged, and pages again at the end if it is not resolved by then."""
    incident = incident_of(workspace_id, incident_id)
    not_over(incident)
    if not 1 <= minutes <= 7 * 24 * 60:
        raise Invalid("Snooze for 1 minute to 7 days.", field="minutes")
    if incident.state == "open":
        acknowledge(by=by, workspace_id=workspace_id, incident_id=incident_id)
        incident.refresh_from_db()
    incident.snoozed_until = now() + timedelta(minutes=minutes)
    incident.save(update_fields=["snoozed_until"])
    say(incident, "snoozed", f"for {minutes} min", by)
    record(subject_of(incident), detail={"minutes": minutes})
    announce(
        f"{incident.code} is snoozed for {minutes} min: nothing is paged about it",
        undo=("incident.end_snooze", {"incident_id": incident.id}),
    )
    changed(incident, "snoozed")
    return incident


@command("incident.end_snooze", needs="incident.respond", quieter=harmless("it pages again"))
def end_snooze(*, by: Actor, workspace_id: UUID, incident_id: UUID) -> Incident:
    """Ends an incident's rest before its time: it pages again at once."""
    incident = incident_of(workspace_id, incident_id)
    not_over(incident)
    if incident.snoozed_until is None:
        raise Conflict(f"{incident.code} is not snoozed.")
    wake(by=by, workspace_id=workspace_id, incident=incident)
    record(subject_of(incident), detail={"number": incident.number})
    return incident


@command("incident.wake", needs=None, quieter=harmless("it pages again"))
def wake(*, by: Actor, workspace_id: UUID, incident: Incident) -> None:
    """Pages again about an incident whose rest is over. Only the hub's own sweep does this."""
    incident.state, incident.snoozed_until = Incident.State.OPEN, None
    incident.save()
    say(incident, "woke", "its rest is over and it is not resolved")
    page = live_page(incident)
    if page is not None:
        paging.end(
            by=by, workspace_id=workspace_id, page_id=page.id, why="another page follows after the rest", over=False
        )
    if incident.policy.get("escalation", {}).get("steps"):
        page_about(by, incident)
    record(subject_of(incident), detail={"number": incident.number})
    changed(incident, "woke")


def sweep(limit: int = 50) -> int:
    """Wakes what has rested long enough; several workers share the work."""

    def due(skip: list[str]) -> list[UUID]:
        rows = Incident.objects.filter(snoozed_until__lte=now()).exclude(id__in=skip).order_by("snoozed_until")
        return list(rows.values_list("id", flat=True)[:limit])

    return together_or_apart("incidents", due, _wake)


def _wake(ids: Sequence[UUID]) -> int:
    rows = Incident.objects.select_for_update(skip_locked=True).filter(id__in=ids, snoozed_until__lte=now())
    found = list(rows.order_by("snoozed_until"))
    for incident in found:
        wake(by=system("worker"), workspace_id=incident.workspace_id, incident=incident)
    return len(found)


def say_clock(incident: Incident, kind: str, percent: int | None) -> None:
    """A clock's warning or breach in the timeline: an observation, whose entry the clock wrote."""
    what = WORDS.get(kind, kind)
    if percent is None:
        say(incident, "late", f"the time to {what} is over")
    else:
        say(incident, "warning", f"{percent} % of the time to {what} is over")
    changed(incident, "clock")


@command("incident.follow_up", needs=None, quieter=harmless("only the hub itself does this"))
def follow_up(*, by: Actor, workspace_id: UUID, incident: Incident, kind: str) -> None:
    """After a clock that was not met. Nobody acknowledged: the next step begins. A briefing is late: those who wait for it hear so.
    Only the hub itself does this."""
    page = live_page(incident)
    done = ""
    if kind == "acknowledge" and page is not None and page.state == "running" and paging.silence_of(page) is None:
        if page.step < len(page.policy.get("steps", [])):
            done = "escalated"
            paging.escalate(by=by, workspace_id=workspace_id, page_id=page.id, reason="the time to acknowledge is over")
    elif kind == "brief":
        briefs = (incident.policy.get("severity") or {}).get("briefs", [])
        if targets := [target for brief in briefs for target in brief["targets"]]:
            done = "told"
            paging.start(
                by=by, workspace_id=workspace_id, subject=("briefing", incident.id), title=f"You were not briefed about {incident.code}: {incident.title}",
                policy=paging.told_once("Briefing", *targets), why="the handbook says that you are briefed by now", urgency="high",
            )  # fmt: skip
    record(subject_of(incident), detail={"kind": kind, "done": done or "nothing"})
