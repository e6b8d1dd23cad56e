"""State of people and workspaces; invariants are constraints."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from watchbill.base.ids import uuid7
from watchbill.people.phones import problem_of

_SLUG = r"^[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?$"


class Workspace(models.Model):
    """One handbook's world. The hub itself is one, too: its log holds what belongs to no team."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    slug = models.TextField(unique=True)
    name = models.TextField()
    time_zone = models.TextField(default="UTC")
    require_mfa = models.BooleanField(default=False)
    demo = models.BooleanField(default=False, help_text="its people are invented: nothing leaves it")
    created_at = models.DateTimeField()

    class Meta:
        db_table = "people_workspace"
        constraints = [
            models.CheckConstraint(condition=Q(slug__regex=_SLUG), name="workspace_slug_form"),
            models.CheckConstraint(condition=~Q(name=""), name="workspace_named"),
        ]


class Person(models.Model):
    """A human. ``created_in`` is the workspace that added them; being in others is a matter of memberships."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    name = models.TextField()
    outsider = models.BooleanField(default=False, help_text="not of this organisation: the name is masked, too")
    active = models.BooleanField(default=True)
    created_in = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    erased_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "people_person"
        constraints = [
            models.CheckConstraint(condition=Q(erased_at=None) | Q(active=False), name="person_erased_is_inactive"),
        ]


class ContactMethod(models.Model):
    """How to reach a person. Masked unless revealed."""

    #: Of a browser's subscription nothing is shown but its label: the rest is a key.

    class Kind(models.TextChoices):
        EMAIL = "email"
        PHONE = "phone"
        PUSH = "push"

    id = models.UUIDField(primary_key=True, default=uuid7)
    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="contacts")
    kind = models.TextField(choices=Kind.choices)
    value = models.TextField()
    label = models.TextField(null=True, help_text="what is shown of a browser's subscription")
    position = models.IntegerField(default=0)
    verified_at = models.DateTimeField(null=True)

    @property
    def problem(self) -> str:
        """Why it cannot be used as it is stored; empty where it can."""
        return problem_of(self.value) if self.kind == self.Kind.PHONE else ""

    @property
    def verified(self) -> bool:
        """Whether its owner has answered there, and it can still be used: a number that cannot be called is none."""
        return self.verified_at is not None and not self.problem

    class Meta:
        db_table = "people_contact_method"
        constraints = [
            models.UniqueConstraint(Lower("value"), name="contact_email_once", condition=Q(kind="email")),
            models.CheckConstraint(condition=Q(kind__in=["email", "phone", "push"]), name="contact_kind"),
        ]


class Membership(models.Model):
    """A person is in a workspace."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="memberships")
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="memberships")
    since = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "people_membership"
        constraints = [
            models.UniqueConstraint(fields=["person", "workspace"], name="membership_once", condition=Q(ended_at=None))
        ]


class RoleGrant(models.Model):
    """A person holds an access role in a workspace, and why."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="grants")
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="grants")
    role = models.TextField()
    source = models.TextField(default="granted", help_text="granted, or group:<name> of the identity provider")
    granted_by = models.UUIDField()
    granted_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "people_role_grant"
        constraints = [
            models.UniqueConstraint(
                fields=["person", "workspace", "role", "source"], name="role_grant_once", condition=Q(ended_at=None)
            ),
        ]


class RoleLabel(models.Model):
    """What a workspace calls a built-in role."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="role_labels")
    role = models.TextField()
    label = models.TextField()

    class Meta:
        db_table = "people_role_label"
        constraints = [models.UniqueConstraint(fields=["workspace", "role"], name="role_label_once")]


class GroupMapping(models.Model):
    """Members of an identity provider's group hold a role here."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="group_mappings")
    group = models.TextField()
    role = models.TextField()

    class Meta:
        db_table = "people_group_mapping"
        constraints = [models.UniqueConstraint(fields=["workspace", "group", "role"], name="group_mapping_once")]


class Team(models.Model):
    """Persons who own services together."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="teams")
    slug = models.TextField()
    name = models.TextField()
    purpose = models.TextField(default="")
    created_at = models.DateTimeField()

    class Meta:
        db_table = "people_team"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "slug"], name="team_slug_once"),
            models.CheckConstraint(condition=Q(slug__regex=_SLUG), name="team_slug_form"),
        ]


class TeamMember(models.Model):
    """A person is in a team."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="members")
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="teams")

    class Meta:
        db_table = "people_team_member"
        constraints = [models.UniqueConstraint(fields=["team", "person"], name="team_member_once")]


class ApiToken(models.Model):
    """A person's key to the API of one workspace: hashed, scoped, expiring. Looked up by the sign-in principal."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="tokens")
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="tokens")
    name = models.TextField()
    prefix = models.TextField(help_text="the first characters, to recognise it by")
    digest = models.BinaryField(unique=True, help_text="SHA-256 of the token, which has 256 random bits")
    scopes = ArrayField(models.TextField(), help_text="permissions it is limited to")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "people_api_token"
