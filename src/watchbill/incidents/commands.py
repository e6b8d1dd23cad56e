"""Opening, answering and ending incidents. Everything that happens stands in the timeline and in the ledger."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.urls import reverse

from watchbill.base.actor import Actor, system
from watchbill.base.errors import Conflict, Invalid, NotFound
from watchbill.clocks import commands as clocks
from watchbill.clocks.models import Clock
from watchbill.clocks.rules import Policy
from watchbill.facts.publish import declare, publish
from watchbill.incidents.models import Guide, Incident, IncidentEvent, SeverityLevel
from watchbill.incidents.rules import CLOCKS, WORDS, clocks_of, guide_for, together, urgency_of, whom
from watchbill.language.names import canonical, severity_name
from watchbill.ledger.command import command, record
from watchbill.paging import commands as paging
from watchbill.paging.models import Page
from watchbill.paging.models import Policy as Escalation
from watchbill.paging.queries import policy_named
from watchbill.people.models import Workspace
from watchbill.runtime.now import now
from watchbill.signals.models import Alert, Group, GroupEvent

OPENED = declare("incident.opened", "an incident was opened", "number", "severity")
CHANGED = declare("incident.changed", "an incident changed", "what")
RESOLVED = declare("incident.resolved", "an incident was resolved", "number")
LONGEST = 4000


def replace_severities(*, workspace_id: UUID, levels: Iterable[SeverityLevel], guides: Iterable[Guide]) -> None:
    """Makes these the severities and guides of a workspace: a part of applying a handbook, which writes the entry."""
    SeverityLevel.objects.filter(workspace_id=workspace_id).delete()
    SeverityLevel.objects.bulk_create(levels)
    Guide.objects.filter(workspace_id=workspace_id).delete()
    Guide.objects.bulk_create(guides)


def _clean(text: str, longest: int = LONGEST) -> str:
    return "\n".join(" ".join(line.split()) for line in text.replace("\0", "").strip().splitlines())[:longest]


def say(incident: Incident, what: str, text: str = "", by: Actor | None = None) -> None:
    """A line in the timeline."""
    who = by.id if by is not None and by.kind == "person" else None
    IncidentEvent(
        workspace_id=incident.workspace_id, incident=incident, at=now(), what=what, text=text[:LONGEST], by=who
    ).save(force_insert=True)


def _subject(incident: Incident) -> tuple[str, UUID]:
    return ("incident", incident.id)


def changed(incident: Incident, what: str) -> None:
    """Says that an incident changed, to whoever listens."""
    publish(CHANGED, workspace_id=incident.workspace_id, subject=_subject(incident), data={"what": what})


def _number(workspace_id: UUID) -> int:
    """The next number of a workspace; two that open at once wait for each other."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('incident.number'), hashtext(%s))", [str(workspace_id)])
    last = (
        Incident.objects.filter(workspace_id=workspace_id).order_by("-number").values_list("number", flat=True).first()
    )
    return (last or 0) + 1


def level_named(workspace_id: UUID, name: str) -> SeverityLevel | None:
    """The severity of the live handbook that a name means."""
    if not name:
        return None
    rows = list(
        SeverityLevel.objects.filter(workspace_id=workspace_id, canonical=severity_name(name)).order_by("state", "rank")
    )
    return next((one for one in rows if one.state == "live"), rows[0] if rows else None)


def stamp(level: SeverityLevel) -> dict[str, Any]:
    """A severity as an incident keeps it."""
    return {
        "key": level.key, "name": level.name, "rank": level.rank, "definition": level.definition, "clocks": level.clocks, "off_hours": level.off_hours,
        "pages": level.pages, "all_hands": level.all_hands, "briefs": level.briefs, "path": level.path, "line": level.line,
    }  # fmt: skip


