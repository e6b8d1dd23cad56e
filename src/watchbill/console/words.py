"""Entries as sentences: what an action is called when a person reads it. Features' actions without words show their name."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

#: action → the words between who and what.
PHRASES = {
    "hub.founded": "founded",
    "workspace.create": "founded the workspace",
    "workspace.edit": "changed the settings of",
    "person.invite": "added",
    "person.edit": "renamed",
    "person.contact.add": "added contact details of",
    "person.browser.add": "added a browser of",
    "person.contact.gone": "took away a contact that serves no more of",
    "person.contact.remove": "removed contact details of",
    "person.reveal": "looked at the contact details of",
    "person.deactivate": "deactivated",
    "person.reactivate": "reactivated",
    "person.remove": "removed from this workspace",
    "person.erase": "erased the data of",
    "role.grant": "granted a role to",
    "role.revoke": "revoked a role of",
    "role.sync": "brought roles from groups up to date for",
    "role.label": "renamed the role",
    "role.group.map": "mapped a group to the role",
    "role.group.unmap": "unmapped a group from the role",
    "team.create": "made the team",
    "team.edit": "changed the team",
    "team.member.add": "added a member to",
    "team.member.remove": "removed a member from",
    "token.create": "made an API token",
    "token.revoke": "revoked an API token",
    "environment.create": "made the environment",
    "handbook.apply": "applied the handbook,",
    "handbook.draft": "brought a handbook for review,",
    "handbook.choose": "chose in the review of",
    "handbook.discard": "discarded the review of",
    "handbook.bind": "bound a name of",
    "handbook.unbind": "unbound a name of",
    "check.create": "added a check to",
    "check.edit": "changed a check of",
    "check.remove": "removed a check from",
    "source.create": "added the integration",
    "source.rotate": "replaced the key of",
    "source.revoke": "revoked the integration",
    "source.replay": "replayed quarantined arrivals of",
    "workspace.demo": "said whether it is a demo:",
    "oncall.override": "let somebody take over in",
    "oncall.override.end": "took an override back in",
    "oncall.feed": "made a calendar feed of",
    "oncall.feed.revoke": "revoked a calendar feed of",
    "oncall.handover": "handed over",
    "page.start": "paged about",
    "page.step": "began a step of the page about",
    "page.acknowledge": "acknowledged the page about",
    "page.escalate": "escalated the page about",
    "page.exhausted": "went through all steps without an answer about",
    "page.told": "told what it had to about",
    "page.end": "ended the page about",
    "page.resume": "went on with the page about",
    "page.test": "tested",
    "page.stopped": "held back a message about",
    "page.sent": "sent a message about",
    "page.failed": "failed to send a message about",
    "roster.confirm": "confirmed",
    "contact.code": "sent a code to",
    "contact.verify": "tried to verify a contact of",
    "contact.stop_texts": "noted that no text reaches",
    "contact.start_texts": "noted that texts reach",
    "contact.first": "put a contact first for",
    "paging.notices": "changed whether they hear that it is taken or over:",
    "paging.rules": "changed the paging rules of",
    "announcement.undo": "undid",
    "channel.test": "sent a test through the channel",
    "channel.set": "set up the channel",
    "channel.remove": "removed the channel",
    "silence.create": "silenced alerts by",
    "silence.end": "ended",
    "incident.open": "opened",
    "incident.declare": "declared",
    "incident.shadow": "recorded whom a shadow would page about",
    "incident.acknowledge": "acknowledged",
    "incident.note_answer": "noted the answer to the page of",
    "incident.escalate": "escalated",
    "incident.note": "added a note to",
    "incident.brief": "briefed about",
    "incident.severity": "changed the severity of",
    "incident.snooze": "snoozed",
    "incident.wait": "let others act first in",
    "incident.go_on": "went on with",
    "incident.call": "called somebody in to",
    "incident.follow_up": "followed up a clock of",
    "incident.wake": "woke",
    "incident.end_snooze": "ended the rest of",
    "incident.resolve": "resolved",
    "incident.resolve_for_group": "resolved",
    "incident.reopen": "reopened",
    "incident.grow": "noted further alerts of",
    "incident.fire_again": "reopened, since its alerts fire again,",
    "clock.start": "started a clock for",
    "clock.meet": "met the clock of",
    "clock.cancel": "cancelled the clock of",
    "clock.reopen": "let go on the clock of",
    "clock.pause": "paused the clock of",
    "clock.resume": "resumed the clock of",
    "clock.change": "changed the clock of",
    "clock.breach": "breached the clock of",
    "gate.ask": "asked for approval:",
    "gate.answer": "answered the request",
    "gate.withdraw": "withdrew the request",
    "gate.review": "reviewed after the glass was broken:",
    "gate.pass": "passed the gate with",
    "gate.break_glass": "broke the glass:",
    "service.create": "added the service",
    "service.edit": "changed the service",
    "service.retire": "retired the service",
    "secret.store": "stored the secret",
    "secret.replace": "replaced the value of the secret",
    "secret.delete": "deleted the secret",
    "secret.rewrap": "wrapped the secrets anew in",
    "event.replay": "delivered again an event",
    "file.add": "stored the file",
    "ledger.epoch": "began a new epoch of the log",
    "ledger.export": "exported the ledger of",
    "signin.succeeded": "signed in:",
    "signin.break_glass": "signed in by break-glass:",
    "signin.failed": "refused a sign-in by",
    "signin.link": "made a sign-in link for",
    "signin.rewrap": "wrapped the second factors anew in",
    "signin.password": "set the password of",
    "session.revoke": "ended a session of",
}
#: Chips of the audit page: label → what its actions begin with.
GROUPS = {
    "roles": ("Roles", "role."),
    "people": ("People", "person."),
    "sign-in": ("Sign-in", "signin."),
    "incidents": ("Incidents", "incident."),
    "pages": ("Pages", "page."),
    "handbook": ("Handbook", "handbook."),
    "approvals": ("Approvals", "gate."),
    "services": ("Services", "service."),
    "secrets": ("Secrets", "secret."),
    "settings": ("Settings", "workspace."),
}
_WARNING = (
    "signin.failed",
    "signin.break_glass",
    "ledger.epoch",
    "person.reveal",
    "person.erase",
    "session.revoke",
    "person.deactivate",
    "gate.break_glass",
    "clock.breach",
    "page.exhausted",
    "page.failed",
)


def phrase(action: str) -> str:
    """The words for an action; its name where there are none yet."""
    return PHRASES.get(action, action)


def tone(action: str) -> str:
    """Whether an entry deserves a second look: "notice" or ""."""
    return "notice" if action in _WARNING else ""


#: What the feed shows of a payload in its one line; the entry's own page shows all of it.
_BRIEF = (
    "role",
    "label",
    "group",
    "granted",
    "revoked",
    "changes",
    "reason",
    "method",
    "minutes",
    "prefix",
    "kind",
    "epoch",
    "payloads",
    "deliveries",
    "email",
)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(" ".join(map(str, part)) if isinstance(part, list) else str(part) for part in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def details(detail: Mapping[str, Any], personal: Mapping[str, Any], *, brief: bool = False) -> list[tuple[str, str]]:
    """The payload as label and text, changes as “from → to”."""
    rows = []
    for key, value in [*detail.items(), *personal.items()]:
        if value in (None, "", [], {}) or (brief and key not in _BRIEF):
            continue
        if key == "changes" and isinstance(value, dict):
            rows += [
                (name.replace("_", " "), f"{_text(change.get('from'))} → {_text(change.get('to'))}")
                for name, change in value.items()
            ]
        elif isinstance(value, dict) and set(value) == {"from", "to"}:
            rows.append((key.replace("_", " "), f"{_text(value['from'])} → {_text(value['to'])}"))
        else:
            rows.append((key.replace("_", " "), _text(value)))
    return rows


def day_bounds(name: str, at: datetime, zone: str) -> tuple[datetime | None, datetime | None]:
    """“today”, “yesterday”, “week” as times in the workspace's zone: from midnight, until the next (exclusive)."""
    local = at.astimezone(ZoneInfo(zone))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    if name == "today":
        return midnight, None
    if name == "yesterday":
        return (midnight - timedelta(hours=1)).replace(hour=0), midnight
    if name == "week":
        return midnight - timedelta(days=7), None
    return None, None
