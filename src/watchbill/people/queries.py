"""Reads of people: each loads and authorises in one call. Absent and forbidden answer the same."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import Prefetch, QuerySet

from watchbill.base.actor import SYSTEM_NAMES, Actor
from watchbill.base.errors import NotFound
from watchbill.base.ids import as_uuids
from watchbill.base.mask import mask_email, mask_name, mask_phone
from watchbill.facts.subjects import Shown
from watchbill.people.models import (
    ApiToken,
    ContactMethod,
    GroupMapping,
    Membership,
    Person,
    RoleGrant,
    RoleLabel,
    Team,
    Workspace,
)
from watchbill.people.rules import PERMISSIONS, ROLES, Reason, permissions_of, why


@dataclass(frozen=True)
class Place:
    """A workspace as its member sees it."""

    id: UUID
    slug: str
    name: str
    time_zone: str
    require_mfa: bool
    roles: tuple[str, ...]


@dataclass(frozen=True)
class Reader:
    """Who is signed in: the person, as an actor, and the workspaces open to them."""

    person_id: UUID
    name: str
    actor: Actor
    places: tuple[Place, ...]

    def place(self, slug: str) -> Place:
        """The workspace of that slug. Raises NotFound when it is absent or closed to this person."""
        for place in self.places:
            if place.slug == slug:
                return place
        raise NotFound(
            "There is no such workspace, or it is not open to you.", hint="The switcher lists those that are."
        )


def load_reader(
    *,
    person_id: UUID,
    via: str,
    request_id: str,
    mfa: bool,
    only: UUID | None = None,
    scopes: Iterable[str] | None = None,
) -> Reader | None:
    """The person of this transaction with their workspaces and permissions: two queries. None when inactive or gone.

    ``only`` and ``scopes`` are an API token's limits.
    """
    person = Person.objects.filter(id=person_id, active=True).first()
    if person is None:
        return None
    rows = (
        Membership.objects.filter(person_id=person_id, ended_at=None)
        .select_related("workspace")
        .order_by("workspace__name")
    )
    grants: dict[UUID, list[str]] = {}
    for workspace_id, role in RoleGrant.objects.filter(person_id=person_id, ended_at=None).values_list(
        "workspace_id", "role"
    ):
        grants.setdefault(workspace_id, []).append(role)
    places = tuple(
        Place(w.id, w.slug, w.name, w.time_zone, w.require_mfa, tuple(sorted(set(grants.get(w.id, [])))))
        for w in (row.workspace for row in rows)
        if only is None or w.id == only
    )
    held = {place.id: permissions_of(place.roles) for place in places}
    if scopes is not None:
        held = {workspace: permissions & frozenset(scopes) for workspace, permissions in held.items()}
    return Reader(person.id, person.name, Actor("person", person.id, via, request_id, held, mfa=mfa), places)


@dataclass(frozen=True)
class ContactShown:
    """A contact method as a reader may see it: masked, unless it is their own or was revealed."""

    id: UUID
    kind: str
    value: str
    masked: bool
    verified: bool
    problem: str = ""


@dataclass(frozen=True)
class PersonShown:
    """A person as a reader may see them."""

    id: UUID
    name: str
    active: bool
    outsider: bool
    erased: bool
    roles: tuple[str, ...]
    grants: tuple[RoleGrant, ...]
    teams: tuple[Team, ...]
    contacts: tuple[ContactShown, ...]
    since: datetime | None = None


def contact_text(contact: ContactMethod) -> str:
    """A contact as its owner sees it. Of a browser's subscription nothing but what it is called: the rest is a key."""
    return contact.label or "a browser" if contact.kind == "push" else contact.value


def _mask(contact: ContactMethod) -> str:
    if contact.kind == "push":
        return "a browser"
    return mask_email(contact.value) if contact.kind == "email" else mask_phone(contact.value)


def shown_name(person: Person, reader: Actor) -> str:
    """Outsiders' names are personal data; colleagues' are not."""
    return person.name if not person.outsider or person.id == reader.id else mask_name(person.name)


