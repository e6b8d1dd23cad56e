"""What the command line does with the ledger."""

import sys
from pathlib import Path

from django.conf import settings
from django.db import connection

from watchbill.base.errors import NotFound
from watchbill.ledger.export import export_ledger
from watchbill.ledger.notes import verifier_key
from watchbill.ledger.sealer import signer_name
from watchbill.people.models import Workspace


def export(slug: str, output: Path | None) -> int:
    """Writes a workspace's ledger; returns the number of lines."""
    workspace = Workspace.objects.filter(slug=slug).first()
    if workspace is None:
        raise NotFound(f"There is no workspace “{slug}”.")
    count = 0
    target = output.open("wb") if output else sys.stdout.buffer
    try:
        for line in export_ledger(workspace.id):
            target.write(line)
            count += 1
    finally:
        if output:
            target.close()
    return count


def public_key() -> str:
    """The hub's verifier key."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT wb_hub_id()")
        hub_id = cursor.fetchone()[0]
    return verifier_key(signer_name(hub_id), settings.KEYS.signer().public_key())