def _escalation(
    workspace_id: UUID, route: Mapping[str, Any], severity: Mapping[str, Any] | None, shadow: bool
) -> tuple[dict[str, Any], str]:
    """The stamped escalation of an incident, with the reason why it is this one."""
    choice = whom(route, severity)
    found = next((one for name in choice.names if (one := policy_named(workspace_id, name, shadow=shadow))), None)
    policy: dict[str, Any] = paging.stamp(found) if found else {"name": "", "steps": [], "repeat": 0, "otherwise": []}
    why = choice.why if found or not choice.names else f"{choice.why}, which is not in the live handbook"
    if severity and severity.get("all_hands"):
        states = ["live", "shadow"] if shadow else ["live"]
        rows = Escalation.objects.filter(
            workspace_id=workspace_id, state__in=states, key__startswith="contact/"
        ).order_by("path", "line")
        everyone = [target for row in rows for target in (row.steps[0]["targets"] if row.steps else [])]
        policy = together(policy, everyone)
        why += "; all hands at once"
    return policy, why


def _start_clocks(by: Actor, incident: Incident, begun: datetime, only: Iterable[str] = ()) -> None:
    severity = incident.policy.get("severity") or {}
    wanted: dict[str, Policy] = dict(clocks_of(severity, begun))
    for brief in severity.get("briefs", []):
        wanted.setdefault("brief", Policy(brief["within"]))
    for kind, policy in wanted.items():
        if not only or kind in only:
            clocks.start(
                by=by,
                workspace_id=incident.workspace_id,
                subject=_subject(incident),
                kind=kind,
                policy=policy,
                started_at=begun,
            )


def _page(by: Actor, incident: Incident) -> Page:
    slug = Workspace.objects.filter(id=incident.workspace_id).values_list("slug", flat=True).get()
    head = f"[{incident.severity}] " if incident.severity else ""
    return paging.start(
        by=by, workspace_id=incident.workspace_id, subject=_subject(incident), title=f"{head}{incident.title} ({incident.code})", text=incident.summary,
        url=reverse("incident", args=[slug, incident.number]), policy=incident.policy.get("escalation", {}), why=incident.policy.get("why", ""),
        labels=incident.labels, urgency=incident.policy.get("urgency", "high"),
    )  # fmt: skip


@command("incident.open", needs=None)
def open_for_group(*, by: Actor, workspace_id: UUID, group: Group) -> Incident | None:
    """Opens an incident for a group of alerts, as its route says; one that is open already stays. Only the hub itself does this."""
    there = Incident.objects.filter(group_id=group.id).first()
    if there is not None:
        record(_subject(there), detail={"again": True})
        return there
    alert = Alert.objects.filter(group=group).order_by("-firing", "starts_at").first()
    notes = alert.annotations if alert else {}
    summary = "\n".join(
        part for part in (notes.get("summary", ""), notes.get("description", "") or notes.get("message", "")) if part
    )
    labels = {**(alert.labels if alert else {}), **group.labels}
    incident = _open(
        by,
        workspace_id,
        group.title,
        summary,
        group.route,
        labels,
        group_id=group.id,
        runbook_url=notes.get("runbook_url", ""),
    )
    GroupEvent(
        workspace_id=workspace_id,
        group=group,
        at=now(),
        what="incident",
        why=f"{incident.code}: {incident.policy['why']}",
    ).save(force_insert=True)
    return incident


def _open(
    by: Actor, workspace_id: UUID, title: str, summary: str, route: Mapping[str, Any], labels: Mapping[str, str], *, severity: str = "",
    group_id: UUID | None = None, runbook_url: str = "",
) -> Incident:  # fmt: skip
    at, wanted = now(), severity or str(route.get("severity") or "")
    level = level_named(workspace_id, wanted)
    severity_told = stamp(level) if level else None
    policy, why = _escalation(workspace_id, route, severity_told, False)
    if wanted and level is None:
        why += f"; “{wanted}” is no severity of the live handbook, so no clock runs"
    ranks = SeverityLevel.objects.filter(workspace_id=workspace_id, state="live").values_list("rank", flat=True)
    urgency = urgency_of(level.rank if level else None, ranks)
    incident = Incident(
        workspace_id=workspace_id, number=_number(workspace_id), title=title[:300], summary=_clean(summary, 2000), severity=level.name if level else wanted,
        rank=level.rank if level else 0, route=dict(route), labels=dict(labels), group_id=group_id, runbook_url=runbook_url[:1000], opened_at=at,
        opened_by=by.id if by.kind == "person" else None,
        policy={"severity": severity_told, "escalation": policy, "why": why, "urgency": urgency},
    )  # fmt: skip
    incident.save(force_insert=True)
    say(incident, "opened", why, by)
    record(
        _subject(incident),
        detail={
            "number": incident.number,
            "severity": incident.severity,
            "route": route.get("key", ""),
            "escalation": policy.get("name", ""),
        },
    )
    publish(
        OPENED, workspace_id=workspace_id, subject=_subject(incident), data={"number": incident.number, "severity": incident.severity}
    )  # fmt: skip
    _start_clocks(by, incident, at)
    if policy.get("steps"):
        _page(by, incident)
    else:
        say(incident, "pages nobody", why)
    return incident


