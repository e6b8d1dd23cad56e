"""Opening, answering and ending incidents. Everything that happens stands in the timeline and in the ledger."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.urls import reverse

from watchbill.base.actor import Actor
from watchbill.base.errors import Conflict, Invalid, NotFound
from watchbill.clocks import commands as clocks
from watchbill.clocks.rules import Policy
from watchbill.facts.publish import declare, publish
from watchbill.incidents.models import Guide, Incident, IncidentEvent, SeverityLevel
from watchbill.incidents.rules import clocks_of, guide_for, together, urgency_of, whom
from watchbill.language.names import canonical, severity_name
from watchbill.ledger.command import announce, command, record
from watchbill.ledger.quieter import announced, harmless
from watchbill.paging import commands as paging
from watchbill.paging.models import Page
from watchbill.paging.models import Policy as Escalation
from watchbill.paging.queries import policy_named
from watchbill.people.models import Workspace
from watchbill.runtime.now import now
from watchbill.signals import history
from watchbill.signals.heard import ADMINS, NOBODY
from watchbill.signals.models import Alert, Group
from watchbill.signals.unrouted import MARK, setting_of

OPENED = declare("incident.opened", "an incident was opened", "number", "severity")
CHANGED = declare("incident.changed", "an incident changed", "what")
RESOLVED = declare("incident.resolved", "an incident was resolved", "number")
LONGEST = 4000
#: What a page is about by which somebody is called in: this line of the timeline.
CALL, CALLED = "call", "called in"


def replace_severities(*, workspace_id: UUID, levels: Iterable[SeverityLevel], guides: Iterable[Guide]) -> None:
    """Makes these the severities and guides of a workspace: a part of applying a handbook, which writes the entry."""
    SeverityLevel.objects.filter(workspace_id=workspace_id).delete()
    SeverityLevel.objects.bulk_create(levels)
    Guide.objects.filter(workspace_id=workspace_id).delete()
    Guide.objects.bulk_create(guides)


def clean(text: str, longest: int = LONGEST) -> str:
    """What somebody wrote, without odd spaces, and not too long."""
    return "\n".join(" ".join(line.split()) for line in text.replace("\0", "").strip().splitlines())[:longest]


def say(
    incident: Incident,
    what: str,
    text: str = "",
    by: Actor | UUID | None = None,
    about: Mapping[str, str] | None = None,
) -> IncidentEvent:
    """A line in the timeline."""
    who = by if isinstance(by, UUID) else by.id if by is not None and by.kind == "person" else None
    line = IncidentEvent(
        workspace_id=incident.workspace_id, incident=incident, at=now(), what=what, text=text[:LONGEST], by=who, about=dict(about or {})
    )  # fmt: skip
    line.save(force_insert=True)
    return line


def subject_of(incident: Incident) -> tuple[str, UUID]:
    """It, as clocks, pages and the ledger name it."""
    return ("incident", incident.id)


def changed(incident: Incident, what: str) -> None:
    """Says that an incident changed, to whoever listens."""
    publish(CHANGED, workspace_id=incident.workspace_id, subject=subject_of(incident), data={"what": what})


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


def escalation_of(
    workspace_id: UUID, route: Mapping[str, Any], severity: Mapping[str, Any] | None, shadow: bool
) -> tuple[dict[str, Any], str]:
    """The stamped escalation of an incident, with the reason why it is this one."""
    choice = whom(route, severity)
    found = next((one for name in choice.names if (one := policy_named(workspace_id, name, shadow=shadow))), None)
    policy: dict[str, Any] = found.stamp() if found else {"name": "", "steps": [], "repeat": 0, "otherwise": []}
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


def declared_escalation_of(
    workspace_id: UUID, route: Mapping[str, Any], severity: Mapping[str, Any] | None
) -> tuple[dict[str, Any], str]:
    """The same for an incident that a person declared: where neither their choice nor the severity names anybody, whoever hears of
    alerts without a route is paged, which are the admins unless the handbook names somebody else. Never nobody."""
    policy, why = escalation_of(workspace_id, route, severity, False)
    if any(target["kind"] != "none" for step in policy.get("steps", []) for target in step.get("targets", [])):
        return policy, why
    setting = setting_of(workspace_id)
    named = policy_named(workspace_id, canonical(setting.pages)) if setting.pages not in (ADMINS, NOBODY) else None
    if named is not None:
        return named.stamp(), f"{why}; `unrouted` of {setting.path} names {setting.pages}"
    why = f"{why}: the admins hear of it"
    return paging.to_admins(workspace_id, "Declared incidents", why), why


def start_clocks(by: Actor, incident: Incident, begun: datetime, only: Iterable[str] = ()) -> None:
    """Starts the clocks of its severity, or some of them."""
    severity = incident.policy.get("severity") or {}
    wanted: dict[str, Policy] = dict(clocks_of(severity, begun))
    for brief in severity.get("briefs", []):
        wanted.setdefault("brief", Policy(brief["within"]))
    for kind, policy in wanted.items():
        if not only or kind in only:
            clocks.start(
                by=by,
                workspace_id=incident.workspace_id,
                subject=subject_of(incident),
                kind=kind,
                policy=policy,
                started_at=begun,
            )


def page_about(by: Actor, incident: Incident) -> Page:
    """Begins its escalation."""
    slug = Workspace.objects.filter(id=incident.workspace_id).values_list("slug", flat=True).get()
    head = f"[{incident.severity}] " if incident.severity else ""
    return paging.start(
        by=by, workspace_id=incident.workspace_id, subject=subject_of(incident), title=f"{head}{incident.title} ({incident.code})", text=incident.summary,
        url=reverse("incident", args=[slug, incident.number]), policy=incident.policy.get("escalation", {}), why=incident.policy.get("why", ""),
        labels=incident.labels, urgency=incident.policy.get("urgency", "high"),
    )  # fmt: skip


@command("incident.open", needs=None, quieter=harmless("it pages"))
def open_for_group(*, by: Actor, workspace_id: UUID, group: Group) -> Incident | None:
    """Opens an incident for a group of alerts, as its route says; one that is open already stays. Only the hub itself does this."""
    there = Incident.objects.select_for_update().filter(group_id=group.id).order_by("-number").first()
    if there is not None:
        record(subject_of(there), detail={"again": True})
        if there.state != "resolved" and not there.policy.get("escalation", {}).get("steps"):
            _page_at_last(by, there, group)
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
        note=_late(group),
    )
    history.say(group, "incident", f"{incident.code}: {incident.policy['why']}")
    _mark(group, incident)
    return incident


def _late(group: Group) -> str:
    """Where a group fired for a while before it became an incident: from when its clocks run."""
    if now() - group.opened_at < timedelta(minutes=1):
        return ""
    return f"it fires since {group.opened_at:%Y-%m-%d %H:%M} UTC and paged nobody until now; its clocks run from now"


def _mark(group: Group, incident: Incident) -> None:
    """Says on a group that nobody was named to page, so that it counts among what pages nobody."""
    mark = "" if incident.policy.get("escalation", {}).get("steps") else f"nobody is named: {incident.policy['why']}"
    route = {key: value for key, value in group.route.items() if key != MARK} | ({MARK: mark} if mark else {})
    if route != group.route:
        group.route = route
        group.save(update_fields=["route"])


def _page_at_last(by: Actor, incident: Incident, group: Group) -> None:
    """An open incident that paged nobody is looked at again: by its group's route, with the severities and escalations that are live now."""
    level = level_named(incident.workspace_id, str(group.route.get("severity") or ""))
    told = stamp(level) if level else None
    policy, why = escalation_of(incident.workspace_id, group.route, told, False)
    if policy.get("steps"):
        ranks = SeverityLevel.objects.filter(workspace_id=incident.workspace_id, state="live")
        urgency = urgency_of(level.rank if level else None, ranks.values_list("rank", flat=True))
        anew = level is not None and level.name != incident.severity
        incident.severity, incident.rank = (level.name, level.rank) if level else (incident.severity, incident.rank)
        incident.route = dict(group.route)
        incident.policy = {"severity": told, "escalation": policy, "why": why, "urgency": urgency}
        incident.save()
        say(incident, "routed", f"{why}; it paged nobody until now")
        history.say(group, "incident", f"{incident.code}: {why}")
        if anew:
            start_clocks(by, incident, now())
        page_about(by, incident)
        changed(incident, "routed")
    _mark(group, incident)


