"""Alerts and integrations as JSON."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from django.http import HttpRequest
from ninja import Path, Query, Router, Schema, Status
from pydantic import AwareDatetime, Field, StringConstraints

from watchbill.people.edge import place_of
from watchbill.runtime.rest import ERRORS, MOST, Page, cut, decode_cursor
from watchbill.signals import checks, commands, silences
from watchbill.signals.matchers import read_matchers
from watchbill.signals.models import Check, Group, Silence, Source
from watchbill.signals.queries import (
    access_checks,
    access_group,
    access_groups,
    access_quarantine,
    access_silences,
    access_sources,
    access_unrouted,
    alerts_of,
    route_for,
)
from watchbill.signals.unrouted import MARK, count_by_severity, pages_nobody
from watchbill.signals.unrouted import MOST as LOOKED_AT

router = Router()


class SourceIn(Schema):
    """An integration to make."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=80)]
    protocol: Literal[
        "alertmanager", "grafana", "prometheus", "pagerduty", "healthchecks", "json", "slack", "twilio"
    ] = "alertmanager"
    mapping: dict[str, Any] | None = Field(
        None, description="for “json”: where an alert's parts stand, as JMESPath expressions"
    )


class SourceOut(Schema):
    """An integration; ``last_problem`` is why something that came could not be understood."""

    id: UUID
    name: str
    protocol: str
    prefix: str
    last_received_at: datetime | None
    last_problem: str


class SourceMade(SourceOut):
    """A new integration, or one with a new key: the address to send to, and the key, are shown this once."""

    url: str
    key: str


class SourcesPage(Page):
    """Integrations by name."""

    items: list[SourceOut]


class QuarantinedOut(Schema):
    """What came and could not be taken in; ``error`` is empty where its sender has to correct it."""

    id: int
    received_at: datetime
    quarantined_at: datetime | None
    problem: str
    error: str


class QuarantinePage(Page):
    """Quarantined arrivals, the newest first."""

    items: list[QuarantinedOut]


class ReplayedOut(Schema):
    """How many arrivals wait to be taken in again."""

    replayed: int


class AlertOut(Schema):
    """One alert."""

    fingerprint: str
    labels: dict[str, str]
    annotations: dict[str, str]
    firing: bool
    starts_at: datetime
    ends_at: datetime | None


class GroupOut(Schema):
    """A group of alerts. ``pages_nobody``: it is open and pages nobody; ``why`` says why: no route fits, the route says so, or nobody is named."""

    id: UUID
    title: str
    labels: dict[str, str]
    severity: str
    state: str
    firing: int
    opened_at: datetime
    resolved_at: datetime | None
    pages_nobody: bool
    why: str
    reopened: int = Field(description="how often it fired again soon after it was over")


class GroupWhole(GroupOut):
    """A group with its alerts and its history; ``more`` alerts are not listed. ``route``: one that would take it, as YAML, where none does."""

    route: str

    alerts: list[AlertOut]
    more: int
    history: list[dict[str, Any]]


class UnroutedOut(Schema):
    """An open group that fires and pages nobody. ``paging``: its severity must be heard, so that the admins are told each hour."""

    id: UUID
    title: str
    severity: str
    firing: int
    since: datetime
    paging: bool
    why: str


class UnroutedList(Schema):
    """What fires and pages nobody: how many groups, how many of them must be heard, how many of each severity; ``more`` are not listed.

    ``at_least``: there are more than were looked at, so that every figure is a lower bound.
    """

    count: int
    paging: int
    by_severity: dict[str, int]
    more: int
    at_least: bool
    items: list[UnroutedOut]


class GroupsPage(Page):
    """Groups, the newest first."""

    items: list[GroupOut]


def _source(one: Source) -> dict[str, Any]:
    return {
        "id": one.id, "name": one.name, "protocol": one.protocol, "prefix": one.key_prefix, "last_received_at": one.last_received_at,
        "last_problem": one.last_problem,
    }  # fmt: skip


def _group(one: Group) -> dict[str, Any]:
    return {
        "id": one.id, "title": one.title, "labels": one.labels, "severity": one.severity, "state": one.state, "firing": one.firing,
        "opened_at": one.opened_at, "resolved_at": one.resolved_at,
        "reopened": one.reopened, **_unpaged(one),
    }  # fmt: skip


def _unpaged(one: Group) -> dict[str, Any]:
    nobody = one.state == Group.State.OPEN and pages_nobody(one.route)
    why = str(one.route.get(MARK, "")) or "no route of the live handbook fits"
    return {"pages_nobody": nobody, "why": why if nobody else ""}


