"""Services, environments, links."""

from django.db import models
from django.db.models import Q

from watchbill.base.ids import uuid7
from watchbill.people.models import Team, Workspace

_SLUG = r"^[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?$"


class Environment(models.Model):
    """Where services run: production, staging, …"""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    slug = models.TextField()
    name = models.TextField()
    position = models.IntegerField(default=0)

    class Meta:
        db_table = "catalogue_environment"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "slug"], name="environment_slug_once"),
            models.CheckConstraint(condition=Q(slug__regex=_SLUG), name="environment_slug_form"),
        ]


class Service(models.Model):
    """Something that a team runs for others."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    slug = models.TextField()
    name = models.TextField()
    summary = models.TextField(default="")
    owner = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, related_name="services")
    environments = models.ManyToManyField(Environment, through="ServiceEnvironment", related_name="services")
    created_at = models.DateTimeField()
    retired_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "catalogue_service"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "slug"], name="service_slug_once"),
            models.CheckConstraint(condition=Q(slug__regex=_SLUG), name="service_slug_form"),
        ]


class ServiceEnvironment(models.Model):
    """A service runs in an environment."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    service = models.ForeignKey(Service, on_delete=models.CASCADE)
    environment = models.ForeignKey(Environment, on_delete=models.CASCADE)

    class Meta:
        db_table = "catalogue_service_environment"
        constraints = [models.UniqueConstraint(fields=["service", "environment"], name="service_environment_once")]


class ServiceLink(models.Model):
    """Where to look: dashboard, repository, logs, runbook."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="links")
    label = models.TextField()
    url = models.TextField()
    position = models.IntegerField(default=0)

    class Meta:
        db_table = "catalogue_service_link"
        constraints = [models.CheckConstraint(condition=Q(url__regex=r"^https?://"), name="service_link_http")]
