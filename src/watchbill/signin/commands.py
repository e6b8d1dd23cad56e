"""Signing in, out, and what an admin does about it. Failures are recorded, too, without the person typed in."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import transaction

from watchbill.base.actor import Actor, system
from watchbill.base.errors import Denied, Invalid, NotFound
from watchbill.base.ids import HUB
from watchbill.ledger.append import append
from watchbill.ledger.command import command, record
from watchbill.ledger.quieter import harmless
from watchbill.people.commands import require_no_further_reach
from watchbill.people.models import GroupMapping, Membership, RoleGrant
from watchbill.people.rules import roles_for_groups
from watchbill.runtime.now import now
from watchbill.secrets.envelope import key_id, open_text, seal_text
from watchbill.signin.models import Login, OneTimeLink, Session

LINK_LIFE = timedelta(minutes=30)
LONGEST_LINK = timedelta(days=3)


def link_digest(text: str) -> bytes:
    """What is kept of a one-time link (its text has 256 random bits)."""
    return hashlib.sha256(text.encode()).digest()


def ensure_login(person_id: UUID) -> Login:
    """The person's way in, made when it is missing. Not a command: it opens nothing by itself."""
    login, _ = Login.objects.get_or_create(person_id=person_id, defaults={"created_at": now("signin"), "password": "!"})
    return login


