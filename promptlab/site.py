"""The editors' site: Django's admin with our frame, our menu and our home page. Anybody with a role may sign in."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.contrib import admin
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.account import account_page
from promptlab.accounts.modeladmin import acting
from promptlab.accounts.models import User
from promptlab.home import home
from promptlab.lib.errors import DomainError, Forbidden, NotFound

WORK = [
    (_("Prompts"), "admin:prompts_prompt_changelist"),
    (_("To review"), "admin:prompts_reviewrequest_changelist"),
    (_("Live versions"), "admin:prompts_deployment_changelist"),
    (_("Planned deployments"), "admin:prompts_scheduleddeployment_changelist"),
    (_("Collections"), "admin:prompts_collection_changelist"),
    (_("Tags"), "admin:prompts_tag_changelist"),
    (_("Test suites"), "admin:prompts_suite_changelist"),
    (_("Experiments"), "admin:experiments_experiment_changelist"),
    (_("Gradual launches"), "admin:experiments_ramp_changelist"),
    (_("Results"), "dashboards:experiments"),
    (_("Use and money"), "usage:overview"),
    (_("Try it"), "admin:chat_conversation_try"),
    (_("Conversations"), "admin:chat_conversation_changelist"),
    (_("Ratings"), "admin:feedback_feedback_changelist"),
    (_("Comments"), "admin:feedback_comment_changelist"),
    (_("Annotation"), "admin:feedback_annotationround_changelist"),
    (_("Judges"), "admin:feedback_judge_changelist"),
    (_("Replays"), "admin:feedback_replay_changelist"),
    (_("Searches"), "admin:prompts_search_changelist"),
    (_("Models"), "admin:llm_languagemodel_changelist"),
]
ADMINISTRATION = [
    (_("People"), "admin:accounts_user_changelist"),
    (_("Teams"), "admin:accounts_team_changelist"),
    (_("Environments"), "admin:prompts_environment_changelist"),
    (_("What may be said"), "admin:feedback_metric_changelist"),
    (_("Fields of prompts"), "admin:prompts_metadatafield_changelist"),
    (_("Providers"), "admin:llm_provider_changelist"),
    (_("What does not leave"), "admin:llm_masking_changelist"),
    (_("What is kept"), "admin:feedback_privacy_changelist"),
    (_("Budgets"), "admin:chat_budget_changelist"),
    (_("Pricing again"), "admin:chat_repricing_changelist"),
    (_("API keys"), "admin:accounts_apikey_changelist"),
    (_("Webhooks"), "admin:hooks_endpoint_changelist"),
    (_("Webhook deliveries"), "admin:hooks_delivery_changelist"),
    (_("Mails"), "admin:hooks_mail_changelist"),
    (_("Activity log"), "admin:audit_auditentry_changelist"),
]


View = Callable[..., HttpResponse]
CARRY, CARRIED = "carry", "carried"
"""A form that asks for its words to be carried over signing in, and the field of the sign-in form that holds them."""


def _links(entries: list[tuple[Any, str]], path: str) -> list[dict[str, Any]]:
    found = []
    for label, name in entries:
        try:
            url = reverse(name)
        except NoReverseMatch:
            continue
        found.append({"label": label, "url": url, "is_current": False, "count": None})
    # Pages of their own lie below those of lists: the longest address is meant.
    here = max((one for one in found if path.startswith(one["url"])), key=lambda one: len(one["url"]), default=None)
    if here is not None:
        here["is_current"] = True
    return found


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the left menu: what everybody works with, and what administrators see besides."""
    if not isinstance(request.user, User) or not request.user.is_active:
        return []
    url = reverse("admin:index")
    home = {"label": gettext("Home"), "url": url, "is_current": request.path == url, "count": None}
    groups = [{"label": "", "links": [home, *_links(WORK, request.path)]}]
    if acting(request).may_anywhere("team.admin"):
        groups.append({"label": gettext("Administration"), "links": _links(ADMINISTRATION, request.path)})
    return groups


