"""Pages, channels and one's own paging as JSON."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router, Schema, Status
from pydantic import Field, StringConstraints

from watchbill.base.actor import Actor
from watchbill.paging import announcements, commands, own, roster, setup, trying
from watchbill.paging.ability import access_ability
from watchbill.paging.models import Channel
from watchbill.paging.models import Page as PageRow
from watchbill.paging.queries import access_channels, access_page, access_pages
from watchbill.paging.unanswered import Outcome, outcome_of, outcomes_of
from watchbill.people.edge import place_of
from watchbill.runtime.now import now
from watchbill.runtime.rest import ERRORS, MOST, Page, cut, decode_cursor

router = Router()
Short = Annotated[str, StringConstraints(max_length=500)]


class PageDeliveryOut(Schema):
    """One message: whom it is for and why, what came of it; ``stage`` is what stopped it; of ``lost`` attempts nobody knows what came."""

    step: int
    round: int
    person_id: UUID | None
    target: str
    why: str
    method: str
    state: str
    stage: str
    reason: str
    attempts: int
    lost: int | None
    due_at: datetime
    sent_at: datetime | None


class PageOut(Schema):
    """A page. Its state is running, acknowledged, exhausted (all steps went by), ended, or told (nobody has to answer it).

    Where it is exhausted, ``outcome`` is unacknowledged (messages went out, and nobody answered) or unreached (none went out, or all failed).
    """

    id: UUID
    about: list[str]
    title: str
    why: str
    urgency: str
    shadow: bool
    state: str
    outcome: Literal["", "unacknowledged", "unreached"]
    step: int
    escalation: str
    started_at: datetime
    next_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: UUID | None
    acknowledged_via: str


class PageWhole(PageOut):
    """A page with its messages and history."""

    deliveries: list[PageDeliveryOut]
    history: list[dict[str, Any]]


class AnnouncementOut(Schema):
    """What one person made quieter; ``sent_at`` is when the other admins and whoever lost a page were told."""

    id: UUID
    at: datetime
    by: str
    words: str
    command: str
    can_undo: bool
    sent_at: datetime | None
    undone_at: datetime | None
    undone_by: str


class AnnouncementsPage(Page):
    """What was made quieter, the newest first."""

    items: list[AnnouncementOut]


class PagesPage(Page):
    """Pages, the newest first."""

    items: list[PageOut]


class PageActIn(Schema):
    """Acknowledge or escalate."""

    do: Literal["acknowledge", "escalate"]
    reason: Short = ""


class ChannelIn(Schema):
    """A channel: the name of one that is there changes it. ``secret`` is kept sealed; left out, a stored one stays."""

    kind: Annotated[str, StringConstraints(min_length=1, max_length=40)]
    name: Annotated[str, StringConstraints(min_length=1, max_length=60)]
    config: dict[str, Short] = Field(default_factory=dict, max_length=40)
    secret: Annotated[str, StringConstraints(max_length=20_000)] = ""


class ChannelTestOut(Schema):
    """The last test of a channel: “on its way”, “sent” or “refused”, with the reason, and whom it went to."""

    at: datetime
    state: str
    to: str
    reason: str


class ChannelOut(Schema):
    """A channel without its secret; ``last_problem`` says also why nothing will go out by it."""

    id: UUID
    kind: str
    name: str
    config: dict[str, str]
    last_ok_at: datetime | None
    last_problem: str
    last_test: ChannelTestOut | None


class ChannelsPage(Page):
    """Channels by name."""

    items: list[ChannelOut]


class ReachedOut(Schema):
    """A person, and the methods that an urgent page goes by."""

    id: UUID
    name: str
    methods: list[str]
    last_at: datetime | None
    problem: str


class RosterEntryOut(Schema):
    """A name of the handbook, and what it means now: person, team, schedule, channel, email, or none."""

    name: str
    kind: str
    means: str
    used: list[str]
    people: list[ReachedOut]
    problem: str


class RosterOut(Schema):
    """The contact roster; ``digest`` is what one confirms, ``due_at`` until when, where the handbook asks for it."""

    entries: list[RosterEntryOut]
    digest: str
    problems: list[str]
    due_at: datetime | None


class ConfirmIn(Schema):
    """The roster as one has seen it."""

    seen: Annotated[str, StringConstraints(min_length=64, max_length=64)]


class ReasonOut(Schema):
    """A reason that keeps the hub from paging (broken), may come to that (warning), or is worth knowing (note)."""

    code: str
    level: Literal["broken", "alarm", "warning", "note"]
    text: str
    fix: str
    url: str


class AbilityOut(Schema):
    """Whether the hub can page in this workspace: “yes” as far as it looked, “no”, or “demo”, which pages nobody outside."""

    can_page: Literal["yes", "no", "demo"]
    at: datetime
    reasons: list[ReasonOut]
    looked_at: list[str]


class StepIn(Schema):
    """A method and the seconds it waits."""

    method: Annotated[str, StringConstraints(max_length=40)]
    delay: Annotated[int, Field(ge=0, le=3600)] = 0


class RulesIn(Schema):
    """By which methods one is paged; none is the default. ``quiet`` is {start, end, zone}, for what can wait."""

    urgency: Literal["high", "low"]
    steps: list[StepIn] = Field(default_factory=list, max_length=20)
    quiet: dict[Literal["start", "end", "zone"], Short] = Field(default_factory=dict)


class NoticesIn(Schema):
    """Whether one hears that what one was paged for is taken or over."""

    on: bool


def _page(one: PageRow, outcome: Outcome | None = None) -> dict[str, Any]:
    return {
        "id": one.id, "about": [one.subject_kind, one.subject_id], "title": one.title, "why": one.why, "urgency": one.urgency, "shadow": one.shadow,
        "state": one.stands, "outcome": outcome or "", "step": one.step, "escalation": one.policy.get("name", ""), "started_at": one.started_at, "next_at": one.next_at,
        "acknowledged_at": one.acknowledged_at, "acknowledged_by": one.acknowledged_by, "acknowledged_via": one.acknowledged_via,
    }  # fmt: skip


def _channel(one: Channel, test: trying.Tried | None = None) -> dict[str, Any]:
    return {
        "id": one.id,
        "kind": one.kind,
        "name": one.name,
        "config": one.config,
        "last_ok_at": one.last_ok_at,
        "last_problem": one.last_problem,
        "last_test": {"at": test.at, "state": test.state, "to": test.to, "reason": test.reason} if test else None,
    }


@router.get("/workspaces/{slug}/pages", response={200: PagesPage, **ERRORS})
def list_pages(
    request: HttpRequest, slug: str, shadow: bool = False, limit: Annotated[int, Field(ge=1, le=MOST)] = 50, cursor: Annotated[str, Query(max_length=100)] = ""
) -> dict[str, Any]:  # fmt: skip
    """Pages, the newest first; with ``shadow``, those that would have gone out."""
    reader, place = place_of(request, slug)
    found = access_pages(reader.actor, place.id).filter(shadow=shadow)
    before = decode_cursor(cursor, UUID)
    if before is not None:
        found = found.filter(id__lt=before)
    items, following = cut(list(found[: limit + 1]), limit, lambda one: one.id)
    outcomes = outcomes_of(items)
    return {"items": [_page(one, outcomes.get(one.id)) for one in items], "next": following}


@router.post("/workspaces/{slug}/pages/test", response={201: PageOut, **ERRORS})
def test_my_pages(request: HttpRequest, slug: str) -> Status[Any]:
    """Page oneself by all own methods, as a real page would."""
    reader, place = place_of(request, slug)
    return Status(201, _page(own.test_me(by=reader.actor, workspace_id=place.id)))


@router.get("/workspaces/{slug}/announcements", response={200: AnnouncementsPage, **ERRORS})
def list_announcements(request: HttpRequest, slug: str) -> dict[str, Any]:
    """What one person made quieter, the newest first: the last hundred."""
    reader, place = place_of(request, slug)
    rows = announcements.access_announcements(reader.actor, place.id)
    return {"items": [AnnouncementOut(**asdict(one)) for one in rows], "next": None}


@router.post("/workspaces/{slug}/announcements/{announcement_id}/undo", response={204: None, **ERRORS})
def undo_announcement(request: HttpRequest, slug: str, announcement_id: UUID) -> Status[None]:
    """Undo what was made quieter, as whoever may do the opposite."""
    reader, place = place_of(request, slug)
    announcements.undo(by=reader.actor, workspace_id=place.id, announcement_id=announcement_id)
    return Status(204, None)


@router.get("/workspaces/{slug}/pages/{page_id}", response={200: PageWhole, **ERRORS})
def get_page(request: HttpRequest, slug: str, page_id: UUID) -> dict[str, Any]:
    """One page: whom, why, what came of each message, which stage stopped it."""
    reader, place = place_of(request, slug)
    found = access_page(reader.actor, place.id, page_id)
    names = list(PageDeliveryOut.model_fields)
    deliveries = [{name: getattr(one, name) for name in names} for one in found.deliveries.all()]
    return _page(found, outcome_of(found)) | {
        "deliveries": deliveries,
        "history": [{"at": one.at, "what": one.what, "why": one.why} for one in found.events.all()],
    }


@router.post("/workspaces/{slug}/pages/{page_id}", response={200: PageOut, **ERRORS})
def act_on_page(request: HttpRequest, slug: str, page_id: UUID, payload: PageActIn) -> dict[str, Any]:
    """Acknowledge a page, or begin its next step."""
    reader, place = place_of(request, slug)
    if payload.do == "acknowledge":
        found, _ = commands.acknowledge(by=reader.actor, workspace_id=place.id, page_id=page_id)
    else:
        found = commands.escalate(by=reader.actor, workspace_id=place.id, page_id=page_id, reason=payload.reason)
    return _page(found, outcome_of(found))


def _roster(found: roster.Roster, reader: Actor, workspace_id: UUID) -> dict[str, Any]:
    duty = roster.access_duty(reader, workspace_id)
    return {
        "entries": found.entries,
        "digest": found.digest,
        "problems": found.problems,
        "due_at": duty[0].due_at if duty else None,
    }


@router.get("/workspaces/{slug}/roster", response={200: RosterOut, **ERRORS})
def get_roster(request: HttpRequest, slug: str) -> dict[str, Any]:
    """Whom the names of the live handbook mean, and how each is reached."""
    reader, place = place_of(request, slug)
    return _roster(roster.access_roster(reader.actor, place.id), reader.actor, place.id)


@router.post("/workspaces/{slug}/roster", response={200: RosterOut, **ERRORS})
def confirm_roster(request: HttpRequest, slug: str, payload: ConfirmIn) -> dict[str, Any]:
    """Confirm the contact roster as one has seen it."""
    reader, place = place_of(request, slug)
    found = roster.confirm(by=reader.actor, workspace_id=place.id, seen=payload.seen)
    return _roster(found, reader.actor, place.id)


@router.get("/workspaces/{slug}/ability", response={200: AbilityOut, **ERRORS})
def get_ability(request: HttpRequest, slug: str) -> dict[str, Any]:
    """Can this hub page here? Every reason against it, the worst first, with what to do about it."""
    reader, place = place_of(request, slug)
    found = access_ability(reader.actor, place.id, now())
    return {
        "can_page": "demo" if found.demo else "yes" if found.can_page else "no",
        "at": found.at,
        "reasons": [ReasonOut(**asdict(one)) for one in found.reasons],
        "looked_at": list(found.looked),
    }


@router.get("/workspaces/{slug}/channels", response={200: ChannelsPage, **ERRORS})
def list_channels(request: HttpRequest, slug: str) -> dict[str, Any]:
    """The ways out."""
    reader, place = place_of(request, slug)
    rows = list(access_channels(reader.actor, place.id))
    tests = trying.last_tests(place.id, rows)
    return {"items": [_channel(one, tests.get(one.id)) for one in rows], "next": None}


@router.post("/workspaces/{slug}/channels", response={201: ChannelOut, **ERRORS})
def set_channel(request: HttpRequest, slug: str, payload: ChannelIn) -> Status[Any]:
    """Set a channel up, or change it."""
    reader, place = place_of(request, slug)
    made = setup.set_channel(
        by=reader.actor, workspace_id=place.id, kind=payload.kind, name=payload.name, config=payload.config, secret=payload.secret
    )  # fmt: skip
    return Status(201, _channel(made))


@router.post("/workspaces/{slug}/channels/{channel_id}/test", response={201: PageOut, **ERRORS})
def test_channel(request: HttpRequest, slug: str, channel_id: UUID) -> Status[Any]:
    """Send a test through a channel; what came of it stands at the channel and in the page that is answered."""
    reader, place = place_of(request, slug)
    return Status(201, _page(trying.test_channel(by=reader.actor, workspace_id=place.id, channel_id=channel_id)))


@router.delete("/workspaces/{slug}/channels/{channel_id}", response={204: None, **ERRORS})
def remove_channel(request: HttpRequest, slug: str, channel_id: UUID) -> Status[Any]:
    """Remove a channel, and its secret."""
    reader, place = place_of(request, slug)
    setup.remove_channel(by=reader.actor, workspace_id=place.id, channel_id=channel_id)
    return Status(204, None)


@router.put("/workspaces/{slug}/my-paging", response={204: None, **ERRORS})
def set_my_rules(request: HttpRequest, slug: str, payload: RulesIn) -> Status[Any]:
    """Say by which methods one is paged."""
    reader, place = place_of(request, slug)
    own.set_rules(
        by=reader.actor, workspace_id=place.id, urgency=payload.urgency, steps=[one.model_dump() for one in payload.steps], quiet={str(name): value for name, value in payload.quiet.items()} or None
    )  # fmt: skip
    return Status(204, None)


@router.put("/workspaces/{slug}/my-paging/notices", response={204: None, **ERRORS})
def set_my_notices(request: HttpRequest, slug: str, payload: NoticesIn) -> Status[Any]:
    """Say whether one hears that what one was paged for is taken or over."""
    reader, place = place_of(request, slug)
    own.set_notices(by=reader.actor, workspace_id=place.id, on=payload.on)
    return Status(204, None)