def _made(source: Source, text: str) -> dict[str, Any]:
    return _source(source) | {"url": commands.address_of(source.protocol, text), "key": text}


@router.get("/workspaces/{slug}/integrations", response={200: SourcesPage, **ERRORS})
def list_integrations(
    request: HttpRequest, slug: str, limit: Annotated[int, Field(ge=1, le=MOST)] = 100, cursor: Annotated[str, Query(max_length=400)] = ""
) -> dict[str, Any]:  # fmt: skip
    """Where alerts come from."""
    reader, place = place_of(request, slug)
    found = access_sources(reader.actor, place.id)
    after = decode_cursor(cursor, str)
    if after is not None:
        found = found.filter(name__gt=after.replace("\0", ""))
    items, following = cut(list(found[: limit + 1]), limit, lambda one: one.name)
    return {"items": [_source(one) for one in items], "next": following}


@router.post("/workspaces/{slug}/integrations", response={201: SourceMade, **ERRORS})
def create_integration(request: HttpRequest, slug: str, payload: SourceIn) -> Status[Any]:
    """Make an integration."""
    reader, place = place_of(request, slug)
    source, text = commands.create_source(
        by=reader.actor,
        workspace_id=place.id,
        protocol=payload.protocol,
        name=payload.name,
        config={"mapping": payload.mapping} if payload.mapping is not None else None,
    )
    return Status(201, _made(source, text))


@router.post("/workspaces/{slug}/integrations/{source_id}/rotate", response={200: SourceMade, **ERRORS})
def rotate_integration(request: HttpRequest, slug: str, source_id: UUID) -> dict[str, Any]:
    """Give an integration another key."""
    reader, place = place_of(request, slug)
    return _made(*commands.rotate_key(by=reader.actor, workspace_id=place.id, source_id=source_id))


@router.delete("/workspaces/{slug}/integrations/{source_id}", response={204: None, **ERRORS})
def revoke_integration(request: HttpRequest, slug: str, source_id: UUID) -> Status[Any]:
    """End an integration; what came through it stays."""
    reader, place = place_of(request, slug)
    commands.revoke_source(by=reader.actor, workspace_id=place.id, source_id=source_id)
    return Status(204, None)


@router.get("/workspaces/{slug}/integrations/{source_id}/quarantine", response={200: QuarantinePage, **ERRORS})
def list_quarantine(
    request: HttpRequest,
    slug: str,
    source_id: UUID,
    limit: Annotated[int, Field(ge=1, le=MOST)] = 50,
    cursor: Annotated[str, Query(max_length=100)] = "",
) -> dict[str, Any]:
    """What came through an integration and could not be taken in."""
    reader, place = place_of(request, slug)
    found = access_quarantine(reader.actor, place.id, source_id)
    before = decode_cursor(cursor, int)
    if before is not None:
        found = found.filter(id__lt=before)
    items, following = cut(list(found[: limit + 1]), limit, lambda one: one.id)
    rows = [
        {
            "id": one.id,
            "received_at": one.received_at,
            "quarantined_at": one.problem_at,
            "problem": one.problem,
            "error": one.error,
        }
        for one in items
    ]
    return {"items": rows, "next": following}


@router.post("/workspaces/{slug}/integrations/{source_id}/quarantine/replay", response={200: ReplayedOut, **ERRORS})
def replay_quarantine(request: HttpRequest, slug: str, source_id: UUID) -> dict[str, Any]:
    """Take all quarantined arrivals of an integration in again."""
    reader, place = place_of(request, slug)
    return {"replayed": commands.replay(by=reader.actor, workspace_id=place.id, source_id=source_id)}


@router.post(
    "/workspaces/{slug}/integrations/{source_id}/quarantine/{arrival_id}/replay", response={200: ReplayedOut, **ERRORS}
)
def replay_arrival(
    request: HttpRequest, slug: str, source_id: UUID, arrival_id: Annotated[int, Path(ge=0, lt=2**63)]
) -> dict[str, Any]:
    """Take one quarantined arrival in again."""
    reader, place = place_of(request, slug)
    count = commands.replay(by=reader.actor, workspace_id=place.id, source_id=source_id, arrival_id=arrival_id)
    return {"replayed": count}


