"""People, teams, roles, tokens and workspaces as JSON: access, act, answer."""

from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router, Status

from watchbill.people import commands, contacts, teams
from watchbill.people.edge import place_of, reader_of
from watchbill.people.models import ApiToken, Team, Workspace
from watchbill.people.queries import (
    PersonShown,
    Place,
    access_group_mappings,
    access_matrix,
    access_people,
    access_person,
    access_team,
    access_teams,
    access_tokens,
)
from watchbill.people.rules import PERMISSIONS, ROLES
from watchbill.people.schemas import (
    AccessOut,
    ContactIn,
    ErasedOut,
    LabelIn,
    MappingIn,
    MappingOut,
    MappingsPage,
    MemberIn,
    MeOut,
    PeoplePage,
    PersonIn,
    PersonOut,
    PersonPatch,
    RevealIn,
    RoleIn,
    TeamIn,
    TeamOut,
    TeamsPage,
    TokenIn,
    TokenMade,
    TokensPage,
    WorkspaceIn,
    WorkspaceOut,
    WorkspacePatch,
)
from watchbill.runtime.rest import ERRORS, MOST, cut, decode_cursor

router = Router()
Limit = Annotated[int, Query(ge=1, le=MOST, description="how many, at most 200")]
Cursor = Annotated[str, Query(max_length=200, description="`next` of the page before")]


def _workspace(place: Place) -> dict[str, Any]:
    return {
        "id": place.id,
        "slug": place.slug,
        "name": place.name,
        "time_zone": place.time_zone,
        "require_mfa": place.require_mfa,
        "roles": list(place.roles),
    }


def _made(workspace: Workspace, roles: list[str]) -> dict[str, Any]:
    return {
        "id": workspace.id, "slug": workspace.slug, "name": workspace.name, "time_zone": workspace.time_zone,
        "require_mfa": workspace.require_mfa, "roles": roles,
    }  # fmt: skip


def _person(person: PersonShown) -> dict[str, Any]:
    contacts = [
        {"id": c.id, "kind": c.kind, "value": c.value, "masked": c.masked, "verified": c.verified, "problem": c.problem}
        for c in person.contacts
    ]
    return {
        "id": person.id, "name": person.name, "active": person.active, "outsider": person.outsider, "roles": list(person.roles),
        "teams": [team.slug for team in person.teams], "contacts": contacts,
    }  # fmt: skip


def _team(team: Team) -> dict[str, Any]:
    return {
        "id": team.id,
        "slug": team.slug,
        "name": team.name,
        "purpose": team.purpose,
        "members": [m.person_id for m in team.members.all()],
    }


def _token(token: ApiToken) -> dict[str, Any]:
    return {
        "id": token.id, "name": token.name, "prefix": token.prefix, "person": token.person_id, "scopes": token.scopes,
        "created_at": token.created_at, "expires_at": token.expires_at, "last_used_at": token.last_used_at, "revoked_at": token.revoked_at,
    }  # fmt: skip


@router.get("/me", response={200: MeOut, **ERRORS})
def me(request: HttpRequest) -> dict[str, Any]:
    """Who am I, and which workspaces are open to me."""
    reader = reader_of(request)
    return {
        "id": reader.person_id,
        "name": reader.name,
        "via": reader.actor.via,
        "workspaces": [_workspace(place) for place in reader.places],
    }


@router.post("/workspaces", response={201: WorkspaceOut, **ERRORS})
def create_workspace(request: HttpRequest, payload: WorkspaceIn) -> Status[Any]:
    """Found a workspace; needs workspace.create in the hub's own workspace."""
    reader = reader_of(request)
    made = commands.create_workspace(by=reader.actor, name=payload.name, slug=payload.slug, time_zone=payload.time_zone)
    return Status(201, _made(made, ["admin"]))


@router.patch("/workspaces/{slug}", response={200: WorkspaceOut, **ERRORS})
def edit_workspace(request: HttpRequest, slug: str, payload: WorkspacePatch) -> dict[str, Any]:
    """Change a workspace's name, time zone or sign-in rule."""
    reader, place = place_of(request, slug)
    changed = commands.edit_workspace(by=reader.actor, workspace_id=place.id, **payload.dict())
    return _made(changed, list(place.roles))


