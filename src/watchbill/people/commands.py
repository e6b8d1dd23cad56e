"""Changes to workspaces, people, roles and teams. Every one writes its ledger entry."""

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.db import IntegrityError, transaction

from watchbill.base.actor import Actor
from watchbill.base.errors import Conflict, Denied, Invalid, NotFound
from watchbill.base.ids import HUB, slugify
from watchbill.facts.publish import declare, publish
from watchbill.ledger.command import announce, command, record
from watchbill.ledger.erase import erase_payloads_about
from watchbill.ledger.quieter import announced, harmless
from watchbill.people import tokens
from watchbill.people.models import (
    ApiToken,
    ContactMethod,
    GroupMapping,
    Membership,
    Person,
    RoleGrant,
    RoleLabel,
    TeamMember,
    Workspace,
)
from watchbill.people.queries import places_of
from watchbill.people.rules import PERMISSIONS, permissions_of, weakest_link
from watchbill.people.values import clean_contact, clean_name, clean_role, clean_zone
from watchbill.runtime.now import now

WORKSPACE_CREATED = declare("workspace.created", "a workspace was founded", "slug")
ROLE_CHANGED = declare("role.changed", "a person's roles here changed", "role", "change")
PERSON_DEACTIVATED = declare("person.deactivated", "a person may no longer sign in")
PERSON_ERASED = declare("person.erased", "a person's data is to be gone everywhere")


def person_here(workspace_id: UUID, person_id: UUID) -> Person:
    """A member of a workspace. Raises NotFound."""
    person = Person.objects.filter(
        id=person_id, memberships__workspace_id=workspace_id, memberships__ended_at=None
    ).first()
    if person is None:
        raise NotFound("There is no such person here.")
    return person


@command("workspace.create", needs="workspace.create", quieter=harmless("a new workspace pages nobody yet"))
def create_workspace(
    *, by: Actor, name: str, slug: str = "", time_zone: str = "UTC", first_admin: UUID | None = None
) -> Workspace:
    """Founds a workspace; whoever founds it becomes its first admin."""
    name, at = clean_name(name), now()
    slug = slugify(slug or name)
    if not slug or slug in {"hub", "api", "static"}:
        raise Invalid("The workspace needs a short name of letters and digits for its address.", field="slug")
    workspace = Workspace(slug=slug, name=name, time_zone=clean_zone(time_zone), created_at=at)
    try:
        with transaction.atomic():
            workspace.save(force_insert=True)
    except IntegrityError:
        raise Conflict(
            f"There is a workspace “{slug}” already.", hint="Choose another short name.", field="slug"
        ) from None
    admin = first_admin or (by.id if by.kind == "person" else None)
    if admin:
        Membership(workspace=workspace, person_id=admin, since=at).save(force_insert=True)
        RoleGrant(workspace=workspace, person_id=admin, role="admin", granted_by=by.id, granted_at=at).save(
            force_insert=True
        )
    detail = {"name": name, "slug": slug, "first_admin": str(admin) if admin else None}
    record(("workspace", workspace.id), detail=detail)
    record(("workspace", workspace.id), workspace_id=workspace.id, detail=detail)
    publish(WORKSPACE_CREATED, workspace_id=workspace.id, subject=("workspace", workspace.id), data={"slug": slug})
    return workspace


