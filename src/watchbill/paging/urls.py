from django.urls import path

from watchbill.paging import pages

urlpatterns = [
    path("service-worker.js", pages.worker_script, name="service_worker"),
    path("w/<slug:slug>/pages", pages.pages, name="pages"),
    path("w/<slug:slug>/pages/quieter", pages.announced, name="announcements"),
    path("w/<slug:slug>/pages/<uuid:page_id>", pages.page, name="page"),
    path("w/<slug:slug>/oncall/contacts", pages.contact_roster, name="oncall_roster"),
    path("w/<slug:slug>/my-paging", pages.mine, name="my_paging"),
    path("w/<slug:slug>/settings/channels", pages.channels, name="channels"),
]