def _open(
    by: Actor, workspace_id: UUID, title: str, summary: str, route: Mapping[str, Any], labels: Mapping[str, str], *, severity: str = "",
    group_id: UUID | None = None, runbook_url: str = "", note: str = "", declared: bool = False,
) -> Incident:  # fmt: skip
    at, wanted = now(), severity or str(route.get("severity") or "")
    level = level_named(workspace_id, wanted)
    severity_told = stamp(level) if level else None
    if declared:
        policy, why = declared_escalation_of(workspace_id, route, severity_told)
    else:
        policy, why = escalation_of(workspace_id, route, severity_told, False)
    if wanted and level is None:
        why += f"; “{wanted}” is no severity of the live handbook, so no clock runs"
    why += f"; {note}" if note else ""
    ranks = SeverityLevel.objects.filter(workspace_id=workspace_id, state="live").values_list("rank", flat=True)
    urgency = urgency_of(level.rank if level else None, ranks)
    incident = Incident(
        workspace_id=workspace_id, number=_number(workspace_id), title=title[:300], summary=clean(summary, 2000), severity=level.name if level else wanted,
        rank=level.rank if level else 0, route=dict(route), labels=dict(labels), group_id=group_id, runbook_url=runbook_url[:1000], opened_at=at,
        opened_by=by.id if by.kind == "person" else None,
        policy={"severity": severity_told, "escalation": policy, "why": why, "urgency": urgency},
    )  # fmt: skip
    incident.save(force_insert=True)
    say(incident, "opened", why, by)
    record(
        subject_of(incident),
        detail={
            "number": incident.number,
            "severity": incident.severity,
            "route": route.get("key", ""),
            "escalation": policy.get("name", ""),
        },
    )
    publish(
        OPENED, workspace_id=workspace_id, subject=subject_of(incident), data={"number": incident.number, "severity": incident.severity}
    )  # fmt: skip
    start_clocks(by, incident, at)
    if policy.get("steps"):
        page_about(by, incident)
    else:
        say(incident, "pages nobody", why)
    return incident


