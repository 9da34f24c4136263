"""What has to be so before an experiment may start: each point in words, with a code. `start` asks the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from django.conf import settings

from experiments.errors import AlreadyRunning, ControlNotLive, ModelOff
from experiments.models import Experiment, Variant
from promptlab.accounts.access import Principal
from promptlab.lib.errors import Conflict, DomainError, Invalid
from promptlab.llm.models import LanguageModel
from prompts import snippets
from prompts.errors import PromptArchived
from prompts.models import Deployment
from prompts.services import deploying, policies


@dataclass(frozen=True, slots=True)
class Item:
    """One point. `code` is empty where it is met, otherwise the error's that starting would give."""

    point: str
    is_met: bool
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What the points are asked of: an experiment with its variants, the control first, and who wants to start it."""

    by: Principal
    experiment: Experiment
    variants: Sequence[Variant]
    live: Deployment | None

    @property
    def treatments(self) -> Sequence[Variant]:
        return [one for one in self.variants if not one.is_control]


def checklist(experiment: Experiment, *, by: Principal) -> list[Item]:
    """Return every point, met or not."""
    asked = _asked(experiment, by)
    return [_item(point, list(against(asked))) for point, against in POINTS.items()]


def require_ready(experiment: Experiment, *, by: Principal, confirm: bool = False) -> None:
    """Raise what forbids starting now, the first of it. `confirm`: other variables than the live version's are meant.

    To be called in the transaction that holds the environment's row.
    """
    asked = _asked(experiment, by)
    for point, against in POINTS.items():
        if point != "variables" or not confirm:
            for error in against(asked):
                raise error


def require_fit(experiment: Experiment, variants: Sequence[Variant], *, by: Principal) -> None:
    """Raise what forbids serving these variants, which are added to an experiment that serves."""
    asked = Asked(by, experiment, variants, _live(experiment))
    for point in ("snippets", "approved", "model"):
        for error in POINTS[point](asked):
            raise error


def _asked(experiment: Experiment, by: Principal) -> Asked:
    variants = list(experiment.variants.select_related("version__prompt"))
    return Asked(by, experiment, variants, _live(experiment))


def _live(experiment: Experiment) -> Deployment | None:
    where = Deployment.objects.filter(prompt=experiment.prompt, environment=experiment.environment)
    found: Deployment | None = where.select_related("version__prompt").first()
    return found


def _item(point: str, errors: Sequence[DomainError]) -> Item:
    if not errors:
        return Item(point, True, "", MET[point])
    return Item(point, False, errors[0].code, " ".join(dict.fromkeys(one.detail for one in errors)))


def _active(asked: Asked) -> Iterator[DomainError]:
    if asked.experiment.prompt.archived_at is not None:
        yield PromptArchived(prompt=asked.experiment.prompt.title)


def _alone(asked: Asked) -> Iterator[DomainError]:
    one = asked.experiment
    others = Experiment.objects.serving().filter(prompt=one.prompt, environment=one.environment).exclude(pk=one.pk)
    if running := others.first():
        yield AlreadyRunning(running=running.title, environment=one.environment.name)


def _control_live(asked: Asked) -> Iterator[DomainError]:
    live, control = asked.live, next(one for one in asked.variants if one.is_control).version
    if live is None or live.version_id != control.pk:
        now_live = f"version {live.version.number}" if live and live.version else "nothing"
        environment = asked.experiment.environment.name
        yield ControlNotLive(control=control.number, live=now_live, environment=environment)


def _snippets(asked: Asked) -> Iterator[DomainError]:
    try:
        snippets.resolve_all([one.version for one in asked.variants], asked.experiment.environment)
    except (Conflict, Invalid) as error:
        yield error


def _variables(asked: Asked) -> Iterator[DomainError]:
    live = asked.live.version if asked.live else None
    if live is None:
        return
    for one in asked.treatments:
        try:
            changed = deploying.refusal_of_variables(one.version, asked.experiment.environment, live)
        except (Conflict, Invalid):
            continue  # The point about what is included says so.
        if changed is not None:
            yield changed


def _approved(asked: Asked) -> Iterator[DomainError]:
    for one in asked.treatments:
        yield from policies.obstacles(asked.by, one.version, asked.experiment.environment)


def _model(asked: Asked) -> Iterator[DomainError]:
    named = {one.model or one.version.model or settings.LLM_DEFAULT_MODEL for one in asked.variants}
    rows = LanguageModel.objects.filter(team_id=asked.experiment.team_id, name__in=named).select_related("provider")
    for row in rows.order_by("name"):
        if not row.is_on or not row.provider.is_on:
            yield ModelOff(model=row.name)


POINTS: dict[str, Callable[[Asked], Iterator[DomainError]]] = {
    "prompt": _active,
    "alone": _alone,
    "control": _control_live,
    "snippets": _snippets,
    "variables": _variables,
    "approved": _approved,
    "model": _model,
}
MET = {
    "prompt": "The prompt is in use.",
    "alone": "Nothing else runs on this prompt here.",
    "control": "The control is what is live.",
    "snippets": "All that the texts include is there.",
    "variables": "All texts have the same blanks.",
    "approved": "The environment lets every text go live.",
    "model": "The models are switched on.",
}
