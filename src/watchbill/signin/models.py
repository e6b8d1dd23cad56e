"""Authentication state. Reached only through the `signin` principal; the app role has no grant on any of it."""

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models

from watchbill.base.ids import uuid7


class LoginManager(models.Manager["Login"]):
    """Django's authentication looks a user up by its natural key; ours is the person."""

    def get_by_natural_key(self, value: str) -> "Login":
        """The login of a person id."""
        return self.get(person_id=value)


class Login(AbstractBaseUser):
    """A person's way in: the password, and what allauth hangs onto it (TOTP, OpenID Connect accounts)."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    person_id = models.UUIDField(unique=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField()

    USERNAME_FIELD = "person_id"
    objects = LoginManager()

    class Meta:
        db_table = "signin_login"

    def __str__(self) -> str:
        return str(self.person_id)


class Session(models.Model):
    """A signed-in browser. The key itself is only in the cookie; here is its SHA-256."""

    id = models.UUIDField(unique=True, default=uuid7, help_text="what pages and commands call it by")
    digest = models.BinaryField(primary_key=True)
    data = models.TextField()
    person_id = models.UUIDField(null=True)
    address = models.GenericIPAddressField(null=True)
    agent = models.TextField(default="")
    created_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "signin_session"
        indexes = [
            # A person's sessions.
            models.Index(fields=["person_id"], name="session_person"),
            # The sweeper.
            models.Index(fields=["expires_at"], name="session_expiry"),
        ]


class OneTimeLink(models.Model):
    """A link that signs a person in once."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    digest = models.BinaryField(unique=True)
    person_id = models.UUIDField()
    made_by = models.UUIDField()
    break_glass = models.BooleanField(default=False, help_text="passes by the second factor; loud in the ledger")
    reason = models.TextField(default="")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "signin_one_time_link"
        # The sweeper.
        indexes = [models.Index(fields=["expires_at"], name="link_expiry")]
