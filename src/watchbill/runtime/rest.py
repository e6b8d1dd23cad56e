"""What every feature's API uses: authentication, pages of lists, and one declaration of the possible errors."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.conf import settings
from django.http import HttpRequest
from ninja import Schema
from ninja.security.base import AuthBase
from ninja.utils import check_csrf
from pydantic import Field

from watchbill.base.errors import Denied, Invalid, SignInNeeded
from watchbill.runtime.http import client_address
from watchbill.runtime.ratelimit import Buckets

T = TypeVar("T")
MOST = 200


class Problem(Schema):
    """An error, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str = ""
    hint: str | None = None
    field: str | None = None


ERRORS = {
    400: Problem,
    401: Problem,
    403: Problem,
    404: Problem,
    409: Problem,
    413: Problem,
    422: Problem,
    429: Problem,
}
_buckets: list[Buckets] = []


class HubAuth(AuthBase):
    """A token (`Authorization: Bearer wbt_…`), or the browser's session, whose writes must carry the CSRF token."""

    openapi_type = "http"
    openapi_scheme = "bearer"

    def __call__(self, request: HttpRequest) -> Any:
        """The reader. Raises SignInNeeded, Denied or TooMany."""
        if not _buckets:
            _buckets.append(Buckets(settings.RATE_PER_MINUTE, max(30, settings.RATE_PER_MINUTE / 4)))
        reader = getattr(request, "reader", None)
        if reader is None:
            _buckets[0].take(f"address:{client_address(request)}")
            raise SignInNeeded("This needs a token or a session.", hint="Make a token under Account → API tokens.")
        write = request.method not in {"GET", "HEAD", "OPTIONS"}
        _buckets[0].take(f"{reader.person_id}:{reader.actor.via}", 3 if write else 1)
        if write and reader.actor.via == "web" and check_csrf(request) is not None:
            raise Denied(
                "A write with a session needs the CSRF token.", hint="Send X-CSRFToken, or use a token instead."
            )
        return reader


def encode_cursor(value: object) -> str:
    """An opaque cursor."""
    return base64.urlsafe_b64encode(str(value).encode()).decode().rstrip("=")


def decode_cursor(text: str, parse: Callable[[str], T]) -> T | None:
    """What a cursor holds. Raises Invalid."""
    if not text:
        return None
    try:
        return parse(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode())
    except (ValueError, binascii.Error, UnicodeError):
        raise Invalid(
            "The cursor is not one of ours.", hint="Use `next` of the answer before, unchanged.", field="cursor"
        ) from None


class Page(Schema):
    """What every list answer has: `next` is the cursor of the following page, or null at the end."""

    next: str | None = Field(None, description="the cursor of the next page; null at the end")


def cut(rows: Sequence[T], limit: int, key: Callable[[T], object]) -> tuple[list[T], str | None]:
    """Of limit + 1 rows the first ``limit``, and the cursor for the rest."""
    if len(rows) <= limit:
        return list(rows), None
    return list(rows[:limit]), encode_cursor(key(rows[limit - 1]))
