"""Addresses of conversations."""

from __future__ import annotations

from django.urls import re_path

from promptlab.chat.api import explain, exposures, stream, views

UID = "(?P<uid>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"

HOT = [*stream.ROUTES, *exposures.ROUTES]
"""Answered by `promptlab.asgi` before Django; named here, so that the API's description knows them in every process."""

urlpatterns = [
    re_path(r"^explain/(?P<receipt>[A-Za-z0-9._-]{1,1000})/?$", explain.Explain.as_view()),
    re_path(rf"^messages/{UID}/?$", views.MessageDetail.as_view()),
    re_path(rf"^conversations/{UID}/messages/?$", views.ConversationMessages.as_view()),
]
