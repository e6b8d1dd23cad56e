"""Reads of secrets: everything but the value."""

from collections.abc import Iterable
from uuid import UUID

from django.db.models import Count, Max, QuerySet

from watchbill.base.actor import Actor
from watchbill.facts.subjects import Shown
from watchbill.secrets.models import Secret


def access_secrets(reader: Actor, workspace_id: UUID) -> QuerySet[Secret]:
    """The workspace's secrets with their number of uses and the last one; never the sealed bytes."""
    reader.require("secret.read", workspace_id)
    return (
        Secret.objects.filter(workspace_id=workspace_id)
        .defer("wrapped", "data")
        .annotate(used=Count("uses"), last_used=Max("uses__at"))
        .order_by("name")
    )


def resolve_secrets(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Secrets as subjects: by name."""
    if not reader.may("secret.read", workspace_id):
        return {}
    rows = Secret.objects.filter(workspace_id=workspace_id, id__in=list(ids)).values_list("id", "name")
    return {str(key): Shown("secret", str(key), name, f"/w/{slug}/settings#secrets") for key, name in rows}