def _show(person: Person, reader: Actor, revealed: bool = False) -> PersonShown:
    grants = tuple(person.here)  # type: ignore[attr-defined]
    own = person.id == reader.id or revealed
    contacts = tuple(
        ContactShown(c.id, c.kind, contact_text(c) if own else _mask(c), not own, c.verified, c.problem)
        for c in person.contacts.all()
    )
    teams = tuple(member.team for member in person.teams.all())
    roles = tuple(sorted({grant.role for grant in grants}))
    name = person.name if revealed else shown_name(person, reader)
    memberships: list[Membership] = getattr(person, "since", [])
    since = memberships[0].since if memberships else None
    return PersonShown(
        person.id,
        name,
        person.active,
        person.outsider,
        person.erased_at is not None,
        roles,
        grants,
        teams,
        contacts,
        since,
    )


def _people(workspace_id: UUID) -> QuerySet[Person]:
    return (
        Person.objects.filter(memberships__workspace_id=workspace_id, memberships__ended_at=None)
        .prefetch_related(
            Prefetch(
                "grants",
                RoleGrant.objects.filter(workspace_id=workspace_id, ended_at=None).order_by("role"),
                to_attr="here",
            ),
            Prefetch(
                "memberships", Membership.objects.filter(workspace_id=workspace_id, ended_at=None), to_attr="since"
            ),
            "contacts",
            "teams__team",
        )
        .order_by("name", "id")
    )


def access_people(
    reader: Actor, workspace_id: UUID, *, words: str = "", after: UUID | None = None, limit: int = 100
) -> list[PersonShown]:
    """The people of a workspace, by name. ``words`` must all be in the name; ``after`` is the last id of the page before."""
    reader.require("person.read", workspace_id)
    found = _people(workspace_id)
    for word in words.split()[:6]:
        found = found.filter(name__icontains=word, outsider=False)
    if after:
        anchor = Person.objects.filter(id=after).first()
        if anchor:
            found = found.filter(name__gte=anchor.name).exclude(name=anchor.name, id__lte=anchor.id)
    return [_show(person, reader) for person in found[:limit]]


def access_names(reader: Actor, workspace_id: UUID, *, limit: int = 500) -> list[tuple[UUID, str]]:
    """Id and shown name of a workspace's people, by name: for choices, where the whole record would be four queries."""
    reader.require("person.read", workspace_id)
    found = Person.objects.filter(memberships__workspace_id=workspace_id, memberships__ended_at=None)
    return [(person.id, shown_name(person, reader)) for person in found.order_by("name", "id")[:limit]]


def access_person(reader: Actor, workspace_id: UUID, person_id: UUID, *, revealed: bool = False) -> PersonShown:
    """One person of a workspace. Raises NotFound. Everybody may see themselves."""
    if person_id != reader.id:
        reader.require("person.read", workspace_id)
    person = _people(workspace_id).filter(id=person_id).first()
    if person is None:
        raise NotFound("There is no such person here.")
    return _show(person, reader, revealed)


def access_teams(reader: Actor, workspace_id: UUID) -> QuerySet[Team]:
    """The teams of a workspace with their members."""
    reader.require("team.read", workspace_id)
    return Team.objects.filter(workspace_id=workspace_id).prefetch_related("members__person").order_by("name")


def access_team(reader: Actor, workspace_id: UUID, slug: str) -> Team:
    """One team. Raises NotFound."""
    team = access_teams(reader, workspace_id).filter(slug=slug).first()
    if team is None:
        raise NotFound("There is no such team here.")
    return team


def access_workspace(reader: Actor, workspace_id: UUID) -> Workspace:
    """The workspace's own record. Raises NotFound."""
    reader.require("workspace.read", workspace_id)
    workspace = Workspace.objects.filter(id=workspace_id).first()
    if workspace is None:
        raise NotFound("There is no such workspace here.")
    return workspace


def access_tokens(reader: Actor, workspace_id: UUID) -> list[ApiToken]:
    """One's own tokens, or everybody's for those who manage them; never what they are hashed from."""
    tokens = (
        ApiToken.objects.filter(workspace_id=workspace_id)
        .defer("digest")
        .select_related("person")
        .order_by("-created_at")
    )
    if not reader.may("token.manage", workspace_id):
        tokens = tokens.filter(person_id=reader.id)
    return list(tokens)


@dataclass(frozen=True)
class AccessRow:
    """One line of “who can do what, and why”."""

    permission: str
    doc: str
    holders: list[tuple[PersonShown, list[Reason]]] = field(default_factory=list)