@router.get("/workspaces/{slug}/people", response={200: PeoplePage, **ERRORS})
def list_people(
    request: HttpRequest,
    slug: str,
    limit: Limit = 50,
    cursor: Cursor = "",
    q: Annotated[str, Query(max_length=100)] = "",
) -> dict[str, Any]:
    """The people of a workspace, by name."""
    reader, place = place_of(request, slug)
    found = access_people(
        reader.actor, place.id, words=q.replace("\0", ""), after=decode_cursor(cursor, UUID), limit=limit + 1
    )
    rows, following = cut(found, limit, lambda person: person.id)
    return {"items": [_person(person) for person in rows], "next": following}


@router.post("/workspaces/{slug}/people", response={201: PersonOut, **ERRORS})
def invite(request: HttpRequest, slug: str, payload: PersonIn) -> Status[Any]:
    """Add a person by e-mail address."""
    reader, place = place_of(request, slug)
    person = commands.invite_person(by=reader.actor, workspace_id=place.id, **payload.dict())
    return Status(201, _person(access_person(reader.actor, place.id, person.id)))


@router.get("/workspaces/{slug}/people/{person_id}", response={200: PersonOut, **ERRORS})
def get_person(request: HttpRequest, slug: str, person_id: UUID) -> dict[str, Any]:
    """One person."""
    reader, place = place_of(request, slug)
    return _person(access_person(reader.actor, place.id, person_id))


@router.post("/workspaces/{slug}/people/{person_id}/reveal", response={200: PersonOut, **ERRORS})
def reveal(request: HttpRequest, slug: str, person_id: UUID, payload: RevealIn) -> dict[str, Any]:
    """Reveal a person's contact details; recorded."""
    reader, place = place_of(request, slug)
    commands.reveal_person(by=reader.actor, workspace_id=place.id, person_id=person_id, reason=payload.reason)
    return _person(access_person(reader.actor, place.id, person_id, revealed=True))


@router.post("/workspaces/{slug}/people/{person_id}/roles", response={201: PersonOut, **ERRORS})
def grant(request: HttpRequest, slug: str, person_id: UUID, payload: RoleIn) -> Status[Any]:
    """Grant a role."""
    reader, place = place_of(request, slug)
    commands.grant_role(by=reader.actor, workspace_id=place.id, person_id=person_id, role=payload.role)
    return Status(201, _person(access_person(reader.actor, place.id, person_id)))


@router.delete("/workspaces/{slug}/people/{person_id}/roles/{role}", response={204: None, **ERRORS})
def revoke(request: HttpRequest, slug: str, person_id: UUID, role: str) -> Status[Any]:
    """Revoke a granted role."""
    reader, place = place_of(request, slug)
    commands.revoke_role(by=reader.actor, workspace_id=place.id, person_id=person_id, role=role)
    return Status(204, None)


@router.post("/workspaces/{slug}/people/{person_id}/deactivate", response={204: None, **ERRORS})
def deactivate(request: HttpRequest, slug: str, person_id: UUID) -> Status[Any]:
    """End a person's access to the hub."""
    reader, place = place_of(request, slug)
    commands.deactivate_person(by=reader.actor, workspace_id=place.id, person_id=person_id)
    return Status(204, None)


@router.patch("/workspaces/{slug}/people/{person_id}", response={200: PersonOut, **ERRORS})
def edit_person(request: HttpRequest, slug: str, person_id: UUID, payload: PersonPatch) -> dict[str, Any]:
    """Change a person's name."""
    reader, place = place_of(request, slug)
    commands.edit_person(by=reader.actor, workspace_id=place.id, person_id=person_id, name=payload.name)
    return _person(access_person(reader.actor, place.id, person_id))


