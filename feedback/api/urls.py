"""Addresses of the feedback API, with or without a trailing slash."""

from __future__ import annotations

from django.urls import re_path

from feedback.api import export, metrics, privacy, replays, searches, usage, views

HOT = [*export.ROUTES]
"""Answered by `promptlab.asgi` before Django; named here, so that the API's description knows them in every process."""

urlpatterns = [
    re_path(r"^feedback/?$", views.FeedbackList.as_view()),
    re_path(r"^privacy/?$", privacy.PrivacyDetail.as_view()),
    re_path(r"^replays/?$", replays.ReplayList.as_view()),
    re_path(r"^replays/estimate/?$", replays.ReplayEstimate.as_view()),
    re_path(r"^replays/(?P<pk>\d{1,18})/?$", replays.ReplayDetail.as_view()),
    re_path(r"^replays/(?P<pk>\d{1,18})/cases/?$", replays.ReplayCases.as_view()),
    re_path(r"^searches/?$", searches.SearchList.as_view()),
    re_path(r"^searches/(?P<pk>\d{1,18})/?$", searches.SearchDetail.as_view()),
    re_path(r"^units/erase/?$", views.EraseUnit.as_view()),
    re_path(r"^feedback/metrics/?$", metrics.MetricList.as_view()),
    re_path(r"^feedback/metrics/(?P<pk>\d{1,18})/?$", metrics.MetricDetail.as_view()),
    re_path(r"^feedback/usage/?$", usage.Usage.as_view()),
    re_path(r"^feedback/stats/?$", views.Stats.as_view()),
    re_path(r"^feedback/(?P<uid>[0-9a-fA-F-]{36})/?$", views.FeedbackItem.as_view()),
]
