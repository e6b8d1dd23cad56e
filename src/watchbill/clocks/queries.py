"""Reads of clocks."""

from uuid import UUID

from django.db.models import Q, QuerySet

from watchbill.base.actor import Actor
from watchbill.clocks.models import Clock


def access_clocks(reader: Actor, workspace_id: UUID) -> QuerySet[Clock]:
    """The workspace's clocks for those who may see what is due, the most urgent first."""
    reader.require("due.read", workspace_id)
    return Clock.objects.filter(workspace_id=workspace_id).order_by("due_at", "id")


def access_open_clocks(reader: Actor, workspace_id: UUID) -> QuerySet[Clock]:
    """What somebody still has to do: running, paused, or breached and not met yet."""
    return access_clocks(reader, workspace_id).filter(
        Q(state__in=["running", "paused"]) | Q(state="breached", met_at=None)
    )
