"""Reads of requests for approval."""

from collections.abc import Iterable
from uuid import UUID

from django.db.models import Q, QuerySet
from django.urls import reverse

from watchbill.base.actor import Actor
from watchbill.base.errors import NotFound
from watchbill.base.ids import as_uuids
from watchbill.facts.subjects import Shown
from watchbill.gates.models import Request
from watchbill.runtime.now import now


def access_requests(reader: Actor, workspace_id: UUID) -> QuerySet[Request]:
    """The workspace's requests with their answers, newest first, for those who may see what is due."""
    reader.require("due.read", workspace_id)
    return Request.objects.filter(workspace_id=workspace_id).prefetch_related("answers", "decisions").order_by("-id")


def access_request(reader: Actor, workspace_id: UUID, request_id: UUID) -> Request:
    """One request. Raises NotFound."""
    found = access_requests(reader, workspace_id).filter(id=request_id).first()
    if found is None:
        raise NotFound("There is no such request here.")
    return found


def access_asked(reader: Actor, workspace_id: UUID, gate: str, digest: str) -> Request | None:
    """The request that waits, or is approved, for exactly this."""
    return (
        access_requests(reader, workspace_id).filter(gate=gate, digest=digest, state__in=["open", "approved"]).first()
    )


def access_waiting(reader: Actor, workspace_id: UUID) -> QuerySet[Request]:
    """Requests that somebody has to do something about: open, approved and not yet used, or broken and not yet reviewed."""
    waiting = Q(state__in=["open", "approved"], expires_at__gt=now()) | Q(state="broken", reviewed_at=None)
    return access_requests(reader, workspace_id).filter(waiting)


def resolve_requests(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Requests as subjects."""
    if not reader.may("due.read", workspace_id):
        return {}
    rows = Request.objects.filter(workspace_id=workspace_id, id__in=as_uuids(ids)).defer("shown")
    return {
        str(one.id): Shown("request", str(one.id), one.title, reverse("request", args=[slug, one.id]), one.state)
        for one in rows
    }