class PromptLabSite(admin.AdminSite):
    """Signing in takes a role in a team, not Django's staff flag."""

    site_title = site_header = "PromptLab"
    index_title = _("Home")
    site_url = None
    enable_nav_sidebar = False
    login_form = AuthenticationForm

    def has_permission(self, request: HttpRequest) -> bool:
        user = request.user
        return isinstance(user, User) and user.is_active and (user.is_superuser or bool(acting(request).grants))

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Return the frame of a page, without Django's list of models: our menu is another, and it takes two queries."""
        return {
            "site_title": self.site_title,
            "site_header": self.site_header,
            "has_permission": self.has_permission(request),
            "is_popup": False,
            **frame(request),
        }

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Let people with a role in, and say inside the frame what they may not do or what is not there."""
        return self._carried(super().admin_view(self._told(view), cacheable))

    def _carried(self, view: View) -> View:
        """Carry what was typed over signing in again, for forms that say so by `carry`: the session had ended."""

        @wraps(view)
        def carried(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method == "POST" and CARRY in request.POST and not request.user.is_authenticated:
                fields = [(name, word) for name in request.POST for word in request.POST.getlist(name)]
                words = json.dumps([pair for pair in fields if pair[0] != "csrfmiddlewaretoken"])
                request.method = "GET"
                context = {CARRIED: words, "app_path": reverse("admin:login"), "next": request.get_full_path()}
                return super(PromptLabSite, self).login(request, context)
            return view(request, *args, **kwargs)

        return carried

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Let somebody in; who was signed out while writing then sends what was typed again, with a press of a button."""
        words = request.POST.get(CARRIED, "")
        answer = super().login(request, {CARRIED: words, **(extra_context or {})})
        if not words or answer.status_code != HTTPStatus.FOUND:
            return answer
        context = {**self.each_context(request), "action": answer["Location"], "fields": _fields_in(words)}
        return TemplateResponse(request, "admin/carried.html", context)

    def _told(self, view: View) -> View:
        @wraps(view)
        def told(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                return view(request, *args, **kwargs)
            except PermissionDenied:
                return self._refusal(request, Forbidden(), "403.html")
            except Http404:
                return self._refusal(request, NotFound(), "404.html")
            except DomainError as error:
                if error.status >= 500:
                    raise
                return self._refusal(request, error, _page_for(error))

        return told

    def _refusal(self, request: HttpRequest, error: DomainError, template: str) -> HttpResponse:
        reason = error.told if error.detail != type(error).detail else ""
        said = {"error": error, "reason": reason, "title": gettext("That is not possible now")}
        return TemplateResponse(request, template, {**self.each_context(request), **said}, status=error.status)

    def get_urls(self) -> list[Any]:
        return [path("account/", self.admin_view(self.account), name="account"), *super().get_urls()]

    def account(self, request: HttpRequest) -> HttpResponse:
        """Answer the page about oneself."""
        return account_page(request, self.each_context(request))

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Answer Home: what needs somebody, what runs, what just went live; the first steps while there is nothing."""
        return super().index(request, {**home(acting(request)), **(extra_context or {})})


def _fields_in(words: str) -> list[tuple[str, str]]:
    """Return the (name, value) pairs that were carried along; none of what is no list of pairs."""
    try:
        return [(str(name), str(word)) for name, word in json.loads(words)]
    except (ValueError, TypeError):
        return []


def _page_for(error: DomainError) -> str:
    """Return the page that says it: what is nowhere has its own, as has what a role does not allow."""
    if isinstance(error, Forbidden):
        return "403.html"
    return "404.html" if type(error) is NotFound else "error.html"


def frame(request: HttpRequest) -> dict[str, Any]:
    """Return what every page in our frame shows around its content."""
    return {
        "nav": navigation(request),
        "search_url": reverse("admin:prompts_prompt_changelist"),
        "person": str(request.user) if request.user.is_authenticated else "",
    }
