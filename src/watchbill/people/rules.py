"""Who may do what: permissions are verbs on nouns, roles are sets of them. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: Every permission: name → what it lets one do. Features add theirs here, so that the whole is on one page.
PERMISSIONS: dict[str, str] = {
    "workspace.read": "see the workspace, its overview and its due list",
    "workspace.edit": "change its name, time zone and sign-in rules",
    "workspace.create": "make new workspaces (held in the hub's own workspace)",
    "person.read": "see who is here; contact details stay masked",
    "person.reveal": "reveal a person's contact details, each time recorded",
    "person.invite": "add people and make sign-in links for them",
    "person.edit": "change names and contact details, deactivate and reactivate",
    "person.erase": "erase a person's data",
    "role.grant": "grant and revoke roles, rename them, map groups to them",
    "team.read": "see teams",
    "team.edit": "make and change teams",
    "service.read": "see services and environments",
    "service.edit": "make and change services and environments",
    "ledger.read": "read the audit feed",
    "ledger.export": "export the ledger",
    "event.read": "see events and their deliveries",
    "event.replay": "deliver an event again",
    "alert.read": "see alerts and their groups",
    "silence.edit": "silence alerts, and end silences",
    "incident.read": "see incidents, their timelines and clocks",
    "incident.respond": "declare, acknowledge, escalate, note, snooze and resolve incidents",
    "page.read": "see pages: who was paged, why, and what came of each message",
    "oncall.read": "see who is on call, and make calendar feeds",
    "oncall.override": "let somebody take over on call for some time",
    "roster.confirm": "confirm that the contact roster is right",
    "channel.read": "see the channels that pages go out by, and their problems",
    "channel.edit": "set up and remove channels",
    "source.read": "see integrations, what came through them, and what could not be understood",
    "source.edit": "make integrations, replace and revoke their keys, replay what was quarantined",
    "secret.read": "see that a secret exists, its age and its use; never its value",
    "secret.edit": "store, replace and delete secrets",
    "token.use": "make API tokens for oneself",
    "token.manage": "see and revoke everybody's API tokens",
    "session.manage": "see and revoke everybody's sessions",
    "file.read": "download files",
    "file.add": "store files",
    "finance.read": "open the finance modules",
    "due.read": "see what is due",
    "handbook.read": "read the handbook and its runbooks",
    "handbook.apply": "apply accepted runbooks, and go back to an earlier revision",
    "handbook.bind": "say which person or team a name in the runbooks means",
    "handbook.approve": "approve what somebody else wants to weaken in the live handbook",
    "handbook.weaken": "apply a workspace's first handbook; break the glass where nobody can approve, with a reason that stays on record",
}

_VIEWER = {
    "workspace.read",
    "person.read",
    "team.read",
    "service.read",
    "due.read",
    "alert.read",
    "incident.read",
    "page.read",
    "oncall.read",
    "file.read",
    "token.use",
    "handbook.read",
}
_RESPONDER = _VIEWER | {
    "file.add",
    "ledger.read",
    "incident.respond",
    "oncall.override",
    "roster.confirm",
    "silence.edit",
}
_EDITOR = _RESPONDER | {
    "service.edit",
    "team.edit",
    "event.read",
    "handbook.apply",
    "handbook.bind",
    "source.read",
    "channel.read",
}
_APPROVER = _RESPONDER | {"handbook.approve"}
_AUDITOR = _VIEWER | {
    "ledger.read",
    "ledger.export",
    "event.read",
    "secret.read",
    "source.read",
    "channel.read",
    "token.manage",
}

#: Built-in access roles, weakest first. A handbook may rename them, not change them.
ROLES: dict[str, frozenset[str]] = {
    "viewer": frozenset(_VIEWER),
    "responder": frozenset(_RESPONDER),
    "editor": frozenset(_EDITOR),
    "approver": frozenset(_APPROVER),
    "auditor": frozenset(_AUDITOR),
    "finance": frozenset(_VIEWER | {"finance.read"}),
    "admin": frozenset(set(PERMISSIONS) - {"finance.read"}),
}
ROLE_DOCS = {
    "viewer": "Sees the workspace.",
    "responder": "Takes part in the work: acknowledges, notes, adds files.",
    "editor": "Keeps services, teams and the handbook.",
    "approver": "Decides on what others ask for.",
    "auditor": "Reads everything that is evidence; changes nothing.",
    "finance": "Opens the finance modules.",
    "admin": "Manages people, roles, secrets and settings. Finance stays closed.",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why somebody holds a permission: through which role, and where the role comes from."""

    permission: str
    role: str
    source: str


def permissions_of(roles: Iterable[str]) -> frozenset[str]:
    """All permissions of some roles; unknown roles give nothing."""
    return frozenset().union(*(ROLES.get(role, frozenset()) for role in roles))


def why(grants: Iterable[tuple[str, str]], permission: str) -> list[Reason]:
    """The grants (role, source) that give a permission; empty when none does."""
    return [Reason(permission, role, source) for role, source in grants if permission in ROLES.get(role, frozenset())]


def roles_for_groups(groups: Iterable[str], mapping: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Role → the identity provider's group that gives it. Matching is exact; the first group wins."""
    found: dict[str, str] = {}
    for group in sorted(set(groups)):
        for role in mapping.get(group, ()):
            found.setdefault(role, group)
    return found


def weakest_link(active_admins: int) -> str:
    """Why the last admin cannot go; empty when somebody remains."""
    return (
        "" if active_admins > 0 else "This would leave the workspace without an admin. Make somebody else admin first."
    )
