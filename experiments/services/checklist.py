"""What has to be so before an experiment may start: each point in words, with a code. `start` asks the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.utils.translation import gettext, gettext_noop

from experiments.errors import AlreadyRunning, ControlNotLive, ModelOff, NoTextLive, VariantsInvalid
from experiments.models import Experiment, Variant
from experiments.services import forecasting
from promptlab.accounts.access import Principal
from promptlab.lib.errors import Conflict, DomainError, Invalid
from promptlab.llm.models import LanguageModel
from prompts import snippets
from prompts.errors import PromptArchived
from prompts.models import Deployment
from prompts.services import deploying, policies

LONGEST_DAYS = 60
"""What takes longer than this is rarely seen to its end."""


@dataclass(frozen=True, slots=True)
class Item:
    """One point. `code` is empty where it is met, otherwise the error's that starting would give.

    Programs get `detail` in English; pages show `told`. What is not `is_blocking` is advice: it says what may disappoint
    later, and starting does not ask for it.
    """

    point: str
    is_met: bool
    code: str
    detail: str
    told: str
    is_blocking: bool = True


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
    """Return every point, met or not: those that starting asks for, then the advice."""
    asked = _asked(experiment, by)
    return [*(_item(point, list(against(asked))) for point, against in POINTS.items()), *_advice(experiment)]


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
        return Item(point, True, "", MET[point], gettext(MET[point]))
    detail, told = dict.fromkeys(one.detail for one in errors), dict.fromkeys(one.told for one in errors)
    return Item(point, False, errors[0].code, " ".join(detail), " ".join(told))


def _advice(experiment: Experiment) -> list[Item]:
    """Return what is not asked for, and makes a verdict more likely."""
    expects = forecasting.forecast(experiment)
    days = expects.days_to_end(experiment.planned_size)
    is_planned, is_soon = experiment.planned_size is not None, days is not None and days <= LONGEST_DAYS
    said = [
        ("hypothesis", bool(experiment.hypothesis.strip()), UNEXPECTED),
        ("planned_size", is_planned, UNPLANNED),
        ("length", is_soon, ENDLESS if days is None else LASTING),
    ]
    return [_advised(point, is_met, MET[point] if is_met else lacking, days) for point, is_met, lacking in said]


def _advised(point: str, is_met: bool, sentence: str, days: int | None) -> Item:
    told = gettext(sentence).format(days=days)
    return Item(point, is_met, "" if is_met else "advice", sentence.format(days=days), told, is_blocking=False)


def _texts(asked: Asked) -> Iterator[DomainError]:
    if not 2 <= len(asked.variants) <= 5:
        detail = gettext_noop("An experiment has two to five variants.")
        yield VariantsInvalid.field("variants", detail, code=VariantsInvalid.code)


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
        environment = asked.experiment.environment.name
        if live is None or live.version is None:
            yield NoTextLive(control=control.number, environment=environment)
        else:
            yield ControlNotLive(control=control.number, live=live.version.number, environment=environment)


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
    "texts": _texts,
    "alone": _alone,
    "control": _control_live,
    "snippets": _snippets,
    "variables": _variables,
    "approved": _approved,
    "model": _model,
}
MET = {
    "prompt": gettext_noop("The prompt is in use."),
    "texts": gettext_noop("There is something to compare the current text with."),
    "alone": gettext_noop("Nothing else runs on this prompt here."),
    "control": gettext_noop("The current text is what is live."),
    "snippets": gettext_noop("All that the texts include is there."),
    "variables": gettext_noop("All texts have the same blanks."),
    "approved": gettext_noop("The environment lets every text go live."),
    "model": gettext_noop("The models are switched on."),
    "hypothesis": gettext_noop("It says what is expected, and why."),
    "planned_size": gettext_noop("A number of ratings is planned at which it is decided."),
    "length": gettext_noop("It can be decided within 60 days."),
}
UNEXPECTED = gettext_noop("Nothing says what is expected, and why.")
UNPLANNED = gettext_noop("No number of ratings is planned at which it is decided.")
ENDLESS = gettext_noop(
    "Nobody knows how long it takes: there were too few ratings here lately, or no number is planned."
)
LASTING = gettext_noop(
    "It takes about {days} days until it is decided. Fewer texts, or more of the users, make it shorter."
)