def access_matrix(reader: Actor, workspace_id: UUID) -> list[AccessRow]:
    """Every permission with its holders and the grants that give it."""
    people = [person for person in access_people(reader, workspace_id, limit=2000) if person.active]
    sources = {person.id: [(grant.role, grant.source) for grant in person.grants] for person in people}
    rows = []
    for permission, doc in PERMISSIONS.items():
        holders = [(person, why(sources[person.id], permission)) for person in people]
        rows.append(AccessRow(permission, doc, [(person, reasons) for person, reasons in holders if reasons]))
    return rows


def holders_of(workspace_id: UUID, permission: str) -> set[UUID]:
    """Who holds a permission here at this moment: active persons, by their grants. For rules, never to be shown."""
    roles = [role for role, held in ROLES.items() if permission in held]
    rows = RoleGrant.objects.filter(
        workspace_id=workspace_id,
        role__in=roles,
        ended_at=None,
        person__active=True,
        person__memberships__workspace_id=workspace_id,
        person__memberships__ended_at=None,
    )
    return set(rows.values_list("person_id", flat=True))


def role_labels(workspace_id: UUID) -> dict[str, str]:
    """What this workspace calls its roles: role → label."""
    labels = dict(RoleLabel.objects.filter(workspace_id=workspace_id).values_list("role", "label"))
    return {role: labels.get(role, role.capitalize()) for role in ROLES}


def access_group_mappings(reader: Actor, workspace_id: UUID) -> QuerySet[GroupMapping]:
    """Which groups of the identity provider hold which roles here."""
    reader.require("workspace.read", workspace_id)
    return GroupMapping.objects.filter(workspace_id=workspace_id).order_by("group", "role")


def places_of(person_id: UUID) -> set[UUID]:
    """All workspaces that a person is in, also those that the reader cannot see: for rules about reach, never to be shown."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT wb_places_of(%s)", [person_id])
        return set(cursor.fetchone()[0])


def names_of(reader: Actor, ids: Iterable[UUID]) -> Mapping[UUID, str]:
    """Names for the ledger's actors: those the reader may see, and the hub's own parts."""
    wanted = set(ids)
    found: dict[UUID, str] = {key: SYSTEM_NAMES[key] for key in wanted & set(SYSTEM_NAMES)}
    found |= {person.id: shown_name(person, reader) for person in Person.objects.filter(id__in=wanted - set(found))}
    return found


def resolve_people(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Persons as subjects."""
    if not reader.may("person.read", workspace_id):
        return {}
    people = Person.objects.filter(id__in=as_uuids(ids))
    return {str(p.id): Shown("person", str(p.id), shown_name(p, reader), f"/w/{slug}/people/{p.id}") for p in people}


def search_people(reader: Actor, workspace_id: UUID, slug: str, words: str, limit: int) -> list[Shown]:
    """People by name."""
    if not reader.may("person.read", workspace_id):
        return []
    return [
        Shown("person", str(p.id), p.name, f"/w/{slug}/people/{p.id}", "person")
        for p in access_people(reader, workspace_id, words=words, limit=limit)
    ]


def resolve_teams(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Teams as subjects."""
    if not reader.may("team.read", workspace_id):
        return {}
    teams = Team.objects.filter(workspace_id=workspace_id, id__in=as_uuids(ids))
    return {str(t.id): Shown("team", str(t.id), t.name, f"/w/{slug}/teams/{t.slug}") for t in teams}


def search_teams(reader: Actor, workspace_id: UUID, slug: str, words: str, limit: int) -> list[Shown]:
    """Teams by name."""
    if not reader.may("team.read", workspace_id):
        return []
    teams = Team.objects.filter(workspace_id=workspace_id)
    for word in words.split()[:6]:
        teams = teams.filter(name__icontains=word)
    return [
        Shown("team", str(t.id), t.name, f"/w/{slug}/teams/{t.slug}", "team") for t in teams.order_by("name")[:limit]
    ]


def resolve_workspaces(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Workspaces as subjects."""
    found = Workspace.objects.filter(id__in=as_uuids(ids))
    return {str(w.id): Shown("workspace", str(w.id), w.name, f"/w/{w.slug}/") for w in found}
