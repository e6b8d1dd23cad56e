from django.urls import path

from watchbill.catalogue import pages

urlpatterns = [
    path("w/<slug:slug>/services", pages.services, name="services"),
    path("w/<slug:slug>/services/new", pages.service_new, name="service_new"),
    path("w/<slug:slug>/services/<slug:service_slug>", pages.service, name="service"),
    path("w/<slug:slug>/services/<slug:service_slug>/edit", pages.service_edit, name="service_edit"),
]
