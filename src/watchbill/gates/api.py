"""Requests for approval as JSON."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import Field, StringConstraints

from watchbill.gates import commands
from watchbill.gates.models import Request
from watchbill.gates.queries import access_request, access_requests
from watchbill.people.edge import place_of
from watchbill.runtime.rest import ERRORS, MOST, Page, cut, decode_cursor

router = Router()


class AnswerOut(Schema):
    """What somebody answered."""

    person: UUID
    approves: bool
    note: str
    at: datetime


class RequestOut(Schema):
    """A request for approval. ``shown`` says line by line what would be done; an answer names ``digest``."""

    id: UUID
    gate: str
    title: str
    digest: str
    state: str
    reason: str
    needs: str
    requested_by: UUID
    opened_at: datetime
    expires_at: datetime
    reviewed_by: UUID | None
    shown: list[dict[str, Any]]
    answers: list[AnswerOut]


class RequestsPage(Page):
    """Requests, newest first."""

    items: list[RequestOut]


class AnswerIn(Schema):
    """Yes or no to exactly what has this digest."""

    approves: bool
    digest: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    note: Annotated[str, StringConstraints(max_length=500)] = ""


def as_json(one: Request) -> dict[str, Any]:
    """A request for programs."""
    return {
        "id": one.id, "gate": one.gate, "title": one.title, "digest": one.digest, "state": one.state, "reason": one.reason, "needs": one.needs,
        "requested_by": one.requested_by, "opened_at": one.opened_at, "expires_at": one.expires_at, "reviewed_by": one.reviewed_by, "shown": one.shown,
        "answers": [{"person": a.person_id, "approves": a.approves, "note": a.note, "at": a.at} for a in one.answers.all()],
    }  # fmt: skip


@router.get("/workspaces/{slug}/requests", response={200: RequestsPage, **ERRORS})
def list_requests(
    request: HttpRequest, slug: str, limit: Annotated[int, Field(ge=1, le=MOST)] = 50, cursor: Annotated[str, Query(max_length=100)] = ""
) -> dict[str, Any]:  # fmt: skip
    """What was asked, newest first."""
    reader, place = place_of(request, slug)
    found = access_requests(reader.actor, place.id)
    before = decode_cursor(cursor, UUID)
    if before is not None:
        found = found.filter(id__lt=before)
    items, following = cut(list(found[: limit + 1]), limit, lambda one: one.id)
    return {"items": [as_json(one) for one in items], "next": following}


@router.get("/workspaces/{slug}/requests/{request_id}", response={200: RequestOut, **ERRORS})
def get_request(request: HttpRequest, slug: str, request_id: UUID) -> dict[str, Any]:
    """One request."""
    reader, place = place_of(request, slug)
    return as_json(access_request(reader.actor, place.id, request_id))


@router.post("/workspaces/{slug}/requests/{request_id}/answer", response={200: RequestOut, **ERRORS})
def answer_request(request: HttpRequest, slug: str, request_id: UUID, payload: AnswerIn) -> dict[str, Any]:
    """Approve or refuse."""
    reader, place = place_of(request, slug)
    access_request(reader.actor, place.id, request_id)
    commands.answer(
        by=reader.actor, workspace_id=place.id, request_id=request_id, approves=payload.approves, digest=payload.digest, note=payload.note
    )  # fmt: skip
    return as_json(access_request(reader.actor, place.id, request_id))


@router.post("/workspaces/{slug}/requests/{request_id}/withdraw", response={200: RequestOut, **ERRORS})
def withdraw_request(request: HttpRequest, slug: str, request_id: UUID) -> dict[str, Any]:
    """Take one's own request back."""
    reader, place = place_of(request, slug)
    access_request(reader.actor, place.id, request_id)
    commands.withdraw(by=reader.actor, workspace_id=place.id, request_id=request_id)
    return as_json(access_request(reader.actor, place.id, request_id))


@router.post("/workspaces/{slug}/requests/{request_id}/review", response={200: RequestOut, **ERRORS})
def review_request(request: HttpRequest, slug: str, request_id: UUID) -> dict[str, Any]:
    """Say that a broken glass was looked at."""
    reader, place = place_of(request, slug)
    access_request(reader.actor, place.id, request_id)
    commands.review(by=reader.actor, workspace_id=place.id, request_id=request_id)
    return as_json(access_request(reader.actor, place.id, request_id))