@command("incident.declare", needs="incident.respond")
def declare_incident(
    *, by: Actor, workspace_id: UUID, title: str, severity: str = "", summary: str = "", pages: str = ""
) -> Incident:
    """Opens an incident that a person saw first. ``pages`` names an escalation; without it the severity says whom."""
    title = " ".join(title.replace("\0", "").split())
    if not title:
        raise Invalid("Say what is wrong.", field="title")
    if severity and level_named(workspace_id, severity) is None:
        raise Invalid(f"“{severity[:40]}” is no severity of the live handbook.", field="severity")
    route = {"pages": pages[:200], "name": "declared by a person"} if pages else {}
    if pages and policy_named(workspace_id, canonical(pages)) is None:
        raise Invalid("There is no such escalation.", field="pages")
    return _open(by, workspace_id, title, summary, route, {}, severity=severity)


@command("incident.shadow", needs=None)
def shadow_for_group(*, by: Actor, workspace_id: UUID, group: Group) -> None:
    """Records whom a shadow route would have paged about a group. Only the hub itself does this."""
    level = level_named(workspace_id, str(group.shadow.get("severity") or ""))
    policy, why = _escalation(workspace_id, group.shadow, stamp(level) if level else None, True)
    page = paging.start(
        by=by, workspace_id=workspace_id, subject=("group", group.id), title=group.title, policy=policy, why=f"shadow: {why}", labels=group.labels, shadow=True,
    )  # fmt: skip
    record(("group", group.id), detail={"page": str(page.id), "route": group.shadow.get("key", "")})


def _incident(workspace_id: UUID, incident_id: UUID) -> Incident:
    found = Incident.objects.select_for_update().filter(workspace_id=workspace_id, id=incident_id).first()
    if found is None:
        raise NotFound("There is no such incident here.")
    return found


def _live_page(incident: Incident) -> Page | None:
    return (
        Page.objects.filter(subject_kind="incident", subject_id=str(incident.id), shadow=False)
        .exclude(state="ended")
        .first()
    )


def _not_over(incident: Incident) -> None:
    if incident.state == "resolved":
        raise Conflict(f"{incident.code} is resolved.", hint="Reopen it, if it is not over.")


@command("incident.acknowledge", needs="incident.respond")
def acknowledge(*, by: Actor, workspace_id: UUID, incident_id: UUID, via: str = "") -> Incident:
    """Says that one sees to it: escalation stops, the clock is met. Again, or too late, does no harm."""
    incident = _incident(workspace_id, incident_id)
    page = _live_page(incident)
    if page is not None:
        paging.acknowledge(by=by, workspace_id=workspace_id, page_id=page.id, via=via or by.via)
    if incident.state == "open":
        _acknowledged(by, incident, by.id, via or by.via, now())
        if page is None:
            clocks.meet(by=by, workspace_id=workspace_id, subject=_subject(incident), kind="acknowledge")
    record(_subject(incident), detail={"state": incident.state, "via": via or by.via})
    return incident


