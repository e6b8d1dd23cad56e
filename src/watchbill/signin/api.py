"""Sessions and sign-in links as JSON."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from ninja import Router, Schema, Status

from watchbill.people.edge import place_of
from watchbill.runtime.rest import ERRORS, Page
from watchbill.signin import commands
from watchbill.signin.queries import access_sessions

router = Router()


class SessionOut(Schema):
    """A signed-in browser."""

    id: UUID
    person: UUID
    agent: str
    created_at: datetime
    seen_at: datetime


class SessionsPage(Page):
    """Sessions, last seen first."""

    items: list[SessionOut]


class LinkOut(Schema):
    """A one-time sign-in link; shown this once."""

    address: str
    minutes: int


@router.get("/workspaces/{slug}/sessions", response={200: SessionsPage, **ERRORS})
def list_sessions(request: HttpRequest, slug: str) -> dict[str, Any]:
    """The sessions of a workspace's people; one's own without session.manage."""
    reader, place = place_of(request, slug)
    rows = access_sessions(reader.actor, place.id, everybody=reader.actor.may("session.manage", place.id))
    return {
        "items": [
            {"id": r.id, "person": r.person_id, "agent": r.agent, "created_at": r.created_at, "seen_at": r.seen_at}
            for r in rows
        ],
        "next": None,
    }


@router.delete("/workspaces/{slug}/sessions/{session_id}", response={204: None, **ERRORS})
def revoke_session(request: HttpRequest, slug: str, session_id: UUID) -> Status[Any]:
    """End a session."""
    reader, place = place_of(request, slug)
    commands.revoke_session(by=reader.actor, workspace_id=place.id, session_id=session_id)
    return Status(204, None)


@router.post("/workspaces/{slug}/people/{person_id}/link", response={201: LinkOut, **ERRORS})
def make_link(request: HttpRequest, slug: str, person_id: UUID) -> Status[Any]:
    """Make a one-time sign-in link for a person."""
    reader, place = place_of(request, slug)
    text = commands.make_link(by=reader.actor, workspace_id=place.id, person_id=person_id)
    return Status(201, {"address": f"{settings.PUBLIC_URL}/signin/link/{text}", "minutes": 30})
