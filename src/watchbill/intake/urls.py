from django.urls import path

from watchbill.intake import replies

urlpatterns = [
    path("reply/<str:key>", replies.link, name="reply"),
    path("reply/<str:key>/acknowledge", replies.acknowledge, name="reply_acknowledge"),
    path("reply/<str:key>/voice", replies.voice, name="reply_voice"),
    path("reply/<str:key>/key", replies.pressed, name="reply_key"),
    path("reply/<str:key>/status", replies.status, name="reply_status"),
]
