from django.urls import path

from watchbill.handbook import pages, review_pages

urlpatterns = [
    path("w/<slug:slug>/handbook", pages.handbook, name="handbook"),
    path("w/<slug:slug>/handbook/review", review_pages.review, name="handbook_review"),
    path("w/<slug:slug>/handbook/review/lock", review_pages.review_lock, name="handbook_review_lock"),
    path("w/<slug:slug>/handbook/revisions", pages.revisions, name="handbook_revisions"),
    path("w/<slug:slug>/handbook/revisions/<int:number>", pages.revision, name="handbook_revision"),
    path("w/<slug:slug>/handbook/revisions/<int:number>/lock", pages.revision_lock, name="handbook_revision_lock"),
    path("w/<slug:slug>/troubleshooting", pages.troubleshooting, name="troubleshooting"),
    path("w/<slug:slug>/troubleshooting/<uuid:item_id>", pages.guide, name="troubleshooting_guide"),
    path("w/<slug:slug>/runbooks", pages.runbooks, name="runbooks"),
    path("w/<slug:slug>/runbooks/<path:path>", pages.runbook, name="runbook"),
]