@command(
    "signin.link",
    needs="person.invite",
    quieter=harmless("whoever makes a link for somebody does not count as a second person with them"),
)
def make_link(
    *,
    by: Actor,
    workspace_id: UUID,
    person_id: UUID,
    life: timedelta = LINK_LIFE,
    break_glass: bool = False,
    reason: str = "",
) -> str:
    """Makes a one-time sign-in link for a person and returns its secret part, which is shown this once."""
    if break_glass and not by.all_powerful:
        raise Denied("Break-glass links are made on the hub's own machine: watchbill link --break-glass")
    if break_glass and not reason.strip():
        raise Invalid("Say why: a break-glass link needs a reason.", field="reason")
    if not timedelta(0) < life <= LONGEST_LINK:
        raise Invalid("A link lives at most three days.", field="life")
    here = Membership.objects.filter(workspace_id=workspace_id, person_id=person_id, ended_at=None, person__active=True)
    if not here.exists():
        raise NotFound("There is no such active person here.")
    require_no_further_reach(by, person_id)
    text, at = "wbl_" + secrets.token_urlsafe(32), now()
    ensure_login(person_id)
    OneTimeLink(
        digest=link_digest(text),
        person_id=person_id,
        made_by=by.id,
        break_glass=break_glass,
        reason=reason,
        created_at=at,
        expires_at=at + life,
    ).save(force_insert=True)
    record(
        ("person", person_id),
        detail={"minutes": int(life.total_seconds() // 60), "break_glass": break_glass, "reason": reason},
    )
    return text


def find_link(text: str) -> OneTimeLink | None:
    """The live link of that text, or None for unknown, used and expired alike."""
    return OneTimeLink.objects.filter(digest=link_digest(text), used_at=None, expires_at__gt=now("signin")).first()


def use_link(text: str) -> OneTimeLink | None:
    """Uses a link up: whoever comes first has it, everybody else gets None."""
    at = now("signin")
    if not OneTimeLink.objects.filter(digest=link_digest(text), used_at=None, expires_at__gt=at).update(used_at=at):
        return None
    return OneTimeLink.objects.get(digest=link_digest(text))


def note_sign_in(
    person_id: UUID, *, method: str, request_id: str, address: str | None, break_glass: bool = False
) -> None:
    """Writes a sign-in into the hub's log, through the sign-in principal."""
    actor = Actor("person", person_id, "web", request_id)
    action = "signin.break_glass" if break_glass else "signin.succeeded"
    with transaction.atomic(using="signin"):
        append(
            workspace_id=HUB, by=actor, action=action, subject=("person", person_id), detail={"method": method},
            personal={"address": address}, about=[person_id], using="signin",
        )  # fmt: skip


def note_failure(*, method: str, reason: str, request_id: str, address: str | None) -> None:
    """Writes a failed sign-in into the hub's log; what was typed is not kept."""
    with transaction.atomic(using="signin"):
        append(
            workspace_id=HUB, by=system("signin", request_id=request_id), action="signin.failed", subject=("signin", method),
            detail={"reason": reason}, personal={"address": address}, using="signin",
        )  # fmt: skip


@command("session.revoke", needs=None, quieter=harmless("somebody has to sign in again; pages go out as before"))
def revoke_session(*, by: Actor, workspace_id: UUID, session_id: UUID) -> None:
    """Ends a session at once. Everybody may end their own; else this needs session.manage."""
    session = Session.objects.filter(id=session_id).first()
    if session is None or session.person_id is None:
        raise NotFound("There is no such session.")
    if session.person_id != by.id:
        _require_reach(by, workspace_id, session.person_id)
    record(("person", session.person_id), detail={"session": str(session_id)})
    session.delete()


def _require_reach(by: Actor, workspace_id: UUID, person_id: UUID) -> None:
    here = Membership.objects.filter(workspace_id=workspace_id, person_id=person_id, ended_at=None).exists()
    if not by.may("session.manage", workspace_id) or not here:
        raise NotFound("There is no such session.")


@command("signin.password", needs=None, quieter=harmless("a way in; what is done with it is declared itself"))
def set_password(*, by: Actor, workspace_id: UUID, person_id: UUID, password: str) -> None:
    """Sets one's own password and ends one's other sessions; the hub's command line may set anybody's."""
    if by.id != person_id and not by.all_powerful:
        raise Denied("Only they themselves can set their password.", hint="Make them a sign-in link instead.")
    login = ensure_login(person_id)
    login.set_password(password)
    login.save(update_fields=["password"])
    Session.objects.filter(person_id=person_id).delete()
    record(("person", person_id))


@command(
    "role.sync",
    needs=None,
    using="signin",
    quieter=harmless("the identity provider says so; who maps a group to a role is announced"),
)
def sync_group_roles(*, by: Actor, workspace_id: UUID, person_id: UUID, groups: Iterable[str]) -> dict[str, list[str]]:
    """Brings a person's roles from groups to what the identity provider says. Only the hub itself does this, at sign-in."""
    if not by.all_powerful:
        raise Denied("Only a sign-in changes roles from groups.")
    mapping: dict[str, list[str]] = {}
    for group, role in (
        GroupMapping.objects.using("signin").filter(workspace_id=workspace_id).values_list("group", "role")
    ):
        mapping.setdefault(group, []).append(role)
    wanted = {(role, f"group:{group}") for role, group in roles_for_groups(groups, mapping).items()}
    held = RoleGrant.objects.using("signin").filter(
        workspace_id=workspace_id, person_id=person_id, ended_at=None, source__startswith="group:"
    )
    have = {(grant.role, grant.source): grant for grant in held}
    at = now("signin")
    here = Membership.objects.using("signin").filter(workspace_id=workspace_id, person_id=person_id, ended_at=None)
    if wanted and not here.exists():
        Membership(workspace_id=workspace_id, person_id=person_id, since=at).save(force_insert=True, using="signin")
    for role, source in sorted(wanted - set(have)):
        grant = RoleGrant(
            workspace_id=workspace_id, person_id=person_id, role=role, source=source, granted_by=by.id, granted_at=at
        )
        grant.save(force_insert=True, using="signin")
    for key in sorted(set(have) - wanted):
        have[key].ended_at = at
        have[key].save(update_fields=["ended_at"], using="signin")
    change = {
        "granted": sorted(role for role, _ in wanted - set(have)),
        "revoked": sorted(role for role, _ in set(have) - wanted),
    }
    record(("person", person_id), detail=change)
    return change


def sync_all_groups(person_id: UUID, groups: list[str], *, request_id: str) -> None:
    """The same for every workspace that maps any group; those where nothing changes get no entry."""
    by = system("signin", request_id=request_id)
    mapped: dict[UUID, dict[str, list[str]]] = {}
    for workspace_id, group, role in GroupMapping.objects.using("signin").values_list("workspace_id", "group", "role"):
        mapped.setdefault(workspace_id, {}).setdefault(group, []).append(role)
    for workspace_id, mapping in mapped.items():
        held = RoleGrant.objects.using("signin").filter(
            workspace_id=workspace_id, person_id=person_id, ended_at=None, source__startswith="group:"
        )
        wanted = {(role, f"group:{group}") for role, group in roles_for_groups(groups, mapping).items()}
        if wanted != set(held.values_list("role", "source")):
            sync_group_roles(by=by, workspace_id=workspace_id, person_id=person_id, groups=groups)


@command(
    "signin.rewrap", needs="workspace.create", using="signin", quieter=harmless("the same secrets under a new key")
)
def rewrap_second_factors(*, by: Actor) -> int:
    """Wraps TOTP seeds and recovery codes by the current master key, after it was changed. Returns how many needed it."""
    known = [settings.KEYS, *([settings.PREVIOUS_KEYS] if settings.PREVIOUS_KEYS else [])]
    current, count = key_id(settings.KEYS), 0
    for factor in Authenticator.objects.select_for_update():
        stale = {
            name: text
            for name, text in factor.data.items()
            if isinstance(text, str) and not text.startswith(f"{current}.")
        }
        if stale:
            factor.data |= {
                name: seal_text(settings.KEYS, "mfa", open_text(known, "mfa", text)) for name, text in stale.items()
            }
            factor.save(update_fields=["data"])
            count += 1
    record(("hub", HUB), detail={"rewrapped": count})
    return count
