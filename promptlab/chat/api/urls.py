"""Addresses of conversations."""

from __future__ import annotations

from django.urls import re_path

from promptlab.chat.api import budgets, conversations, explain, export, exposures, generate, stream, views

UID = "(?P<uid>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"

HOT = [*stream.ROUTES, *generate.ROUTES, *export.ROUTES, *exposures.ROUTES]
"""Answered by `promptlab.asgi` before Django; named here, so that the API's description knows them in every process."""

urlpatterns = [
    re_path(r"^budgets/?$", budgets.BudgetList.as_view()),
    re_path(r"^budgets/(?P<pk>\d+)/?$", budgets.BudgetDetail.as_view()),
    re_path(r"^explain/(?P<receipt>[A-Za-z0-9._-]{1,1000})/?$", explain.Explain.as_view()),
    re_path(rf"^messages/{UID}/?$", views.MessageDetail.as_view()),
    re_path(r"^conversations/?$", conversations.ConversationList.as_view()),
    re_path(r"^conversations/retention/?$", conversations.ConversationRetention.as_view()),
    re_path(rf"^conversations/{UID}/?$", conversations.ConversationDetail.as_view()),
    re_path(rf"^conversations/{UID}/archive/?$", conversations.Archive.as_view()),
    re_path(rf"^conversations/{UID}/unarchive/?$", conversations.Unarchive.as_view()),
    re_path(rf"^conversations/{UID}/messages/?$", views.ConversationMessages.as_view()),
]
