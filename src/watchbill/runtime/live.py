"""Telling open pages that something changed: PostgreSQL's NOTIFY, sent when the transaction commits."""

from typing import Literal
from uuid import UUID

from django.db import connections

CHANNEL = "wb_live"
#: What an event may be about. It says only that something changed; who hears it asks again, as itself.
Topic = Literal["ledger", "alerts"]


def tell_live(workspace_id: UUID, topic: Topic, *, using: str = "default") -> None:
    """Tells the open pages of a workspace, when this transaction commits, that something of a topic changed."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, f"{workspace_id} {topic}"])
