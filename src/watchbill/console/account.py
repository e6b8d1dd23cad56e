"""The account page: one's own things."""

from typing import Any
from uuid import UUID

from allauth.mfa.utils import is_mfa_enabled
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from watchbill.base.errors import Denied, Invalid, NotFound, WatchbillError
from watchbill.people import commands as people
from watchbill.people.edge import reader_of
from watchbill.people.queries import Reader, access_person, access_tokens
from watchbill.runtime.now import now


def account_page(request: HttpRequest) -> HttpResponse:
    """Shows one's sessions, factor, contacts and tokens; makes and ends tokens."""
    reader = reader_of(request)
    if reader.actor.via != "web":
        raise Denied("The account page is for browsers.", hint="Use /api/v1.")
    error, fresh = None, ""
    if request.method == "POST":
        try:
            fresh = _act(request, reader)
            if not fresh:
                return redirect("account")
        except WatchbillError as problem:
            if problem.status not in {403, 404, 409, 422}:
                raise
            error = problem
    first = reader.places[0] if reader.places else None
    context: dict[str, Any] = {
        "person": access_person(reader.actor, first.id, reader.person_id) if first else None,
        "tokens": [
            token
            for place in reader.places
            for token in access_tokens(reader.actor, place.id)
            if token.person_id == reader.person_id
        ],
        "slugs": {place.id: place for place in reader.places},
        "scopes": {place.slug: sorted(reader.actor.grants.get(place.id, ())) for place in reader.places},
        "two_factor": is_mfa_enabled(request.user),
        "has_password": request.user.has_usable_password(),  # type: ignore[union-attr]
        "fresh": fresh,
        "error": error,
        "now": now(),
    }
    response = render(request, "console/account.html", context, status=error.status if error else 200)
    return response


def _act(request: HttpRequest, reader: Reader) -> str:
    post = request.POST
    place = reader.place(post.get("workspace", ""))
    if post.get("do") == "token":
        scopes = post.getlist("scopes") or sorted(reader.actor.grants.get(place.id, ()))
        days = post.get("days", "90")
        if not days.isdecimal() or len(days) > 4:
            raise Invalid("The days must be a whole number.", field="days")
        _, text = people.create_token(
            by=reader.actor, workspace_id=place.id, name=post.get("name", ""), scopes=scopes, days=int(days)
        )
        return text
    if post.get("do") == "revoke":
        try:
            token_id = UUID(post.get("token", ""))
        except ValueError:
            raise NotFound("There is no such token here.") from None
        people.revoke_token(by=reader.actor, workspace_id=place.id, token_id=token_id)
        return ""
    raise Invalid("This page cannot do that.")
