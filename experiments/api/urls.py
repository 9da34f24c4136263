"""Addresses of the experiment API, with or without a trailing slash."""

from __future__ import annotations

from django.urls import re_path

from experiments.api import conclusions, delivery, environment, ramps, views

E = r"^experiments/(?P<reference>[^/]+)"

HOT = [*delivery.ROUTES, *environment.ROUTES]
"""Answered by `promptlab.asgi` before Django; named here, so that the API's description knows them in every process."""

urlpatterns = [
    re_path(r"^experiments/?$", views.ExperimentList.as_view()),
    re_path(rf"{E}/?$", views.ExperimentDetail.as_view()),
    re_path(rf"{E}/(?P<verb>start|pause|resume|stop|kill)/?$", views.ExperimentAct.as_view()),
    re_path(rf"{E}/assignment/?$", views.AssignmentView.as_view()),
    re_path(rf"{E}/overrides/?$", views.Overrides.as_view()),
    re_path(rf"{E}/shares/?$", views.Shares.as_view()),
    re_path(rf"{E}/coverage/?$", views.Coverage.as_view()),
    re_path(rf"{E}/deal-anew/?$", views.DealAnew.as_view()),
    re_path(rf"{E}/phases/?$", views.Phases.as_view()),
    re_path(rf"{E}/checklist/?$", views.Checklist.as_view()),
    re_path(rf"{E}/conclude/?$", views.Conclude.as_view()),
    re_path(rf"{E}/conclusions/?$", conclusions.ConclusionRequests.as_view()),
    re_path(
        rf"{E}/conclusions/(?P<pk>\d+)/(?P<verb>approve|refuse|withdraw)/?$", conclusions.ConclusionRequestAct.as_view()
    ),
    re_path(rf"{E}/results/?$", views.Results.as_view()),
    re_path(r"^deployments/?$", ramps.DeploymentList.as_view()),
    re_path(r"^ramps/?$", ramps.RampList.as_view()),
    re_path(r"^ramps/(?P<pk>\d+)/?$", ramps.RampDetail.as_view()),
    re_path(r"^ramps/(?P<pk>\d+)/(?P<verb>hold|go-on|go-earlier|send-back)/?$", ramps.RampAct.as_view()),
]
