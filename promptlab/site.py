"""The editors' site: Django's admin with our frame, our menu and our home page. Anybody with a role may sign in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from django.contrib import admin
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import PermissionDenied
from django.db.models import CharField, Sum
from django.db.models.functions import Cast
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from experiments.dashboards.words import KINDS
from experiments.models import ConclusionRequest, Experiment, HourRollup
from experiments.results import Overview, overview
from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import acting
from promptlab.accounts.models import ApiKey, User
from promptlab.audit.admin import sentence
from promptlab.audit.models import AuditEntry
from promptlab.lib.errors import DomainError, Forbidden, NotFound
from promptlab.lib.formats import fmt_int, fmt_name, fmt_pct
from prompts.models import Collection, Draft, GoldenRun, Prompt
from prompts.querysets import closed_to

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
STOPPED_DAYS = 3
KEY_WARNING_DAYS = 14
ENOUGH_ANSWERS = 20
TOO_MANY_ERRORS = 0.05
"""From this share on, of at least `ENOUGH_ANSWERS` in a day, failing answers need somebody."""
DRIFT_NIGHTS = 1
"""Somebody is told of what last night found, and of what the night before did until tonight is known."""
MOST_LINES = 6


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
        return super().admin_view(self._told(view), cacheable)

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

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Answer Home: what needs somebody, what runs, what just went live; the first steps while there is nothing."""
        return super().index(request, {**home(acting(request)), **(extra_context or {})})


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


def home(actor: Principal) -> dict[str, Any]:
    """Return what Home shows: ten queries, however much there is."""
    experiments = overview(actor)
    return {
        "prompt_count": Prompt.objects.visible_to(actor).active().count(),
        "can_write": actor.may_anywhere("prompt.write"),
        "new_prompt_url": reverse("admin:prompts_prompt_add"),
        "prompts_url": reverse("admin:prompts_prompt_changelist"),
        "attention": [
            *_killed(experiments),
            *_asked(actor),
            *_failing(actor),
            *_drifting(actor),
            *_ending_keys(actor),
        ],
        "running": [_running(one, actor) for one in experiments if one.experiment.is_serving],
        "recent_moves": _recent_moves(actor),
        "drafts": _drafts(actor),
    }


def _drafts(actor: Principal) -> list[dict[str, Any]]:
    """Return one's own drafts of prompts one may still write, the latest first; with what was saved since."""
    rows = Draft.objects.of(actor).filter(prompt__team__in=actor.teams_with("prompt.write"), prompt__archived_at=None)
    return [
        {
            "title": draft.prompt.title,
            "url": reverse("admin:prompts_prompt_change", args=[draft.prompt_id]),
            "at": draft.updated_at,
            "begun": draft.started_from,
            "newest": draft.prompt.newest.number,
            "is_behind": draft.prompt.newest.number > draft.started_from,
        }
        for draft in rows.select_related("prompt__newest")[:MOST_LINES]
    ]


def _asked(actor: Principal) -> list[dict[str, Any]]:
    """Return the conclusions against the numbers that wait for another person, such as this one: one query."""
    rows = ConclusionRequest.objects.visible_to(actor, "experiment.run").open().exclude(asker_id=actor.user_id)
    return [
        {
            "sentence": gettext("%(asker)s asks another person to approve the conclusion of %(title)s.")
            % {"asker": one.asker_label, "title": one.experiment.title},
            "url": reverse("admin:experiments_experiment_change", args=[one.experiment_id]),
            "kind": "warn",
        }
        for one in rows.select_related("experiment")[:MOST_LINES]
    ]


def _killed(experiments: list[Overview]) -> list[dict[str, Any]]:
    """Return the experiments that somebody had to stop in the last days."""
    since = timezone.now() - timedelta(days=STOPPED_DAYS)
    found = []
    for experiment in (one.experiment for one in experiments):
        if experiment.state != Experiment.State.KILLED or experiment.ended_at is None or experiment.ended_at < since:
            continue
        words = gettext("%(title)s was stopped at once.") % {"title": experiment.title}
        why = f" “{experiment.end_note}”" if experiment.end_note else ""
        url = reverse("admin:experiments_experiment_change", args=[experiment.pk])
        found.append({"sentence": words + why, "url": url, "kind": "bad"})
    return found


