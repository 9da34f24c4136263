"""A delivery made ready: texts parsed once, so that serving it costs a look-up and a join."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from promptlab_sdk.kernel.assignment import assign, unit_of
from promptlab_sdk.kernel.spec import JSON, Delivery, PromptSpec
from promptlab_sdk.kernel.template import Template
from promptlab_sdk.prompt import Ask, Origin, Prompt, plain_template

log = logging.getLogger("promptlab")

MAX_UNITS = 1_000
"""Units per prompt whose answer is kept, for those who come again soon."""


class Ready:
    """What is served for one key. `prompt` is the whole answer when nobody is assigned and memory is fresh.

    `plain` is its parsed text where filling blanks is all there is to do, and None elsewhere.
    """

    __slots__ = (
        "_served",
        "ask",
        "asks_attributes",
        "delivery",
        "is_split",
        "plain",
        "plain_by_variant",
        "prompt",
        "without_unit",
    )

    def __init__(self, delivery: Delivery, without_unit: set[tuple[int, int]], ask: Ask) -> None:
        """`without_unit` holds the phases of experiments of which the log has said that nobody was named.

        `ask` fills by the server what only it can fill.
        """
        self.delivery = delivery
        self.is_split = delivery.experiment is not None
        experiment = delivery.experiment
        self.asks_attributes = experiment is not None and bool(experiment.condition or experiment.unit_attribute)
        self.without_unit = without_unit
        self.ask = ask
        self.prompt = self._prompt(delivery.prompt, "cache", plain_template(delivery.prompt.content))
        self.plain = None if self.is_split else self.prompt.plain
        self.plain_by_variant: dict[str, Template | None] = {}
        if delivery.experiment is not None:
            for variant in delivery.experiment.variants:
                self.plain_by_variant[variant.key] = plain_template(variant.prompt.content)
        self._served: dict[str | None, Prompt] = {}

    def serve(self, origin: Origin, unit_id: str | None, attributes: Mapping[str, JSON] | None = None) -> Prompt:
        """Return what this unit is served, or everybody when it is None. `attributes`: what a condition is about."""
        if origin != "cache" or (attributes and self.asks_attributes):
            return self._made(origin, unit_id, attributes)
        prompt = self._served.get(unit_id)
        if prompt is None:
            prompt = self._made(origin, unit_id)
            if len(self._served) >= MAX_UNITS:
                self._served = {}
            self._served[unit_id] = prompt
        return prompt

    def _made(self, origin: Origin, unit_id: str | None, attributes: Mapping[str, JSON] | None = None) -> Prompt:
        if self.is_split:
            return self._assigned(origin, unit_id, attributes)
        prompt = self._prompt(self.delivery.prompt, origin, self.prompt.plain)
        prompt.unit_id = unit_id
        return prompt

    def is_like(self, other: Ready) -> bool:
        """Tell whether both serve the same to everybody."""
        return _face(self.delivery) == _face(other.delivery)

    def _assigned(self, origin: Origin, unit_id: str | None, attributes: Mapping[str, JSON] | None) -> Prompt:
        experiment = self.delivery.experiment
        assert experiment is not None
        found = assign(experiment, unit_id, attributes)
        if found.reason == "no_unit":
            self._tell_once()
        prompt = self._prompt(found.variant.prompt, origin, self.plain_by_variant[found.variant.key])
        prompt.unit_id = unit_id
        if experiment.unit_attribute:
            prompt.dealt_unit = unit_of(experiment, unit_id, attributes)
        if found.assigned or found.is_forced:
            prompt.is_forced = found.is_forced
            prompt.variant = found.variant.key
            prompt.experiment = experiment
            prompt.receipt = found.variant.prompt.receipt
        return prompt

    def _prompt(self, spec: PromptSpec, origin: Origin, plain: Template | None) -> Prompt:
        delivery = self.delivery
        environment, revision = delivery.environment or None, delivery.revision or None
        receipt = delivery.prompt.receipt
        return Prompt(spec, origin, environment, revision, plain=plain, ask=self.ask, receipt=receipt)

    def _tell_once(self) -> None:
        experiment = self.delivery.experiment
        assert experiment is not None
        if (experiment.id, experiment.phase) in self.without_unit:
            return
        self.without_unit.add((experiment.id, experiment.phase))
        log.warning(
            "no %s given, serving the control: prompt=%s environment=%s experiment=%s",
            experiment.unit_attribute or "unit_id",
            self.delivery.prompt.name,
            self.delivery.environment,
            experiment.key,
        )


def _face(delivery: Delivery) -> Delivery:
    """Return what of a delivery makes a difference to callers: neither the revision nor what was signed with it."""
    experiment = delivery.experiment
    if experiment is not None:
        variants = tuple(replace(one, prompt=replace(one.prompt, receipt="")) for one in experiment.variants)
        experiment = replace(experiment, variants=variants)
    return replace(delivery, prompt=replace(delivery.prompt, receipt=""), revision=0, experiment=experiment)
