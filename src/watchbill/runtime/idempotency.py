"""Idempotency keys: a write with the header `Idempotency-Key`, repeated within 24 h, gets the first answer again.

Shape after the IETF draft “The Idempotency-Key HTTP Header Field”. The key's row is written in the transaction of the
request, so a concurrent repetition waits for the first one; kept answers are encrypted, since they may hold a token.
"""

import hashlib
import os
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import connections
from django.http import HttpRequest, HttpResponse

from watchbill.base.errors import Invalid
from watchbill.runtime.http import problem

_CLAIM = """
INSERT INTO runtime_idempotency_key (person_id, key, request_digest, content_type, at) VALUES (%s, %s, %s, '', wb_now())
ON CONFLICT (person_id, key) DO NOTHING
"""
_READ = (
    "SELECT request_digest, status, body, content_type FROM runtime_idempotency_key WHERE person_id = %s AND key = %s"
)
_KEEP = "UPDATE runtime_idempotency_key SET status = %s, body = %s, content_type = %s WHERE person_id = %s AND key = %s"


class IdempotencyMiddleware:
    """Inside of the person's transaction; only for API writes of somebody signed in."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answers a first request, or repeats its answer."""
        key = request.headers.get("Idempotency-Key")
        reader = getattr(request, "reader", None)
        if (
            key is None
            or reader is None
            or request.method in {"GET", "HEAD", "OPTIONS"}
            or not request.path.startswith("/api/")
        ):
            return self.get_response(request)
        if not 1 <= len(key) <= 200 or not key.isprintable():
            return problem(
                request, Invalid("The Idempotency-Key must have 1 to 200 visible characters.", field="Idempotency-Key")
            )
        scope = f"{request.method} {request.get_full_path()} {reader.actor.via}\n".encode()
        digest = hashlib.sha256(scope + request.body).hexdigest()
        with connections["default"].cursor() as cursor:
            cursor.execute(_CLAIM, [reader.person_id, key, digest])
            if not cursor.rowcount:
                cursor.execute(_READ, [reader.person_id, key])
                return self._again(request, cursor.fetchone(), digest)
            response = self.get_response(request)
            if response.status_code < 500 and not response.streaming:
                nonce = os.urandom(12)
                body = nonce + _cipher().encrypt(nonce, response.content, f"{reader.person_id}/{key}/{digest}".encode())
                cursor.execute(
                    _KEEP, [response.status_code, body, response.get("Content-Type", ""), reader.person_id, key]
                )
        return response

    def _again(self, request: HttpRequest, row: tuple[str, int, bytes, str] | None, digest: str) -> HttpResponse:
        if row is None or row[1] is None:
            return problem(
                request,
                Invalid("That Idempotency-Key is in use by a request without an answer.", field="Idempotency-Key"),
            )
        if row[0] != digest:
            return problem(
                request,
                Invalid(
                    "That Idempotency-Key was used for another request.",
                    hint="Use a new key for each request.",
                    field="Idempotency-Key",
                ),
            )
        reader = request.reader  # type: ignore[attr-defined]
        key = request.headers["Idempotency-Key"]
        body = _cipher().decrypt(bytes(row[2])[:12], bytes(row[2])[12:], f"{reader.person_id}/{key}/{digest}".encode())
        response = HttpResponse(body, status=row[1], content_type=row[3])
        response["Idempotency-Replayed"] = "true"
        return response


def _cipher() -> AESGCM:
    return AESGCM(settings.KEYS.derive("idempotency"))
