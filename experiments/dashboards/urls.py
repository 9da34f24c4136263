"""Addresses of the experiment pages, under /dashboards/."""

from __future__ import annotations

from django.urls import path, re_path

from experiments.dashboards import method, views

app_name = "dashboards"
E = r"^experiments/(?P<key>[a-z0-9][a-z0-9._-]*)"
urlpatterns = [
    path("", views.home, name="home"),
    path("statistics/", method.method, name="method"),
    path("experiments/", views.experiment_list, name="experiments"),
    re_path(r"^shared/(?P<token>[^/]{1,300})/$", views.shared, name="shared"),
    re_path(rf"{E}/$", views.detail, name="experiment"),
    re_path(rf"{E}/live/$", views.live, name="experiment-live"),
    re_path(rf"{E}/export\.csv$", views.export, name="experiment-csv"),
    re_path(rf"{E}/inputs\.json$", views.inputs, name="experiment-inputs"),
    re_path(rf"{E}/sums\.csv$", views.sums, name="experiment-sums"),
]