def _acknowledged(by: Actor | None, incident: Incident, person_id: UUID, via: str, at: datetime) -> None:
    incident.state, incident.acknowledged_at, incident.acknowledged_by = Incident.State.ACKNOWLEDGED, at, person_id
    incident.save()
    IncidentEvent(
        workspace_id=incident.workspace_id, incident=incident, at=at, what="acknowledged", text=_via(via), by=person_id
    ).save(force_insert=True)
    changed(incident, "acknowledged")


def _via(via: str) -> str:
    return {
        "web": "in the console",
        "voice": "by key press on the phone",
        "link": "from the message",
        "push": "from the notification",
    }.get(via, via)


@command("incident.note_answer", needs=None)
def note_answer(*, by: Actor, workspace_id: UUID, incident: Incident, page: Page) -> None:
    """Notes that somebody acknowledged the incident's page in a message or on the phone. Only the hub itself does this."""
    if incident.state == "open" and page.acknowledged_by and page.acknowledged_at:
        _acknowledged(None, incident, page.acknowledged_by, page.acknowledged_via, page.acknowledged_at)
    record(_subject(incident), detail={"page": str(page.id), "via": page.acknowledged_via})


@command("incident.escalate", needs="incident.respond")
def escalate(*, by: Actor, workspace_id: UUID, incident_id: UUID, reason: str = "") -> Incident:
    """Pages the next step at once."""
    incident = _incident(workspace_id, incident_id)
    _not_over(incident)
    page = _live_page(incident)
    if page is None:
        raise Conflict(
            "This incident pages nobody, so there is nobody to escalate to.",
            hint="Mend its route or severity in the runbook.",
        )
    paging.escalate(by=by, workspace_id=workspace_id, page_id=page.id, reason=reason)
    incident.snoozed_until = None
    incident.save(update_fields=["snoozed_until"])
    say(incident, "escalated", _clean(reason, 300), by)
    record(_subject(incident), detail={"reason": _clean(reason, 300)})
    changed(incident, "escalated")
    return incident


@command("incident.note", needs="incident.respond")
def add_note(*, by: Actor, workspace_id: UUID, incident_id: UUID, text: str) -> Incident:
    """Adds a note to the timeline. It tells how it stands: the clocks “respond” and “update” are met, and “update” begins anew."""
    incident = _incident(workspace_id, incident_id)
    text = _clean(text)
    if not text:
        raise Invalid("A note has words.", field="text")
    say(incident, "note", text, by)
    if incident.state != "resolved":
        clocks.meet(by=by, workspace_id=workspace_id, subject=_subject(incident), kind="respond")
        met = clocks.meet(by=by, workspace_id=workspace_id, subject=_subject(incident), kind="update")
        if met is not None:
            _start_clocks(by, incident, now(), ["update"])
    # What somebody wrote may name persons: it is a payload that can be erased.
    record(_subject(incident), detail={"number": incident.number}, personal={"text": text})
    changed(incident, "note")
    return incident


@command("incident.brief", needs="incident.respond")
def briefed(*, by: Actor, workspace_id: UUID, incident_id: UUID) -> Incident:
    """Says that those who have to be briefed were briefed."""
    incident = _incident(workspace_id, incident_id)
    met = clocks.meet(by=by, workspace_id=workspace_id, subject=_subject(incident), kind="brief")
    if met is None:
        raise Conflict("Nobody waits for a briefing here.")
    say(incident, "briefed", "", by)
    record(_subject(incident), detail={"late": met.state == "breached"})
    changed(incident, "briefed")
    return incident


