"""Scanning files behind their upload."""

from uuid import UUID

from django.conf import settings

from watchbill.blobs.models import Blob
from watchbill.blobs.scan import scan_stream
from watchbill.blobs.store import key, store
from watchbill.runtime.jobs import job


@job("blobs.scan")
def scan(blob_id: str) -> None:
    """Scans one file. An observation, so not a command; a scanner that does not answer makes the job try again."""
    blob = Blob.objects.get(id=UUID(blob_id))
    if not settings.CLAMD:
        blob.scan = Blob.Scan.UNSCANNED
    else:
        with store().open(key(blob.workspace_id, blob.sha256)) as file:
            blob.finding = scan_stream(settings.CLAMD, file)
        blob.scan = Blob.Scan.INFECTED if blob.finding else Blob.Scan.CLEAN
    blob.save(update_fields=["scan", "finding"])
