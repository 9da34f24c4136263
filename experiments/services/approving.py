"""The second person: who concludes against the numbers asks for it, and somebody else approves or refuses."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from experiments.errors import (
    AskedAlready,
    ConcludedAlready,
    NobodyNeeded,
    NotAskedAnyMore,
    OtherPersonNeeded,
    WrongState,
)
from experiments.models import ConclusionRequest, Experiment, Variant
from experiments.services import against, asked, concluding
from experiments.services.concluding import Conclusion
from promptlab.accounts.access import Principal, require, require_environment
from promptlab.audit.recorder import record
from promptlab.lib.errors import Invalid
from prompts.services.environments import lock

State = ConclusionRequest.State


def ask_conclusion(actor: Principal, experiment: Experiment, conclusion: Conclusion) -> ConclusionRequest:
    """Ask for another person's approval of a conclusion that the numbers speak against. The experiment goes on until then.

    The same again by the same person changes nothing. Raises WrongState for a draft, ConcludedAlready, AskedAlready,
    NobodyNeeded for one that needs no approval, Invalid naming the field.
    """
    kept = _may(actor, experiment, conclusion)
    with transaction.atomic():
        locked = _locked(experiment)
        _check_open(locked)
        waiting = ConclusionRequest.objects.filter(experiment=locked, state=State.OPEN).first()
        if waiting is not None:
            same = (waiting.outcome, waiting.lesson, waiting.keep_id, waiting.put_live, waiting.asker_label)
            if same == (conclusion.outcome, conclusion.lesson.strip(), kept.pk, str(conclusion.put_live), actor.label):
                return waiting
            raise AskedAlready(asker=waiting.asker_label)
        said = against.said_last(locked)
        if said is None or not concluding.needs_second_person(actor, locked, conclusion, kept):
            raise NobodyNeeded
        request = ConclusionRequest.objects.create(
            experiment=locked,
            outcome=conclusion.outcome,
            lesson=conclusion.lesson.strip(),
            keep=kept,
            put_live=str(conclusion.put_live),
            confirm=conclusion.confirm,
            verdict=said.verdict,
            about=said.about,
            asker_id=actor.user_id,
            asker_label=actor.label,
        )
        after = {"outcome": request.outcome, "kept": kept.key, "put_live": request.put_live, "verdict": request.verdict}
        _record(actor, "experiment.conclusion_asked", request, request.lesson[:500], **after)
        asked.tell_of_asking(actor, request)
    return request


def approve_conclusion(actor: Principal, request: ConclusionRequest, *, note: str = "") -> Experiment:
    """Conclude the experiment as somebody else asked for. Doing it again changes nothing.

    Raises OtherPersonNeeded for who asked and for keys, NotAskedAnyMore, and what `concluding.conclude` raises.
    """
    _other_person(actor, request)
    conclusion = Conclusion(request.outcome, request.lesson, request.keep.key, request.put_live, request.confirm)
    kept = _may(actor, request.experiment, conclusion)
    with transaction.atomic():
        lock(request.experiment.environment)
        found = _standing(request, wanted=State.APPROVED)
        if found is not None:
            _decide(actor, found, State.APPROVED, note)
            _record(actor, "experiment.conclusion_approved", found, note, asked_by=found.asker_label)
            asked.tell_of_approving(actor, found)
            concluding.carry_out(actor, request.experiment, conclusion, kept)
    return Experiment.objects.get(pk=request.experiment_id)


def refuse_conclusion(actor: Principal, request: ConclusionRequest, *, note: str) -> ConclusionRequest:
    """Let the experiment be as it is, and say why. Doing it again changes nothing.

    Raises OtherPersonNeeded, Invalid without a note, NotAskedAnyMore.
    """
    _other_person(actor, request)
    require(actor, "experiment.run", request.experiment.team_id)
    if not note.strip():
        raise Invalid.field("note", gettext_noop("Say why it is not concluded like this."), code="required")
    return _close(actor, request, State.REFUSED, "experiment.conclusion_refused", note)


def withdraw_conclusion(actor: Principal, request: ConclusionRequest, *, note: str = "") -> ConclusionRequest:
    """Take back what was asked for. Doing it again changes nothing. Raises NotAskedAnyMore."""
    require(actor, "experiment.run", request.experiment.team_id)
    return _close(actor, request, State.WITHDRAWN, "experiment.conclusion_withdrawn", note)


def _may(actor: Principal, experiment: Experiment, conclusion: Conclusion) -> Variant:
    """Return the variant that is to stay. Raises Forbidden, and Invalid naming the field."""
    require(actor, "experiment.run", experiment.team_id)
    require_environment(actor, experiment.environment.name)
    return concluding.checked(experiment, conclusion)


def _other_person(actor: Principal, request: ConclusionRequest) -> None:
    if actor.user_id is None or actor.user_id == request.asker_id:
        raise OtherPersonNeeded(asker=request.asker_label)


def _locked(experiment: Experiment) -> Experiment:
    environment = lock(experiment.environment)
    locked: Experiment = Experiment.objects.select_for_update(no_key=True).get(pk=experiment.pk)
    locked.environment = environment
    return locked


def _check_open(experiment: Experiment) -> None:
    if experiment.state == Experiment.State.DRAFT:
        raise WrongState(state=str(experiment.get_state_display()).lower(), verb="a conclusion")
    if experiment.concluded_at is not None:
        raise ConcludedAlready(outcome=str(experiment.get_outcome_display()).lower())


def _standing(request: ConclusionRequest, *, wanted: State) -> ConclusionRequest | None:
    """Lock the request and return it if it waits; None if it is what is wanted already. Raises NotAskedAnyMore."""
    found: ConclusionRequest = ConclusionRequest.objects.select_for_update(no_key=True).get(pk=request.pk)
    if found.state == State.OPEN:
        return found
    if found.state == wanted:
        return None
    raise NotAskedAnyMore(state=str(found.get_state_display()).lower())


def _close(actor: Principal, request: ConclusionRequest, state: State, verb: str, note: str) -> ConclusionRequest:
    with transaction.atomic():
        found = _standing(request, wanted=state)
        if found is not None:
            _decide(actor, found, state, note)
            _record(actor, verb, found, note, asked_by=found.asker_label)
            if state == State.REFUSED:
                asked.tell_of_refusing(actor, found)
    return ConclusionRequest.objects.get(pk=request.pk)


def _decide(actor: Principal, request: ConclusionRequest, state: State, note: str) -> None:
    request.state, request.note, request.decided_at = state, note.strip()[:500], timezone.now()
    request.decider_id, request.decider_label = actor.user_id, actor.label
    request.save(update_fields=["state", "note", "decided_at", "decider", "decider_label"])


def _record(actor: Principal, verb: str, request: ConclusionRequest, note: str, **after: object) -> None:
    experiment = request.experiment
    record(actor, verb, experiment, team_id=experiment.team_id, after=after, note=note)
