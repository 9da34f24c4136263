"""Which version answers: the one that is pinned, the live one, or the one of the assigned variant; and which model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from promptlab_sdk.kernel.assignment import Assignment, unit_of
from promptlab_sdk.kernel.spec import ExperimentSpec, PromptSpec

from experiments.deciding import decide
from experiments.delivery import deliver
from experiments.entries import Entry
from promptlab.accounts.access import Principal, require_environment
from promptlab.lib.errors import Invalid
from promptlab.lib.logs import get_logger
from promptlab.llm.refusals import NoModelOfTier
from promptlab.llm.routes import model_of_tier
from prompts import resolve, snippets
from prompts.models import Environment, Prompt, Version
from prompts.services.environments import named

log = get_logger(__name__)


@dataclass(slots=True)
class Chosen:
    """Which version is served, and why."""

    version: Version | None = None
    prompt: Prompt | None = None
    environment_id: int | None = None
    entry: Entry | None = None
    assignment: Assignment | None = None
    snippets: Mapping[str, int] = field(default_factory=dict)
    """The ids of the versions whose texts are put in, by name."""
    varied: PromptSpec | None = None
    """What the variant says, whose model and parameters may be others than the version's; None outside of experiments."""
    experiment: ExperimentSpec | None = None
    """The one on the prompt, as it is delivered; None where there is none, or the version is pinned."""
    dealt_unit: str = ""
    """Who was dealt, where the experiment deals by an attribute and not by the end user."""
    fell_back: bool = False
    """Whether the control is served to somebody who was assigned another variant."""

    @property
    def revision(self) -> int | None:
        """The state of the environment in which the version was chosen."""
        if self.entry is not None:
            return self.entry.revision
        return resolve.revision_of(self.environment_id) if self.environment_id is not None else None

    def assigned(self) -> dict[str, Any]:
        """Return the columns that say which variant shaped the answer; none when nobody was assigned.

        Who tries a variant out has the experiment without a variant: such an answer is counted nowhere but for its version.
        """
        experiment = self.experiment
        if self.experiment_key is None or experiment is None:
            return {}
        assert self.entry is not None and self.assignment is not None
        if self.assignment.is_forced:
            return {"experiment_id": experiment.id, "phase": experiment.phase, "dealt_unit": self.dealt_unit}
        assigned = self.assignment.variant
        served = experiment.control if self.fell_back else assigned
        return {
            "experiment_id": experiment.id,
            "phase": experiment.phase,
            "assigned_variant_id": self.entry.variant_ids[assigned.key],
            "served_variant_id": self.entry.variant_ids[served.key],
            "slot": self.assignment.slot,
            "dealt_unit": self.dealt_unit,
        }

    @property
    def experiment_key(self) -> str | None:
        """The experiment that somebody was assigned in; None where nobody was."""
        if not self.assignment or not (self.assignment.assigned or self.assignment.is_forced):
            return None
        return self.experiment.key if self.experiment else None

    @property
    def served_key(self) -> str | None:
        """The variant that shaped the answer; None where nobody was assigned."""
        if self.experiment_key is None or self.experiment is None:
            return None
        assert self.assignment is not None
        return (self.experiment.control if self.fell_back else self.assignment.variant).key

    @property
    def on_trial(self) -> int | None:
        """The id of the experiment whose variant is served; None for its control, and where there is none."""
        if not self.assignment or not self.assignment.assigned or self.assignment.variant.is_control or self.fell_back:
            return None
        assert self.experiment is not None
        return self.experiment.id

    def fallen_back(self) -> Chosen:
        """Return the control's version instead of the assigned variant's. Only for what is `on_trial`."""
        assert self.entry is not None and self.experiment is not None
        control = self.experiment.control
        version = Version.objects.select_related("prompt").get(pk=self.entry.variant_version_ids[control.key])
        included = _included(version, self.entry)
        return replace(self, version=version, snippets=included, varied=control.prompt, fell_back=True)

    @property
    def model(self) -> str:
        """The model that the version names, or the variant instead; empty when none is named."""
        if self.varied is not None:
            return self.varied.content.model
        return self.version.model if self.version else ""

    def text_for(self, model: str) -> str:
        """Return the model's name where the version has a text of its own for it; empty: the version's is sent."""
        return model if self.version is not None and model in self.version.model_texts else ""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The settings of the version, with the variant's over them."""
        if self.varied is not None:
            return self.varied.content.parameters
        return self.version.parameters if self.version else {}


def choose(
    actor: Principal,
    team_id: int,
    reference: str,
    environment: str,
    unit_id: str,
    attributes: Mapping[str, Any] | None = None,
) -> Chosen:
    """Return the version to serve: pinned by the selector, or the live one, or the assigned variant's."""
    name, selector = resolve.split_reference(reference)
    if _is_pinned(team_id, selector):
        version = resolve.version_of(resolve.prompt_named(team_id, name), selector)
        require_environment(actor, environment)
        where = named(team_id, environment)
        return Chosen(version, version.prompt, where.pk, snippets=snippets.resolve(version, where).ids)
    require_environment(actor, selector or environment)
    entry = deliver(team_id, selector or environment, name)
    experiment = entry.delivery.experiment if entry.variant_ids else None
    assignment = decide(experiment, unit_id, attributes) if experiment else None
    if assignment and assignment.reason == "no_unit":
        log.info("no_unit_id", prompt=name, experiment=experiment.key if experiment else "")
    version_id, varied = entry.version_id, None
    if assignment and (assignment.assigned or assignment.is_forced):
        version_id, varied = entry.variant_version_ids[assignment.variant.key], assignment.variant.prompt
    version = Version.objects.select_related("prompt").get(pk=version_id)
    included = _included(version, entry)
    by_attribute = experiment is not None and bool(experiment.unit_attribute)
    dealt = unit_of(experiment, unit_id, attributes) if experiment and by_attribute else ""
    chosen = Chosen(version, version.prompt, entry.environment_id, entry, assignment, included, varied, experiment)
    return replace(chosen, dealt_unit=dealt or "")


def of_session(session: str) -> dict[str, str]:
    """Return the attribute that a session is to experiments; none without a session."""
    return {"session_id": session} if session else {}


def of_tier(team_id: int, tier: str) -> str:
    """Return the name of the model of a tier; empty for none. Raises Invalid for a tier without a model."""
    try:
        return model_of_tier(team_id, tier) if tier else ""
    except NoModelOfTier as error:
        raise Invalid.field("tier", error.detail, code=error.code) from error


def _included(version: Version, entry: Entry) -> dict[str, int]:
    """Return which versions are put into a delivered one: those of the revision that was delivered."""
    if not snippets.included_in(version):
        return {}
    environment = Environment.objects.get(pk=entry.environment_id)
    return snippets.resolve_at(version, environment, entry.revision).ids


def _is_pinned(team_id: int, selector: str) -> bool:
    """Tell whether a selector names a version: it looks like one, or is not an environment (`spring-sale`)."""
    if not selector or resolve.is_version_selector(selector):
        return bool(selector)
    return not Environment.objects.filter(team_id=team_id, name=selector).exists()
