"""Reads of pages, their messages, and channels."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Max, Prefetch, QuerySet
from django.urls import reverse

from watchbill.base.actor import Actor
from watchbill.base.errors import NotFound
from watchbill.base.ids import as_uuids
from watchbill.facts.subjects import Shown
from watchbill.oncall.models import Schedule
from watchbill.oncall.queries import schedule_names
from watchbill.paging.models import VAIN, Channel, Delivery, Habit, NoticesOff, Page, PageEvent, Policy
from watchbill.paging.rules import SHOWN, words_of_shift
from watchbill.paging.unanswered import outcomes_of
from watchbill.people.models import ContactMethod, Membership, Team, Workspace
from watchbill.people.queries import access_names, access_teams


def access_pages(reader: Actor, workspace_id: UUID) -> QuerySet[Page]:
    """All pages, the newest first."""
    reader.require("page.read", workspace_id)
    return Page.objects.filter(workspace_id=workspace_id).order_by("-id")


def access_page(reader: Actor, workspace_id: UUID, page_id: UUID) -> Page:
    """One page with its messages and history. Whoever was paged may see it. Raises NotFound."""
    if not Delivery.objects.filter(workspace_id=workspace_id, page_id=page_id, person_id=reader.id).exists():
        reader.require("page.read", workspace_id)
    found = (
        Page.objects.filter(workspace_id=workspace_id, id=page_id)
        .prefetch_related(
            Prefetch("deliveries", Delivery.objects.select_related("channel").order_by("round", "step", "id")),
            Prefetch("events", PageEvent.objects.order_by("id")),
        )
        .first()
    )
    if found is None:
        raise NotFound("There is no such page here.")
    return found


def pages_about(reader: Actor, workspace_id: UUID, subject: tuple[str, object]) -> QuerySet[Page]:
    """The pages about a subject with their messages, the newest first."""
    reader.require("page.read", workspace_id)
    return (
        Page.objects.filter(workspace_id=workspace_id, subject_kind=subject[0], subject_id=str(subject[1]))
        .prefetch_related(
            Prefetch("deliveries", Delivery.objects.select_related("channel").order_by("round", "step", "id")),
            Prefetch("events", PageEvent.objects.order_by("id")),
        )
        .order_by("-id")
    )


def paged_about(reader: Actor, workspace_id: UUID, subjects: Iterable[str], kind: str = "incident") -> set[str]:
    """Which of these subjects the reader was paged about: one query."""
    rows = Delivery.objects.filter(
        workspace_id=workspace_id, person_id=reader.id, page__subject_kind=kind, page__subject_id__in=list(subjects), page__shadow=False
    )  # fmt: skip
    return set(rows.values_list("page__subject_id", flat=True).distinct())


def policy_named(workspace_id: UUID, name: str, *, shadow: bool = False) -> Policy | None:
    """The escalation that a canonical name means: a live one, or for a shadow also a shadow one. For rules."""
    states = ["live", "shadow"] if shadow else ["live"]
    return (
        Policy.objects.filter(workspace_id=workspace_id, names__contains=[name], state__in=states)
        .order_by("state", "key")
        .first()
    )


def access_policies(reader: Actor, workspace_id: UUID) -> QuerySet[Policy]:
    """The escalations of the live handbook."""
    reader.require("page.read", workspace_id)
    return Policy.objects.filter(workspace_id=workspace_id).order_by("name", "key")


#: Whom one can page: groups of (kind:id, name).
Targets = list[tuple[str, list[tuple[str, str]]]]


def access_targets(reader: Actor, workspace_id: UUID, *, policies: bool = True) -> Targets:
    """Whom one can page here: the live handbook's contacts and escalations, teams, people, schedules, channels."""
    told = (
        [
            (f"policy:{one.id}", one.name)
            for one in access_policies(reader, workspace_id).filter(state="live")
            if "#" not in one.key
        ]
        if policies
        else []
    )
    teams = [(f"team:{one.id}", one.name) for one in access_teams(reader, workspace_id)[:500]]
    persons = [(f"person:{person}", name) for person, name in access_names(reader, workspace_id)]
    schedules = [(f"schedule:{one.id}", one.name) for one in schedule_names(reader, workspace_id)]
    here = access_channels(reader, workspace_id) if reader.may("channel.read", workspace_id) else []
    channels = [(f"channel:{one.id}", one.name) for one in here]
    groups = [
        ("Of the handbook", told),
        ("Teams", teams),
        ("People", persons),
        ("Schedules", schedules),
        ("Channels", channels),
    ]
    return [(name, rows) for name, rows in groups if rows]


