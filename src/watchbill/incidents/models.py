"""Severities with their clocks as the handbook has them; incidents with everything that happened in them."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q, Value

from watchbill.base.ids import uuid7
from watchbill.people.models import Workspace

_NOTHING = Value({}, output_field=models.JSONField())


class SeverityLevel(models.Model):
    """A severity of the live handbook. Replaced when a handbook is applied; an incident carries what was true when it began."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    key = models.TextField(help_text="the item's key in the handbook")
    name = models.TextField()
    canonical = models.TextField()
    rank = models.IntegerField(help_text="1 is the worst")
    state = models.TextField(help_text="live or shadow")
    definition = models.TextField(default="")
    clocks = models.JSONField(default=dict, help_text="kind → the stamped policy of a clock")
    off_hours = models.JSONField(default=dict, help_text="the same, for what begins outside of business hours")
    calendar = models.JSONField(default=dict, help_text="business hours and days off")
    pages = ArrayField(
        models.TextField(),
        default=list,
        help_text="canonical names of the escalations that it pages by, the first that there is",
    )
    all_hands = models.BooleanField(default=False)
    briefs = models.JSONField(default=list, help_text="[{name, targets, within}]: who has to be briefed by when")
    path = models.TextField(default="")
    line = models.IntegerField(default=0)

    class Meta:
        db_table = "incidents_severity"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "key"], name="incidents_severity_once"),
            models.CheckConstraint(condition=Q(state__in=["live", "shadow"]), name="incidents_severity_state"),
        ]


class Guide(models.Model):
    """What to do first about an alert: a page or a symptom of the live handbook, found by the alert's name."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    key = models.TextField()
    alert = models.TextField(help_text="canonical name of the alert, or words of the symptom")
    exact = models.BooleanField(help_text="an alert's own page; else a symptom that may fit")
    title = models.TextField()
    meaning = models.TextField(default="")
    steps = models.JSONField(default=list, help_text="what to check, then what to do")
    path = models.TextField()
    line = models.IntegerField()

    class Meta:
        db_table = "incidents_guide"
        constraints = [models.UniqueConstraint(fields=["workspace", "key"], name="incidents_guide_once")]
        # Serves the look-up by an alert's name.
        indexes = [models.Index(fields=["workspace", "alert"], name="incidents_guide_alert")]


class Incident(models.Model):
    """Something is wrong and somebody is to see to it."""

    class State(models.TextChoices):
        OPEN = "open"
        ACKNOWLEDGED = "acknowledged"
        RESOLVED = "resolved"

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    number = models.IntegerField()
    title = models.TextField()
    summary = models.TextField(default="")
    state = models.TextField(choices=State.choices, default=State.OPEN)
    severity = models.TextField(default="", help_text="its name in the handbook; empty where there is none")
    rank = models.IntegerField(default=0)
    policy = models.JSONField(
        default=dict, help_text="the severity, its clocks and the escalation as they were when it began"
    )
    route = models.JSONField(default=dict)
    labels = models.JSONField(default=dict)
    group_id = models.UUIDField(null=True, help_text="the group of alerts that opened it; none: a person declared it")
    runbook_url = models.TextField(default="", help_text="as the alert says")
    opened_at = models.DateTimeField()
    opened_by = models.UUIDField(null=True)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.UUIDField(null=True)
    snoozed_until = models.DateTimeField(null=True)
    waiting_for = models.TextField(
        default="", db_default="", help_text="what somebody else has to do first; its clocks are paused"
    )
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.UUIDField(null=True)
    resolved_from = models.TextField(
        default="", db_default="", help_text="its state when it was resolved, should it reopen"
    )
    reopened = models.IntegerField(default=0)
    flaps = models.IntegerField(
        default=0, db_default=0, help_text="how often its alerts fired again soon after they had ended"
    )

    class Meta:
        db_table = "incidents_incident"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "number"], name="incidents_number_once"),
            # One incident that is not over about a group.
            models.UniqueConstraint(fields=["group_id"], name="incidents_group_once"),
            models.CheckConstraint(condition=Q(state__in=["open", "acknowledged", "resolved"]), name="incidents_state"),
            models.CheckConstraint(condition=Q(resolved_at=None) | Q(state="resolved"), name="incidents_resolved"),
            models.CheckConstraint(condition=Q(snoozed_until=None) | Q(state="acknowledged"), name="incidents_snoozed"),
        ]
        indexes = [
            # Serves the list: what is not over first, the newest first.
            models.Index(fields=["workspace", "state", "-id"], name="incidents_list"),
            # Serves the sweep of what is to wake up.
            models.Index(
                fields=["snoozed_until"], name="incidents_snoozed_until", condition=Q(snoozed_until__isnull=False)
            ),
        ]

    @property
    def code(self) -> str:
        """What people call it."""
        return f"INC-{self.number}"


class IncidentEvent(models.Model):
    """One line of an incident's timeline."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="events")
    at = models.DateTimeField()
    what = models.TextField()
    text = models.TextField(default="")
    by = models.UUIDField(null=True)
    about = models.JSONField(
        default=dict,
        db_default=_NOTHING,
        help_text="{kind, id, name}: who was called in; a person's name goes with them",
    )

    @property
    def words(self) -> str:
        """What it says: about whom, and the text."""
        return ": ".join(part for part in (str(self.about.get("name", "")), self.text) if part)

    class Meta:
        db_table = "incidents_event"
        # Serves the timeline.
        indexes = [models.Index(fields=["incident", "id"], name="incidents_event_timeline")]
