"""Replays: what people liked and disliked, asked again of a version, and a blind judge between then and now.

A replay is a run of the test suite `NAME.replays` with cases of its own; budget, progress, cancelling and going on are
the run's. What end users wrote goes in without addresses, numbers and ids, and is removed where their messages are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from django.db import transaction
from django.utils.translation import gettext_noop

from feedback import replays
from feedback.errors import NothingToReplay
from feedback.models import Feedback, Replay, ReplayItem, SavedCase
from feedback.replays import Replayed
from feedback.services.asking import case_of, turns_before
from promptlab.accounts.access import SYSTEM, Principal, require
from promptlab.audit.recorder import record
from promptlab.chat.models import Message
from promptlab.lib.errors import Invalid
from prompts import snippets
from prompts.checks import PREFERRED, checked
from prompts.checks.cases import Case, Check
from prompts.checks.preferring import BETTER
from prompts.models import Prompt, Suite, SuiteCase, SuiteResult, SuiteRun, Version
from prompts.services import suites
from prompts.services.environments import named
from prompts.services.suite_calls import problem_of
from prompts.services.suite_runs import USUAL_ENVIRONMENT, Estimate, Wanted, estimate_run, forget_places, request_run

WRITE: Final = "prompt.write"
MOST: Final = 500
DOWNS, UPS = 50, 150
FORGOTTEN_AT_ONCE: Final = 200
Row = SuiteResult.State


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What to replay: so many of the newest dislikes and likes. Without `model`, the version's own; `judge` is a model, too."""

    downs: int = DOWNS
    ups: int = UPS
    model: str = ""
    judge: str = ""
    rubric: str = ""
    budget_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The ratings to replay, each with its case; `unfit` of them cannot be asked of the version."""

    pairs: tuple[tuple[Feedback, Case], ...]
    unfit: int


def request_replay(actor: Principal, version: Version, plan: ReplayPlan) -> Replay:
    """Ask a version again what rated answers were given to, and have a judge compare: blind, in both orders.

    Raises Invalid naming the field, NothingToReplay, and what `suite_runs.request_run` raises.
    """
    chosen = _chosen(actor, version, plan)
    prompt = version.prompt
    with transaction.atomic():
        run = request_run(actor, _suite(actor, prompt), _wanted(version, plan, chosen))
        replay = Replay.objects.create(team_id=prompt.team_id, prompt=prompt, run=run, unfit=chosen.unfit)
        ReplayItem.objects.bulk_create(
            ReplayItem(replay=replay, feedback=rating, place=place, is_up=rating.value == 1)
            for place, (rating, _) in enumerate(chosen.pairs)
        )
        after = {"version": version.number, "answers": len(chosen.pairs), "run": run.pk}
        record(actor, "replay.requested", replay, team_id=replay.team_id, after=after)
    return replay


def estimate_replay(actor: Principal, version: Version, plan: ReplayPlan) -> Estimate:
    """Return what a replay would be: calls, and the most they can cost. Raises as `request_replay`."""
    chosen = _chosen(actor, version, plan)
    prompt = version.prompt
    # Not saved: an estimate makes nothing.
    suite = _known_suite(prompt) or Suite(team_id=prompt.team_id, prompt=prompt, name=_name(prompt))
    return estimate_run(actor, suite, _wanted(version, plan, chosen))


def save_disagreements(actor: Principal, replay: Replay) -> list[SuiteCase]:
    """Make cases of the answers of which one is better, held to the better one; return the new ones. Again adds none.

    They go into the suite `NAME.replays`. Raises TooManyCases.
    """
    require(actor, WRITE, replay.team_id)
    made = []
    with transaction.atomic():
        suite = replay.run.suite
        there = set(SuiteCase.objects.filter(suite=suite).values_list("name", flat=True))
        plan = SuiteRun.objects.values_list("plan", flat=True).get(pk=replay.run_id)
        for one in replays.found(replay).items:
            if one.is_disagreement and not one.item.is_forgotten:
                case = _case_from(one, plan[one.item.place])
                if case.name not in there:
                    row = suites.add_case(actor, suite, case)
                    SavedCase.objects.create(feedback_id=one.item.feedback_id, case=row)
                    made.append(row)
        if made:
            record(actor, "replay.cases_saved", replay, team_id=replay.team_id, after={"cases": len(made)})
    return made


def forget_purged() -> int:
    """Remove from replays, and from cases made of them, what was removed where it was said; return how many."""
    gone = ReplayItem.objects.filter(is_forgotten=False, feedback__message__purged_at__isnull=False)
    items = list(gone.select_related("replay").order_by("pk")[:FORGOTTEN_AT_ONCE])
    for run_id in {item.replay.run_id for item in items}:
        _forget(run_id, [item for item in items if item.replay.run_id == run_id])
    return len(items)


@transaction.atomic
def _forget(run_id: int, items: Sequence[ReplayItem]) -> None:
    run = SuiteRun.objects.select_for_update(of=("self",)).get(pk=run_id)
    forget_places(run, [item.place for item in items])
    ids = [item.feedback_id for item in items]
    for saved in SavedCase.objects.filter(feedback__in=ids, case__suite=run.suite_id).select_related("case__suite"):
        suites.delete_case(SYSTEM, saved.case)
    ReplayItem.objects.filter(pk__in=[item.pk for item in items]).update(is_forgotten=True)


def _chosen(actor: Principal, version: Version, plan: ReplayPlan) -> Chosen:
    """Return the newest ratings with their cases. Raises Forbidden, Invalid, NothingToReplay, and as `snippets.resolve`."""
    prompt = version.prompt
    require(actor, WRITE, prompt.team_id)
    for name in ("downs", "ups"):
        if not 0 <= getattr(plan, name) <= MOST:
            raise Invalid.field(name, f"From 0 to {MOST}.", code="out_of_range")
    ratings = [*_newest(prompt, -1, plan.downs), *_newest(prompt, 1, plan.ups)]
    turns = turns_before([one.message for one in ratings])
    check = Check(PREFERRED, checked(PREFERRED, {"rubric": plan.rubric, "model": plan.judge}))
    content = snippets.resolve(version, named(prompt.team_id, USUAL_ENVIRONMENT)).content
    pairs = []
    for rating in ratings:
        case = _case(rating, turns[rating.message_id], check)
        if case is not None and not problem_of(content, case):
            pairs.append((rating, case))
    unfit = len(ratings) - len(pairs)
    if not pairs:
        raise NothingToReplay(prompt=prompt.name, unfit=unfit)
    return Chosen(tuple(pairs), unfit)


def _case(rating: Feedback, turns: Sequence[Message], check: Check) -> Case | None:
    """Return a rated answer as a case; None for what no case can hold, such as an answer that is too long."""
    try:
        return case_of(
            rating.message,
            turns,
            name=f"Rating {rating.pk}",
            expected=rating.message.content,
            tags=["replay", "liked" if rating.value == 1 else "disliked"],
            checks=[check],
        )
    except Invalid:
        return None


def _newest(prompt: Prompt, value: int, most: int) -> list[Feedback]:
    """Return the newest ratings of answers whose texts are kept, one an answer."""
    rows = Feedback.objects.filter(
        team_id=prompt.team_id,
        metric="rating",
        value=value,
        message__version__prompt=prompt,
        message__state="completed",
        message__purged_at=None,
    ).exclude(message__content="")
    found: dict[int, Feedback] = {}
    for rating in rows.select_related("message").order_by("-pk")[: 2 * most]:
        found.setdefault(rating.message_id, rating)
    return list(found.values())[:most]


def _wanted(version: Version, plan: ReplayPlan, chosen: Chosen) -> Wanted:
    models = [plan.model] if plan.model else []
    cases = [case for _, case in chosen.pairs]
    return Wanted(version, models, None, plan.budget_usd, gettext_noop("Replay of rated answers."), cases)


def _name(prompt: Prompt) -> str:
    return f"{prompt.name[:90]}.replays"


def _known_suite(prompt: Prompt) -> Suite | None:
    found: Suite | None = Suite.objects.active().filter(team_id=prompt.team_id, name=_name(prompt)).first()
    return found


def _suite(actor: Principal, prompt: Prompt) -> Suite:
    """Return the suite that the prompt's replays belong to, made if need be."""
    return _known_suite(prompt) or suites.create_suite(
        actor, prompt.team_id, name=_name(prompt), prompt=prompt, description="From replays of rated answers."
    )


def _case_from(one: Replayed, said: dict[str, Any]) -> Case:
    """Return the case of a disagreement: what is better is expected."""
    case = Case.from_json(said)
    expected = one.result.text if one.score == BETTER else case.expected
    return Case(case.name, case.variables, case.messages, expected, case.tags, checks=case.checks)
