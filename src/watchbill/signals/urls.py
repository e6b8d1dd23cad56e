from django.urls import path

from watchbill.signals import pages

urlpatterns = [
    path("w/<slug:slug>/alerts", pages.alerts, name="alerts"),
    path("w/<slug:slug>/alerts/<uuid:group_id>", pages.group, name="alert_group"),
    path("w/<slug:slug>/silences", pages.silences, name="silences"),
    path("w/<slug:slug>/integrations", pages.integrations, name="integrations"),
]
