"""What is known of a stored file; the bytes are in the store."""

from django.db import models
from django.db.models import Q

from watchbill.base.ids import uuid7
from watchbill.people.models import Workspace


class Blob(models.Model):
    """A file's name and what it is about; the content is found by its SHA-256."""

    class Scan(models.TextChoices):
        WAITING = "waiting"
        CLEAN = "clean"
        UNSCANNED = "unscanned", "no scanner is set up"
        INFECTED = "infected"

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    sha256 = models.TextField()
    size = models.BigIntegerField()
    name = models.TextField()
    media_type = models.TextField()
    subject_kind = models.TextField(default="")
    subject_id = models.TextField(default="")
    added_by = models.UUIDField()
    added_at = models.DateTimeField()
    scan = models.TextField(choices=Scan.choices, default=Scan.WAITING)
    finding = models.TextField(default="")

    class Meta:
        db_table = "blobs_blob"
        constraints = [
            models.CheckConstraint(condition=Q(sha256__regex="^[0-9a-f]{64}$"), name="blob_digest_form"),
            models.CheckConstraint(condition=Q(size__gte=0), name="blob_size"),
        ]
        # A subject's files.
        indexes = [models.Index(fields=["workspace", "subject_kind", "subject_id", "-id"], name="blob_subject")]
