from django.urls import path

from watchbill.console import overview, pages

urlpatterns = [
    path("", pages.home, name="home"),
    path("account", pages.account, name="account"),
    path("theme", pages.set_theme, name="theme"),
    path("w/<slug:slug>/", overview.overview, name="overview"),
    path("w/<slug:slug>/counts", pages.counts, name="counts"),
    path("w/<slug:slug>/due", pages.due, name="due"),
    path("w/<slug:slug>/search", pages.search, name="search"),
    path("w/<slug:slug>/audit", pages.audit, name="audit"),
    path("w/<slug:slug>/audit/export", pages.audit_export, name="audit_export"),
    path("w/<slug:slug>/audit/<uuid:entry_id>", pages.audit_entry, name="audit_entry"),
    path("w/<slug:slug>/access", pages.access, name="access"),
    path("w/<slug:slug>/settings", pages.workspace_settings, name="settings"),
    path("w/<slug:slug>/settings/events", pages.events, name="settings_events"),
    path("w/<slug:slug>/settings/events/<uuid:fact_id>/replay", pages.event_replay, name="settings_event_replay"),
    path("w/<slug:slug>/files/<uuid:blob_id>", pages.file, name="file"),
]
