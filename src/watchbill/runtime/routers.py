"""Which connection a model uses: authentication tables go through the `signin` principal, all else through `default`."""

from typing import Any

from django.db.models import Model

SIGNIN_APPS = frozenset({"signin", "auth", "account", "socialaccount", "mfa", "sessions"})


class PrincipalRouter:
    """Routes by app label; migrations run on `default` only, as the owner."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        """The alias to read from."""
        return "signin" if model._meta.app_label in SIGNIN_APPS else None

    db_for_write = db_for_read

    def allow_relation(self, one: Model, other: Model, **hints: Any) -> bool:
        """All aliases reach one database, so relations are real."""
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        """Only the migrator's connection changes tables."""
        return db == "default"
