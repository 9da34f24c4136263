"""The addresses of providers, models and prices."""

from __future__ import annotations

from django.urls import re_path

from promptlab.llm.api.language_models import ModelDetail, ModelList
from promptlab.llm.api.masking import MaskingDetail
from promptlab.llm.api.prices import PriceDetail, PriceList
from promptlab.llm.api.providers import CheckProvider, ProviderDetail, ProviderList

urlpatterns = [
    re_path(r"^providers/?$", ProviderList.as_view()),
    re_path(r"^providers/(?P<pk>\d+)/?$", ProviderDetail.as_view()),
    re_path(r"^providers/(?P<pk>\d+)/check/?$", CheckProvider.as_view()),
    re_path(r"^providers/(?P<pk>\d+)/prices/?$", PriceList.as_view()),
    re_path(r"^masking/?$", MaskingDetail.as_view()),
    re_path(r"^prices/(?P<pk>\d+)/?$", PriceDetail.as_view()),
    re_path(r"^models/?$", ModelList.as_view()),
    re_path(r"^models/(?P<pk>\d+)/?$", ModelDetail.as_view()),
]
