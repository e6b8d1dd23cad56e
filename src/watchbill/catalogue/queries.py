"""Reads of the catalogue."""

from collections.abc import Iterable
from uuid import UUID

from django.db.models import Q, QuerySet

from watchbill.base.actor import Actor
from watchbill.base.errors import NotFound
from watchbill.catalogue.models import Environment, Service
from watchbill.facts.subjects import Shown


def access_services(reader: Actor, workspace_id: UUID, *, words: str = "") -> QuerySet[Service]:
    """The workspace's services in use, by name, with owner, environments and links."""
    reader.require("service.read", workspace_id)
    found = Service.objects.filter(workspace_id=workspace_id, retired_at=None).select_related("owner")
    for word in words.split()[:6]:
        found = found.filter(Q(name__icontains=word) | Q(summary__icontains=word))
    return found.prefetch_related("environments", "links").order_by("name", "id")


def access_service(reader: Actor, workspace_id: UUID, slug: str) -> Service:
    """One service by its slug. Raises NotFound."""
    service = access_services(reader, workspace_id).filter(slug=slug).first()
    if service is None:
        raise NotFound("There is no such service here.")
    return service


def access_environments(reader: Actor, workspace_id: UUID) -> QuerySet[Environment]:
    """The workspace's environments in their order."""
    reader.require("service.read", workspace_id)
    return Environment.objects.filter(workspace_id=workspace_id).order_by("position", "name")


def resolve_services(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Services as subjects, retired ones included."""
    if not reader.may("service.read", workspace_id):
        return {}
    rows = Service.objects.filter(workspace_id=workspace_id, id__in=list(ids))
    return {str(s.id): Shown("service", str(s.id), s.name, f"/w/{slug}/services/{s.slug}") for s in rows}


def search_services(reader: Actor, workspace_id: UUID, slug: str, words: str, limit: int) -> list[Shown]:
    """Services by name and summary."""
    if not reader.may("service.read", workspace_id):
        return []
    rows = access_services(reader, workspace_id, words=words)[:limit]
    return [Shown("service", str(s.id), s.name, f"/w/{slug}/services/{s.slug}", s.summary) for s in rows]


def resolve_environments(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Environments as subjects."""
    if not reader.may("service.read", workspace_id):
        return {}
    rows = Environment.objects.filter(workspace_id=workspace_id, id__in=list(ids))
    return {str(e.id): Shown("environment", str(e.id), e.name, f"/w/{slug}/services") for e in rows}
