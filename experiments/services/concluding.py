"""The end of an experiment that was decided: its outcome, what was learned, which text stays, and whether that goes live."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db import transaction
from django.utils import timezone

from experiments.errors import ConcludedAlready, NotAVersion, SecondPersonNeeded, WrongState
from experiments.models import ConclusionRequest, Experiment, Variant
from experiments.services import against, lifecycle, ramping
from promptlab.accounts.access import Principal, require, require_environment
from promptlab.audit.recorder import record
from promptlab.hooks.services.outbox import emit
from promptlab.lib.errors import FieldProblem, Invalid
from prompts.services import deploying
from prompts.services.environments import lock, next_revision

State = Experiment.State
SHORTEST_LESSON = 10
LONGEST_LESSON = 5_000


class PutLive(StrEnum):
    """What becomes of the text that stays, where it is not live already."""

    NO = "no"
    NOW = "now"
    GRADUALLY = "gradually"


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What somebody decided. `keep`: the key of the variant whose text stays. `confirm`: as for a deployment."""

    outcome: str
    lesson: str
    keep: str
    put_live: str = PutLive.NO
    confirm: bool = False


def conclude(actor: Principal, experiment: Experiment, conclusion: Conclusion) -> Experiment:
    """End an experiment with what came of it, and put the text that stays live if that is wanted.

    The same again changes nothing. Raises Forbidden, WrongState for a draft, ConcludedAlready, SecondPersonNeeded where the
    numbers speak against it, NotAVersion for a variant that is another model, Invalid naming the field, and what
    `deploying.deploy` and `ramping.start_ramp` raise.
    """
    require(actor, "experiment.run", experiment.team_id)
    require_environment(actor, experiment.environment.name)
    kept = checked(experiment, conclusion)
    if experiment.concluded_at is None and needs_second_person(actor, experiment, conclusion, kept):
        said = against.said_last(experiment)
        assert said is not None
        raise SecondPersonNeeded(verdict=f"{said.verdict.replace('_', ' ')} {said.about}".strip())
    return carry_out(actor, experiment, conclusion, kept)


def needs_second_person(by: Principal, experiment: Experiment, conclusion: Conclusion, kept: Variant) -> bool:
    """Tell whether another person has to approve it: the numbers speak against it, and its environment has four eyes."""
    if by.is_system or not experiment.environment.four_eyes or experiment.state == State.DRAFT:
        return False
    said = against.said_last(experiment)
    return against.is_against(said, conclusion.outcome, kept.key, keeps_control=kept.is_control)


def carry_out(by: Principal, experiment: Experiment, conclusion: Conclusion, kept: Variant) -> Experiment:
    """Conclude what was `checked` and needs nobody's approval any more."""
    with transaction.atomic():
        environment = lock(experiment.environment)
        locked: Experiment = Experiment.objects.select_for_update(no_key=True).get(pk=experiment.pk)
        locked.environment = environment
        if locked.state == State.DRAFT:
            raise WrongState(state=str(locked.get_state_display()).lower(), verb="a conclusion")
        if locked.concluded_at is not None:
            return _again(locked, conclusion, kept)
        before, ends = {"state": locked.state}, locked.is_serving
        after: dict[str, Any] = {"outcome": conclusion.outcome, "kept": kept.key, "put_live": str(conclusion.put_live)}
        if ends:
            after["revision"] = next_revision(environment)
            lifecycle.end(locked, State.STOPPED, conclusion.lesson.strip()[:500], after["revision"], by=by)
        _write(locked, conclusion, kept)
        waiting = ConclusionRequest.objects.open().filter(experiment=locked)
        waiting.update(state=ConclusionRequest.State.WITHDRAWN, decided_at=timezone.now())
        after["state"] = locked.state
        record(
            by,
            "experiment.concluded",
            locked,
            team_id=locked.team_id,
            before=before,
            after=after,
            note=conclusion.lesson.strip()[:500],
        )
        _tell(by, locked, after)
        _put_live(by, locked, kept, conclusion)
    return locked


def checked(experiment: Experiment, conclusion: Conclusion) -> Variant:
    """Return the variant that stays. Raises Invalid with all that is wrong, NotAVersion."""
    found = []
    if conclusion.outcome not in Experiment.Outcome.values:
        found.append(FieldProblem("outcome", f"One of {', '.join(Experiment.Outcome.values)}.", "invalid"))
    if not SHORTEST_LESSON <= len(conclusion.lesson.strip()) <= LONGEST_LESSON:
        detail = f"Say what you learned, in {SHORTEST_LESSON} characters or more."
        found.append(FieldProblem("lesson", detail, "too_short"))
    if conclusion.put_live not in list(PutLive):
        found.append(FieldProblem("put_live", f"One of {', '.join(PutLive)}.", "invalid"))
    kept = experiment.variants.select_related("version__prompt").filter(key=conclusion.keep).first()
    if kept is None:
        found.append(FieldProblem("keep", "Say which text stays, by the key of its variant.", "invalid"))
    if found:
        raise Invalid(f"{found[0].field}: {found[0].detail}", problems=found)
    assert kept is not None
    if conclusion.put_live != PutLive.NO and (kept.model or kept.parameters):
        raise NotAVersion(variant=kept.key)
    return kept


def _again(experiment: Experiment, conclusion: Conclusion, kept: Variant) -> Experiment:
    same = (experiment.outcome, experiment.lesson, experiment.kept_variant_id)
    if same != (conclusion.outcome, conclusion.lesson.strip(), kept.pk):
        raise ConcludedAlready(outcome=str(experiment.get_outcome_display()).lower())
    return experiment


def _write(experiment: Experiment, conclusion: Conclusion, kept: Variant) -> None:
    experiment.outcome = conclusion.outcome
    experiment.lesson = conclusion.lesson.strip()
    experiment.kept_variant = kept
    experiment.concluded_at = timezone.now()
    experiment.save(update_fields=["outcome", "lesson", "kept_variant", "concluded_at"])


def _tell(actor: Principal, experiment: Experiment, after: dict[str, Any]) -> None:
    told = {"experiment": experiment.key, "prompt": experiment.prompt.name, "environment": experiment.environment.name}
    emit(
        experiment.team_id,
        "experiment.concluded",
        {**told, **after, "actor": actor.label},
        about=f"experiments/{experiment.key}",
        is_private=experiment.prompt.is_private,
    )


def _put_live(actor: Principal, experiment: Experiment, kept: Variant, conclusion: Conclusion) -> None:
    version, environment = kept.version, experiment.environment
    note = f"Experiment {experiment.key}: {experiment.get_outcome_display()}"[:500]
    if conclusion.put_live == PutLive.NOW:
        deploying.deploy(actor, version, environment, note=note, confirm=conclusion.confirm)
    elif conclusion.put_live == PutLive.GRADUALLY:
        ramping.start_ramp(actor, version, environment, note=note, confirm=conclusion.confirm)
