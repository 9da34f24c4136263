"""Experiments as flags: what a unit gets, by the experiment's key. For OpenFeature; records nothing.

The answer comes from the same payload as a delivery's, so that it agrees with the gateway and with every SDK.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from threading import Lock
from typing import Any, TypeVar

from django.db.models import Q
from django.utils import timezone
from promptlab_sdk.kernel.assignment import Assignment, assign, unit_of
from promptlab_sdk.kernel.spec import Content, Delivery, ExperimentSpec, PromptSpec

from experiments.deciding import decide
from experiments.delivery import adeliver
from experiments.entries import Entry
from experiments.errors import ExperimentNotFound
from experiments.models import Experiment
from experiments.querysets import SERVING
from promptlab.lib.threads import run_db
from prompts.errors import NotDeployed

K = TypeVar("K")
V = TypeVar("V")
SPLIT, STATIC, DISABLED, MATCH = "SPLIT", "STATIC", "DISABLED", "TARGETING_MATCH"
REASONS = {
    "split": SPLIT,
    "sticky": SPLIT,
    "override": MATCH,
    "outside": STATIC,
    "namespace": STATIC,
    "condition": STATIC,
    "disabled": DISABLED,
}
"""Why somebody gets it -> OpenFeature's word."""
DEFAULT = "default"
"""The variant of what everybody gets, where that is no variant of the experiment."""
KEPT = 2_000
ENDED_FOR = timedelta(days=90)
"""So long a flag is still among all flags after its experiment ended."""
MOST = 500


@dataclass(frozen=True, slots=True)
class Place:
    """Where an experiment is, and its variants' keys by version number: none of which changes within a phase."""

    key: str
    environment: str
    prompt_name: str
    variants: dict[int, str] = field(default_factory=dict)
    phase: int = 1


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a unit gets and why. `prompt` None: nothing is live, and the application uses its own default.

    `phase` None: the experiment serves nobody now. `unit`: who was dealt, and is to be named with the receipt.
    """

    place: Place
    reason: str
    variant: str
    prompt: PromptSpec | None
    phase: int | None = None
    is_forced: bool = False
    unit: str = ""


class UnitMissing(Exception):
    """The experiment splits its units, and nobody was named. `attribute`: whose value it deals; empty: the unit id."""

    def __init__(self, attribute: str = "") -> None:
        super().__init__()
        self.attribute = attribute


_places: OrderedDict[tuple[int, str], Place] = OrderedDict()
"""By (team id, experiment key)."""
_read: OrderedDict[tuple[int, str, str], tuple[Entry, Delivery]] = OrderedDict()
"""By (team id, environment, prompt): what an entry says, without texts."""
_lock = Lock()


async def aplace(team_id: int, key: str) -> Place:
    """Return where an experiment is: one look-up, two queries the first time. Raises ExperimentNotFound."""
    found = _places.get((team_id, key))
    return found if found is not None else await run_db(_find, team_id, key)


async def aplaces(team_id: int, environment: str) -> list[Place]:
    """Return all experiments of an environment that serve or ended lately, by key, the newest 500: two queries."""
    return await run_db(_find_all, team_id, environment)


async def aevaluate(team_id: int, place: Place, unit_id: str, attributes: Mapping[str, Any]) -> Evaluation:
    """Return what a unit gets. No query while the payload is fresh, one where units keep what they had.

    Raises UnitMissing where it matters who it is.
    """
    try:
        delivery = _without_texts(team_id, place, await adeliver(team_id, place.environment, place.prompt_name))
    except NotDeployed:
        return Evaluation(place, DISABLED, DEFAULT, None)
    experiment = delivery.experiment
    if experiment is None or experiment.key != place.key:
        return Evaluation(place, DISABLED, place.variants.get(delivery.prompt.version, DEFAULT), delivery.prompt)
    if experiment.phase != place.phase:
        _places.pop((team_id, place.key), None)  # It may have other variants: whoever asks next reads them.
    found = await _adecide(experiment, unit_id, attributes)
    if found.reason == "no_unit":
        raise UnitMissing(experiment.unit_attribute)
    variant, unit = found.variant, ""
    if experiment.unit_attribute and (found.assigned or found.is_forced):
        unit = unit_of(experiment, unit_id, attributes) or ""
    reason = REASONS[found.reason]
    return Evaluation(place, reason, variant.key, variant.prompt, experiment.phase, found.is_forced, unit)


async def _adecide(experiment: ExperimentSpec, unit_id: str, attributes: Mapping[str, Any]) -> Assignment:
    if experiment.is_sticky and unit_of(experiment, unit_id, attributes):
        return await run_db(decide, experiment, unit_id, attributes)
    return assign(experiment, unit_id, attributes)


def _find(team_id: int, key: str) -> Place:
    rows = Experiment.objects.filter(team_id=team_id, key=key).with_names()
    experiment = rows.first()
    if experiment is None:
        raise ExperimentNotFound(key=key[:100])
    place = _place(experiment)
    if experiment.state != Experiment.State.DRAFT:  # a draft may still be changed
        _keep(_places, (team_id, key), place)
    return place


def _find_all(team_id: int, environment: str) -> list[Place]:
    rows = Experiment.objects.filter(team_id=team_id, environment__name=environment)
    lately = Q(state__in=SERVING) | Q(ended_at__gt=timezone.now() - ENDED_FOR)
    found: Iterable[Experiment] = rows.filter(lately).with_names().order_by("-id")[:MOST]
    return sorted((_place(one) for one in found), key=lambda one: one.key)


def _place(experiment: Experiment) -> Place:
    # The control last: of variants with the same text it is the one that everybody gets.
    variants = {one.version.number: one.key for one in reversed(experiment.variants.all())}
    return Place(experiment.key, experiment.environment.name, experiment.prompt.name, variants, experiment.phase)


def _without_texts(team_id: int, place: Place, entry: Entry) -> Delivery:
    """Return what an entry says, read once: its texts are large, and kept once as they are sent."""
    key = (team_id, place.environment, place.prompt_name)
    known = _read.get(key)
    if known is not None and known[0] is entry:
        return known[1]
    delivery = entry.delivery
    experiment = delivery.experiment
    slim = replace(delivery, prompt=_slim(delivery.prompt), experiment=_slim_all(experiment) if experiment else None)
    _keep(_read, key, (entry, slim))
    return slim


def _slim_all(experiment: ExperimentSpec) -> ExperimentSpec:
    return replace(experiment, variants=tuple(replace(one, prompt=_slim(one.prompt)) for one in experiment.variants))


def _slim(prompt: PromptSpec) -> PromptSpec:
    return replace(prompt, content=Content())


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> None:
    with _lock:
        kept[key] = value
        kept.move_to_end(key)
        while len(kept) > KEPT:
            kept.popitem(last=False)


def forget() -> None:
    """Forget everything, as a new process does."""
    with _lock:
        _places.clear()
        _read.clear()
