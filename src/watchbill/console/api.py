"""The ledger, events, files and search as JSON."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router, Schema, Status
from pydantic import AwareDatetime

from watchbill.base.errors import Invalid, TooLarge
from watchbill.blobs.commands import add_file
from watchbill.blobs.queries import access_file
from watchbill.blobs.store import MAX_BYTES
from watchbill.console import commands
from watchbill.console.tasks import tasks_of
from watchbill.facts.queries import access_facts
from watchbill.facts.subjects import search_all
from watchbill.ledger.queries import EntryShown, Filter, access_entries, access_entry, access_health, access_proof
from watchbill.people.api import Cursor, Limit
from watchbill.people.edge import place_of
from watchbill.runtime.rest import ERRORS, Page, cut, decode_cursor

router = Router()


class EntryOut(Schema):
    """A ledger entry; personal parts of its payload are masked."""

    id: UUID
    at: datetime
    actor_kind: str
    actor: UUID
    via: str
    action: str
    subject_kind: str
    subject: str
    request_id: str
    detail: dict[str, Any]
    personal: dict[str, Any]
    erased: bool
    place: int | None


class EntriesPage(Page):
    """Entries, newest first."""

    items: list[EntryOut]


class ProofOut(Schema):
    """An inclusion proof (RFC 6962): hashes in base64, leaf side first, and the signed checkpoint it leads to."""

    place: int
    size: int
    leaf: str
    path: list[str]
    root: str
    checkpoint: str


class ProofAnswer(Schema):
    """The proof, or null while the entry waits for the sealer."""

    proof: ProofOut | None


class LogOut(Schema):
    """How the log stands."""

    size: int
    epoch: int
    last_at: datetime | None
    checkpoint: str


class DeliveryOut(Schema):
    """A subscriber's copy."""

    subscriber: str
    state: str
    attempts: int
    error: str


class FactOut(Schema):
    """Something that happened."""

    id: UUID
    kind: str
    subject_kind: str
    subject: str
    data: dict[str, Any]
    at: datetime
    deliveries: list[DeliveryOut]


class FactsPage(Page):
    """Events, newest first."""

    items: list[FactOut]


class ReplayOut(Schema):
    """To how many subscribers it goes again."""

    deliveries: int


class FileOut(Schema):
    """A stored file."""

    id: UUID
    name: str
    size: int
    sha256: str
    scan: str


class HitOut(Schema):
    """Something found."""

    kind: str
    id: str
    title: str
    url: str


class HitsPage(Page):
    """What was found, best first."""

    items: list[HitOut]


class TaskOut(Schema):
    """Something that waits. ``mine``: the reader can do it now, or asked for it; ``role``: the reader's roles can."""

    title: str
    note: str
    url: str
    asked_by: UUID | None
    until: datetime | None
    mine: bool
    role: bool


class DueOut(Page):
    """What waits in a workspace; ``url`` is below the hub's address."""

    items: list[TaskOut]


def _entry(entry: EntryShown) -> dict[str, Any]:
    return {
        "id": entry.id, "at": entry.at, "actor_kind": entry.actor_kind, "actor": entry.actor_id, "via": entry.via, "action": entry.action,
        "subject_kind": entry.subject_kind, "subject": entry.subject_id, "request_id": entry.request_id, "detail": dict(entry.detail),
        "personal": dict(entry.personal), "erased": entry.erased, "place": entry.place,
    }  # fmt: skip


def _sane(value: datetime | None, field: str) -> datetime | None:
    if value is not None and not 1970 < value.year < 9000:
        raise Invalid("That time is out of range.", field=field)
    return value.astimezone(UTC) if value else None