@command(
    "workspace.edit",
    needs="workspace.edit",
    quieter=announced("another time zone moves shifts and quiet hours; a second factor is asked for no more"),
)
def edit_workspace(
    *,
    by: Actor,
    workspace_id: UUID,
    name: str | None = None,
    time_zone: str | None = None,
    require_mfa: bool | None = None,
) -> Workspace:
    """Changes a workspace's name, time zone, or whether a second factor is asked for."""
    workspace = Workspace.objects.select_for_update().filter(id=workspace_id).first()
    if workspace is None:
        raise NotFound("There is no such workspace here.")
    before = {"name": workspace.name, "time_zone": workspace.time_zone, "require_mfa": workspace.require_mfa}
    after = {
        "name": clean_name(name) if name is not None else workspace.name,
        "time_zone": clean_zone(time_zone) if time_zone is not None else workspace.time_zone,
        "require_mfa": workspace.require_mfa if require_mfa is None else require_mfa,
    }
    if after["require_mfa"] and not before["require_mfa"] and not by.mfa and by.kind == "person":
        raise Denied(
            "Set up your own second factor and sign in with it first; otherwise this would lock you out.",
            hint="Account → Two-factor.",
        )
    workspace.name, workspace.time_zone, workspace.require_mfa = (
        str(after["name"]),
        str(after["time_zone"]),
        bool(after["require_mfa"]),
    )
    workspace.save(update_fields=["name", "time_zone", "require_mfa"])
    changes = {key: {"from": before[key], "to": after[key]} for key in before if before[key] != after[key]}
    record(("workspace", workspace_id), detail={"changes": changes})
    lost = [name for name in ("time_zone", "require_mfa") if name in changes and after[name] is not True]
    if lost:
        words = {
            "time_zone": f"The time zone is {workspace.time_zone} now, no more {before['time_zone']}",
            "require_mfa": "No second factor is asked for any more",
        }
        announce("; ".join(words[one] for one in lost), undo=("workspace.edit", {one: before[one] for one in lost}))
    return workspace


@command("workspace.demo", needs="workspace.edit", quieter=announced("a demo pages nobody"))
def mark_demo(*, by: Actor, workspace_id: UUID, demo: bool) -> None:
    """Says that a workspace is a demo, whose pages go to nobody, or that it is one no more."""
    changed = Workspace.objects.filter(id=workspace_id).exclude(demo=demo).update(demo=demo)
    record(("workspace", workspace_id), detail={"demo": demo})
    if changed and demo:
        announce("This workspace is a demo now: it pages nobody", undo=("workspace.demo", {"demo": False}))


@command(
    "person.invite",
    needs="person.invite",
    quieter=harmless("somebody new may look; a role that can change anything is granted by itself"),
)
def invite_person(
    *, by: Actor, workspace_id: UUID, name: str, email: str, role: str = "viewer", outsider: bool = False
) -> Person:
    """Adds a person by e-mail address: somebody known here joins, somebody new is made."""
    name, email, role, at = clean_name(name), clean_contact("email", email), clean_role(role), now()
    if role != "viewer":
        by.require("role.grant", workspace_id)
    known = ContactMethod.objects.filter(kind="email", value__iexact=email).select_related("person").first()
    if known:
        person = known.person
        if Membership.objects.filter(workspace_id=workspace_id, person=person, ended_at=None).exists():
            raise Conflict(
                "A person with that e-mail address is here already.", hint="Search People for them.", field="email"
            )
    else:
        person = Person(name=name, outsider=outsider, created_in_id=workspace_id, created_at=at)
        person.save(force_insert=True)
        try:
            with transaction.atomic():
                ContactMethod(person=person, kind="email", value=email).save(force_insert=True)
        except IntegrityError:
            raise Conflict(
                "That e-mail address belongs to somebody in another workspace of this hub.",
                hint="Ask an admin of the hub's own workspace to add them here.",
                field="email",
            ) from None
    Membership(workspace_id=workspace_id, person=person, since=at).save(force_insert=True)
    RoleGrant(workspace_id=workspace_id, person=person, role=role, granted_by=by.id, granted_at=at).save(
        force_insert=True
    )
    record(
        ("person", person.id),
        detail={"role": role, "outsider": outsider},
        personal={"name": person.name, "email": email},
        about=[person.id],
    )
    publish(
        ROLE_CHANGED, workspace_id=workspace_id, subject=("person", person.id), data={"role": role, "change": "granted"}
    )
    return person


@command("person.edit", needs=None, quieter=harmless("a name"))
def edit_person(*, by: Actor, workspace_id: UUID, person_id: UUID, name: str) -> Person:
    """Changes a name. Everybody may change their own; else this needs person.edit."""
    if person_id != by.id:
        by.require("person.edit", workspace_id)
    person = person_here(workspace_id, person_id)
    before, person.name = person.name, clean_name(name)
    person.save(update_fields=["name"])
    record(("person", person_id), personal={"name": {"from": before, "to": person.name}}, about=[person_id])
    return person


