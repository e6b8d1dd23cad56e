"""Revisions of a workspace's handbook, with the source text of each. The one with the highest number is live."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from watchbill.base.ids import uuid7
from watchbill.gates.models import Request
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
    source_digest = models.TextField(default="", help_text="of the folder that it was reviewed from")
    steps = models.JSONField(default=list)
    weakens = models.BooleanField(default=False)
    reason = models.TextField(default="", help_text="why it was applied although it weakens the policy")
    rolled_back_to = models.IntegerField(null=True)
    request = models.ForeignKey(Request, on_delete=models.PROTECT, null=True, related_name="+")
    broken = models.BooleanField(default=False, help_text="applied by break-glass, without the approval it needed")
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


class Draft(models.Model):
    """A handbook that was brought for review and is not live: from the folder, or by `watchbill apply`. One per workspace."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.OneToOneField(Workspace, on_delete=models.PROTECT, related_name="+")
    origin = models.TextField(help_text="folder or upload")
    compiler = models.IntegerField()
    version = models.IntegerField(default=1, help_text="counts what was brought; choices belong to one version")
    files = models.JSONField(default=list, help_text="[[path, text]]")
    config = models.TextField(default="")
    base_lock = models.TextField(default="", help_text="what was accepted when it was brought")
    digest = models.TextField(help_text="SHA-256 of files, settings and lock, to see whether anything changed")
    source_digest = models.TextField(default="", help_text="of the folder, as it was when this was brought")
    errors = models.JSONField(default=list, help_text="findings at error level: it cannot go live, the live one stays")
    warnings = models.IntegerField(default=0)
    changed_by = models.UUIDField()
    changed_at = models.DateTimeField()

    class Meta:
        db_table = "handbook_draft"
        constraints = [
            models.CheckConstraint(condition=models.Q(origin__in=["folder", "upload"]), name="handbook_draft_origin")
        ]


class DraftItem(models.Model):
    """One row of a review, with what was chosen for it."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    draft = models.ForeignKey(Draft, on_delete=models.CASCADE, related_name="items")
    position = models.IntegerField()
    key = models.TextField()
    kind = models.TextField()
    name = models.TextField()
    action = models.TextField()
    state = models.TextField()
    effect = models.TextField()
    path = models.TextField()
    line = models.IntegerField(default=0)
    end_line = models.IntegerField(default=0)
    text = models.TextField(default="")
    block = models.TextField(default="")
    data = models.JSONField(default=dict)
    reading = models.JSONField(default=dict)
    changes = models.JSONField(default=list)
    weakens = models.BooleanField(default=False)
    answers = models.JSONField(default=list)
    needs = ArrayField(models.TextField(), default=list, help_text="names without which it cannot act, as written")
    choice = models.TextField(default="")

    class Meta:
        db_table = "handbook_draft_item"
        constraints = [
            models.UniqueConstraint(fields=["draft", "key"], name="handbook_draft_item_once"),
            models.CheckConstraint(
                condition=models.Q(action__in=["add", "change", "same", "remove", "ask"]),
                name="handbook_draft_item_action",
            ),
        ]
        # Serves the review page in the order of the documents.
        indexes = [models.Index(fields=["draft", "position"], name="handbook_draft_item_order")]


class Binding(models.Model):
    """A name in runbooks is this person, team, schedule or channel. Data, not policy: a re-sync never touches it."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    name = models.TextField(help_text="canonical: no case, single spaces, no article")
    text = models.TextField(help_text="as it was first written")
    target_kind = models.TextField()
    target_id = models.UUIDField()
    bound_by = models.UUIDField()
    bound_at = models.DateTimeField()

    class Meta:
        db_table = "handbook_binding"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "name"], name="handbook_binding_once"),
            models.CheckConstraint(
                condition=models.Q(target_kind__in=["person", "team", "schedule", "channel"]),
                name="handbook_binding_target",
            ),
        ]
