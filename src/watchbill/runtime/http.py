"""What every edge needs: request ids, errors as pages or problem+json, callers' addresses, security headers."""

import ipaddress
import re
import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

import psycopg
import structlog
from django.conf import settings
from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import DatabaseError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers

from watchbill.base.errors import (
    Denied,
    Invalid,
    NotFound,
    SignInNeeded,
    TooLarge,
    TooMany,
    Unavailable,
    WatchbillError,
)

log = structlog.get_logger("watchbill.http")
GetResponse = Callable[[HttpRequest], HttpResponse]
_REQUEST_ID = re.compile(r"^[A-Za-z0-9_-]{8,64}$")


def client_address(request: HttpRequest) -> str | None:
    """The caller's address; X-Forwarded-For counts only from a trusted proxy."""
    address: str = request.META.get("REMOTE_ADDR") or ""
    trusted = settings.TRUSTED_PROXIES
    forwarded = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
    while forwarded and address in trusted:
        address = forwarded.pop()
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return None


def request_id_of(request: HttpRequest) -> str:
    """The id that this request has in answers, logs and ledger."""
    return str(getattr(request, "request_id", ""))


def wants_json(request: HttpRequest) -> bool:
    """Whether the caller is a program."""
    return request.path.startswith("/api/") or "application/json" in request.headers.get("Accept", "")


def problem(request: HttpRequest, error: WatchbillError) -> HttpResponse:
    """An error as application/problem+json (RFC 9457)."""
    body: dict[str, Any] = {
        "type": f"/api/v1/docs#error-{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "request_id": getattr(request, "request_id", ""),
    }
    body |= {key: value for key, value in (("hint", error.hint), ("field", error.field)) if value}
    response = JsonResponse(body, status=error.status, content_type="application/problem+json")
    return _with_headers(response, error)


def _with_headers(response: HttpResponse, error: WatchbillError) -> HttpResponse:
    if isinstance(error, TooMany):
        response["Retry-After"] = str(error.retry_after)
    if isinstance(error, SignInNeeded):
        response["WWW-Authenticate"] = 'Bearer realm="watchbill"'
    return response


def _came_from(request: HttpRequest) -> str:
    """The page of this hub on which a form was sent; the address itself where the browser does not say."""
    told = urlsplit(request.headers.get("Referer", ""))
    if told.netloc == request.get_host() and told.path.startswith("/") and not told.path.startswith("//"):
        return told.path + (f"?{told.query}" if told.query else "")
    return request.get_full_path()


def error_response(request: HttpRequest, error: WatchbillError) -> HttpResponse:
    """An error for whoever asked: problem+json, a page, or the way to the sign-in page."""
    if wants_json(request):
        return problem(request, error)
    if isinstance(error, SignInNeeded) and request.method == "GET" and "Authorization" not in request.headers:
        back = f"?{urlencode({'next': request.get_full_path()})}" if request.path != "/" else ""
        return redirect(f"{settings.LOGIN_URL}{back}")
    context = {"error": error, "request_id": getattr(request, "request_id", "")}
    if isinstance(error, SignInNeeded):
        context["sign_in"] = f"{settings.LOGIN_URL}?{urlencode({'next': _came_from(request)})}"
    return _with_headers(render(request, "console/error.html", context, status=error.status), error)


def as_watchbill_error(error: Exception) -> WatchbillError:
    """Django's and the database's errors in our words."""
    if isinstance(error, WatchbillError):
        return error
    if isinstance(error, Http404):
        return NotFound("There is nothing at this address.", hint="Check the address, or search with Ctrl-K.")
    if isinstance(error, PermissionDenied):
        return Denied("This is not open to you.")
    if isinstance(error, RequestDataTooBig):
        return TooLarge("The request is too large.")
    if isinstance(error, SuspiciousOperation | BadRequest | UnicodeError):
        return Invalid("The request cannot be read.", hint="It was malformed; nothing was changed.")
    if isinstance(error, OperationalError | psycopg.OperationalError):
        return Unavailable(
            "The database does not answer.", hint="Try again in a moment; nothing of this request was kept."
        )
    # Without a state, psycopg refused it before it was sent: a NUL character in a text.
    if isinstance(error, DatabaseError) and (
        getattr(error.__cause__, "sqlstate", "") in {"22P05", "22021", "22003", "22008"}
        or (isinstance(error.__cause__, psycopg.DataError) and not error.__cause__.sqlstate)
    ):
        return Invalid(
            "The request holds a value that cannot be stored.",
            hint="Remove control characters; keep numbers and times in range.",
        )
    return WatchbillError(
        "The hub failed at this. Nothing of this request was kept.",
        hint="Its reason is in the log, under the request id.",
    )


class EdgeMiddleware:
    """Outermost: request id, logging, security headers, and errors that say what happened."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answers the request; never lets an exception out."""
        given = request.headers.get("X-Request-Id", "")
        request.request_id = given if _REQUEST_ID.match(given) else secrets.token_hex(8)  # type: ignore[attr-defined]
        request.csp_nonce = ""  # type: ignore[attr-defined]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request.request_id)  # type: ignore[attr-defined]
        start = time.perf_counter()
        response = self.get_response(request)
        self._headers(request, response)
        from watchbill.runtime.metrics import REQUESTS, SECONDS

        seconds = time.perf_counter() - start
        route = getattr(getattr(request, "resolver_match", None), "route", None) or "none"
        REQUESTS.labels(request.method, route, str(response.status_code)).inc()
        SECONDS.labels(route).observe(seconds)
        log.info(
            "request",
            method=request.method,
            path=request.path,
            status=response.status_code,
            ms=round(seconds * 1000, 1),
        )
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse:
        """Any exception of a view, as an answer."""
        known = as_watchbill_error(error)
        if known.status >= 500:
            log.error("request.failed", exc_info=error)
        return error_response(request, known)

    def _headers(self, request: HttpRequest, response: HttpResponse) -> None:
        response["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        response.setdefault("Content-Security-Policy", settings.CSP)
        response.setdefault("Referrer-Policy", "same-origin")
        response.setdefault("X-Content-Type-Options", "nosniff")
        response.setdefault("X-Frame-Options", "DENY")
        response.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        response.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        response.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=()")
        if request.is_secure():
            response.setdefault("Strict-Transport-Security", "max-age=31536000")
        if not request.path.startswith("/static/"):
            response.setdefault("Cache-Control", "no-store")
            patch_vary_headers(response, ["Cookie"])


def handler(status: int) -> Callable[..., HttpResponse]:
    """Django's handler for an error outside of views."""
    errors: dict[int, WatchbillError] = {
        400: Invalid("The request cannot be read."),
        403: Denied("This is not open to you."),
        404: NotFound("There is nothing at this address.", hint="Check the address, or search with Ctrl-K."),
        500: WatchbillError("The hub failed at this. Nothing of this request was kept."),
    }

    def answer(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
        return error_response(request, errors[status])

    return answer


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form that did not come from our own page, or whose page was too old."""
    error = Denied(
        "This form is too old, or did not come from this site; nothing was changed.",
        hint="Reload the page and try again.",
    )
    return error_response(request, error)


def start_of(request: HttpRequest) -> int:
    """Where a page of a list begins (`?from=`); the beginning for what is no number."""
    text = request.GET.get("from", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else 0
