"""Every public path that Django answers. The hot routes stand before it, in `promptlab.asgi`."""

from __future__ import annotations

from csp.constants import UNSAFE_INLINE
from csp.decorators import csp_update
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerSplitView

from promptlab import pages
from promptlab.lib import health

readable = csp_update({"style-src": [UNSAFE_INLINE], "worker-src": ["blob:"]})
"""The API's readers set styles as they draw. They show nothing but the schema, and run no script of a page."""

API: list[URLPattern | URLResolver] = [
    path("", include("prompts.api.urls")),
    path("", include("experiments.api.urls")),
    path("", include("feedback.api.urls")),
    path("", include("promptlab.chat.api.urls")),
    path("", include("promptlab.accounts.api")),
    path("", include("promptlab.hooks.api.urls")),
    path("", include("promptlab.llm.api.urls")),
]

urlpatterns = [
    path("", pages.home),
    re_path(r"^health/?$", health.health),
    re_path(r"^livez/?$", health.livez),
    re_path(r"^(?:readyz|healthz)/?$", health.readyz),
    re_path(r"^metrics/?$", health.counted),
    path("admin/language/", pages.set_language, name="set_language"),
    path("admin/", admin.site.urls),
    path("mail/", include("promptlab.hooks.pages")),
    path("dashboards/usage/", include("feedback.dashboards.urls")),
    path("dashboards/", include("experiments.dashboards.urls")),
    re_path(r"^schema/?$", SpectacularAPIView.as_view(), name="schema"),
    re_path(r"^docs/?$", readable(SpectacularSwaggerSplitView.as_view()), name="docs"),
    re_path(r"^redoc/?$", readable(SpectacularRedocView.as_view()), name="redoc"),
    path("api/v1/", include(API)),
    path("", include(API)),
]

handler400 = "promptlab.pages.bad_request"
handler403 = "promptlab.pages.permission_denied"
handler404 = "promptlab.pages.not_found"
handler500 = "promptlab.pages.server_error"
