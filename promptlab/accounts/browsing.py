"""The API as pages, for signed-in people in a browser: what an address answers, and forms for what they may send there."""

from __future__ import annotations

from typing import Any

from django.middleware.csrf import get_token
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.request import Request

from promptlab.accounts import auth
from promptlab.accounts.access import Principal

PREFIX = "/api/v1/"
PAGE = "text/html"

OF_SECTION = {
    "collections": "prompt.write",
    "comments": "prompt.comment",
    "deployments": "prompt.deploy",
    "environments": "team.admin",
    "experiments": "experiment.write",
    "feedback": "feedback.write",
    "fields": "team.admin",
    "keys": "key.admin",
    "prompts": "prompt.write",
    "schedules": "prompt.deploy",
    "tags": "prompt.write",
    "webhooks": "webhook.admin",
}
"""What it takes to write in a part of the API, by the first word of the address. Others are for everybody."""
OF_VERB = {
    **dict.fromkeys(("approve", "request-changes"), "prompt.review"),
    **dict.fromkeys(("start", "pause", "resume", "stop", "kill"), "experiment.run"),
    **dict.fromkeys(("favourite", "rating", "render"), "prompt.read"),
    "comments": "prompt.comment",
}
"""What it takes where the last word of the address says it better."""


class PagesForPeople(DefaultContentNegotiation):
    """Choose the page only for a signed-in person whose browser asks for one, under /api/v1/; JSON for everybody else."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> Any:
        if not _wants_page(request):
            renderers = [one for one in renderers if not isinstance(one, ApiPage)]
        return super().select_renderer(request, renderers, format_suffix)


def _wants_page(request: Request) -> bool:
    """Tell it without a query for whoever does not name text/html: who is signed in is asked last."""
    plain = request._request
    return (
        PAGE in plain.headers.get("accept", "")
        and plain.path.startswith(PREFIX)
        and not auth.credential({name.lower(): value for name, value in plain.headers.items()})
        and plain.user.is_authenticated
    )


def may_send(principal: object, method: str, path: str) -> bool:
    """Tell whether a form is worth showing: the person may do such a thing in some team. The service decides."""
    words = path.removeprefix(PREFIX).strip("/").split("/")
    needed = OF_VERB.get(words[-1]) or OF_SECTION.get(words[0], "")
    return isinstance(principal, Principal) and (not needed or principal.may_anywhere(needed))


class ApiPage(BrowsableAPIRenderer):
    """One answer as a page of ours: see templates/rest_framework/api.html."""

    def show_form_for_method(self, view: Any, method: str, request: Any, obj: object) -> bool:
        return method in view.allowed_methods and may_send(getattr(request, "_auth", None), method, request.path)

    def get_rendered_html_form(self, data: object, view: Any, method: str, request: Any) -> bool:
        """Tell whether a button is shown. What is sent is JSON: the API takes no fields of forms."""
        return method == "DELETE" and self.show_form_for_method(view, method, request, None)

    def get_filter_form(self, data: object, view: object, request: object) -> None:
        """Return none: filters are in the address, and /docs explains them."""

    def get_context(self, data: Any, accepted_media_type: str, renderer_context: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(data, accepted_media_type, renderer_context)
        *above, here = context["breadcrumblist"] or [("", "")]
        sent = {"POST": "raw_data_post_form", "PUT": "raw_data_put_form", "PATCH": "raw_data_patch_form"}
        return {
            **context,
            "title": here[0] or context["name"],
            "breadcrumbs": [{"label": label, "url": url} for label, url in above],
            "csrf": {
                "csrfHeaderName": context["csrf_header_name"],
                "csrfToken": get_token(context["request"]._request),
            },
            "person": str(context["user"] or ""),
            "forms": [method for method, name in sent.items() if context[name]],
        }

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> Any:
        renderer_context["response"]["Cache-Control"] = "no-store"
        return super().render(data, accepted_media_type, renderer_context)
