"""On-call schedules as the handbook defines them, and who takes over from whom. Overrides are data: a re-sync keeps them."""

from django.db import models
from django.db.models import F, Q

from watchbill.base.ids import uuid7
from watchbill.people.models import Workspace


class Schedule(models.Model):
    """A schedule of the live handbook: its layers with their participants, as they were resolved. The id outlives every apply."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    key = models.TextField(help_text="the item's key in the handbook; a further level has a suffix")
    name = models.TextField()
    level = models.TextField(default="primary")
    layers = models.JSONField(default=list)
    problems = models.JSONField(default=list, help_text="what could not be resolved")
    path = models.TextField(default="")
    line = models.IntegerField(default=0)
    current_person = models.UUIDField(
        null=True, help_text="who was on when the hub last looked: a change is a handover"
    )
    current_since = models.DateTimeField(null=True, help_text="since when, as far as the hub saw it")
    retired_at = models.DateTimeField(null=True, help_text="it is in the live handbook no more")

    class Meta:
        db_table = "oncall_schedule"
        constraints = [models.UniqueConstraint(fields=["workspace", "key"], name="oncall_schedule_once")]


class Override(models.Model):
    """Somebody takes over for some time."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    schedule = models.ForeignKey(Schedule, on_delete=models.PROTECT, related_name="overrides")
    person_id = models.UUIDField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.TextField(default="")
    made_by = models.UUIDField()
    made_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, help_text="taken back")

    class Meta:
        db_table = "oncall_override"
        constraints = [models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="oncall_override_order")]
        # Serves who is on, and the calendar.
        indexes = [
            models.Index(fields=["schedule", "ends_at"], name="oncall_override_current", condition=Q(ended_at=None))
        ]


class Feed(models.Model):
    """A calendar feed's key: whose, or of which schedule. Hashed, shown once, revoked."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    person_id = models.UUIDField(help_text="who made it: it shows what they may see")
    schedule = models.ForeignKey(
        Schedule, on_delete=models.PROTECT, related_name="+", null=True, help_text="none: the person's own shifts"
    )
    digest = models.BinaryField(unique=True)
    prefix = models.TextField()
    made_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "oncall_feed"
