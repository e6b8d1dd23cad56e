"""Revisions of a workspace's handbook, with the source text of each. The one with the highest number is live."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from watchbill.base.ids import uuid7
from watchbill.people.models import Workspace


class Revision(models.Model):
    """One applied handbook: its settings, its lock, and what it changed."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    number = models.IntegerField()
    compiler = models.IntegerField()
    config = models.TextField(default="")
    lock = models.TextField()
    digest = models.TextField(help_text="SHA-256 over the steps that it took")
    steps = models.JSONField(default=list)
    weakens = models.BooleanField(default=False)
    reason = models.TextField(default="", help_text="why it was applied although it weakens the policy")
    rolled_back_to = models.IntegerField(null=True)
    applied_by = models.UUIDField()
    applied_at = models.DateTimeField()

    class Meta:
        db_table = "handbook_revision"
        constraints = [
            # Two applies at once: the second meets this, and is told.
            models.UniqueConstraint(fields=["workspace", "number"], name="handbook_revision_once"),
            models.CheckConstraint(condition=models.Q(number__gte=1), name="handbook_revision_number"),
        ]


class RunbookDocument(models.Model):
    """One document of a revision."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    revision = models.ForeignKey(Revision, on_delete=models.PROTECT, related_name="documents")
    path = models.TextField()
    title = models.TextField(default="")
    owner = models.TextField(default="")
    placeholder = models.BooleanField(default=False)
    text = models.TextField()
    findings = models.JSONField(default=list)

    class Meta:
        db_table = "handbook_document"
        constraints = [models.UniqueConstraint(fields=["revision", "path"], name="handbook_document_once")]
        # Serves the list of runbooks.
        indexes = [models.Index(fields=["workspace", "revision", "path"], name="handbook_document_list")]


class PolicyItem(models.Model):
    """One item of a revision."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    revision = models.ForeignKey(Revision, on_delete=models.PROTECT, related_name="items")
    key = models.TextField()
    kind = models.TextField()
    name = models.TextField()
    state = models.TextField()
    effect = models.TextField()
    path = models.TextField()
    line = models.IntegerField()
    end_line = models.IntegerField()
    map = ArrayField(models.TextField(), default=list)
    data = models.JSONField()

    class Meta:
        db_table = "handbook_item"
        constraints = [models.UniqueConstraint(fields=["revision", "key"], name="handbook_item_once")]
        # Serves the handbook's page by kind.
        indexes = [models.Index(fields=["workspace", "revision", "kind", "name"], name="handbook_item_kind")]
