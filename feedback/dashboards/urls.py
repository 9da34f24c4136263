"""Addresses of the pages of use, under /dashboards/usage/."""

from __future__ import annotations

from django.urls import path

from feedback.dashboards import calls, one, views

app_name = "usage"
urlpatterns = [
    path("", views.overview, name="overview"),
    path("changes/", views.changes, name="changes"),
    path("money/", views.money, name="money"),
    path("unused/", views.unused, name="unused"),
    path("prompts/<int:pk>/", one.prompt, name="prompt"),
    path("prompts/<int:pk>/calls/", calls.table, name="calls"),
    path("prompts/<int:pk>/calls.csv", calls.sheet, name="calls-csv"),
    path("export.csv", views.export, name="csv"),
]