@router.get("/workspaces/{slug}/alerts", response={200: GroupsPage, **ERRORS})
def list_alerts(
    request: HttpRequest, slug: str, state: Literal["", "open", "resolved"] = "", filter: Annotated[list[str], Query(max_length=20)] = [],  # noqa: B006
    limit: Annotated[int, Field(ge=1, le=MOST)] = 50, cursor: Annotated[str, Query(max_length=100)] = "",
) -> dict[str, Any]:  # fmt: skip
    """Groups of alerts, the newest first. ``filter``, as often as needed, is a matcher as Alertmanager has it: `service="checkout"`."""
    reader, place = place_of(request, slug)
    found = access_groups(reader.actor, place.id, state=state, match=read_matchers(filter)).order_by("-id")
    before = decode_cursor(cursor, UUID)
    if before is not None:
        found = found.filter(id__lt=before)
    items, following = cut(list(found[: limit + 1]), limit, lambda one: one.id)
    return {"items": [_group(one) for one in items], "next": following}


@router.get("/workspaces/{slug}/unrouted", response={200: UnroutedList, **ERRORS})
def list_unrouted(request: HttpRequest, slug: str, limit: Annotated[int, Field(ge=1, le=MOST)] = 50) -> dict[str, Any]:
    """What fires and pages nobody: what must be heard first, then the oldest."""
    reader, place = place_of(request, slug)
    found = access_unrouted(reader.actor, place.id)
    names = ("id", "title", "severity", "firing", "since", "paging", "why")
    return {
        "count": len(found), "paging": sum(1 for one in found if one.paging), "by_severity": count_by_severity(found),
        "more": max(0, len(found) - limit), "at_least": len(found) >= LOOKED_AT, "items": [{name: getattr(one, name) for name in names} for one in found[:limit]],
    }  # fmt: skip


@router.get("/workspaces/{slug}/alerts/{group_id}", response={200: GroupWhole, **ERRORS})
def get_alerts(request: HttpRequest, slug: str, group_id: UUID) -> dict[str, Any]:
    """One group with its alerts and its history."""
    reader, place = place_of(request, slug)
    found = access_group(reader.actor, place.id, group_id)
    rows = alerts_of(found)
    alerts = [
        {
            "fingerprint": one.fingerprint, "labels": one.labels, "annotations": one.annotations, "firing": one.firing, "starts_at": one.starts_at,
            "ends_at": one.ends_at,
        }
        for one in rows[:MOST]
    ]  # fmt: skip
    history = [{"at": one.at, "what": one.what, "why": one.why} for one in found.events.order_by("id")]
    more = max(0, rows.count() - MOST)
    return _group(found) | {"alerts": alerts, "more": more, "history": history, "route": route_for(reader.actor, found)}


class SilenceIn(Schema):
    """Alerts to hold back: ``match`` as Alertmanager writes matchers; ``every`` day or week, in ``zone``, until ``until``."""

    match: list[Annotated[str, StringConstraints(min_length=1, max_length=1000)]] = Field(min_length=1, max_length=50)
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    every: Literal["", "day", "week"] = ""
    zone: Annotated[str, StringConstraints(max_length=60)] = "UTC"
    until: AwareDatetime | None = None
    maintenance: bool = False


class SilenceOut(Schema):
    """A silence."""

    id: UUID
    match: list[str]
    reason: str
    starts_at: datetime
    ends_at: datetime
    every: str
    zone: str
    until: datetime | None
    maintenance: bool
    made_by: UUID
    ended_at: datetime | None


class SilencesPage(Page):
    """Silences, the newest first."""

    items: list[SilenceOut]


class HiddenOut(Schema):
    """What a silence would hide now; ``more`` groups are not listed."""

    items: list[GroupOut]
    more: int


def _silence(one: Silence) -> dict[str, Any]:
    return {name: getattr(one, name) for name in SilenceOut.model_fields}


@router.get("/workspaces/{slug}/silences", response={200: SilencesPage, **ERRORS})
def list_silences(
    request: HttpRequest, slug: str, ended: bool = False, limit: Annotated[int, Field(ge=1, le=MOST)] = 50, cursor: Annotated[str, Query(max_length=100)] = ""
) -> dict[str, Any]:  # fmt: skip
    """Silences that hold or will hold; with ``ended``, those that are over."""
    reader, place = place_of(request, slug)
    found = access_silences(reader.actor, place.id, ended=ended)
    before = decode_cursor(cursor, UUID)
    if before is not None:
        found = found.filter(id__lt=before)
    items, following = cut(list(found[: limit + 1]), limit, lambda one: one.id)
    return {"items": [_silence(one) for one in items], "next": following}


@router.post("/workspaces/{slug}/silences", response={201: SilenceOut, **ERRORS})
def create_silence(request: HttpRequest, slug: str, payload: SilenceIn) -> Status[Any]:
    """Hold alerts back from paging for some time."""
    reader, place = place_of(request, slug)
    return Status(
        201, _silence(silences.create_silence(by=reader.actor, workspace_id=place.id, **payload.model_dump()))
    )


