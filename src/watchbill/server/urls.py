"""All addresses of the web pages and the API. Intake, live events and health are answered before Django (asgi.py)."""

from django.urls import include, path

from watchbill.runtime.http import handler
from watchbill.server.api import api

urlpatterns = [
    path("api/v1/", api.urls),
    path("", include("watchbill.signin.urls")),
    path("", include("watchbill.people.urls")),
    path("", include("watchbill.catalogue.urls")),
    path("", include("watchbill.signals.urls")),
    path("", include("watchbill.oncall.urls")),
    path("", include("watchbill.paging.urls")),
    path("", include("watchbill.incidents.urls")),
    path("", include("watchbill.intake.urls")),
    path("", include("watchbill.gates.urls")),
    path("", include("watchbill.handbook.urls")),
    path("", include("watchbill.console.urls")),
]
handler400, handler403, handler404, handler500 = handler(400), handler(403), handler(404), handler(500)
