"""Reads for the events page."""

from uuid import UUID

from django.db.models import QuerySet

from watchbill.base.actor import Actor
from watchbill.facts.models import Fact


def access_facts(reader: Actor, workspace_id: UUID) -> QuerySet[Fact]:
    """The workspace's facts with their deliveries, newest first, for those who may read events."""
    reader.require("event.read", workspace_id)
    return Fact.objects.filter(workspace_id=workspace_id).prefetch_related("deliveries").order_by("-id")