@command("incident.severity", needs="incident.respond")
def change_severity(*, by: Actor, workspace_id: UUID, incident_id: UUID, severity: str) -> Incident:
    """Gives an incident another severity of the live handbook. Its clocks are reckoned anew from the opening; who is paged stays."""
    incident = _incident(workspace_id, incident_id)
    _not_over(incident)
    level = level_named(workspace_id, severity)
    if level is None or level.state != "live":
        raise Invalid(f"“{severity[:40]}” is no severity of the live handbook.", field="severity")
    if level.name == incident.severity:
        raise Conflict(f"{incident.code} is {level.name} already.")
    before, worse = incident.severity, level.rank < (incident.rank or 99)
    incident.severity, incident.rank = level.name, level.rank
    incident.policy = {**incident.policy, "severity": stamp(level)}
    incident.save()
    _rewind(by, incident)
    say(incident, "severity", f"{before or 'none'} → {level.name}", by)
    record(_subject(incident), detail={"changes": {"severity": {"from": before, "to": level.name}}})
    if worse and level.all_hands:
        # Worse, and all hands: those who were not paged are paged now.
        policy, why = _escalation(workspace_id, incident.route, incident.policy["severity"], False)
        incident.policy = {**incident.policy, "escalation": policy, "why": why}
        incident.save(update_fields=["policy"])
        page = _live_page(incident)
        if page is not None:
            paging.end(by=by, workspace_id=workspace_id, page_id=page.id, why=f"it is {level.name} now: all hands")
        incident.state, incident.snoozed_until = Incident.State.OPEN, None
        incident.save(update_fields=["state", "snoozed_until"])
        _page(by, incident)
    changed(incident, "severity")
    return incident


def _rewind(by: Actor, incident: Incident) -> None:
    """The clocks of the new severity, reckoned from the opening: running ones change, others begin or end; what was met stays met."""
    wanted = clocks_of(incident.policy.get("severity") or {}, incident.opened_at)
    rows = Clock.objects.filter(subject_kind="incident", subject_id=str(incident.id))
    known = {one.kind: one for one in rows.order_by("id")}
    common: dict[str, Any] = {"by": by, "workspace_id": incident.workspace_id, "subject": _subject(incident)}
    for kind in CLOCKS:
        clock = known.get(kind)
        if kind in wanted and clock is not None and clock.state == "running":
            clocks.change(**common, kind=kind, policy=wanted[kind])
        elif kind in wanted and clock is None:
            clocks.start(**common, kind=kind, policy=wanted[kind], started_at=incident.opened_at)
        elif kind not in wanted and clock is not None and clock.state in ("running", "paused"):
            clocks.cancel(**common, kind=kind)


@command("incident.snooze", needs="incident.respond")
def snooze(*, by: Actor, workspace_id: UUID, incident_id: UUID, minutes: int) -> Incident:
    """Lets an incident rest; it counts as acknowledged, and pages again at the end if it is not resolved by then."""
    incident = _incident(workspace_id, incident_id)
    _not_over(incident)
    if not 1 <= minutes <= 7 * 24 * 60:
        raise Invalid("Snooze for 1 minute to 7 days.", field="minutes")
    if incident.state == "open":
        acknowledge(by=by, workspace_id=workspace_id, incident_id=incident_id)
        incident.refresh_from_db()
    incident.snoozed_until = now() + timedelta(minutes=minutes)
    incident.save(update_fields=["snoozed_until"])
    say(incident, "snoozed", f"for {minutes} min", by)
    record(_subject(incident), detail={"minutes": minutes})
    changed(incident, "snoozed")
    return incident


@command("incident.wake", needs=None)
def wake(*, by: Actor, workspace_id: UUID, incident: Incident) -> None:
    """Pages again about an incident whose rest is over. Only the hub's own sweep does this."""
    incident.state, incident.snoozed_until = Incident.State.OPEN, None
    incident.save()
    say(incident, "woke", "its rest is over and it is not resolved")
    page = _live_page(incident)
    if page is not None:
        paging.end(by=by, workspace_id=workspace_id, page_id=page.id, why="another page follows after the rest")
    if incident.policy.get("escalation", {}).get("steps"):
        _page(by, incident)
    record(_subject(incident), detail={"number": incident.number})
    changed(incident, "woke")


def sweep(limit: int = 50) -> int:
    """Wakes what has rested long enough; several workers share the work."""
    with transaction.atomic():
        rows = list(
            Incident.objects.select_for_update(skip_locked=True)
            .filter(snoozed_until__lte=now())
            .order_by("snoozed_until")[:limit]
        )
        for incident in rows:
            wake(by=system("worker"), workspace_id=incident.workspace_id, incident=incident)
    return len(rows)


