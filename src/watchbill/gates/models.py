"""Requests for approval, what was answered, and every passage of a gate. What was decided and answered is never changed."""

from django.db import models
from django.db.models import Q

from watchbill.base.ids import uuid7
from watchbill.people.models import Workspace


class Request(models.Model):
    """Somebody asks whether something may happen: exactly what (``digest``), under which policy (``policy``, stamped), until when."""

    class State(models.TextChoices):
        OPEN = "open"
        APPROVED = "approved"
        REFUSED = "refused"
        WITHDRAWN = "withdrawn"
        EXPIRED = "expired"
        USED = "used"
        BROKEN = "broken"

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    gate = models.TextField(help_text="which gate, such as handbook.weaken")
    title = models.TextField()
    digest = models.TextField(help_text="SHA-256 of exactly what would be done")
    shown = models.JSONField(default=list, help_text="what would be done, line by line, as the approver sees it")
    policy = models.JSONField(
        default=list, help_text="the conditions with their parameters, as they were when it was asked"
    )
    needs = models.TextField(help_text="the permission that an approver holds")
    url = models.TextField(default="", help_text="where it is carried out, within the hub")
    reason = models.TextField(default="")
    state = models.TextField(choices=State.choices, default=State.OPEN)
    requested_by = models.UUIDField()
    opened_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    reviewed_by = models.UUIDField(null=True, help_text="who looked at it after somebody broke the glass")
    reviewed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "gates_request"
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["open", "approved", "refused", "withdrawn", "expired", "used", "broken"]),
                name="gates_request_state",
            ),
            # Asking twice for the same is one request.
            models.UniqueConstraint(
                fields=["workspace", "gate", "digest"],
                name="gates_request_once",
                condition=Q(state__in=["open", "approved"]),
            ),
            models.CheckConstraint(
                condition=Q(reviewed_at=None) | Q(state="broken"), name="gates_request_reviewed_when_broken"
            ),
        ]
        # Serves Due (what waits) and the list of requests, newest first.
        indexes = [
            models.Index(fields=["workspace", "-id"], name="gates_request_feed"),
            models.Index(
                fields=["workspace"],
                name="gates_request_waiting",
                condition=Q(state__in=["open", "approved", "broken"]),
            ),
        ]


class Approval(models.Model):
    """One person's answer to a request."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    request = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="answers")
    person_id = models.UUIDField()
    approves = models.BooleanField()
    digest = models.TextField(help_text="of what this person saw")
    note = models.TextField(default="")
    at = models.DateTimeField()

    class Meta:
        db_table = "gates_approval"
        constraints = [models.UniqueConstraint(fields=["request", "person_id"], name="gates_approval_once")]


class DecisionRow(models.Model):
    """Something passed a gate: with every condition's reason, and whether somebody broke the glass. A no is answered, not kept."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    gate = models.TextField()
    request = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="decisions", null=True)
    digest = models.TextField()
    broken = models.BooleanField(default=False)
    reasons = models.JSONField(default=list)
    by = models.UUIDField()
    at = models.DateTimeField()

    class Meta:
        db_table = "gates_decision"
