from django.urls import path

from watchbill.incidents import pages

urlpatterns = [
    path("w/<slug:slug>/incidents", pages.incidents, name="incidents"),
    path("w/<slug:slug>/incidents/<int:number>", pages.incident, name="incident"),
    path("w/<slug:slug>/alerts/<uuid:group_id>/incident", pages.by_group, name="incident_of_group"),
]
