"""Ledger tables. Entries are append-only by trigger and by grant; a trigger reads their columns from the stored
bytes, so a column cannot say something else than what was sealed."""

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Entry(models.Model):
    """One thing that a command did. ``body`` is the exact text whose hash is sealed; see append.py for its fields."""

    id = models.UUIDField(primary_key=True)
    body = models.TextField()
    workspace_id = models.UUIDField()
    at = models.TextField(help_text="RFC 3339, UTC, microseconds: sorts as text")
    actor_id = models.UUIDField()
    action = models.TextField()
    subject_kind = models.TextField()
    subject_id = models.TextField()

    class Meta:
        db_table = "ledger_entry"


class Payload(models.Model):
    """What hangs off an entry by a salted commitment; erasing it (salt and body become NULL) leaves the proof whole."""

    entry_id = models.UUIDField(primary_key=True)
    workspace_id = models.UUIDField()
    salt = models.BinaryField(null=True)
    body = models.TextField(null=True)
    about = ArrayField(models.UUIDField(), default=list, help_text="persons whose personal data the body holds")
    erased_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "ledger_payload"


class Log(models.Model):
    """One workspace's log: its size and right edge."""

    workspace_id = models.UUIDField(primary_key=True)
    size = models.BigIntegerField(default=0)
    peaks = models.BinaryField(default=b"")
    epoch = models.IntegerField(default=1)

    class Meta:
        db_table = "ledger_log"


class Place(models.Model):
    """An entry's place in its workspace's log, given by the sealer."""

    id = models.BigAutoField(primary_key=True)
    workspace_id = models.UUIDField()
    index = models.BigIntegerField()
    entry_id = models.UUIDField(unique=True)

    class Meta:
        db_table = "ledger_place"
        constraints = [models.UniqueConstraint(fields=["workspace_id", "index"], name="ledger_place_once")]


class Tile(models.Model):
    """Up to 256 node hashes of the workspace's tree; see merkle.py."""

    id = models.BigAutoField(primary_key=True)
    workspace_id = models.UUIDField()
    height = models.IntegerField()
    index = models.BigIntegerField()
    hashes = models.BinaryField()

    class Meta:
        db_table = "ledger_tile"
        constraints = [models.UniqueConstraint(fields=["workspace_id", "height", "index"], name="ledger_tile_once")]


class SignedCheckpoint(models.Model):
    """A signed checkpoint, as a C2SP note."""

    id = models.BigAutoField(primary_key=True)
    workspace_id = models.UUIDField()
    size = models.BigIntegerField()
    note = models.TextField()
    at = models.DateTimeField()
    anchored_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "ledger_checkpoint"
        constraints = [models.UniqueConstraint(fields=["workspace_id", "size"], name="ledger_checkpoint_once")]
        # Serves the anchor job: what is not yet outside.
        indexes = [models.Index(fields=["id"], name="ledger_unanchored", condition=models.Q(anchored_at=None))]
