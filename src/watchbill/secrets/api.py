"""Secrets as JSON: everything but their values."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Router, Schema, Status
from pydantic import StringConstraints

from watchbill.people.edge import place_of
from watchbill.runtime.rest import ERRORS, Page
from watchbill.secrets import commands
from watchbill.secrets.models import Secret
from watchbill.secrets.queries import access_secrets

router = Router()
Value = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]


class SecretOut(Schema):
    """A secret, without its value."""

    id: UUID
    name: str
    purpose: str
    created_at: datetime
    replaced_at: datetime | None
    rotate_by: date | None
    used: int
    last_used: datetime | None


class SecretsPage(Page):
    """All secrets by name."""

    items: list[SecretOut]


class SecretIn(Schema):
    """A secret to store."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=80)]
    value: Value
    purpose: Annotated[str, StringConstraints(max_length=300)] = ""
    rotate_by: date | None = None


class ReplaceIn(Schema):
    """A new value."""

    value: Value
    rotate_by: date | None = None


def _secret(secret: Secret) -> dict[str, Any]:
    return {
        "id": secret.id, "name": secret.name, "purpose": secret.purpose, "created_at": secret.created_at, "replaced_at": secret.replaced_at,
        "rotate_by": secret.rotate_by, "used": getattr(secret, "used", 0), "last_used": getattr(secret, "last_used", None),
    }  # fmt: skip


@router.get("/workspaces/{slug}/secrets", response={200: SecretsPage, **ERRORS})
def list_secrets(request: HttpRequest, slug: str) -> dict[str, Any]:
    """Names, ages and use; never values."""
    reader, place = place_of(request, slug)
    return {"items": [_secret(secret) for secret in access_secrets(reader.actor, place.id)], "next": None}


@router.post("/workspaces/{slug}/secrets", response={201: SecretOut, **ERRORS})
def store_secret(request: HttpRequest, slug: str, payload: SecretIn) -> Status[Any]:
    """Store a secret."""
    reader, place = place_of(request, slug)
    return Status(201, _secret(commands.store_secret(by=reader.actor, workspace_id=place.id, **payload.dict())))


@router.put("/workspaces/{slug}/secrets/{secret_id}", response={200: SecretOut, **ERRORS})
def replace_secret(request: HttpRequest, slug: str, secret_id: UUID, payload: ReplaceIn) -> dict[str, Any]:
    """Replace a secret's value."""
    reader, place = place_of(request, slug)
    return _secret(
        commands.replace_secret(
            by=reader.actor,
            workspace_id=place.id,
            secret_id=secret_id,
            value=payload.value,
            rotate_by=payload.rotate_by,
        )
    )


@router.delete("/workspaces/{slug}/secrets/{secret_id}", response={204: None, **ERRORS})
def delete_secret(request: HttpRequest, slug: str, secret_id: UUID) -> Status[Any]:
    """Delete a secret."""
    reader, place = place_of(request, slug)
    commands.delete_secret(by=reader.actor, workspace_id=place.id, secret_id=secret_id)
    return Status(204, None)
