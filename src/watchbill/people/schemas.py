"""What people, teams, roles, tokens and workspaces look like as JSON."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from ninja import Schema
from pydantic import Field, StringConstraints

from watchbill.runtime.rest import Page

Name = Annotated[str, StringConstraints(min_length=1, max_length=120)]


class WorkspaceOut(Schema):
    """A workspace that is open to the reader."""

    id: UUID
    slug: str
    name: str
    time_zone: str
    require_mfa: bool
    roles: list[str] = Field(description="the reader's roles there")


class MeOut(Schema):
    """The reader."""

    id: UUID
    name: str
    via: str
    workspaces: list[WorkspaceOut]


class ContactOut(Schema):
    """A contact method; masked unless it is one's own. ``problem`` says why a stored one cannot be used, and counts as unverified."""

    id: UUID
    kind: str
    value: str
    masked: bool
    verified: bool
    problem: str


class PersonOut(Schema):
    """A person."""

    id: UUID
    name: str
    active: bool
    outsider: bool
    roles: list[str]
    teams: list[str]
    contacts: list[ContactOut]


class PeoplePage(Page):
    """A page of people."""

    items: list[PersonOut]


class PersonIn(Schema):
    """Somebody new."""

    name: Name
    email: Annotated[str, StringConstraints(min_length=3, max_length=254)]
    role: str = "viewer"
    outsider: bool = False


class RoleIn(Schema):
    """A role to grant."""

    role: str


class RevealIn(Schema):
    """Why details are revealed; recorded."""

    reason: Annotated[str, StringConstraints(max_length=300)] = ""


class TeamOut(Schema):
    """A team and its members."""

    id: UUID
    slug: str
    name: str
    purpose: str
    members: list[UUID]


class TeamsPage(Page):
    """All teams."""

    items: list[TeamOut]


class TeamIn(Schema):
    """A team to make."""

    name: Name
    purpose: Annotated[str, StringConstraints(max_length=300)] = ""


class MemberIn(Schema):
    """Somebody to put into a team."""

    person: UUID


class TokenOut(Schema):
    """A token, without its text."""

    id: UUID
    name: str
    prefix: str
    person: UUID
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class TokensPage(Page):
    """Tokens, newest first."""

    items: list[TokenOut]


class TokenIn(Schema):
    """A token to make for oneself."""

    name: Name
    scopes: Annotated[list[str], Field(min_length=1, max_length=100)]
    days: Annotated[int, Field(ge=1, le=366)] = 90


class TokenMade(Schema):
    """A new token; its text is shown this once."""

    token: TokenOut
    text: str


class WorkspaceIn(Schema):
    """A workspace to found."""

    name: Name
    slug: Annotated[str, StringConstraints(max_length=60)] = ""
    time_zone: Annotated[str, StringConstraints(max_length=60)] = "UTC"


class WorkspacePatch(Schema):
    """What to change."""

    name: Name | None = None
    time_zone: Annotated[str, StringConstraints(max_length=60)] | None = None
    require_mfa: bool | None = None


class HolderOut(Schema):
    """Who holds a permission, and because of which roles."""

    person: UUID
    because: list[str]


class PermissionOut(Schema):
    """A permission, what it lets one do, and who holds it."""

    permission: str
    doc: str
    holders: list[HolderOut]


class AccessOut(Schema):
    """Who can do what, and why."""

    roles: dict[str, list[str]]
    permissions: list[PermissionOut]


class PersonPatch(Schema):
    """A new name."""

    name: Name


class ContactIn(Schema):
    """A contact method to add."""

    kind: Literal["email", "phone"]
    value: Annotated[str, StringConstraints(min_length=3, max_length=254)]


class ErasedOut(Schema):
    """How many ledger payloads were erased here."""

    payloads: int


class LabelIn(Schema):
    """What a workspace calls a role."""

    label: Annotated[str, StringConstraints(min_length=1, max_length=40)]


class MappingIn(Schema):
    """A group of the identity provider, and the role that its members hold."""

    group: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    role: str


class MappingOut(MappingIn):
    """A mapping."""

    id: UUID


class MappingsPage(Page):
    """All mappings."""

    items: list[MappingOut]
