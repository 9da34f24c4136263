"""Addresses of the feedback API, with or without a trailing slash."""

from __future__ import annotations

from django.urls import re_path

from feedback.api import export, inbox, judges, metrics, privacy, replays, rounds, searches, usage, views

UID = r"(?P<uid>[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"

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
    re_path(r"^searches/estimate/?$", searches.SearchEstimate.as_view()),
    re_path(r"^searches/(?P<pk>\d{1,18})/?$", searches.SearchDetail.as_view()),
    re_path(r"^units/erase/?$", views.EraseUnit.as_view()),
    re_path(r"^feedback/metrics/?$", metrics.MetricList.as_view()),
    re_path(r"^feedback/metrics/(?P<pk>\d{1,18})/?$", metrics.MetricDetail.as_view()),
    re_path(r"^inbox/?$", inbox.InboxList.as_view()),
    re_path(rf"^inbox/{UID}/?$", inbox.InboxItem.as_view()),
    re_path(rf"^inbox/{UID}/notes/?$", inbox.InboxNotes.as_view()),
    re_path(rf"^inbox/{UID}/case/?$", inbox.InboxCase.as_view()),
    re_path(r"^annotation/?$", rounds.RoundList.as_view()),
    re_path(r"^annotation/(?P<pk>\d{1,18})/?$", rounds.RoundDetail.as_view()),
    re_path(r"^annotation/(?P<pk>\d{1,18})/end/?$", rounds.RoundEnd.as_view()),
    re_path(r"^annotation/(?P<pk>\d{1,18})/next/?$", rounds.RoundNext.as_view()),
    re_path(r"^annotation/(?P<pk>\d{1,18})/answers/(?P<item>\d{1,18})/?$", rounds.RoundAnswer.as_view()),
    re_path(r"^judges/?$", judges.JudgeList.as_view()),
    re_path(r"^judges/(?P<pk>\d{1,18})/?$", judges.JudgeDetail.as_view()),
    re_path(r"^judges/(?P<pk>\d{1,18})/run/?$", judges.JudgeRun.as_view()),
    re_path(r"^feedback/usage/?$", usage.Usage.as_view()),
    re_path(r"^usage/?$", usage.Uses.as_view()),
    re_path(r"^feedback/stats/?$", views.Stats.as_view()),
    re_path(r"^feedback/(?P<uid>[0-9a-fA-F-]{36})/?$", views.FeedbackItem.as_view()),
]