@command("incident.declare", needs="incident.respond", quieter=harmless("it pages"))
def declare_incident(
    *, by: Actor, workspace_id: UUID, title: str, severity: str = "", summary: str = "", pages: str = ""
) -> Incident:
    """Opens an incident that a person saw first. ``pages`` names an escalation; without it the severity says whom, else the admins hear."""
    title = " ".join(title.replace("\0", "").split())
    if not title:
        raise Invalid("Say what is wrong.", field="title")
    if severity and level_named(workspace_id, severity) is None:
        raise Invalid(f"“{severity[:40]}” is no severity of the live handbook.", field="severity")
    route = {"pages": pages[:200], "name": "declared by a person"} if pages else {}
    if pages and policy_named(workspace_id, canonical(pages)) is None:
        raise Invalid("There is no such escalation.", field="pages")
    return _open(by, workspace_id, title, summary, route, {}, severity=severity, declared=True)


@command("incident.shadow", needs=None, quieter=harmless("it records whom a shadow would have paged"))
def shadow_for_group(*, by: Actor, workspace_id: UUID, group: Group) -> None:
    """Records whom a shadow route would have paged about a group. Only the hub itself does this."""
    level = level_named(workspace_id, str(group.shadow.get("severity") or ""))
    policy, why = escalation_of(workspace_id, group.shadow, stamp(level) if level else None, True)
    page = paging.start(
        by=by, workspace_id=workspace_id, subject=("group", group.id), title=group.title, policy=policy, why=f"shadow: {why}", labels=group.labels, shadow=True,
    )  # fmt: skip
    record(("group", group.id), detail={"page": str(page.id), "route": group.shadow.get("key", "")})


def incident_of(workspace_id: UUID, incident_id: UUID) -> Incident:
    """An incident to change: nobody else changes it in the meantime. Raises NotFound."""
    found = Incident.objects.select_for_update().filter(workspace_id=workspace_id, id=incident_id).first()
    if found is None:
        raise NotFound("There is no such incident here.")
    return found


