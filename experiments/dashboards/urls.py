"""Addresses of the experiment pages, under /dashboards/."""

from __future__ import annotations

from django.urls import path, re_path

from experiments.dashboards import views

app_name = "dashboards"
E = r"^experiments/(?P<key>[a-z0-9][a-z0-9._-]*)"
urlpatterns = [
    path("", views.home, name="home"),
    path("experiments/", views.experiment_list, name="experiments"),
    re_path(rf"{E}/$", views.detail, name="experiment"),
    re_path(rf"{E}/live/$", views.live, name="experiment-live"),
    re_path(rf"{E}/export\.csv$", views.export, name="experiment-csv"),
]
