"""Erasing payloads: salt and body go, the entry and its proof stay."""

from uuid import UUID

from django.db import connections

from watchbill.runtime.now import now


def erase_payloads_about(person_id: UUID, *, using: str = "default") -> int:
    """Erases every payload about a person that this principal may touch. Returns how many."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "UPDATE ledger_payload SET salt = NULL, body = NULL, erased_at = %s WHERE about @> ARRAY[%s]::uuid[] AND about <> '{}'",
            [now(using), person_id],
        )
        count: int = cursor.rowcount
    return count