def live_page(incident: Incident) -> Page | None:
    """The page that is about it and not ended."""
    return (
        Page.objects.filter(subject_kind="incident", subject_id=str(incident.id), shadow=False)
        .exclude(state="ended")
        .first()
    )


def not_over(incident: Incident) -> None:
    """Raises Conflict where it is resolved."""
    if incident.state == "resolved":
        raise Conflict(f"{incident.code} is resolved.", hint="Reopen it, if it is not over.")


@command("incident.acknowledge", needs="incident.respond", quieter=harmless("the others hear who has it"))
def acknowledge(*, by: Actor, workspace_id: UUID, incident_id: UUID, via: str = "") -> Incident:
    """Says that one sees to it: escalation stops, the clock is met. Again, or too late, does no harm."""
    incident = incident_of(workspace_id, incident_id)
    page = live_page(incident)
    if page is not None:
        paging.acknowledge(by=by, workspace_id=workspace_id, page_id=page.id, via=via or by.via)
    if incident.state == "open":
        _acknowledged(by, incident, by.id, via or by.via, now())
        if page is None:
            clocks.meet(by=by, workspace_id=workspace_id, subject=subject_of(incident), kind="acknowledge")
    record(subject_of(incident), detail={"state": incident.state, "via": via or by.via})
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
        "sms": "by text message",
        "link": "from the message",
        "push": "from the notification",
    }.get(via, via)


@command("incident.note_answer", needs=None, quieter=harmless("only the hub itself does this"))
def note_answer(*, by: Actor, workspace_id: UUID, incident: Incident, page: Page) -> None:
    """Notes that somebody acknowledged the incident's page in a message or on the phone. Only the hub itself does this."""
    if incident.state == "open" and page.acknowledged_by and page.acknowledged_at:
        _acknowledged(None, incident, page.acknowledged_by, page.acknowledged_via, page.acknowledged_at)
    record(subject_of(incident), detail={"page": str(page.id), "via": page.acknowledged_via})


@command("incident.escalate", needs="incident.respond", quieter=harmless("it pages more people"))
def escalate(*, by: Actor, workspace_id: UUID, incident_id: UUID, reason: str = "") -> Incident:
    """Pages the next step at once."""
    incident = incident_of(workspace_id, incident_id)
    not_over(incident)
    page = live_page(incident)
    if page is None:
        raise Conflict(
            "This incident pages nobody, so there is nobody to escalate to.",
            hint="Mend its route or severity in the runbook.",
        )
    paging.escalate(by=by, workspace_id=workspace_id, page_id=page.id, reason=reason)
    incident.snoozed_until = None
    incident.save(update_fields=["snoozed_until"])
    say(incident, "escalated", clean(reason, 300), by)
    record(subject_of(incident), detail={"reason": clean(reason, 300)})
    changed(incident, "escalated")
    return incident


@command("incident.note", needs="incident.respond", quieter=harmless("a line in the timeline"))
def add_note(*, by: Actor, workspace_id: UUID, incident_id: UUID, text: str) -> Incident:
    """Adds a note to the timeline. It tells how it stands: the clocks “respond” and “update” are met, and “update” begins anew."""
    incident = incident_of(workspace_id, incident_id)
    text = clean(text)
    if not text:
        raise Invalid("A note has words.", field="text")
    say(incident, "note", text, by)
    if incident.state != "resolved":
        clocks.meet(by=by, workspace_id=workspace_id, subject=subject_of(incident), kind="respond")
        met = clocks.meet(by=by, workspace_id=workspace_id, subject=subject_of(incident), kind="update")
        if met is not None:
            start_clocks(by, incident, now(), ["update"])
    # What somebody wrote may name persons: it is a payload that can be erased.
    record(subject_of(incident), detail={"number": incident.number}, personal={"text": text})
    changed(incident, "note")
    return incident