@command("person.reveal", needs="person.reveal", quieter=harmless("it reads, and is recorded"))
def reveal_person(*, by: Actor, workspace_id: UUID, person_id: UUID, reason: str = "") -> None:
    """Records that a person's contact details were looked at; the page then shows them once."""
    person_here(workspace_id, person_id)
    record(("person", person_id), detail={"reason": " ".join(reason.split())[:300]})


@command("person.deactivate", needs="person.edit", quieter=announced("somebody is paged no more"))
def deactivate_person(*, by: Actor, workspace_id: UUID, person_id: UUID) -> None:
    """Ends a person's access to the whole hub at once; their history stays."""
    if person_id == by.id:
        raise Denied("You cannot deactivate yourself.", hint="Ask another admin.")
    person = person_here(workspace_id, person_id)
    _only_within_reach(by, person)
    _keep_an_admin(workspace_id, without=person_id)
    person.active = False
    person.save(update_fields=["active"])
    record(("person", person_id))
    announce(
        "{0} was deactivated, and is paged no more",
        people=[person_id],
        loses=[person_id],
        undo=("person.reactivate", {"person_id": person_id}),
    )
    publish(PERSON_DEACTIVATED, workspace_id=workspace_id, subject=("person", person_id))


@command("person.reactivate", needs="person.edit", quieter=harmless("somebody can be paged again"))
def reactivate_person(*, by: Actor, workspace_id: UUID, person_id: UUID) -> None:
    """Lets a deactivated person in again."""
    person = person_here(workspace_id, person_id)
    if person.erased_at:
        raise Conflict("An erased person cannot come back.", hint="Invite them anew.")
    _only_within_reach(by, person)
    person.active = True
    person.save(update_fields=["active"])
    record(("person", person_id))


def _only_within_reach(by: Actor, person: Person) -> None:
    """A person's sign-in is hub-wide: who acts on it must manage people wherever that person is a member."""
    if by.all_powerful or by.may("person.edit", HUB):
        return
    if not all(by.may("person.edit", place) for place in places_of(person.id)):
        raise Denied(
            "This person belongs to another workspace, too.",
            hint="Remove them from this workspace instead, or ask an admin of the hub's own workspace.",
        )


def require_no_further_reach(by: Actor, person_id: UUID) -> None:
    """Who gets at a person's way in (a link, an address that single sign-on matches) could become them: so nobody does for a
    person who may do more than they may, in any workspace. A token's limits count. Raises Denied."""
    if by.all_powerful or (by.id == person_id and not by.via.startswith("token:")):
        return
    places = places_of(person_id)
    if places - set(by.grants):
        raise Denied(
            "This person belongs to another workspace, too.",
            hint="They sign in as they do there; or ask on the hub's own machine.",
        )
    for place in places:
        grants = RoleGrant.objects.filter(person_id=person_id, workspace_id=place, ended_at=None)
        if not permissions_of(grants.values_list("role", flat=True)) <= by.grants[place]:
            raise Denied(
                "This person may do more than you; this would let you become them.",
                hint="Ask somebody who may do as much, or on the hub's own machine: watchbill link",
            )


@command("person.remove", needs="person.edit", quieter=announced("somebody is paged no more"))
def remove_person(*, by: Actor, workspace_id: UUID, person_id: UUID) -> None:
    """Takes a person out of this workspace, with every role they hold in it."""
    person_here(workspace_id, person_id)
    _keep_an_admin(workspace_id, without=person_id)
    at = now()
    RoleGrant.objects.filter(workspace_id=workspace_id, person_id=person_id, ended_at=None).update(ended_at=at)
    TeamMember.objects.filter(workspace_id=workspace_id, person_id=person_id).delete()
    ApiToken.objects.filter(workspace_id=workspace_id, person_id=person_id, revoked_at=None).update(revoked_at=at)
    record(("person", person_id))
    announce("{0} was taken out of this workspace, and is paged here no more", people=[person_id], loses=[person_id])
    Membership.objects.filter(workspace_id=workspace_id, person_id=person_id, ended_at=None).update(ended_at=at)


