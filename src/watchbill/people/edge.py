"""What pages and API of every feature begin with: who asks, and in which workspace."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.http import HttpRequest

from watchbill.base.errors import Denied, Invalid, SignInNeeded
from watchbill.people.queries import Place, Reader


class SecondFactorNeeded(Denied):
    """This workspace asks for a second factor."""

    code = "second-factor-needed"


def reader_of(request: HttpRequest) -> Reader:
    """Who is signed in. Raises SignInNeeded."""
    reader = getattr(request, "reader", None)
    if not isinstance(reader, Reader):
        raise SignInNeeded("Sign in first.")
    return reader


def place_of(request: HttpRequest, slug: str) -> tuple[Reader, Place]:
    """The reader and the workspace of the address. Raises SignInNeeded, NotFound, SecondFactorNeeded."""
    reader = reader_of(request)
    place = reader.place(slug)
    if place.require_mfa and not reader.actor.mfa:
        raise SecondFactorNeeded(
            f"{place.name} opens only to a session with a second factor.",
            hint="Set one up under Account → Two-factor, then sign out and in again.",
        )
    request.place = place  # type: ignore[attr-defined]
    return reader, place


def local_time(text: str, place: Place, field: str) -> datetime:
    """What a form's date with a time means in the workspace's zone. Raises Invalid naming the field."""
    try:
        return datetime.fromisoformat(text.strip()).replace(tzinfo=ZoneInfo(place.time_zone))
    except ValueError:
        raise Invalid("That is not a date with a time.", hint="Write it as 2026-11-21T09:00.", field=field) from None
