"""The handbook as JSON: apply, roll back, revisions, items."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from ninja import Query, Router, Schema, Status
from pydantic import Field, StringConstraints

from watchbill.base.errors import NotFound
from watchbill.gates.models import Request as GateRequest
from watchbill.handbook import bindings, commands
from watchbill.handbook.models import PolicyItem, Revision
from watchbill.handbook.queries import (
    access_bindings,
    access_items,
    access_live,
    access_review,
    access_revision,
    access_revisions,
)
from watchbill.handbook.replay import replay, routes_from
from watchbill.people.edge import place_of
from watchbill.people.queries import Place, Reader
from watchbill.runtime.rest import ERRORS, MOST, Page, cut, decode_cursor

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
    break_glass: Annotated[bool, Field(description="pass without the approval, loudly; needs handbook.weaken")] = False


class RollBackIn(Schema):
    """Where to go back to."""

    number: Annotated[int, Field(ge=1, le=2_000_000_000)]
    reason: Annotated[str, StringConstraints(max_length=500)] = ""
    break_glass: bool = False


class RevisionOut(Schema):
    """A revision."""

    id: UUID
    number: int
    digest: str
    weakens: bool
    reason: str
    rolled_back_to: int | None
    broken: bool
    request: UUID | None
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


class WaitingOut(Schema):
    """It weakens the live policy: another person has to approve it first; then the same is sent again."""

    request: UUID
    title: str
    digest: str
    url: str


class DraftIn(Schema):
    """Runbooks for review; ``lock`` is what was accepted of them so far, ``config`` their watchbill.yaml; the live one's if not given."""

    files: Annotated[list[FileIn], Field(min_length=1, max_length=2000)]
    lock: Annotated[str, StringConstraints(max_length=8_000_000)] = ""
    config: Annotated[str, StringConstraints(max_length=200_000)] | None = None


class RowOut(Schema):
    """An item under review. ``allowed`` is what may be chosen, ``choice`` what was."""

    key: str
    kind: str
    name: str
    action: str
    state: str
    path: str
    line: int
    text: str
    changes: list[list[str]]
    weakens: bool
    needs: list[str]
    allowed: list[str]
    choice: str


class DraftOut(Schema):
    """What is under review. ``lock_digest`` is of the lock that the choices make: an apply names it.

    ``warnings`` say which alerts would page nobody, were it applied as it is chosen.
    """

    version: int
    origin: str
    digest: str
    lock_digest: str
    errors: list[list[Any]]
    warnings: list[list[Any]]
    unbound: list[str]
    undecided: int
    items: list[RowOut]


class ChoiceIn(Schema):
    """What becomes of some items."""

    version: Annotated[int, Field(ge=1, le=2_000_000_000)]
    keys: Annotated[list[Annotated[str, StringConstraints(max_length=220)]], Field(min_length=1, max_length=5000)]
    choice: Annotated[str, StringConstraints(max_length=260)] = ""


class ApplyDraftIn(Schema):
    """Apply what is under review, exactly as it was shown."""

    version: Annotated[int, Field(ge=1, le=2_000_000_000)]
    lock_digest: Annotated[str, StringConstraints(max_length=64)]
    reason: Annotated[str, StringConstraints(max_length=500)] = ""
    break_glass: bool = False


class BindingItem(Schema):
    """A name and the person or team it means."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    target_kind: Literal["person", "team", "schedule", "channel"]
    target_id: UUID


class BindingsPage(Page):
    """All bindings, by name."""

    items: list[BindingItem]


class BindingGone(Schema):
    """The name whose binding goes."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]


def _revision(one: Revision) -> dict[str, Any]:
    return {
        "id": one.id, "number": one.number, "digest": one.digest, "weakens": one.weakens, "reason": one.reason, "rolled_back_to": one.rolled_back_to,
        "broken": one.broken, "request": one.request_id, "applied_by": one.applied_by, "applied_at": one.applied_at, "steps": len(one.steps),
    }  # fmt: skip


def _item(one: PolicyItem) -> dict[str, Any]:
    return {
        "key": one.key, "kind": one.kind, "name": one.name, "state": one.state, "effect": one.effect, "map": one.map, "path": one.path, "line": one.line,
        "data": one.data,
    }  # fmt: skip


def _outcome(slug: str, found: Revision | GateRequest) -> Status[Any]:
    if isinstance(found, Revision):
        return Status(201, _revision(found))
    url = settings.PUBLIC_URL + reverse("request", args=[slug, found.id])
    return Status(202, {"request": found.id, "title": found.title, "digest": found.digest, "url": url})