def _resolve(by: Actor, incident: Incident, text: str, until: datetime | None = None) -> None:
    incident.resolved_from = incident.state
    incident.state, incident.resolved_at, incident.snoozed_until = Incident.State.RESOLVED, now(), None
    incident.waiting_for = ""
    incident.resolved_by = by.id if by.kind == "person" else None
    incident.save()
    common: dict[str, Any] = {"by": by, "workspace_id": incident.workspace_id, "subject": subject_of(incident)}
    clocks.meet(**common, kind="resolve")
    for kind in ("acknowledge", "respond", "update"):
        clocks.cancel(**common, kind=kind)
    page = live_page(incident)
    if page is not None:
        why = f"{incident.code} was resolved"
        paging.end(by=by, workspace_id=incident.workspace_id, page_id=page.id, why=why, until=until)
    for line in IncidentEvent.objects.filter(incident=incident, what=CALLED).values_list("id", flat=True):
        paging.end_about(
            by=by, workspace_id=incident.workspace_id, subject=(CALL, line), why=f"{incident.code} was resolved"
        )
    say(incident, "resolved", text, by)
    publish(
        RESOLVED, workspace_id=incident.workspace_id, subject=subject_of(incident), data={"number": incident.number}
    )
    changed(incident, "resolved")


@command("incident.resolve", needs="incident.respond", quieter=announced("it is resolved while its alerts fire"))
def resolve(*, by: Actor, workspace_id: UUID, incident_id: UUID, text: str = "") -> Incident:
    """Says that it is over. A briefing that is owed stays owed."""
    incident = incident_of(workspace_id, incident_id)
    not_over(incident)
    text = clean(text)
    _resolve(by, incident, text)
    record(subject_of(incident), detail={"number": incident.number}, personal={"text": text} if text else None)
    if incident.group_id and Group.objects.filter(id=incident.group_id, state="open", firing__gt=0).exists():
        back = {"incident_id": incident.id, "reason": "Resolving it was undone: its alerts fire."}
        announce(
            f"{incident.code} was resolved while its alerts fire: nobody is paged about them",
            undo=("incident.reopen", back),
        )
    return incident


@command("incident.resolve_for_group", needs=None, quieter=harmless("only the hub itself does this"))
def resolve_for_group(*, by: Actor, workspace_id: UUID, incident: Incident, until: datetime | None = None) -> None:
    """Resolves an incident whose alerts have all ended; ``until`` then they may reopen it. Only the hub itself does this."""
    _resolve(by, incident, "none of its alerts fires any more", until)
    record(subject_of(incident), detail={"number": incident.number})


@command("incident.reopen", needs="incident.respond", quieter=harmless("it pages again"))
def reopen(*, by: Actor, workspace_id: UUID, incident_id: UUID, reason: str) -> Incident:
    """Opens a resolved incident again: it pages again, and its clocks begin anew from now."""
    incident = incident_of(workspace_id, incident_id)
    if incident.state != "resolved":
        raise Conflict(f"{incident.code} is not resolved.")
    reason = clean(reason, 300)
    if not reason:
        raise Invalid("Say why it is not over.", field="reason")
    record(subject_of(incident), detail={"number": incident.number, "reason": reason})
    open_again(by, incident, reason)
    return incident


def open_again(by: Actor, incident: Incident, reason: str) -> None:
    """Opens an incident that was over, or whose owner is gone, from the start: nobody has it, its clocks begin now, and it pages.
    The command that calls this writes the entry."""
    incident.state, incident.resolved_at, incident.resolved_by = Incident.State.OPEN, None, None
    incident.acknowledged_at, incident.acknowledged_by, incident.reopened = None, None, incident.reopened + 1
    incident.snoozed_until = None
    incident.save()
    say(incident, "reopened", reason, by)
    clocks.cancel(by=by, workspace_id=incident.workspace_id, subject=subject_of(incident), kind="brief")
    start_clocks(by, incident, now())
    if incident.policy.get("escalation", {}).get("steps"):
        page_about(by, incident)
    changed(incident, "reopened")


def guide_of(incident: Incident) -> Guide | None:
    """The runbook page that goes with an incident; for its page and its messages."""
    name = incident.labels.get("alertname") or incident.title
    rows = {str(one.id): one for one in Guide.objects.filter(workspace_id=incident.workspace_id)[:5000]}
    found = guide_for(name, ((key, one.alert, one.exact) for key, one in rows.items()))
    return rows[found] if found else None
