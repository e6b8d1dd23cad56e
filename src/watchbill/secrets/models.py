"""Stored secrets and their use."""

from django.db import models

from watchbill.base.ids import uuid7
from watchbill.people.models import Workspace


class Secret(models.Model):
    """A sealed value that only the hub's own parts open."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    name = models.TextField()
    purpose = models.TextField(default="")
    key_id = models.TextField()
    wrapped = models.BinaryField()
    data = models.BinaryField()
    created_at = models.DateTimeField()
    replaced_at = models.DateTimeField(null=True)
    rotate_by = models.DateField(null=True)

    class Meta:
        db_table = "secrets_secret"
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="secret_name_once")]


class SecretUse(models.Model):
    """A secret was opened, by which part, for what. An observation: durable, not ledgered one by one."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    secret = models.ForeignKey(Secret, on_delete=models.CASCADE, related_name="uses")
    actor_id = models.UUIDField()
    purpose = models.TextField()
    at = models.DateTimeField()

    class Meta:
        db_table = "secrets_use"
        # A secret's latest uses.
        indexes = [models.Index(fields=["secret", "-at"], name="secret_use_latest")]
