"""Changes to the catalogue."""

from collections.abc import Iterable
from uuid import UUID

from django.db import IntegrityError, transaction

from watchbill.base.actor import Actor
from watchbill.base.errors import Conflict, Invalid, NotFound
from watchbill.base.ids import slugify
from watchbill.catalogue.models import Environment, Service, ServiceEnvironment, ServiceLink
from watchbill.ledger.command import command, record
from watchbill.ledger.quieter import harmless
from watchbill.outbound.rules import Policy, check_url
from watchbill.people.models import Team
from watchbill.people.values import clean_name
from watchbill.runtime.now import now


def _slug(name: str) -> str:
    slug = slugify(name)
    if not slug:
        raise Invalid("The name needs a letter or digit.", field="name")
    return slug


def _owner(workspace_id: UUID, owner_id: UUID | None) -> Team | None:
    if owner_id is None:
        return None
    team = Team.objects.filter(workspace_id=workspace_id, id=owner_id).first()
    if team is None:
        raise NotFound("There is no such team here.")
    return team


def _links(links: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    found = []
    for label, url in links:
        url = url.strip()
        if len(url) > 2000:
            raise Invalid("A link is longer than 2,000 characters.", field="links")
        check_url(url, Policy())
        found.append((clean_name(label, "link's label", 60), url))
    if len(found) > 20:
        raise Invalid("A service has at most 20 links.", field="links")
    return found


@command(
    "environment.create",
    needs="service.edit",
    quieter=harmless("a name in the catalogue; routes match the labels of alerts"),
)
def create_environment(*, by: Actor, workspace_id: UUID, name: str) -> Environment:
    """Makes an environment."""
    name = clean_name(name, longest=60)
    position = Environment.objects.filter(workspace_id=workspace_id).count()
    environment = Environment(workspace_id=workspace_id, slug=_slug(name), name=name, position=position)
    try:
        with transaction.atomic():
            environment.save(force_insert=True)
    except IntegrityError:
        raise Conflict(f"There is an environment “{environment.slug}” already.", field="name") from None
    record(("environment", environment.id), detail={"name": name})
    return environment


@command(
    "service.create",
    needs="service.edit",
    quieter=harmless("a name in the catalogue; routes match the labels of alerts"),
)
def create_service(
    *, by: Actor, workspace_id: UUID, name: str, summary: str = "", owner_id: UUID | None = None,
    environment_ids: Iterable[UUID] = (), links: Iterable[tuple[str, str]] = (),
) -> Service:  # fmt: skip
    """Makes a service."""
    name = clean_name(name)
    owner = _owner(workspace_id, owner_id)
    service = Service(
        workspace_id=workspace_id,
        slug=_slug(name),
        name=name,
        summary=" ".join(summary.split())[:500],
        owner=owner,
        created_at=now(),
    )
    try:
        with transaction.atomic():
            service.save(force_insert=True)
    except IntegrityError:
        raise Conflict(f"There is a service “{service.slug}” already.", field="name") from None
    where = _place(service, environment_ids)
    chosen = _set_links(service, links)
    record(
        ("service", service.id),
        detail={"name": name, "owner": owner.slug if owner else None, "environments": where, "links": chosen},
    )
    return service


def _place(service: Service, environment_ids: Iterable[UUID]) -> list[str]:
    wanted = set(environment_ids)
    found = list(Environment.objects.filter(workspace_id=service.workspace_id, id__in=wanted).order_by("position"))
    if len(found) != len(wanted):
        raise NotFound("There is no such environment here.")
    ServiceEnvironment.objects.filter(service=service).delete()
    ServiceEnvironment.objects.bulk_create(
        ServiceEnvironment(workspace_id=service.workspace_id, service=service, environment=e) for e in found
    )
    return [environment.slug for environment in found]


def _set_links(service: Service, links: Iterable[tuple[str, str]]) -> list[list[str]]:
    chosen = _links(links)
    ServiceLink.objects.filter(service=service).delete()
    ServiceLink.objects.bulk_create(
        ServiceLink(workspace_id=service.workspace_id, service=service, label=label, url=url, position=i)
        for i, (label, url) in enumerate(chosen)
    )
    return [[label, url] for label, url in chosen]


@command(
    "service.edit", needs="service.edit", quieter=harmless("a name in the catalogue; routes match the labels of alerts")
)
def edit_service(
    *, by: Actor, workspace_id: UUID, service_id: UUID, name: str, summary: str = "", owner_id: UUID | None = None,
    environment_ids: Iterable[UUID] = (), links: Iterable[tuple[str, str]] = (),
) -> Service:  # fmt: skip
    """Changes a service; its address stays."""
    service = Service.objects.select_for_update(of=("self",)).filter(workspace_id=workspace_id, id=service_id).first()
    if service is None:
        raise NotFound("There is no such service here.")
    service.name, service.summary = clean_name(name), " ".join(summary.split())[:500]
    service.owner = _owner(workspace_id, owner_id)
    service.save(update_fields=["name", "summary", "owner"])
    detail = {"name": service.name, "owner": service.owner.slug if service.owner else None}
    record(
        ("service", service_id),
        detail=detail | {"environments": _place(service, environment_ids), "links": _set_links(service, links)},
    )
    return service


@command("service.retire", needs="service.edit", quieter=harmless("a name in the catalogue; its alerts page as before"))
def retire_service(*, by: Actor, workspace_id: UUID, service_id: UUID) -> None:
    """Takes a service out of the catalogue; its history stays."""
    if not Service.objects.filter(workspace_id=workspace_id, id=service_id, retired_at=None).update(retired_at=now()):
        raise NotFound("There is no such service here.")
    record(("service", service_id))
