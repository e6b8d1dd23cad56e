"""Where alerts come from, what came, and what is firing. Alerts are observations: durable, but no ledger entries."""

from django.db import models
from django.db.models import Q

from watchbill.base.ids import uuid7
from watchbill.people.models import Workspace


class Source(models.Model):
    """A sender with a key of its own: hashed, shown once, replaced or revoked."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    protocol = models.TextField()
    name = models.TextField()
    key_digest = models.BinaryField(unique=True, help_text="SHA-256 of the key, which has 256 random bits")
    key_prefix = models.TextField(help_text="the first characters, to recognise it by")
    created_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    last_received_at = models.DateTimeField(null=True)
    last_problem = models.TextField(default="")
    last_problem_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "signals_source"
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "name"], name="signals_source_name_once", condition=Q(revoked_at=None)
            )
        ]


class Arrival(models.Model):
    """What came, as it came, until it is understood: the inbox. What cannot be understood stays, with the reason."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="arrivals")
    received_at = models.DateTimeField()
    body = models.BinaryField()
    problem = models.TextField(null=True, help_text="why it could not be understood; none while it waits")

    class Meta:
        db_table = "signals_arrival"
        indexes = [
            # Serves the worker: what waits, in the order in which it came.
            models.Index(fields=["id"], name="signals_arrival_waiting", condition=Q(problem=None)),
            # Serves the integration's page: what could not be understood.
            models.Index(fields=["source", "-id"], name="signals_arrival_problem", condition=Q(problem__isnull=False)),
        ]


class Group(models.Model):
    """Alerts that belong together. One open group per key and workspace, held by the database."""

    class State(models.TextChoices):
        OPEN = "open"
        RESOLVED = "resolved"

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="+")
    key = models.TextField()
    title = models.TextField()
    labels = models.JSONField(default=dict, help_text="what its alerts have in common")
    severity = models.TextField(default="", help_text="as the sender says it")
    state = models.TextField(choices=State.choices, default=State.OPEN)
    firing = models.IntegerField(default=0)
    opened_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "signals_group"
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "key"], name="signals_group_open_once", condition=Q(state="open")
            ),
            models.CheckConstraint(
                condition=Q(state="open", resolved_at=None) | Q(state="resolved", resolved_at__isnull=False),
                name="signals_group_state",
            ),
        ]
        # Serves the alerts page: open ones first, the newest change first.
        indexes = [models.Index(fields=["workspace", "state", "-changed_at"], name="signals_group_list")]


class Alert(models.Model):
    """One alert, deduplicated by its fingerprint. ``arrival`` guards against what comes out of order."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="+")
    group = models.ForeignKey(Group, on_delete=models.PROTECT, related_name="alerts")
    fingerprint = models.TextField()
    labels = models.JSONField(default=dict)
    annotations = models.JSONField(default=dict)
    url = models.TextField(default="")
    firing = models.BooleanField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)
    arrival = models.BigIntegerField(help_text="the number of what said so last")
    seen_at = models.DateTimeField()

    class Meta:
        db_table = "signals_alert"
        constraints = [models.UniqueConstraint(fields=["source", "fingerprint"], name="signals_alert_once")]


class GroupEvent(models.Model):
    """One line of a group's history: what happened, when, and why."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    group = models.ForeignKey(Group, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField()
    what = models.TextField()
    why = models.TextField(default="")

    class Meta:
        db_table = "signals_group_event"
        # Serves a group's page.
        indexes = [models.Index(fields=["group", "-id"], name="signals_group_history")]