@router.post("/workspaces/{slug}/handbook", response={201: RevisionOut, 202: WaitingOut, **ERRORS})
def apply_handbook(request: HttpRequest, slug: str, payload: HandbookIn) -> Status[Any]:
    """Make accepted runbooks the live handbook; 202 where another person has to approve it first."""
    reader, place = place_of(request, slug)
    made = commands.submit(
        by=reader.actor, workspace_id=place.id, slug=place.slug, files=[(one.path, one.text) for one in payload.files], lock=payload.lock,
        config=payload.config, expected=payload.expected, reason=payload.reason, break_glass=payload.break_glass,
        place_url=reverse("handbook_review", args=[slug]),
    )  # fmt: skip
    return _outcome(slug, made)


@router.post("/workspaces/{slug}/handbook/roll-back", response={201: RevisionOut, 202: WaitingOut, **ERRORS})
def roll_back(request: HttpRequest, slug: str, payload: RollBackIn) -> Status[Any]:
    """Apply an earlier revision again, as a new one; 202 where another person has to approve it first."""
    reader, place = place_of(request, slug)
    access_revision(reader.actor, place.id, payload.number)
    made = commands.roll_back(
        by=reader.actor, workspace_id=place.id, slug=place.slug, number=payload.number, reason=payload.reason, break_glass=payload.break_glass,
        place_url=reverse("handbook_review", args=[slug]),
    )  # fmt: skip
    return _outcome(slug, made)


def _under_review(reader: Reader, place: Place) -> dict[str, Any]:
    from watchbill.handbook.review import allowed

    found = access_review(reader.actor, place.id)
    if found is None:
        raise NotFound("There is nothing to review here.")
    draft = found.draft
    return {
        "version": draft.version, "origin": draft.origin, "digest": draft.digest, "lock_digest": found.lock_digest, "errors": draft.errors,
        "warnings": [[one.path, one.line, one.code, one.message, one.hint] for one in found.warnings],
        "unbound": found.unbound, "undecided": len(found.undecided),
        "items": [
            {name: getattr(row, name) for name in ("key", "kind", "name", "action", "state", "path", "line", "text", "changes", "weakens", "needs", "choice")}
            | {"allowed": allowed(row)}
            for row in found.rows
        ],
    }  # fmt: skip


@router.get("/workspaces/{slug}/handbook/review", response={200: DraftOut, **ERRORS})
def get_review(request: HttpRequest, slug: str) -> dict[str, Any]:
    """What is under review, with what may be chosen."""
    return _under_review(*place_of(request, slug))


@router.post("/workspaces/{slug}/handbook/review", response={201: DraftOut, **ERRORS})
def bring_review(request: HttpRequest, slug: str, payload: DraftIn) -> Status[Any]:
    """Bring runbooks for review; nothing goes live by it."""
    reader, place = place_of(request, slug)
    live = access_live(reader.actor, place.id)
    config = payload.config if payload.config is not None else live.config if live else ""
    files = [(one.path, one.text) for one in payload.files]
    commands.keep_draft(
        by=reader.actor, workspace_id=place.id, slug=place.slug, files=files, lock=payload.lock, config=config
    )
    return Status(201, _under_review(reader, place))


@router.post("/workspaces/{slug}/handbook/review/choose", response={200: DraftOut, **ERRORS})
def choose(request: HttpRequest, slug: str, payload: ChoiceIn) -> dict[str, Any]:
    """Choose live, shadow, ignored; for what is gone “gone”, for a question “gone” or “is:KEY”; empty takes it back."""
    reader, place = place_of(request, slug)
    commands.choose(
        by=reader.actor, workspace_id=place.id, version=payload.version, keys=_texts(payload.keys), choice=payload.choice.replace("\0", ""),
    )  # fmt: skip
    return _under_review(reader, place)


def _texts(found: list[str]) -> list[str]:
    return [one.replace("\0", "") for one in found]


@router.post("/workspaces/{slug}/handbook/review/apply", response={201: RevisionOut, 202: WaitingOut, **ERRORS})
def apply_review(request: HttpRequest, slug: str, payload: ApplyDraftIn) -> Status[Any]:
    """Apply what is under review; 202 where another person has to approve it first."""
    reader, place = place_of(request, slug)
    made = commands.apply_draft(
        by=reader.actor, workspace_id=place.id, slug=place.slug, version=payload.version, lock_digest=payload.lock_digest, reason=payload.reason,
        break_glass=payload.break_glass, place_url=reverse("handbook_review", args=[slug]),
    )  # fmt: skip
    return _outcome(slug, made)


class RouteIn(Schema):
    """A route as it would be: matchers, severity, and whom it pages."""

    key: Annotated[str, StringConstraints(min_length=1, max_length=300)]
    name: Annotated[str, StringConstraints(max_length=300)] = ""
    match: list[Annotated[str, StringConstraints(max_length=1000)]] = Field(default=[], max_length=50)
    severity: Annotated[str, StringConstraints(max_length=100)] = ""
    pages: Annotated[str, StringConstraints(max_length=300)] = ""