@router.delete("/workspaces/{slug}/people/{person_id}", response={204: None, **ERRORS})
def remove_person(request: HttpRequest, slug: str, person_id: UUID) -> Status[Any]:
    """Take a person out of this workspace, with every role they hold in it."""
    reader, place = place_of(request, slug)
    commands.remove_person(by=reader.actor, workspace_id=place.id, person_id=person_id)
    return Status(204, None)


@router.post("/workspaces/{slug}/people/{person_id}/reactivate", response={204: None, **ERRORS})
def reactivate(request: HttpRequest, slug: str, person_id: UUID) -> Status[Any]:
    """Let a deactivated person in again."""
    reader, place = place_of(request, slug)
    commands.reactivate_person(by=reader.actor, workspace_id=place.id, person_id=person_id)
    return Status(204, None)


@router.post("/workspaces/{slug}/people/{person_id}/erase", response={200: ErasedOut, **ERRORS})
def erase(request: HttpRequest, slug: str, person_id: UUID) -> dict[str, Any]:
    """Erase a person's data; the ledger's proof stays whole."""
    reader, place = place_of(request, slug)
    return {"payloads": commands.erase_person(by=reader.actor, workspace_id=place.id, person_id=person_id)}


@router.post("/workspaces/{slug}/people/{person_id}/contacts", response={201: PersonOut, **ERRORS})
def add_contact(request: HttpRequest, slug: str, person_id: UUID, payload: ContactIn) -> Status[Any]:
    """Add an e-mail address or phone number."""
    reader, place = place_of(request, slug)
    contacts.add_contact(
        by=reader.actor, workspace_id=place.id, person_id=person_id, kind=payload.kind, value=payload.value
    )
    return Status(201, _person(access_person(reader.actor, place.id, person_id)))


@router.delete("/workspaces/{slug}/people/{person_id}/contacts/{contact_id}", response={204: None, **ERRORS})
def remove_contact(request: HttpRequest, slug: str, person_id: UUID, contact_id: UUID) -> Status[Any]:
    """Remove a contact method."""
    reader, place = place_of(request, slug)
    contacts.remove_contact(by=reader.actor, workspace_id=place.id, person_id=person_id, contact_id=contact_id)
    return Status(204, None)


@router.put("/workspaces/{slug}/roles/{role}/label", response={204: None, **ERRORS})
def label_role(request: HttpRequest, slug: str, role: str, payload: LabelIn) -> Status[Any]:
    """Call a built-in role by the workspace's own word."""
    reader, place = place_of(request, slug)
    commands.label_role(by=reader.actor, workspace_id=place.id, role=role, label=payload.label)
    return Status(204, None)


@router.get("/workspaces/{slug}/groups", response={200: MappingsPage, **ERRORS})
def list_mappings(request: HttpRequest, slug: str) -> dict[str, Any]:
    """Which groups of the identity provider hold which roles here."""
    reader, place = place_of(request, slug)
    rows = access_group_mappings(reader.actor, place.id)
    return {"items": [{"id": row.id, "group": row.group, "role": row.role} for row in rows], "next": None}


@router.post("/workspaces/{slug}/groups", response={201: MappingOut, **ERRORS})
def map_group(request: HttpRequest, slug: str, payload: MappingIn) -> Status[Any]:
    """Give a group's members a role, from their next sign-in on."""
    reader, place = place_of(request, slug)
    made = commands.map_group(by=reader.actor, workspace_id=place.id, group=payload.group, role=payload.role)
    return Status(201, {"id": made.id, "group": made.group, "role": made.role})


@router.delete("/workspaces/{slug}/groups/{mapping_id}", response={204: None, **ERRORS})
def unmap_group(request: HttpRequest, slug: str, mapping_id: UUID) -> Status[Any]:
    """End a group's role; who held it through the group loses it now."""
    reader, place = place_of(request, slug)
    commands.unmap_group(by=reader.actor, workspace_id=place.id, mapping_id=mapping_id)
    return Status(204, None)


@router.get("/workspaces/{slug}/teams", response={200: TeamsPage, **ERRORS})
def list_teams(request: HttpRequest, slug: str) -> dict[str, Any]:
    """All teams with their members."""
    reader, place = place_of(request, slug)
    return {"items": [_team(team) for team in access_teams(reader.actor, place.id)], "next": None}