@command("person.erase", needs="person.erase", quieter=announced("somebody is paged no more"))
def erase_person(*, by: Actor, workspace_id: UUID, person_id: UUID) -> int:
    """Erases a person's data: name, contacts, sign-in, and every ledger payload about them. The proof stays whole."""
    if person_id == by.id:
        raise Denied("You cannot erase yourself.", hint="Ask another admin.")
    person = person_here(workspace_id, person_id)
    _only_within_reach(by, person)
    _keep_an_admin(workspace_id, without=person_id)
    person.contacts.all().delete()
    person.name, person.active, person.erased_at = "Erased person", False, now()
    person.save(update_fields=["name", "active", "erased_at"])
    count = erase_payloads_about(person_id)
    record(("person", person_id), detail={"payloads": count})
    announce("Somebody's data was erased; they are paged no more")
    # The worker's subscribers do the same where this person of the transaction cannot reach.
    publish(PERSON_ERASED, workspace_id=workspace_id, subject=("person", person_id))
    return count


def _keep_an_admin(workspace_id: UUID, *, without: UUID) -> None:
    admins = RoleGrant.objects.filter(workspace_id=workspace_id, role="admin", ended_at=None, person__active=True)
    if not admins.filter(person_id=without).exists():
        return
    if problem := weakest_link(admins.exclude(person_id=without).count()):
        raise Conflict(problem)


@command("role.grant", needs="role.grant", quieter=announced("somebody may change what is paged"))
def grant_role(*, by: Actor, workspace_id: UUID, person_id: UUID, role: str) -> RoleGrant:
    """Gives a person a role in this workspace."""
    clean_role(role)
    if person_id == by.id and role == "finance":
        raise Denied("Nobody opens finance for themselves.", hint="Ask another admin.")
    person_here(workspace_id, person_id)
    grant = RoleGrant(workspace_id=workspace_id, person_id=person_id, role=role, granted_by=by.id, granted_at=now())
    try:
        with transaction.atomic():
            grant.save(force_insert=True)
    except IntegrityError:
        raise Conflict(f"They hold the role “{role}” already.", field="role") from None
    record(("person", person_id), detail={"role": role})
    publish(
        ROLE_CHANGED, workspace_id=workspace_id, subject=("person", person_id), data={"role": role, "change": "granted"}
    )
    if role != "viewer":
        undo = ("role.revoke", {"person_id": person_id, "role": role})
        announce(f"{{0}} holds the role {role} now", people=[person_id], undo=undo)
    return grant


@command("role.revoke", needs="role.grant", quieter=announced("somebody may look after this workspace no more"))
def revoke_role(*, by: Actor, workspace_id: UUID, person_id: UUID, role: str) -> None:
    """Takes a granted role from a person. Roles that come from a group end with the group or its mapping."""
    clean_role(role)
    grant = RoleGrant.objects.filter(
        workspace_id=workspace_id, person_id=person_id, role=role, source="granted", ended_at=None
    ).first()
    if grant is None:
        raise NotFound(
            f"They were not granted the role “{role}” here.", hint="A role from a group ends in the identity provider."
        )
    if role == "admin":
        _keep_an_admin(workspace_id, without=person_id)
    grant.ended_at = now()
    grant.save(update_fields=["ended_at"])
    record(("person", person_id), detail={"role": role})
    publish(
        ROLE_CHANGED, workspace_id=workspace_id, subject=("person", person_id), data={"role": role, "change": "revoked"}
    )
    announce(
        f"{{0}} holds the role {role} no more",
        people=[person_id],
        loses=[person_id],
        undo=("role.grant", {"person_id": person_id, "role": role}),
    )