def _resolve(by: Actor, incident: Incident, text: str) -> None:
    incident.state, incident.resolved_at, incident.snoozed_until = Incident.State.RESOLVED, now(), None
    incident.resolved_by = by.id if by.kind == "person" else None
    incident.save()
    common: dict[str, Any] = {"by": by, "workspace_id": incident.workspace_id, "subject": _subject(incident)}
    clocks.meet(**common, kind="resolve")
    for kind in ("acknowledge", "respond", "update"):
        clocks.cancel(**common, kind=kind)
    page = _live_page(incident)
    if page is not None:
        paging.end(by=by, workspace_id=incident.workspace_id, page_id=page.id, why=f"{incident.code} was resolved")
    say(incident, "resolved", text, by)
    publish(RESOLVED, workspace_id=incident.workspace_id, subject=_subject(incident), data={"number": incident.number})
    changed(incident, "resolved")


@command("incident.resolve", needs="incident.respond")
def resolve(*, by: Actor, workspace_id: UUID, incident_id: UUID, text: str = "") -> Incident:
    """Says that it is over. A briefing that is owed stays owed."""
    incident = _incident(workspace_id, incident_id)
    _not_over(incident)
    text = _clean(text)
    _resolve(by, incident, text)
    record(_subject(incident), detail={"number": incident.number}, personal={"text": text} if text else None)
    return incident


@command("incident.resolve_for_group", needs=None)
def resolve_for_group(*, by: Actor, workspace_id: UUID, incident: Incident) -> None:
    """Resolves an incident whose alerts have all ended. Only the hub itself does this."""
    _resolve(by, incident, "none of its alerts fires any more")
    record(_subject(incident), detail={"number": incident.number})


@command("incident.reopen", needs="incident.respond")
def reopen(*, by: Actor, workspace_id: UUID, incident_id: UUID, reason: str) -> Incident:
    """Opens a resolved incident again: it pages again, and its clocks begin anew from now."""
    incident = _incident(workspace_id, incident_id)
    if incident.state != "resolved":
        raise Conflict(f"{incident.code} is not resolved.")
    reason = _clean(reason, 300)
    if not reason:
        raise Invalid("Say why it is not over.", field="reason")
    incident.state, incident.resolved_at, incident.resolved_by = Incident.State.OPEN, None, None
    incident.acknowledged_at, incident.acknowledged_by, incident.reopened = None, None, incident.reopened + 1
    incident.save()
    say(incident, "reopened", reason, by)
    record(_subject(incident), detail={"number": incident.number, "reason": reason})
    clocks.cancel(by=by, workspace_id=workspace_id, subject=_subject(incident), kind="brief")
    _start_clocks(by, incident, now())
    if incident.policy.get("escalation", {}).get("steps"):
        _page(by, incident)
    changed(incident, "reopened")
    return incident


def say_clock(incident: Incident, kind: str, percent: int | None) -> None:
    """A clock's warning or breach in the timeline: an observation, whose entry the clock wrote."""
    what = WORDS.get(kind, kind)
    if percent is None:
        say(incident, "late", f"the time to {what} is over")
    else:
        say(incident, "warning", f"{percent} % of the time to {what} is over")
    changed(incident, "clock")


@command("incident.follow_up", needs=None)
def follow_up(*, by: Actor, workspace_id: UUID, incident: Incident, kind: str) -> None:
    """After a clock that was not met. Nobody acknowledged: the next step begins. A briefing is late: those who wait for it hear so.
    Only the hub itself does this."""
    page = _live_page(incident)
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
    record(_subject(incident), detail={"kind": kind, "done": done or "nothing"})


def guide_of(incident: Incident) -> Guide | None:
    """The runbook page that goes with an incident; for its page and its messages."""
    name = incident.labels.get("alertname") or incident.title
    rows = {str(one.id): one for one in Guide.objects.filter(workspace_id=incident.workspace_id)[:5000]}
    found = guide_for(name, ((key, one.alert, one.exact) for key, one in rows.items()))
    return rows[found] if found else None
