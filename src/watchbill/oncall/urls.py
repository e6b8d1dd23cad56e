from django.urls import path

from watchbill.oncall import pages

urlpatterns = [
    path("w/<slug:slug>/oncall", pages.oncall, name="oncall"),
    path("w/<slug:slug>/oncall/<uuid:schedule_id>", pages.schedule, name="oncall_schedule"),
    path("feed/<str:key>.ics", pages.feed, name="oncall_feed"),
]