@command("role.label", needs="role.grant", quieter=harmless("a name"))
def label_role(*, by: Actor, workspace_id: UUID, role: str, label: str) -> None:
    """Calls a built-in role by the workspace's own word."""
    clean_role(role)
    label = clean_name(label, "label", 40)
    RoleLabel.objects.update_or_create(workspace_id=workspace_id, role=role, defaults={"label": label})
    record(("role", role), detail={"label": label})


@command(
    "role.group.map", needs="role.grant", quieter=announced("a group of the identity provider may change what is paged")
)
def map_group(*, by: Actor, workspace_id: UUID, group: str, role: str) -> GroupMapping:
    """Gives the members of an identity provider's group a role here, from their next sign-in on."""
    mapping = GroupMapping(workspace_id=workspace_id, group=clean_name(group, "group", 200), role=clean_role(role))
    try:
        with transaction.atomic():
            mapping.save(force_insert=True)
    except IntegrityError:
        raise Conflict(f"The group “{group}” holds that role already.", field="group") from None
    record(("role", role), detail={"group": mapping.group})
    announce(
        f"Members of the group “{mapping.group}” get the role {role} when they sign in",
        undo=("role.group.unmap", {"mapping_id": mapping.id}),
    )
    return mapping


@command("role.group.unmap", needs="role.grant", quieter=announced("a group of the identity provider loses a role"))
def unmap_group(*, by: Actor, workspace_id: UUID, mapping_id: UUID) -> None:
    """Ends a group's role here; who held it through the group loses it now."""
    mapping = GroupMapping.objects.filter(workspace_id=workspace_id, id=mapping_id).first()
    if mapping is None:
        raise NotFound("There is no such mapping here.")
    ended = RoleGrant.objects.filter(
        workspace_id=workspace_id, role=mapping.role, source=f"group:{mapping.group}", ended_at=None
    ).update(ended_at=now())
    record(("role", mapping.role), detail={"group": mapping.group, "ended": ended})
    announce(
        f"Members of the group “{mapping.group}” hold the role {mapping.role} no more",
        undo=("role.group.map", {"group": mapping.group, "role": mapping.role}),
    )
    mapping.delete()


@command("token.create", needs="token.use", quieter=harmless("it may do no more than its owner"))
def create_token(
    *, by: Actor, workspace_id: UUID, name: str, scopes: Iterable[str], days: int = 90
) -> tuple[ApiToken, str]:
    """Makes an API token for oneself, within one's own permissions. Returns it with its text, which is shown this once."""
    wanted = sorted(set(scopes))
    if unknown := [scope for scope in wanted if scope not in PERMISSIONS]:
        raise Invalid(f"“{unknown[0][:60]}” is no permission.", hint="The Access page lists them.", field="scopes")
    if not wanted:
        raise Invalid("A token needs at least one permission.", field="scopes")
    if not 1 <= days <= 366:
        raise Invalid("A token lives 1 to 366 days.", field="days")
    for scope in wanted:
        by.require(scope, workspace_id)
    text, at = tokens.fresh(), now()
    token = ApiToken(
        workspace_id=workspace_id,
        person_id=by.id,
        name=clean_name(name),
        prefix=tokens.prefix(text),
        digest=tokens.digest(text),
        scopes=wanted,
        created_at=at,
        expires_at=at + timedelta(days=days),
    )
    token.save(force_insert=True)
    record(("token", token.id), detail={"prefix": token.prefix, "scopes": wanted, "days": days})
    return token, text


@command("token.revoke", needs=None, quieter=harmless("a key to this hub; alerts come by the keys of integrations"))
def revoke_token(*, by: Actor, workspace_id: UUID, token_id: UUID) -> None:
    """Ends a token at once. Everybody may end their own; else this needs token.manage."""
    token = ApiToken.objects.defer("digest").filter(workspace_id=workspace_id, id=token_id).first()
    if token is None or (token.person_id != by.id and not by.may("token.manage", workspace_id)):
        raise NotFound("There is no such token here.")
    if token.revoked_at is None:
        token.revoked_at = now()
        token.save(update_fields=["revoked_at"])
    record(("token", token_id), detail={"prefix": token.prefix})
