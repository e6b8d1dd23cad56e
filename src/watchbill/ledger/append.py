"""Appending: one INSERT for the entry and its payload, in the transaction of the caller, under no lock."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.db import connections

from watchbill.base.actor import Actor
from watchbill.base.ids import uuid7
from watchbill.runtime.now import now

_ENTRY = "INSERT INTO ledger_entry (body) VALUES (%s)"
_BOTH = """
WITH entry AS (INSERT INTO ledger_entry (body) VALUES (%s))
INSERT INTO ledger_payload (entry_id, workspace_id, salt, body, about) VALUES (%s, %s, %s, %s, %s)
"""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was appended: enough to point at it."""

    id: UUID
    workspace_id: UUID
    action: str


def canonical(value: Any) -> str:
    """JSON text with sorted keys and no spaces; UUIDs and times as text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, set | frozenset | tuple):
        return sorted(value)
    return str(value)


def commitment(salt: bytes, payload: str) -> str:
    """SHA-256 over the 32 random bytes of salt and the payload's UTF-8 text, in hexadecimal."""
    return sha256(salt + payload.encode()).hexdigest()


def append(
    *,
    workspace_id: UUID,
    by: Actor,
    action: str,
    subject: tuple[str, object],
    detail: Mapping[str, Any] | None = None,
    personal: Mapping[str, Any] | None = None,
    about: Iterable[UUID] = (),
    using: str = "default",
    at: datetime | None = None,
) -> Recorded:
    """Appends one entry. ``detail`` may be shown to all who may read the log; ``personal`` is masked unless revealed.

    Both go into the erasable payload; ``about`` names the persons whose request for erasure removes it.
    """
    entry_id = uuid7()
    stamp = (at or now(using)).astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    payload, salt = "", b""
    if detail or personal:
        payload = canonical({"detail": detail or {}, "personal": personal or {}}).replace("\\u0000", "\\ufffd")
        salt = os.urandom(32)
    body = canonical(
        {
            "v": 1,
            "id": str(entry_id),
            "workspace": str(workspace_id),
            "at": stamp,
            "actor_kind": by.kind,
            "actor": str(by.id),
            "via": by.via,
            "action": action,
            "subject_kind": subject[0],
            "subject": str(subject[1]),
            "request": by.request_id,
            "payload": commitment(salt, payload) if payload else None,
        }
    )
    with connections[using].cursor() as cursor:
        if payload:
            people = list(about)
            cursor.execute(_BOTH, [body, entry_id, workspace_id, salt, payload, people])
        else:
            cursor.execute(_ENTRY, [body])
    return Recorded(entry_id, workspace_id, action)
