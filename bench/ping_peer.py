"""The peer for pings: a Django view with two writes in a transaction, as Healthchecks publishes its own (hc/api/views.py: the check's state, a ping's row).

Its database comes in BENCH_DATABASE (host, user, password), its check in BENCH_CHECK. Served as the hub serves Django: uvicorn, threads.
"""

import json
import os
from typing import Any

import django
from a2wsgi import WSGIMiddleware
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path

_told: dict[str, Any] = json.loads(os.environ.get("BENCH_DATABASE", "{}"))
settings.configure(
    SECRET_KEY="bench", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, MIDDLEWARE=[], INSTALLED_APPS=[],
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "watchbill", "CONN_MAX_AGE": None, **_told}},
)  # fmt: skip
django.setup()


def ping(request: HttpRequest, code: str) -> HttpResponse:
    """One ping."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE bench_check SET last_ping = now(), n_pings = n_pings + 1, status = 'up', alert_after = now() + interval '1 day' WHERE code = %s RETURNING id, n_pings", [code]
        )  # fmt: skip
        found = cursor.fetchone()
        cursor.execute(
            "INSERT INTO bench_ping (check_id, n, created, scheme, remote_addr, method, ua, body_raw) VALUES (%s, %s, now(), 'http', '127.0.0.1', %s, %s, %s)",
            [found[0], found[1], request.method, request.headers.get("User-Agent", "")[:200], request.body[:100_000]],
        )
    return HttpResponse("OK")


urlpatterns = [path("ping/<str:code>", ping)]
application = WSGIMiddleware(WSGIHandler(), workers=10)
