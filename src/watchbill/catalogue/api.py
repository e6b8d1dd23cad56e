"""Services and environments as JSON."""

from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router, Schema, Status
from pydantic import Field, StringConstraints

from watchbill.catalogue import commands
from watchbill.catalogue.models import Environment, Service
from watchbill.catalogue.queries import access_environments, access_service, access_services
from watchbill.people.edge import place_of
from watchbill.runtime.rest import ERRORS, Page

router = Router()


class LinkItem(Schema):
    """Where to look."""

    label: Annotated[str, StringConstraints(min_length=1, max_length=60)]
    url: Annotated[str, StringConstraints(min_length=8, max_length=2000)]


class EnvironmentOut(Schema):
    """An environment."""

    id: UUID
    slug: str
    name: str


class EnvironmentsPage(Page):
    """All environments, in their order."""

    items: list[EnvironmentOut]


class EnvironmentIn(Schema):
    """An environment to make."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=60)]


class ServiceOut(Schema):
    """A service."""

    id: UUID
    slug: str
    name: str
    summary: str
    owner: str | None = Field(description="the owning team's short name")
    environments: list[str]
    links: list[LinkItem]


class ServicesPage(Page):
    """Services by name."""

    items: list[ServiceOut]


class ServiceIn(Schema):
    """A service to make, or what it becomes."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=120)]
    summary: Annotated[str, StringConstraints(max_length=500)] = ""
    owner_id: UUID | None = None
    environment_ids: Annotated[list[UUID], Field(max_length=50)] = []
    links: Annotated[list[LinkItem], Field(max_length=20)] = []


def _service(service: Service) -> dict[str, Any]:
    return {
        "id": service.id, "slug": service.slug, "name": service.name, "summary": service.summary,
        "owner": service.owner.slug if service.owner else None, "environments": [e.slug for e in service.environments.all()],
        "links": [{"label": link.label, "url": link.url} for link in service.links.all()],
    }  # fmt: skip


def _environment(environment: Environment) -> dict[str, Any]:
    return {"id": environment.id, "slug": environment.slug, "name": environment.name}


def _fields(payload: ServiceIn) -> dict[str, Any]:
    return {
        "name": payload.name, "summary": payload.summary, "owner_id": payload.owner_id, "environment_ids": payload.environment_ids,
        "links": [(link.label, link.url) for link in payload.links],
    }  # fmt: skip


@router.get("/workspaces/{slug}/services", response={200: ServicesPage, **ERRORS})
def list_services(request: HttpRequest, slug: str, q: Annotated[str, Query(max_length=100)] = "") -> dict[str, Any]:
    """The services in use, by name."""
    reader, place = place_of(request, slug)
    return {
        "items": [
            _service(service) for service in access_services(reader.actor, place.id, words=q.replace("\0", ""))[:1000]
        ],
        "next": None,
    }


@router.post("/workspaces/{slug}/services", response={201: ServiceOut, **ERRORS})
def create_service(request: HttpRequest, slug: str, payload: ServiceIn) -> Status[Any]:
    """Make a service."""
    reader, place = place_of(request, slug)
    made = commands.create_service(by=reader.actor, workspace_id=place.id, **_fields(payload))
    return Status(201, _service(access_service(reader.actor, place.id, made.slug)))


@router.get("/workspaces/{slug}/services/{service}", response={200: ServiceOut, **ERRORS})
def get_service(request: HttpRequest, slug: str, service: str) -> dict[str, Any]:
    """One service by its short name."""
    reader, place = place_of(request, slug)
    return _service(access_service(reader.actor, place.id, service.replace("\0", "")))


@router.put("/workspaces/{slug}/services/{service}", response={200: ServiceOut, **ERRORS})
def edit_service(request: HttpRequest, slug: str, service: str, payload: ServiceIn) -> dict[str, Any]:
    """Change a service; its short name stays."""
    reader, place = place_of(request, slug)
    found = access_service(reader.actor, place.id, service.replace("\0", ""))
    commands.edit_service(by=reader.actor, workspace_id=place.id, service_id=found.id, **_fields(payload))
    return _service(access_service(reader.actor, place.id, found.slug))


@router.delete("/workspaces/{slug}/services/{service}", response={204: None, **ERRORS})
def retire_service(request: HttpRequest, slug: str, service: str) -> Status[Any]:
    """Retire a service; its history stays."""
    reader, place = place_of(request, slug)
    found = access_service(reader.actor, place.id, service.replace("\0", ""))
    commands.retire_service(by=reader.actor, workspace_id=place.id, service_id=found.id)
    return Status(204, None)


@router.get("/workspaces/{slug}/environments", response={200: EnvironmentsPage, **ERRORS})
def list_environments(request: HttpRequest, slug: str) -> dict[str, Any]:
    """All environments."""
    reader, place = place_of(request, slug)
    return {
        "items": [_environment(environment) for environment in access_environments(reader.actor, place.id)],
        "next": None,
    }


@router.post("/workspaces/{slug}/environments", response={201: EnvironmentOut, **ERRORS})
def create_environment(request: HttpRequest, slug: str, payload: EnvironmentIn) -> Status[Any]:
    """Make an environment."""
    reader, place = place_of(request, slug)
    return Status(
        201, _environment(commands.create_environment(by=reader.actor, workspace_id=place.id, name=payload.name))
    )
