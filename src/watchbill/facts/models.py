"""Facts and their deliveries."""

from django.db import models
from django.db.models import Q

from watchbill.base.ids import uuid7


class Fact(models.Model):
    """Something that happened. ``data`` holds ids and plain words, never personal data."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace_id = models.UUIDField()
    kind = models.TextField(help_text="noun.verb in the past, such as person.deactivated")
    subject_kind = models.TextField()
    subject_id = models.TextField()
    data = models.JSONField(default=dict)
    at = models.DateTimeField()

    class Meta:
        db_table = "facts_fact"
        # Serves the events page, newest first.
        indexes = [models.Index(fields=["workspace_id", "-id"], name="fact_feed")]


class Delivery(models.Model):
    """One subscriber's copy: waiting, done, or failed for good. Unique on (fact, subscriber), so effects happen once."""

    class State(models.TextChoices):
        WAITING = "waiting"
        DONE = "done"
        FAILED = "failed"

    id = models.BigAutoField(primary_key=True)
    fact = models.ForeignKey(Fact, on_delete=models.CASCADE, related_name="deliveries")
    workspace_id = models.UUIDField()
    subscriber = models.TextField()
    state = models.TextField(choices=State.choices, default=State.WAITING)
    attempts = models.IntegerField(default=0)
    due_at = models.DateTimeField()
    error = models.TextField(default="")

    class Meta:
        db_table = "facts_delivery"
        constraints = [
            models.UniqueConstraint(fields=["fact", "subscriber"], name="fact_delivery_once"),
            models.CheckConstraint(condition=Q(state__in=["waiting", "done", "failed"]), name="fact_delivery_state"),
        ]
        # Serves the dispatcher: what is due next.
        indexes = [models.Index(fields=["due_at"], name="fact_delivery_due", condition=Q(state="waiting"))]