def target_named(workspace_id: UUID, kind: str, target_id: UUID) -> tuple[str, dict[str, Any]]:
    """The name and the policy of somebody to page, as ``access_targets`` offers them; no policy where there is nobody such."""
    if kind == "policy":
        found = Policy.objects.filter(workspace_id=workspace_id, id=target_id, state="live").first()
        return (found.name, found.stamp()) if found else ("", {})
    name = name_of(workspace_id, kind, target_id)
    if not name:
        return "", {}
    target = {"kind": kind, "id": str(target_id), "name": name}
    return name, {"key": "", "name": name, "steps": [{"after": 0, "targets": [target]}], "repeat": 0, "otherwise": []}


def name_of(workspace_id: UUID, kind: str, target_id: UUID) -> str | None:
    """The name of a person, team, schedule or channel of a workspace; None where there is none such. For rules."""
    if kind == "person":
        here = Membership.objects.filter(
            workspace_id=workspace_id, person_id=target_id, ended_at=None, person__active=True
        )
        return here.values_list("person__name", flat=True).first()
    rows: Any = {
        "team": Team.objects.all(), "schedule": Schedule.objects.filter(retired_at=None), "channel": Channel.objects.filter(removed_at=None),
    }.get(kind)  # fmt: skip
    found = (
        rows.filter(workspace_id=workspace_id, id=target_id).values_list("name", flat=True).first()
        if rows is not None
        else None
    )
    return str(found) if found else None


#: What a shift is about: alerts and incidents, no tests, codes or handovers.
_SHIFT = ("incident", "group", "call")


def digest(workspace_id: UUID, person_id: UUID, since: datetime | None, until: datetime) -> str:
    """What a shift was like, for whoever takes over: how often somebody was paged in it, what is not over. For messages."""
    known = Page.objects.filter(workspace_id=workspace_id, shadow=False, subject_kind__in=_SHIFT)
    mine = Delivery.objects.filter(person_id=person_id, step__gt=0, attempts__gt=0, made_at__lt=until)
    if since is not None:
        mine = mine.filter(made_at__gte=since)
    paged = known.filter(id__in=mine.values("page_id"))
    waiting = known.exclude(state="ended").order_by("-id")
    shown = list(waiting[: SHOWN + 1])
    outcomes = outcomes_of(shown)
    told = [(one.title, outcomes.get(one.id, one.state)) for one in shown]
    return words_of_shift(since, paged.count(), told, waiting.count())


def access_channels(reader: Actor, workspace_id: UUID) -> QuerySet[Channel]:
    """The channels that are set up, by name."""
    reader.require("channel.read", workspace_id)
    return Channel.objects.filter(workspace_id=workspace_id, removed_at=None).order_by("name")


def own_habits(reader: Actor, workspace_id: UUID) -> dict[str, Habit]:
    """One's own rules by urgency."""
    return {one.urgency: one for one in Habit.objects.filter(workspace_id=workspace_id, person_id=reader.id)}


def own_notices(reader: Actor, workspace_id: UUID) -> bool:
    """Whether one hears that what one was paged for is taken or over."""
    return not NoticesOff.objects.filter(workspace_id=workspace_id, person_id=reader.id).exists()


def own_contacts(reader: Actor) -> list[ContactMethod]:
    """One's own contacts in their order."""
    return list(ContactMethod.objects.filter(person_id=reader.id).order_by("position", "id"))


def own_failures(reader: Actor, workspace_id: UUID) -> dict[UUID, Delivery]:
    """The last message to each of one's own contacts that has failed since it last took one."""
    mine = Delivery.objects.filter(workspace_id=workspace_id, contact_id__in=[one.id for one in own_contacts(reader)])
    sent = dict(mine.filter(sent_at__isnull=False).order_by().values_list("contact_id").annotate(last=Max("sent_at")))
    vain = mine.filter(VAIN, attempted_at__isnull=False).order_by("contact_id", "-attempted_at").distinct("contact_id")
    found = {one.contact_id: one for one in vain if one.contact_id is not None}
    return {key: one for key, one in found.items() if key not in sent or (one.attempted_at or sent[key]) > sent[key]}


def is_demo(workspace_id: UUID) -> bool:
    """Whether nothing leaves this workspace, since its people are invented."""
    return Workspace.objects.filter(id=workspace_id, demo=True).exists()


def resolve_pages(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Pages as subjects."""
    if not reader.may("page.read", workspace_id):
        return {}
    rows = Page.objects.filter(workspace_id=workspace_id, id__in=as_uuids(ids))
    return {
        str(one.id): Shown("page", str(one.id), one.title, reverse("page", args=[slug, one.id]), one.state)
        for one in rows
    }


def resolve_tests(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Test pages and codes as subjects: they concern whoever asked for them, and lead to one's own paging."""
    return {one: Shown("test", one, "their own contact", reverse("my_paging", args=[slug])) for one in ids}


def resolve_channels(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Channels as subjects."""
    if not reader.may("channel.read", workspace_id):
        return {}
    rows = Channel.objects.filter(workspace_id=workspace_id, id__in=as_uuids(ids))
    return {str(one.id): Shown("channel", str(one.id), one.name, reverse("channels", args=[slug])) for one in rows}
