from django.urls import path

from watchbill.people import pages

urlpatterns = [
    path("w/<slug:slug>/people", pages.people, name="people"),
    path("w/<slug:slug>/people/<uuid:person_id>", pages.person, name="person"),
    path("w/<slug:slug>/teams", pages.teams, name="teams"),
    path("w/<slug:slug>/teams/<slug:team_slug>", pages.team, name="team"),
    path("workspaces/new", pages.new_workspace, name="workspace_new"),
    path("workspaces", pages.create_workspace, name="workspace_create"),
]