def _failing(actor: Principal) -> list[dict[str, Any]]:
    """Return the prompts whose answers fail too often, per environment: one query over the hourly sums."""
    hours = HourRollup.objects.visible_to(actor).filter(hour__gte=timezone.now() - timedelta(days=1), requests__gt=0)
    sums = hours.order_by().values("prompt_id", "prompt__title", "environment__name")
    asked = sums.annotate(asked=Sum("requests"), failed=Sum("errors")).filter(asked__gte=ENOUGH_ANSWERS)
    found = []
    for one in asked:
        if one["failed"] / one["asked"] < TOO_MANY_ERRORS:
            continue
        words = gettext("%(prompt)s in %(environment)s: %(failed)s of %(asked)s answers failed in the last day.") % {
            "prompt": one["prompt__title"],
            "environment": fmt_name(one["environment__name"]),
            "failed": fmt_int(one["failed"]),
            "asked": fmt_int(one["asked"]),
        }
        url = reverse("admin:prompts_prompt_change", args=[one["prompt_id"]])
        found.append({"sentence": words, "url": url, "kind": "bad"})
    return found


def _drifting(actor: Principal) -> list[dict[str, Any]]:
    """Return what is live and answered worse than before in the last nights, though nobody changed it: one query."""
    since = timezone.now().date() - timedelta(days=DRIFT_NIGHTS)
    newest: dict[tuple[int, int, int], GoldenRun] = {}
    for one in GoldenRun.objects.visible_to(actor).drifting(since).with_names():
        newest.setdefault((one.environment_id, one.suite_id, one.version_id), one)
    found = []
    for one in list(newest.values())[:MOST_LINES]:
        words = gettext(
            "%(prompt)s in %(environment)s answers worse than before: %(after)s passed, not %(before)s."
        ) % {
            "prompt": one.version.prompt.title,
            "environment": one.environment,
            "after": fmt_pct(one.rate_after),
            "before": fmt_pct(one.rate_before),
        }
        found.append(
            {"sentence": words, "url": reverse("admin:prompts_suiterun_change", args=[one.run_id]), "kind": "bad"}
        )
    return found


def _ending_keys(actor: Principal) -> list[dict[str, Any]]:
    """Return the keys that end soon, for those who can replace them."""
    if not actor.may_anywhere("key.admin"):
        return []
    soon = timezone.now() + timedelta(days=KEY_WARNING_DAYS)
    return [
        {
            "sentence": gettext("The API key %(key)s ends soon. Replace it.") % {"key": key.name},
            "url": reverse("admin:accounts_apikey_change", args=[key.pk]),
            "kind": "warn",
        }
        for key in ApiKey.objects.visible_to(actor).usable().filter(expires_at__lt=soon)[:MOST_LINES]
    ]


def _running(one: Overview, actor: Principal) -> dict[str, Any]:
    experiment = one.experiment
    url = reverse("dashboards:experiment", args=[experiment.key])
    counts = {"shown": fmt_int(one.shown), "rated": fmt_int(one.rated)}
    return {
        "title": experiment.title,
        "url": f"{url}?team={experiment.team_id}" if len(actor.grants) > 1 else url,
        "state": experiment.get_state_display(),
        "kind": KINDS[Experiment.State(experiment.state)],
        "days": (timezone.now() - experiment.started_at).days if experiment.started_at else None,
        "line": gettext("%(shown)s shown, %(rated)s ratings") % counts,
    }


def _recent_moves(actor: Principal) -> list[dict[str, Any]]:
    """Return what went live last, as the activity log tells it."""
    entries = AuditEntry.objects.of_teams(actor.teams_with("prompt.read")).filter(verb__startswith="deployment.")
    closed = closed_to(actor)
    if closed is not None:
        private = Prompt.objects.filter(collection__in=Collection.objects.filter(closed).values("pk"))
        named = private.order_by().annotate(target=Cast("pk", CharField())).values("target")
        entries = entries.exclude(target_type=Prompt._meta.label_lower, target_id__in=named)
    return [
        {
            "sentence": f"{entry.actor_label} {sentence(entry)}",
            "url": reverse("admin:prompts_prompt_change", args=[entry.target_id]),
            "at": entry.at,
        }
        for entry in entries[:MOST_LINES]
    ]
