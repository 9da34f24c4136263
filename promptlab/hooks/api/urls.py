"""The addresses of webhooks, and of one's own mails."""

from __future__ import annotations

from django.urls import re_path

from promptlab.hooks.api.notifications import MyNotifications
from promptlab.hooks.api.webhooks import (
    DeliveryList,
    ReplayDelivery,
    RotateWebhook,
    TestWebhook,
    WebhookDetail,
    WebhookList,
)

urlpatterns = [
    re_path(r"^webhooks/?$", WebhookList.as_view()),
    re_path(r"^webhooks/(?P<pk>\d+)/?$", WebhookDetail.as_view()),
    re_path(r"^webhooks/(?P<pk>\d+)/rotate/?$", RotateWebhook.as_view()),
    re_path(r"^webhooks/(?P<pk>\d+)/test/?$", TestWebhook.as_view()),
    re_path(r"^webhooks/(?P<pk>\d+)/deliveries/?$", DeliveryList.as_view()),
    re_path(r"^webhooks/deliveries/(?P<pk>\d+)/replay/?$", ReplayDelivery.as_view()),
    re_path(r"^me/notifications/?$", MyNotifications.as_view()),
]
