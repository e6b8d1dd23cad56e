"""Storing, replacing, deleting and using secrets."""

from datetime import date
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction

from watchbill.base.actor import Actor
from watchbill.base.errors import Conflict, Invalid, NotFound
from watchbill.ledger.command import announce, command, record
from watchbill.ledger.quieter import announced, harmless
from watchbill.people.values import clean_name
from watchbill.runtime.now import now
from watchbill.secrets.envelope import Sealed, key_id, rewrap, seal, unseal
from watchbill.secrets.models import Secret, SecretUse


def _context(workspace_id: UUID, name: str) -> str:
    return f"{workspace_id}/{name}"


def _clean_value(value: str) -> bytes:
    if not value or len(value) > 20_000:
        raise Invalid("A secret has 1 to 20,000 characters.", field="value")
    return value.encode()


@command("secret.store", needs="secret.edit", quieter=harmless("a new secret is used by nothing yet"))
def store_secret(
    *, by: Actor, workspace_id: UUID, name: str, value: str, purpose: str = "", rotate_by: date | None = None
) -> Secret:
    """Stores a secret; its value is never shown again."""
    name = clean_name(name, longest=80)
    sealed = seal(settings.KEYS, _context(workspace_id, name), _clean_value(value))
    secret = Secret(
        workspace_id=workspace_id, name=name, purpose=" ".join(purpose.split())[:300], key_id=sealed.key_id,
        wrapped=sealed.wrapped, data=sealed.data, created_at=now(), rotate_by=rotate_by,
    )  # fmt: skip
    try:
        with transaction.atomic():
            secret.save(force_insert=True)
    except IntegrityError:
        raise Conflict(
            f"There is a secret “{name}” already.", hint="Replace its value instead.", field="name"
        ) from None
    record(("secret", secret.id), detail={"name": name, "rotate_by": rotate_by})
    return secret


def _secret_here(workspace_id: UUID, secret_id: UUID) -> Secret:
    secret = Secret.objects.filter(workspace_id=workspace_id, id=secret_id).first()
    if secret is None:
        raise NotFound("There is no such secret here.")
    return secret


@command("secret.replace", needs="secret.edit", quieter=announced("a channel signs in with another secret"))
def replace_secret(
    *, by: Actor, workspace_id: UUID, secret_id: UUID, value: str, rotate_by: date | None = None
) -> Secret:
    """Replaces a secret's value; the old one is gone."""
    secret = _secret_here(workspace_id, secret_id)
    sealed = seal(settings.KEYS, _context(workspace_id, secret.name), _clean_value(value))
    secret.key_id, secret.wrapped, secret.data = sealed.key_id, sealed.wrapped, sealed.data
    secret.replaced_at, secret.rotate_by = now(), rotate_by
    secret.save(update_fields=["key_id", "wrapped", "data", "replaced_at", "rotate_by"])
    record(("secret", secret_id), detail={"name": secret.name, "rotate_by": rotate_by})
    announce(f"The secret “{secret.name}” has another value")
    return secret


@command("secret.delete", needs="secret.edit", quieter=announced("a channel cannot sign in any more"))
def delete_secret(*, by: Actor, workspace_id: UUID, secret_id: UUID) -> None:
    """Deletes a secret for good."""
    secret = _secret_here(workspace_id, secret_id)
    record(("secret", secret_id), detail={"name": secret.name})
    announce(f"The secret “{secret.name}” was deleted; what signs in with it cannot any more")
    secret.delete()


def open_secret(*, by: Actor, workspace_id: UUID, name: str, purpose: str) -> str:
    """A secret's value, for a part of the hub that sends it somewhere. The use is recorded. Raises NotFound, Unavailable.

    Not a command: using a secret is an observation, and happens inside of what it is used for.
    """
    secret = Secret.objects.filter(workspace_id=workspace_id, name=name).first()
    if secret is None:
        raise NotFound(f"There is no secret “{name}” here.", hint="Store it under Settings → Secrets.")
    known = [settings.KEYS, *([settings.PREVIOUS_KEYS] if settings.PREVIOUS_KEYS else [])]
    value = unseal(
        known, _context(workspace_id, name), Sealed(secret.key_id, bytes(secret.wrapped), bytes(secret.data))
    )
    SecretUse(workspace_id=workspace_id, secret=secret, actor_id=by.id, purpose=purpose[:300], at=now()).save(
        force_insert=True
    )
    return value.decode()


@command("secret.rewrap", needs="secret.edit", quieter=harmless("the same secrets under a new key"))
def rewrap_secrets(*, by: Actor, workspace_id: UUID) -> int:
    """Wraps this workspace's secrets by the current master key, after it was changed. Returns how many needed it."""
    current = key_id(settings.KEYS)
    known = [settings.KEYS, *([settings.PREVIOUS_KEYS] if settings.PREVIOUS_KEYS else [])]
    count = 0
    for secret in Secret.objects.select_for_update().filter(workspace_id=workspace_id).exclude(key_id=current):
        sealed = Sealed(secret.key_id, bytes(secret.wrapped), bytes(secret.data))
        fresh = rewrap(known, settings.KEYS, _context(workspace_id, secret.name), sealed)
        secret.key_id, secret.wrapped, secret.data = fresh.key_id, fresh.wrapped, fresh.data
        secret.save(update_fields=["key_id", "wrapped", "data"])
        count += 1
    record(("workspace", workspace_id), detail={"rewrapped": count, "key": current})
    return count