@router.post("/workspaces/{slug}/silences/preview", response={200: HiddenOut, **ERRORS})
def preview_silence(request: HttpRequest, slug: str, payload: SilenceIn) -> dict[str, Any]:
    """What a silence would hide now; nothing is made by it."""
    reader, place = place_of(request, slug)
    reader.actor.require("alert.read", place.id)
    found, more = silences.hidden_by(place.id, payload.match)
    return {"items": [_group(one) for one in found], "more": more}


@router.delete("/workspaces/{slug}/silences/{silence_id}", response={204: None, **ERRORS})
def end_silence(request: HttpRequest, slug: str, silence_id: UUID) -> Status[Any]:
    """End a silence now; what it held back is paged at once."""
    reader, place = place_of(request, slug)
    silences.end_silence(by=reader.actor, workspace_id=place.id, silence_id=silence_id)
    return Status(204, None)


class CheckIn(Schema):
    """A job that pings every ``period`` seconds, or by a cron line; it is missing after ``grace`` seconds more."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    period: Annotated[int, Field(ge=60, le=31_622_400)] = 86400
    cron: Annotated[str, StringConstraints(max_length=100)] = ""
    zone: Annotated[str, StringConstraints(max_length=60)] = "UTC"
    grace: Annotated[int, Field(ge=60, le=31_622_400)] = 3600
    severity: Literal["critical", "error", "warning", "info"] = "warning"


class CheckPatch(Schema):
    """What to change of a check's schedule: what is not given stays; an empty ``cron`` means the period."""

    period: Annotated[int, Field(ge=60, le=31_622_400)] | None = None
    cron: Annotated[str, StringConstraints(max_length=100)] | None = None
    zone: Annotated[str, StringConstraints(max_length=60)] | None = None
    grace: Annotated[int, Field(ge=60, le=31_622_400)] | None = None
    severity: Literal["critical", "error", "warning", "info"] | None = None


class CheckOut(Schema):
    """A check: its address, its state, when the next ping is due. A ``problem`` says why its schedule can never come due: it is “stopped”."""

    id: UUID
    name: str
    slug: str
    url: str
    state: str
    problem: str
    period: int
    cron: str
    zone: str
    grace: int
    severity: str
    last_ping_at: datetime | None
    last_duration: float | None
    due_at: datetime | None


class ChecksPage(Page):
    """Checks by name."""

    items: list[CheckOut]


def _check(one: Check) -> dict[str, Any]:
    return {
        "id": one.id, "name": one.name, "slug": one.slug, "url": checks.url_of(one), "state": one.shown_state, "problem": one.problem, "period": one.period,
        "cron": one.cron, "zone": one.zone, "grace": one.grace,
        "severity": one.severity, "last_ping_at": one.last_ping_at, "last_duration": one.last_duration, "due_at": checks.due_at(one),
    }  # fmt: skip


@router.get("/workspaces/{slug}/integrations/{source_id}/checks", response={200: ChecksPage, **ERRORS})
def list_checks(request: HttpRequest, slug: str, source_id: UUID) -> dict[str, Any]:
    """The jobs that ping an integration."""
    reader, place = place_of(request, slug)
    return {
        "items": [_check(one) for one in access_checks(reader.actor, place.id) if one.source_id == source_id],
        "next": None,
    }


@router.post("/workspaces/{slug}/integrations/{source_id}/checks", response={201: CheckOut, **ERRORS})
def create_check(request: HttpRequest, slug: str, source_id: UUID, payload: CheckIn) -> Status[Any]:
    """Make a check."""
    reader, place = place_of(request, slug)
    return Status(
        201,
        _check(
            checks.create_check(by=reader.actor, workspace_id=place.id, source_id=source_id, **payload.model_dump())
        ),
    )


@router.patch("/workspaces/{slug}/checks/{check_id}", response={200: CheckOut, **ERRORS})
def edit_check(request: HttpRequest, slug: str, check_id: UUID, payload: CheckPatch) -> dict[str, Any]:
    """Change a check's schedule, from now on."""
    reader, place = place_of(request, slug)
    changed = checks.edit_check(by=reader.actor, workspace_id=place.id, check_id=check_id, **payload.model_dump())
    return _check(changed)


@router.delete("/workspaces/{slug}/checks/{check_id}", response={204: None, **ERRORS})
def remove_check(request: HttpRequest, slug: str, check_id: UUID) -> Status[Any]:
    """Remove a check; its alert ends."""
    reader, place = place_of(request, slug)
    checks.remove_check(by=reader.actor, workspace_id=place.id, check_id=check_id)
    return Status(204, None)
