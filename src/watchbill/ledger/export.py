"""The export: JSON lines that an outsider can verify. Format 1, described in docs/ledger.md.

First a header; then each sealed entry in order as ``{"i": place, "b": body text, "s": salt, "p": payload}`` (salt and
payload are null when erased or absent); then the checkpoints.
"""

import base64
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import msgspec
from django.db import connections

from watchbill.ledger.sealer import origin, signer_name

_ROWS = """
SELECT p.index, e.body, encode(d.salt, 'base64'), d.body FROM ledger_place p
JOIN ledger_entry e ON e.id = p.entry_id LEFT JOIN ledger_payload d ON d.entry_id = e.id
WHERE p.workspace_id = %s AND p.index >= %s AND p.index < %s ORDER BY p.index
"""
_PAGE = 5000


def export_ledger(workspace_id: UUID, *, using: str = "default") -> Iterator[bytes]:
    """Yields the lines (with their newlines) of one workspace's sealed log."""
    encode = msgspec.json.encode
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT wb_hub_id()")
        hub_id = cursor.fetchone()[0]
        cursor.execute("SELECT size FROM ledger_log WHERE workspace_id = %s", [workspace_id])
        size = (cursor.fetchone() or (0,))[0]
        header = {
            "watchbill": "ledger-export",
            "version": 1,
            "workspace": str(workspace_id),
            "origin": origin(hub_id, workspace_id),
            "signer": signer_name(hub_id),
            "size": size,
        }
        yield encode(header) + b"\n"
        for start in range(0, size, _PAGE):
            cursor.execute(_ROWS, [workspace_id, start, min(start + _PAGE, size)])
            for row in cursor.fetchall():
                yield encode(_line(row)) + b"\n"
        cursor.execute(
            "SELECT note FROM ledger_checkpoint WHERE workspace_id = %s AND size <= %s ORDER BY size",
            [workspace_id, size],
        )
        for (note,) in cursor.fetchall():
            yield encode({"checkpoint": note}) + b"\n"


def _line(row: tuple[Any, ...]) -> dict[str, Any]:
    salt = base64.b64encode(base64.b64decode(row[2])).decode() if row[2] else None
    return {"i": row[0], "b": row[1], "s": salt, "p": row[3]}
