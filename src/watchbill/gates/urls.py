from django.urls import path

from watchbill.gates import pages

urlpatterns = [
    path("w/<slug:slug>/requests", pages.requests, name="requests"),
    path("w/<slug:slug>/requests/<uuid:request_id>", pages.request, name="request"),
]