@router.post("/workspaces/{slug}/teams", response={201: TeamOut, **ERRORS})
def create_team(request: HttpRequest, slug: str, payload: TeamIn) -> Status[Any]:
    """Make a team."""
    reader, place = place_of(request, slug)
    team = teams.create_team(by=reader.actor, workspace_id=place.id, name=payload.name, purpose=payload.purpose)
    return Status(201, _team(access_team(reader.actor, place.id, team.slug)))


@router.post("/workspaces/{slug}/teams/{team}/members", response={201: TeamOut, **ERRORS})
def add_member(request: HttpRequest, slug: str, team: str, payload: MemberIn) -> Status[Any]:
    """Put a person into a team."""
    reader, place = place_of(request, slug)
    found = access_team(reader.actor, place.id, team.replace("\0", ""))
    teams.add_team_member(by=reader.actor, workspace_id=place.id, team_id=found.id, person_id=payload.person)
    return Status(201, _team(access_team(reader.actor, place.id, team)))


@router.put("/workspaces/{slug}/teams/{team}", response={200: TeamOut, **ERRORS})
def edit_team(request: HttpRequest, slug: str, team: str, payload: TeamIn) -> dict[str, Any]:
    """Change a team's name and purpose; its short name stays."""
    reader, place = place_of(request, slug)
    found = access_team(reader.actor, place.id, team.replace("\0", ""))
    teams.edit_team(
        by=reader.actor, workspace_id=place.id, team_id=found.id, name=payload.name, purpose=payload.purpose
    )
    return _team(access_team(reader.actor, place.id, found.slug))


@router.delete("/workspaces/{slug}/teams/{team}/members/{person_id}", response={204: None, **ERRORS})
def remove_member(request: HttpRequest, slug: str, team: str, person_id: UUID) -> Status[Any]:
    """Take a person out of a team."""
    reader, place = place_of(request, slug)
    found = access_team(reader.actor, place.id, team.replace("\0", ""))
    teams.remove_team_member(by=reader.actor, workspace_id=place.id, team_id=found.id, person_id=person_id)
    return Status(204, None)


@router.get("/workspaces/{slug}/access", response={200: AccessOut, **ERRORS})
def access(request: HttpRequest, slug: str) -> dict[str, Any]:
    """Who can do what, and why."""
    reader, place = place_of(request, slug)
    rows = access_matrix(reader.actor, place.id)
    permissions = [
        {
            "permission": row.permission, "doc": PERMISSIONS[row.permission],
            "holders": [{"person": person.id, "because": [f"{r.role} ({r.source})" for r in reasons]} for person, reasons in row.holders],
        }
        for row in rows
    ]  # fmt: skip
    return {"roles": {role: sorted(held) for role, held in ROLES.items()}, "permissions": permissions}


@router.get("/workspaces/{slug}/tokens", response={200: TokensPage, **ERRORS})
def list_tokens(request: HttpRequest, slug: str) -> dict[str, Any]:
    """One's own tokens; everybody's for those who manage them."""
    reader, place = place_of(request, slug)
    return {"items": [_token(token) for token in access_tokens(reader.actor, place.id)], "next": None}


@router.post("/workspaces/{slug}/tokens", response={201: TokenMade, **ERRORS})
def create_token(request: HttpRequest, slug: str, payload: TokenIn) -> Status[Any]:
    """Make a token for oneself; its text is in this answer only."""
    reader, place = place_of(request, slug)
    token, text = commands.create_token(
        by=reader.actor, workspace_id=place.id, name=payload.name, scopes=payload.scopes, days=payload.days
    )
    return Status(201, {"token": _token(token), "text": text})


@router.delete("/workspaces/{slug}/tokens/{token_id}", response={204: None, **ERRORS})
def revoke_token(request: HttpRequest, slug: str, token_id: UUID) -> Status[Any]:
    """End a token."""
    reader, place = place_of(request, slug)
    commands.revoke_token(by=reader.actor, workspace_id=place.id, token_id=token_id)
    return Status(204, None)
