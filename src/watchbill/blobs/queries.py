"""Reads of files."""

from collections.abc import Iterable
from uuid import UUID

from watchbill.base.actor import Actor
from watchbill.base.errors import Denied, NotFound
from watchbill.blobs.models import Blob
from watchbill.facts.subjects import Shown


def access_file(reader: Actor, workspace_id: UUID, blob_id: UUID) -> Blob:
    """One file. Raises NotFound; Denied for what a scanner found infected or has not seen yet."""
    reader.require("file.read", workspace_id)
    blob = Blob.objects.filter(workspace_id=workspace_id, id=blob_id).first()
    if blob is None:
        raise NotFound("There is no such file here.")
    if blob.scan == Blob.Scan.INFECTED:
        raise Denied(f"The virus scanner found {blob.finding} in this file; it is kept, and not given out.")
    if blob.scan == Blob.Scan.WAITING:
        raise Denied("This file waits for the virus scanner.", hint="Try again in a moment.")
    return blob


def resolve_files(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Files as subjects."""
    if not reader.may("file.read", workspace_id):
        return {}
    rows = Blob.objects.filter(workspace_id=workspace_id, id__in=list(ids)).values_list("id", "name")
    return {str(key): Shown("file", str(key), name, f"/w/{slug}/files/{key}") for key, name in rows}
