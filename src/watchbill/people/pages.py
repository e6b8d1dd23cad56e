"""Pages of people and teams: access, act, answer."""

from collections.abc import Callable
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from watchbill.base.errors import Invalid, NotFound, WatchbillError
from watchbill.people import commands, contacts
from watchbill.people.edge import place_of
from watchbill.people.queries import Place, Reader, access_people, access_person, access_team, access_teams, role_labels
from watchbill.people.rules import ROLE_DOCS, ROLES
from watchbill.people.teams import add_team_member, create_team, edit_team, remove_team_member


def as_uuid(value: str) -> UUID:
    """An id of a form. Raises NotFound for what is none."""
    try:
        return UUID(value)
    except ValueError:
        raise NotFound("There is no such thing here.") from None


def attempt(action: Callable[[], object]) -> WatchbillError | None:
    """Does it; an error that a person can mend comes back, to stand beside the form."""
    try:
        action()
    except WatchbillError as error:
        if error.status not in {403, 409, 422}:
            raise
        return error
    return None


@require_http_methods(["GET", "POST"])
def people(request: HttpRequest, slug: str) -> HttpResponse:
    """Everybody here; adding somebody."""
    reader, place = place_of(request, slug)
    error, post = None, request.POST
    if request.method == "POST":
        error = attempt(
            lambda: commands.invite_person(
                by=reader.actor,
                workspace_id=place.id,
                name=post.get("name", ""),
                email=post.get("email", ""),
                role=post.get("role", "viewer"),
                outsider=bool(post.get("outsider")),
            )
        )
        if error is None:
            return redirect("people", slug)
    words = request.GET.get("q", "").replace("\0", "")[:100]
    context = {
        "people": access_people(reader.actor, place.id, words=words, limit=500),
        "q": words,
        "labels": role_labels(place.id),
        "roles": ROLES,
        "error": error,
        "form": post,
    }
    return render(request, "people/people.html", context, status=error.status if error else 200)


@require_http_methods(["GET", "POST"])
def person(request: HttpRequest, slug: str, person_id: UUID) -> HttpResponse:
    """One person: contacts, roles with their reasons, teams."""
    reader, place = place_of(request, slug)
    error, revealed = None, False
    if request.method == "POST":
        revealed = request.POST.get("do") == "reveal"
        error = attempt(lambda: _act(request, reader, place, person_id))
        if error is None and not revealed:
            gone = request.POST.get("do") == "remove"
            return redirect("people", slug) if gone else redirect("person", slug, person_id)
    shown = access_person(reader.actor, place.id, person_id, revealed=revealed and error is None)
    context = {
        "person": shown,
        "labels": role_labels(place.id),
        "role_docs": ROLE_DOCS,
        "grantable": [
            role for role in ROLES if role not in {grant.role for grant in shown.grants if grant.source == "granted"}
        ],
        "own": person_id == reader.person_id,
        "revealed": revealed,
        "error": error,
    }
    return render(request, "people/person.html", context, status=error.status if error else 200)


def _act(request: HttpRequest, reader: Reader, place: Place, person_id: UUID) -> None:
    post, by, here = request.POST, reader.actor, place.id
    match post.get("do"):
        case "reveal":
            commands.reveal_person(by=by, workspace_id=here, person_id=person_id, reason=post.get("reason", ""))
        case "rename":
            commands.edit_person(by=by, workspace_id=here, person_id=person_id, name=post.get("name", ""))
        case "contact":
            contacts.add_contact(
                by=by, workspace_id=here, person_id=person_id, kind=post.get("kind", ""), value=post.get("value", "")
            )
        case "uncontact":
            contacts.remove_contact(
                by=by, workspace_id=here, person_id=person_id, contact_id=as_uuid(post.get("contact", ""))
            )
        case "grant":
            commands.grant_role(by=by, workspace_id=here, person_id=person_id, role=post.get("role", ""))
        case "revoke":
            commands.revoke_role(by=by, workspace_id=here, person_id=person_id, role=post.get("role", ""))
        case "deactivate":
            commands.deactivate_person(by=by, workspace_id=here, person_id=person_id)
        case "reactivate":
            commands.reactivate_person(by=by, workspace_id=here, person_id=person_id)
        case "remove":
            commands.remove_person(by=by, workspace_id=here, person_id=person_id)
        case "erase":
            commands.erase_person(by=by, workspace_id=here, person_id=person_id)
        case other:
            raise Invalid(f"“{str(other)[:40]}” is nothing this page can do.")


@require_http_methods(["GET", "POST"])
def teams(request: HttpRequest, slug: str) -> HttpResponse:
    """All teams; making one."""
    reader, place = place_of(request, slug)
    error, post = None, request.POST
    if request.method == "POST":
        error = attempt(
            lambda: create_team(
                by=reader.actor, workspace_id=place.id, name=post.get("name", ""), purpose=post.get("purpose", "")
            )
        )
        if error is None:
            return redirect("teams", slug)
    context = {"teams": list(access_teams(reader.actor, place.id)), "error": error, "form": post}
    return render(request, "people/teams.html", context, status=error.status if error else 200)


@require_http_methods(["GET", "POST"])
def team(request: HttpRequest, slug: str, team_slug: str) -> HttpResponse:
    """One team and who is in it."""
    reader, place = place_of(request, slug)
    found = access_team(reader.actor, place.id, team_slug)
    error, post, by = None, request.POST, reader.actor
    if request.method == "POST":
        match post.get("do"):
            case "add":
                error = attempt(
                    lambda: add_team_member(
                        by=by, workspace_id=place.id, team_id=found.id, person_id=as_uuid(post.get("person", ""))
                    )
                )
            case "remove":
                error = attempt(
                    lambda: remove_team_member(
                        by=by, workspace_id=place.id, team_id=found.id, person_id=as_uuid(post.get("person", ""))
                    )
                )
            case "edit":
                error = attempt(
                    lambda: edit_team(
                        by=by,
                        workspace_id=place.id,
                        team_id=found.id,
                        name=post.get("name", ""),
                        purpose=post.get("purpose", ""),
                    )
                )
            case _:
                error = Invalid("This page cannot do that.")
        if error is None:
            return redirect("team", slug, team_slug)
    members = {member.person_id for member in found.members.all()}
    others = [one for one in access_people(by, place.id, limit=500) if one.id not in members and one.active]
    return render(
        request,
        "people/team.html",
        {"team": found, "others": others, "error": error},
        status=error.status if error else 200,
    )


@require_GET
def new_workspace(request: HttpRequest) -> HttpResponse:
    """The form for a new workspace."""
    return render(request, "people/workspace_new.html", {})


@require_http_methods(["POST"])
def create_workspace(request: HttpRequest) -> HttpResponse:
    """Founds a workspace."""
    from watchbill.people.edge import reader_of

    reader, post = reader_of(request), request.POST
    made = []
    error = attempt(
        lambda: made.append(
            commands.create_workspace(
                by=reader.actor,
                name=post.get("name", ""),
                slug=post.get("slug", ""),
                time_zone=post.get("time_zone") or "UTC",
            )
        )
    )
    if error:
        return render(request, "people/workspace_new.html", {"error": error, "form": post}, status=error.status)
    return redirect("overview", made[0].slug)