class RouteReplayIn(Schema):
    """The routes of a handbook in their order; the first that fits takes an alert."""

    routes: list[RouteIn] = Field(max_length=500)


class RouteReplayOut(Schema):
    """What they would have done: how many groups of alerts paged somebody, how many would have, and which differ."""

    days: int
    groups: int
    before: int
    after: int
    more: list[str]
    fewer: list[str]
    words: str


@router.post("/workspaces/{slug}/handbook/replay", response={200: RouteReplayOut, **ERRORS})
def replay_routes(request: HttpRequest, slug: str, payload: RouteReplayIn) -> dict[str, Any]:
    """What these routes would have done to the alerts of the last fourteen days; nothing is changed or kept by it."""
    reader, place = place_of(request, slug)
    reader.actor.require("handbook.read", place.id)
    reader.actor.require("alert.read", place.id)
    found = replay(place.id, routes_from((one.key, one.model_dump()) for one in payload.routes))
    return {name: getattr(found, name) for name in RouteReplayOut.model_fields}


@router.get("/workspaces/{slug}/bindings", response={200: BindingsPage, **ERRORS})
def list_bindings(
    request: HttpRequest, slug: str, limit: Annotated[int, Field(ge=1, le=MOST)] = 200, cursor: Annotated[str, Query(max_length=400)] = ""
) -> dict[str, Any]:  # fmt: skip
    """Whom the names of the runbooks mean."""
    reader, place = place_of(request, slug)
    found = access_bindings(reader.actor, place.id)
    after = decode_cursor(cursor, str)
    if after is not None:
        found = found.filter(name__gt=after.replace("\0", ""))
    items, following = cut(list(found[: limit + 1]), limit, lambda one: one.name)
    return {"items": [{"name": one.text, "target_kind": one.target_kind, "target_id": one.target_id} for one in items], "next": following}  # fmt: skip


@router.put("/workspaces/{slug}/bindings", response={200: BindingItem, **ERRORS})
def bind_name(request: HttpRequest, slug: str, payload: BindingItem) -> dict[str, Any]:
    """Bind a name to a person or team."""
    reader, place = place_of(request, slug)
    made = bindings.bind_name(
        by=reader.actor, workspace_id=place.id, name=payload.name, target_kind=payload.target_kind, target_id=payload.target_id
    )  # fmt: skip
    return {"name": made.text, "target_kind": made.target_kind, "target_id": made.target_id}


@router.post("/workspaces/{slug}/bindings/unbind", response={204: None, **ERRORS})
def unbind_name(request: HttpRequest, slug: str, payload: BindingGone) -> Status[Any]:
    """Take a binding away."""
    reader, place = place_of(request, slug)
    bindings.unbind_name(by=reader.actor, workspace_id=place.id, name=payload.name)
    return Status(204, None)


@router.get("/workspaces/{slug}/handbook/revisions", response={200: RevisionsPage, **ERRORS})
def list_revisions(
    request: HttpRequest, slug: str, limit: Annotated[int, Field(ge=1, le=MOST)] = 50, cursor: Annotated[str, Query(max_length=100)] = ""
) -> dict[str, Any]:  # fmt: skip
    """What was applied, the live one first."""
    reader, place = place_of(request, slug)
    found = access_revisions(reader.actor, place.id).defer("lock", "config")
    before = decode_cursor(cursor, _number)
    if before is not None:
        found = found.filter(number__lt=before)
    items, following = cut(list(found[: limit + 1]), limit, lambda one: one.number)
    return {"items": [_revision(one) for one in items], "next": following}


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise ValueError(text)
    return int(text)


@router.get("/workspaces/{slug}/handbook/items", response={200: PolicyPage, **ERRORS})
def list_items(
    request: HttpRequest, slug: str, kind: Annotated[str, Query(max_length=40)] = "", path: Annotated[str, Query(max_length=400)] = "",
    limit: Annotated[int, Field(ge=1, le=MOST)] = 100, cursor: Annotated[str, Query(max_length=400)] = "",
) -> dict[str, Any]:  # fmt: skip
    """The items of the live handbook, by key. A page of another revision than the cursor's begins anew where that key was."""
    reader, place = place_of(request, slug)
    live = access_live(reader.actor, place.id)
    if live is None:
        return {"items": [], "next": None}
    found = access_items(reader.actor, live, kind=kind.replace("\0", ""), path=path.replace("\0", "")).order_by("key")
    after = decode_cursor(cursor, str)
    if after is not None:
        found = found.filter(key__gt=after.replace("\0", ""))
    items, following = cut(list(found[: limit + 1]), limit, lambda one: one.key)
    return {"items": [_item(one) for one in items], "next": following}
