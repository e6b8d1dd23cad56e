"""The handbook as JSON: apply, roll back, revisions, items."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router, Schema, Status
from pydantic import Field, StringConstraints

from watchbill.handbook import commands
from watchbill.handbook.models import PolicyItem, Revision
from watchbill.handbook.queries import access_items, access_live, access_revision, access_revisions
from watchbill.people.edge import place_of
from watchbill.runtime.rest import ERRORS, Page

router = Router()


class FileIn(Schema):
    """One document."""

    path: Annotated[str, StringConstraints(min_length=1, max_length=400)]
    text: Annotated[str, StringConstraints(max_length=2_000_000)]


class HandbookIn(Schema):
    """Accepted runbooks: the documents, watchbill.lock, and watchbill.yaml where there is one."""

    files: Annotated[list[FileIn], Field(min_length=1, max_length=2000)]
    lock: Annotated[str, StringConstraints(min_length=2, max_length=8_000_000)]
    config: Annotated[str, StringConstraints(max_length=200_000)] = ""
    expected: Annotated[
        int | None,
        Field(ge=0, le=2_000_000_000, description="the live revision's number that this was planned against"),
    ] = None
    reason: Annotated[str, StringConstraints(max_length=500)] = ""


class RollBackIn(Schema):
    """Where to go back to."""

    number: Annotated[int, Field(ge=1, le=2_000_000_000)]
    reason: Annotated[str, StringConstraints(max_length=500)] = ""


class RevisionOut(Schema):
    """A revision."""

    id: UUID
    number: int
    digest: str
    weakens: bool
    reason: str
    rolled_back_to: int | None
    applied_by: UUID
    applied_at: datetime
    steps: int


class RevisionsPage(Page):
    """Revisions, the live one first."""

    items: list[RevisionOut]


class PolicyOut(Schema):
    """An item of the live handbook; ``data`` is as `watchbill schema check` has it."""

    key: str
    kind: str
    name: str
    state: str
    effect: str
    map: list[str]
    path: str
    line: int
    data: dict[str, Any]


class PolicyPage(Page):
    """Items by kind and place."""

    items: list[PolicyOut]


def _revision(one: Revision) -> dict[str, Any]:
    return {
        "id": one.id, "number": one.number, "digest": one.digest, "weakens": one.weakens, "reason": one.reason, "rolled_back_to": one.rolled_back_to,
        "applied_by": one.applied_by, "applied_at": one.applied_at, "steps": len(one.steps),
    }  # fmt: skip


def _item(one: PolicyItem) -> dict[str, Any]:
    return {
        "key": one.key, "kind": one.kind, "name": one.name, "state": one.state, "effect": one.effect, "map": one.map, "path": one.path, "line": one.line,
        "data": one.data,
    }  # fmt: skip


@router.post("/workspaces/{slug}/handbook", response={201: RevisionOut, **ERRORS})
def apply_handbook(request: HttpRequest, slug: str, payload: HandbookIn) -> Status[Any]:
    """Make accepted runbooks the live handbook."""
    reader, place = place_of(request, slug)
    made = commands.apply_handbook(
        by=reader.actor, workspace_id=place.id, slug=place.slug, files=[(one.path, one.text) for one in payload.files], lock=payload.lock,
        config=payload.config, expected=payload.expected, reason=payload.reason,
    )  # fmt: skip
    return Status(201, _revision(made))


@router.post("/workspaces/{slug}/handbook/roll-back", response={201: RevisionOut, **ERRORS})
def roll_back(request: HttpRequest, slug: str, payload: RollBackIn) -> Status[Any]:
    """Apply an earlier revision again, as a new one."""
    reader, place = place_of(request, slug)
    access_revision(reader.actor, place.id, payload.number)
    made = commands.roll_back(
        by=reader.actor, workspace_id=place.id, slug=place.slug, number=payload.number, reason=payload.reason
    )
    return Status(201, _revision(made))


@router.get("/workspaces/{slug}/handbook/revisions", response={200: RevisionsPage, **ERRORS})
def list_revisions(request: HttpRequest, slug: str) -> dict[str, Any]:
    """What was applied."""
    reader, place = place_of(request, slug)
    return {
        "items": [_revision(one) for one in access_revisions(reader.actor, place.id).defer("lock", "config")[:200]],
        "next": None,
    }


@router.get("/workspaces/{slug}/handbook/items", response={200: PolicyPage, **ERRORS})
def list_items(request: HttpRequest, slug: str, kind: Annotated[str, Query(max_length=40)] = "") -> dict[str, Any]:
    """The items of the live handbook."""
    reader, place = place_of(request, slug)
    live = access_live(reader.actor, place.id)
    found = access_items(reader.actor, live, kind=kind.replace("\0", ""))[:5000] if live else []
    return {"items": [_item(one) for one in found], "next": None}
