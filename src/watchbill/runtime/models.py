"""Plumbing state: nothing here belongs to a feature."""

from django.db import models


class Meta(models.Model):
    """Facts about this database: the hub's id, the digest of its access rules."""

    key = models.TextField(primary_key=True)
    value = models.TextField()

    class Meta:
        db_table = "runtime_meta"


class Heartbeat(models.Model):
    """When each part of the hub was last seen; observations, so not ledgered."""

    process = models.TextField(primary_key=True, help_text="kind@host/pid")
    kind = models.TextField()
    version = models.TextField()
    at = models.DateTimeField()

    class Meta:
        db_table = "runtime_heartbeat"


class IdempotencyKey(models.Model):
    """The answer to a write, kept for 24 h, so that a repeated request gets it again instead of a second effect."""

    id = models.BigAutoField(primary_key=True)
    person_id = models.UUIDField()
    key = models.TextField()
    request_digest = models.TextField()
    status = models.IntegerField(null=True)
    body = models.BinaryField(null=True)
    content_type = models.TextField(default="application/json")
    at = models.DateTimeField()

    class Meta:
        db_table = "runtime_idempotency_key"
        constraints = [models.UniqueConstraint(fields=["person_id", "key"], name="idempotency_once_per_person")]
        # Serves the sweeper, which deletes the old ones.
        indexes = [models.Index(fields=["at"], name="idempotency_at")]


class Failure(models.Model):
    """An item of a worker's step that failed, and when it is tried again. Gone as soon as it works; observations, so not ledgered."""

    id = models.BigAutoField(primary_key=True)
    unit = models.TextField(help_text="the worker's unit of work: intake, clocks, pages …")
    item = models.TextField(help_text="what failed: an id; empty where the whole unit did")
    error = models.TextField(help_text="the error's type; its text is in the worker's log")
    count = models.IntegerField(default=1, help_text="how often in a row")
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    retry_at = models.DateTimeField()

    class Meta:
        db_table = "runtime_failure"
        constraints = [models.UniqueConstraint(fields=["unit", "item"], name="runtime_failure_once")]