@router.get("/workspaces/{slug}/ledger", response={200: EntriesPage, **ERRORS})
def list_entries(
    request: HttpRequest, slug: str, limit: Limit = 50, cursor: Cursor = "", actor: UUID | None = None,
    action: Annotated[str, Query(max_length=80, description="an action, or how it begins: role.")] = "",
    subject_kind: Annotated[str, Query(max_length=40)] = "", subject: Annotated[str, Query(max_length=80)] = "",
    since: AwareDatetime | None = None, until: AwareDatetime | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The audit feed with its filters, newest first."""
    reader, place = place_of(request, slug)
    action, subject_kind, subject = (text.replace("\0", "") for text in (action, subject_kind, subject))
    wanted = Filter(
        actor_id=actor,
        action=action,
        subject_kind=subject_kind,
        subject_id=subject,
        since=_sane(since, "since"),
        until=_sane(until, "until"),
        before=decode_cursor(cursor, UUID),
    )
    rows, following = cut(
        access_entries(reader.actor, place.id, wanted, limit=limit + 1), limit, lambda entry: entry.id
    )
    return {"items": [_entry(entry) for entry in rows], "next": following}


@router.get("/workspaces/{slug}/ledger/log", response={200: LogOut, **ERRORS})
def get_log(request: HttpRequest, slug: str) -> dict[str, Any]:
    """The sealed log's size, epoch and newest signed checkpoint."""
    reader, place = place_of(request, slug)
    health = access_health(reader.actor, place.id)
    return {"size": health.size, "epoch": health.epoch, "last_at": health.last_at, "checkpoint": health.note}


@router.get("/workspaces/{slug}/ledger/{entry_id}", response={200: EntryOut, **ERRORS})
def get_entry(request: HttpRequest, slug: str, entry_id: UUID) -> dict[str, Any]:
    """One entry."""
    reader, place = place_of(request, slug)
    return _entry(access_entry(reader.actor, place.id, entry_id))


@router.get("/workspaces/{slug}/ledger/{entry_id}/proof", response={200: ProofAnswer, **ERRORS})
def get_proof(request: HttpRequest, slug: str, entry_id: UUID) -> dict[str, Any]:
    """An entry's inclusion proof against the newest checkpoint."""
    reader, place = place_of(request, slug)
    proof = access_proof(reader.actor, place.id, access_entry(reader.actor, place.id, entry_id))
    if proof is None:
        return {"proof": None}
    path = [_base64(step) for step in proof.path]
    found = {
        "place": proof.place,
        "size": proof.size,
        "leaf": _base64(proof.leaf),
        "path": path,
        "root": _base64(proof.root),
        "checkpoint": proof.note,
    }
    return {"proof": found}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@router.get("/workspaces/{slug}/events", response={200: FactsPage, **ERRORS})
def list_events(request: HttpRequest, slug: str, limit: Limit = 50, cursor: Cursor = "") -> dict[str, Any]:
    """Events and who heard of them."""
    reader, place = place_of(request, slug)
    found = access_facts(reader.actor, place.id)
    if before := decode_cursor(cursor, UUID):
        found = found.filter(id__lt=before)
    rows, following = cut(list(found[: limit + 1]), limit, lambda fact: fact.id)
    items = [
        {
            "id": fact.id, "kind": fact.kind, "subject_kind": fact.subject_kind, "subject": fact.subject_id, "data": fact.data, "at": fact.at,
            "deliveries": [{"subscriber": d.subscriber, "state": d.state, "attempts": d.attempts, "error": d.error} for d in fact.deliveries.all()],
        }
        for fact in rows
    ]  # fmt: skip
    return {"items": items, "next": following}


@router.post("/workspaces/{slug}/events/{fact_id}/replay", response={200: ReplayOut, **ERRORS})
def replay(request: HttpRequest, slug: str, fact_id: UUID) -> dict[str, Any]:
    """Deliver an event again."""
    reader, place = place_of(request, slug)
    return {"deliveries": commands.replay_fact(by=reader.actor, workspace_id=place.id, fact_id=fact_id)}


@router.post(
    "/workspaces/{slug}/files",
    response={201: FileOut, **ERRORS},
    openapi_extra={
        "requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
    },
)
def upload(request: HttpRequest, slug: str, name: Annotated[str, Query(min_length=1, max_length=200)]) -> Status[Any]:
    """Store a file: the body is its bytes."""
    reader, place = place_of(request, slug)
    length = request.headers.get("Content-Length", "0")
    if length.isdecimal() and int(length) > MAX_BYTES:
        raise TooLarge(f"A file may have at most {MAX_BYTES:,} bytes.")
    blob = add_file(by=reader.actor, workspace_id=place.id, name=name, content=_chunks(request))
    return Status(201, {"id": blob.id, "name": blob.name, "size": blob.size, "sha256": blob.sha256, "scan": blob.scan})


def _chunks(request: HttpRequest) -> Iterator[bytes]:
    while chunk := request.read(1 << 16):
        yield chunk


@router.get("/workspaces/{slug}/files/{file_id}", response={200: FileOut, **ERRORS})
def get_file(request: HttpRequest, slug: str, file_id: UUID) -> dict[str, Any]:
    """What is known of a file; its bytes come from /w/{slug}/files/{file_id}."""
    reader, place = place_of(request, slug)
    blob = access_file(reader.actor, place.id, file_id)
    return {"id": blob.id, "name": blob.name, "size": blob.size, "sha256": blob.sha256, "scan": blob.scan}


@router.get("/workspaces/{slug}/search", response={200: HitsPage, **ERRORS})
def search(request: HttpRequest, slug: str, q: Annotated[str, Query(min_length=1, max_length=100)]) -> dict[str, Any]:
    """Anything one may see, by its words."""
    reader, place = place_of(request, slug)
    hits = search_all(reader.actor, place.id, place.slug, q.replace("\0", ""))
    return {
        "items": [{"kind": hit.kind, "id": hit.id, "title": hit.title, "url": hit.url} for hit in hits],
        "next": None,
    }


@router.get("/workspaces/{slug}/due", response={200: DueOut, **ERRORS})
def due(request: HttpRequest, slug: str) -> dict[str, Any]:
    """What somebody must do by a time."""
    reader, place = place_of(request, slug)
    reader.actor.require("due.read", place.id)
    items = [
        {"title": one.title, "note": one.note, "url": one.url, "asked_by": one.who, "until": one.until, "mine": one.mine, "role": one.role}
        for one in tasks_of(reader, place)
    ]  # fmt: skip
    return {"items": items, "next": None}
