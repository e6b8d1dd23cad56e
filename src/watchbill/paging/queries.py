"""Reads of pages, their messages, and channels."""

from collections.abc import Iterable
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.urls import reverse

from watchbill.base.actor import Actor
from watchbill.base.errors import NotFound
from watchbill.base.ids import as_uuids
from watchbill.facts.subjects import Shown
from watchbill.paging.models import Channel, Delivery, Habit, Page, PageEvent, Policy
from watchbill.people.models import ContactMethod, Workspace


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


def access_channels(reader: Actor, workspace_id: UUID) -> QuerySet[Channel]:
    """The channels that are set up, by name."""
    reader.require("channel.read", workspace_id)
    return Channel.objects.filter(workspace_id=workspace_id, removed_at=None).order_by("name")


def own_habits(reader: Actor, workspace_id: UUID) -> dict[str, Habit]:
    """One's own rules by urgency."""
    return {one.urgency: one for one in Habit.objects.filter(workspace_id=workspace_id, person_id=reader.id)}


def own_contacts(reader: Actor) -> list[ContactMethod]:
    """One's own contacts in their order."""
    return list(ContactMethod.objects.filter(person_id=reader.id).order_by("position", "id"))


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
