"""Who hears of a conclusion that waits for a second person: those who may decide, and, once they did, whoever asked."""

from __future__ import annotations

from django.utils import translation

from experiments.models import ConclusionRequest
from promptlab.accounts.access import Principal
from promptlab.hooks.models import MailKind
from promptlab.hooks.services.mailing import Page, holders, tell
from promptlab.hooks.services.outbox import emit
from prompts.services import telling


def tell_of_asking(actor: Principal, request: ConclusionRequest) -> None:
    """Say that somebody is needed, to everybody who may decide. Belongs into the caller's transaction."""
    team_id = request.experiment.team_id
    _emit(actor, request, "experiment.conclusion_asked")
    _tell(actor, request, "asked", holders("experiment.run", team_id), request.lesson)


def tell_of_refusing(actor: Principal, request: ConclusionRequest) -> None:
    """Say that it was refused, and why, to whoever asked. Belongs into the caller's transaction."""
    _emit(actor, request, "experiment.conclusion_refused")
    _tell(actor, request, "refused", [request.asker_id], request.note)


def tell_of_approving(actor: Principal, request: ConclusionRequest) -> None:
    """Say to whoever asked that it was approved; that the experiment is concluded is told of it by itself."""
    _tell(actor, request, "approved", [request.asker_id], request.note)


def _emit(actor: Principal, request: ConclusionRequest, type: str) -> None:
    one = request.experiment
    told = {
        "experiment": one.key,
        "prompt": one.prompt.name,
        "environment": one.environment.name,
        "outcome": request.outcome,
        "kept": request.keep.key,
        "put_live": request.put_live,
        "verdict": request.verdict,
        "asked_by": request.asker_label,
        "actor": actor.label,
    }
    emit(one.team_id, type, told, about=f"experiments/{one.key}", is_private=one.prompt.is_private)


def _tell(
    actor: Principal, request: ConclusionRequest, what: str, people: list[int] | list[int | None], excerpt: str
) -> None:
    one = request.experiment
    seen = telling.who_see(one.prompt, people)
    with translation.override("en"):  # the mail is in its reader's language
        kept = str(request.keep)
    said = {"experiment": one.title, "prompt": one.prompt.title, "kept": kept, "outcome": request.outcome}
    where = Page("experiments_experiment_change", one.pk)
    tell(actor, MailKind.CONCLUSION, seen, one.team_id, where, what=what, excerpt=excerpt, **said)
