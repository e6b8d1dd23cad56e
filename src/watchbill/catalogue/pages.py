"""Pages of services."""

from collections.abc import Callable
from uuid import UUID

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from watchbill.base.errors import NotFound, WatchbillError
from watchbill.catalogue import commands
from watchbill.catalogue.models import Service
from watchbill.catalogue.queries import access_environments, access_service, access_services
from watchbill.people.edge import place_of
from watchbill.people.pages import as_uuid, attempt
from watchbill.people.queries import Place, Reader, access_teams


@require_http_methods(["GET", "POST"])
def services(request: HttpRequest, slug: str) -> HttpResponse:
    """All services; making an environment."""
    reader, place = place_of(request, slug)
    words, error = request.GET.get("q", "").replace("\0", "")[:100], None
    if request.method == "POST":
        error = attempt(
            lambda: commands.create_environment(
                by=reader.actor, workspace_id=place.id, name=request.POST.get("name", "")
            )
        )
        if error is None:
            return redirect("services", slug)
    context = {
        "services": list(access_services(reader.actor, place.id, words=words)[:500]),
        "environments": list(access_environments(reader.actor, place.id)),
        "q": words,
        "error": error,
    }
    return render(request, "catalogue/services.html", context, status=error.status if error else 200)


def _links(post: QueryDict) -> list[tuple[str, str]]:
    """One link a line: “Label https://…”."""
    found = []
    for line in post.get("links", "").splitlines():
        label, _, url = line.strip().rpartition(" ")
        if url:
            found.append((label or "Link", url))
    return found


def _form(
    request: HttpRequest,
    reader: Reader,
    place: Place,
    title: str,
    save: Callable[..., Service],
    service: Service | None = None,
) -> HttpResponse:
    error: WatchbillError | None = None
    saved: list[Service] = []
    post = request.POST
    if request.method == "POST":
        owner = post.get("owner", "")
        fields = {
            "name": post.get("name", ""), "summary": post.get("summary", ""), "owner_id": as_uuid(owner) if owner else None,
            "environment_ids": [as_uuid(value) for value in post.getlist("environments")], "links": _links(post),
        }  # fmt: skip
        error = attempt(lambda: saved.append(save(by=reader.actor, workspace_id=place.id, **fields)))
        if error is None:
            return redirect("service", place.slug, saved[0].slug)
    chosen = (
        {str(value) for value in post.getlist("environments")}
        if post
        else {str(e.id) for e in service.environments.all()}
        if service
        else set()
    )
    links = (
        post.get("links")
        if post
        else "\n".join(f"{link.label} {link.url}" for link in service.links.all())
        if service
        else ""
    )
    context = {
        "title": title, "service": service, "error": error, "form": post, "teams": access_teams(reader.actor, place.id),
        "environments": [(environment, str(environment.id) in chosen) for environment in access_environments(reader.actor, place.id)],
        "name": post.get("name") if post else service.name if service else "",
        "summary": post.get("summary") if post else service.summary if service else "",
        "owner": post.get("owner") if post else str(service.owner_id) if service else "",
        "links": links,
    }  # fmt: skip
    return render(request, "catalogue/service_form.html", context, status=error.status if error else 200)


@require_http_methods(["GET", "POST"])
def service_new(request: HttpRequest, slug: str) -> HttpResponse:
    """A new service."""
    reader, place = place_of(request, slug)
    reader.actor.require("service.edit", place.id)
    return _form(request, reader, place, "New service", commands.create_service)


@require_http_methods(["GET", "POST"])
def service(request: HttpRequest, slug: str, service_slug: str) -> HttpResponse:
    """One service: owner, environments, links."""
    reader, place = place_of(request, slug)
    found = access_service(reader.actor, place.id, service_slug)
    if request.method == "POST":
        if request.POST.get("do") != "retire":
            raise NotFound("This page cannot do that.")
        commands.retire_service(by=reader.actor, workspace_id=place.id, service_id=found.id)
        return redirect("services", slug)
    return render(request, "catalogue/service.html", {"service": found})


@require_http_methods(["GET", "POST"])
def service_edit(request: HttpRequest, slug: str, service_slug: str) -> HttpResponse:
    """Changing a service."""
    reader, place = place_of(request, slug)
    reader.actor.require("service.edit", place.id)
    found = access_service(reader.actor, place.id, service_slug)

    def save(**fields: object) -> Service:
        service_id: UUID = found.id
        return commands.edit_service(service_id=service_id, **fields)  # type: ignore[arg-type]

    return _form(request, reader, place, f"Change {found.name}", save, found)
