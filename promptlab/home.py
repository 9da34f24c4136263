"""What Home shows: what needs somebody, what waits for one, what one sent and wrote, what runs, what just went live."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import CharField, F, Q, Sum
from django.db.models.functions import Cast
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext

from experiments.dashboards.words import KINDS
from experiments.models import ConclusionRequest, Experiment, HourRollup
from experiments.results import Overview, overview
from promptlab.accounts.access import Principal
from promptlab.accounts.models import ApiKey
from promptlab.audit.admin import sentence
from promptlab.audit.models import AuditEntry
from promptlab.lib.formats import fmt_datetime, fmt_int, fmt_name, fmt_pct
from prompts.models import Collection, Draft, FreezeWindow, GoldenRun, Prompt, ReviewRequest
from prompts.querysets import closed_to

STOPPED_DAYS = 3
KEY_WARNING_DAYS = 14
ENOUGH_ANSWERS = 20
TOO_MANY_ERRORS = 0.05
"""From this share on, of at least `ENOUGH_ANSWERS` in a day, failing answers need somebody."""
DRIFT_NIGHTS = 1
"""Somebody is told of what last night found, and of what the night before did until tonight is known."""
MOST_LINES = 6
MOST_REVIEWS = 200
MOST_ENTRIES = 100
OPEN, SENT_BACK = ReviewRequest.State.OPEN, ReviewRequest.State.CHANGES_REQUESTED


def home(actor: Principal) -> dict[str, Any]:
    """Return what Home shows: twelve queries, however much there is."""
    experiments, (moves, edits) = overview(actor), _recent(actor)
    return {
        "has_prompts": bool(edits or moves) or Prompt.objects.visible_to(actor).active().exists(),
        "can_write": actor.may_anywhere("prompt.write"),
        "new_prompt_url": reverse("admin:prompts_prompt_add"),
        "prompts_url": reverse("admin:prompts_prompt_changelist"),
        "attention": [
            *_killed(experiments),
            *_asked(actor),
            *_failing(actor),
            *_drifting(actor),
            *_ending_keys(actor),
            *_frozen(actor),
        ],
        **_reviews(actor),
        "edits": edits,
        "running": [_running(one, actor) for one in experiments if one.experiment.is_serving],
        "recent_moves": moves,
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


def _reviews(actor: Principal) -> dict[str, list[dict[str, Any]]]:
    """Return what waits for one's review, the oldest first, and what one asked for that is open or was sent back."""
    of_others = Q(state=OPEN, version__prompt__team__in=actor.teams_with("prompt.review"))
    # What was sent back and written anew is another version: the old request is done with.
    own = Q(requested_by=actor.user_id, version=F("version__prompt__newest"))
    rows = ReviewRequest.objects.visible_to(actor).filter(of_others | own, state__in=(OPEN, SENT_BACK))
    rows = rows.select_related("version__prompt").order_by("at")[:MOST_REVIEWS]
    teams = actor.teams_with("prompt.review")
    waiting, asked = [], []
    for one in rows:
        is_reviewer = one.version.prompt.team_id in teams
        if one.state == OPEN and is_reviewer and one.version.author_id != actor.user_id:
            waiting.append(_review(one))
        if one.requested_by_id == actor.user_id and one.version_id == one.version.prompt.newest_id:
            asked.append(_review(one))
    return {"reviews": waiting[:MOST_LINES], "asked": asked[::-1][:MOST_LINES]}


def _review(one: ReviewRequest) -> dict[str, Any]:
    return {
        "title": str(one.version),
        "url": reverse("admin:prompts_version_change", args=[one.version_id]),
        "who": one.requested_label,
        "note": one.note,
        "state": one.get_state_display(),
        "kind": "warn" if one.state == SENT_BACK else "info",
        "at": one.at,
    }


def _frozen(actor: Principal) -> list[dict[str, Any]]:
    """Return the environments in which nothing goes live now, and why."""
    rows = FreezeWindow.objects.visible_to(actor).active(timezone.now()).select_related("environment")
    told = gettext("Nothing goes live in %(environment)s until %(end)s: %(reason)s")
    return [
        {
            "sentence": told % {"environment": one.environment, "end": fmt_datetime(one.ends_at), "reason": one.reason},
            "url": "",
            "kind": "info",
        }
        for one in rows[:MOST_LINES]
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
        why = f" “{gettext(experiment.end_note)}”" if experiment.end_note else ""
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


def _recent(actor: Principal) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what went live last, and the versions that one saved last, as the activity log tells it: one query."""
    own = Q(verb="version.created", actor_kind="user", actor_id=actor.user_id)
    entries = AuditEntry.objects.of_teams(actor.teams_with("prompt.read"))
    entries = entries.filter(Q(verb__startswith="deployment.") | own)
    closed = closed_to(actor)
    if closed is not None:
        private = Prompt.objects.filter(collection__in=Collection.objects.filter(closed).values("pk"))
        named = private.order_by().annotate(target=Cast("pk", CharField())).values("target")
        entries = entries.exclude(target_type=Prompt._meta.label_lower, target_id__in=named)
    rows = list(entries[:MOST_ENTRIES])
    moves = [
        {
            "sentence": f"{entry.actor_label} {sentence(entry)}",
            "url": reverse("admin:prompts_prompt_change", args=[entry.target_id]),
            "at": entry.at,
        }
        for entry in rows
        if entry.verb != "version.created"
    ]
    edits = [
        {
            "title": entry.target_label,
            "url": reverse("admin:prompts_version_change", args=[entry.target_id]),
            "note": entry.note,
            "at": entry.at,
        }
        for entry in rows
        if entry.verb == "version.created"
    ]
    return moves[:MOST_LINES], edits[:MOST_LINES]
