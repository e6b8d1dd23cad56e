"""Reads of alerts and integrations."""

from collections.abc import Iterable
from uuid import UUID

from django.db.models import F, Q, QuerySet, Window
from django.db.models.functions import RowNumber
from django.urls import reverse

from watchbill.base.actor import Actor
from watchbill.base.errors import NotFound
from watchbill.base.ids import as_uuids
from watchbill.facts.subjects import Shown
from watchbill.runtime.now import now
from watchbill.signals.models import Arrival, Check, Group, Route, Silence, Source


def access_groups(reader: Actor, workspace_id: UUID, *, state: str = "", words: str = "") -> QuerySet[Group]:
    """Groups of alerts, the newest change first."""
    reader.require("alert.read", workspace_id)
    found = Group.objects.filter(workspace_id=workspace_id)
    if state:
        found = found.filter(state=state)
    for word in words.split()[:6]:
        found = found.filter(Q(title__icontains=word) | Q(severity__iexact=word))
    return found.order_by("-changed_at", "-id")


def access_group(reader: Actor, workspace_id: UUID, group_id: UUID) -> Group:
    """One group with its alerts and history. Raises NotFound."""
    found = access_groups(reader, workspace_id).filter(id=group_id).prefetch_related("alerts").first()
    if found is None:
        raise NotFound("There is no such group of alerts here.")
    return found


def access_sources(reader: Actor, workspace_id: UUID) -> QuerySet[Source]:
    """The integrations in use, by name."""
    reader.require("source.read", workspace_id)
    return Source.objects.filter(workspace_id=workspace_id, revoked_at=None).order_by("name")


def access_checks(reader: Actor, workspace_id: UUID) -> list[Check]:
    """The jobs that ping, by name."""
    reader.require("source.read", workspace_id)
    rows = Check.objects.filter(workspace_id=workspace_id, removed_at=None, source__revoked_at=None).defer("digest")
    return list(rows.order_by("name")[:2000])


def access_problems(reader: Actor, workspace_id: UUID, *, each: int = 5) -> dict[UUID, list[Arrival]]:
    """What came and could not be understood, by integration: the newest of each, without what came itself."""
    reader.require("source.read", workspace_id)
    place = Window(RowNumber(), partition_by=F("source_id"), order_by=F("id").desc())
    rows = Arrival.objects.filter(workspace_id=workspace_id, problem__isnull=False).defer("body")
    found: dict[UUID, list[Arrival]] = {}
    for arrival in rows.annotate(place=place).filter(place__lte=each).order_by("-id"):
        found.setdefault(arrival.source_id, []).append(arrival)
    return found


def access_silences(reader: Actor, workspace_id: UUID, *, ended: bool = False) -> QuerySet[Silence]:
    """Silences, the newest first: those that hold or will hold, or those that are over."""
    reader.require("alert.read", workspace_id)
    over = Q(ended_at__isnull=False) | Q(every="", ends_at__lte=now()) | Q(until__lte=now())
    rows = Silence.objects.filter(workspace_id=workspace_id)
    return (rows.filter(over) if ended else rows.exclude(over)).order_by("-id")


def access_routes(reader: Actor, workspace_id: UUID) -> QuerySet[Route]:
    """The routes of the live handbook in their order."""
    reader.require("alert.read", workspace_id)
    return Route.objects.filter(workspace_id=workspace_id).order_by("position")


def resolve_silences(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Silences as subjects."""
    if not reader.may("alert.read", workspace_id):
        return {}
    rows = Silence.objects.filter(workspace_id=workspace_id, id__in=as_uuids(ids))
    url = reverse("silences", args=[slug])
    return {
        str(one.id): Shown("silence", str(one.id), f"the silence of {', '.join(one.match)[:80]}", url) for one in rows
    }


def resolve_sources(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Integrations as subjects."""
    if not reader.may("source.read", workspace_id):
        return {}
    rows = Source.objects.filter(workspace_id=workspace_id, id__in=as_uuids(ids))
    return {str(one.id): Shown("source", str(one.id), one.name, reverse("integrations", args=[slug])) for one in rows}


def resolve_groups(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Groups as subjects."""
    if not reader.may("alert.read", workspace_id):
        return {}
    rows = Group.objects.filter(workspace_id=workspace_id, id__in=as_uuids(ids))
    return {
        str(one.id): Shown("group", str(one.id), one.title, reverse("alert_group", args=[slug, one.id]), one.state)
        for one in rows
    }


def search_groups(reader: Actor, workspace_id: UUID, slug: str, words: str, limit: int) -> list[Shown]:
    """Open groups by their words."""
    if not reader.may("alert.read", workspace_id):
        return []
    rows = access_groups(reader, workspace_id, state="open", words=words)[:limit]
    return [
        Shown("group", str(one.id), one.title, reverse("alert_group", args=[slug, one.id]), "alert") for one in rows
    ]
