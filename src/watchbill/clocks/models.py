"""Clocks. The row with its next instant is the truth; a worker that dies delays it by seconds."""

from django.db import models
from django.db.models import F, Q

from watchbill.base.ids import uuid7
from watchbill.people.models import Workspace


class Clock(models.Model):
    """Somebody must do ``kind`` about a subject by ``due_at``. Breached stays breached, also when it is met later."""

    class State(models.TextChoices):
        RUNNING = "running"
        PAUSED = "paused"
        MET = "met"
        BREACHED = "breached"
        CANCELLED = "cancelled"

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    subject_kind = models.TextField()
    subject_id = models.TextField()
    kind = models.TextField(help_text="acknowledge, respond, approve …")
    policy = models.JSONField(help_text="duration, calendar and warnings as they were when it began")
    state = models.TextField(choices=State.choices, default=State.RUNNING)
    started_at = models.DateTimeField()
    due_at = models.DateTimeField()
    warned = models.IntegerField(default=0, help_text="the highest percentage that was warned of")
    next_at = models.DateTimeField(
        null=True, help_text="when the sweep looks at it; none when nothing more happens by itself"
    )
    paused_at = models.DateTimeField(null=True)
    left = models.FloatField(null=True, help_text="seconds of its own time that were left at the pause")
    breached_at = models.DateTimeField(null=True)
    met_at = models.DateTimeField(null=True)
    met_by = models.UUIDField(null=True)

    class Meta:
        db_table = "clocks_clock"
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["running", "paused", "met", "breached", "cancelled"]), name="clock_state"
            ),
            models.CheckConstraint(condition=Q(due_at__gt=F("started_at")), name="clock_due_after_start"),
            models.CheckConstraint(
                condition=Q(state="paused", paused_at__isnull=False, left__isnull=False)
                | (~Q(state="paused") & Q(paused_at=None, left=None)),
                name="clock_paused",
            ),
            models.CheckConstraint(condition=Q(next_at=None) | Q(state="running"), name="clock_next_while_running"),
            models.CheckConstraint(
                condition=~Q(state="breached") | Q(breached_at__isnull=False), name="clock_breached"
            ),
            # One clock of a kind runs about a subject.
            models.UniqueConstraint(
                fields=["subject_kind", "subject_id", "kind"],
                name="clock_once",
                condition=Q(state__in=["running", "paused"]),
            ),
        ]
        indexes = [
            # Serves the sweep: what has to be looked at next.
            models.Index(fields=["next_at"], name="clock_sweep", condition=Q(next_at__isnull=False)),
            # Serves a subject's own clocks.
            models.Index(fields=["workspace", "subject_kind", "subject_id"], name="clock_subject"),
        ]
