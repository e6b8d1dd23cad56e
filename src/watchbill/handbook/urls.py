from django.urls import path

from watchbill.handbook import pages

urlpatterns = [
    path("w/<slug:slug>/handbook", pages.handbook, name="handbook"),
    path("w/<slug:slug>/handbook/revisions", pages.revisions, name="handbook_revisions"),
    path("w/<slug:slug>/runbooks", pages.runbooks, name="runbooks"),
    path("w/<slug:slug>/runbooks/<path:path>", pages.runbook, name="runbook"),
]
