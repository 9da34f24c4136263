"""Experiments in the shape in which they are delivered: slots instead of shares, and what is decided before the slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from promptlab_sdk.kernel.assignment import SLOTS, covered
from promptlab_sdk.kernel.spec import ExperimentSpec, NamespaceSpec, PromptSpec, Range, VariantSpec

from experiments.models import Experiment, Variant, owned_slots
from prompts.models import Deployment


def experiment_now(experiment: Experiment) -> ExperimentSpec:
    """Return an experiment as it is now, in any state; "suspended" while its control is not what is live."""
    variants = list(experiment.variants.select_related("version__prompt", "experiment__namespace"))
    spec = experiment_spec(variants)
    where = {"prompt_id": experiment.prompt_id, "environment_id": experiment.environment_id}
    is_live = Deployment.objects.filter(**where, version_id=variants[0].version_id).exists()
    return spec if is_live else replace(spec, state="suspended")


def experiment_spec(variants: Sequence[Variant], specs: Mapping[int, PromptSpec] | None = None) -> ExperimentSpec:
    """Return the wire shape of the experiment these variants belong to. Integer ranges, never weights.

    `specs` has what each version says, by id; without it they say what was saved.
    """
    experiment = variants[0].experiment
    owned = [_taking_part(slots, experiment.coverage_bp) for slots in owned_slots(variants)]
    return ExperimentSpec(
        id=experiment.pk,
        key=experiment.key,
        phase=experiment.phase,
        seed=experiment.seed,
        state=experiment.state,
        variants=tuple(
            VariantSpec(
                variant.key,
                variant.is_control,
                slots,
                _as_varied(specs[variant.version_id] if specs else variant.version.spec, variant),
            )
            for variant, slots in zip(variants, owned, strict=True)
        ),
        condition=experiment.condition,
        overrides=experiment.overrides,
        namespace=_namespace(experiment),
        is_sticky=experiment.is_sticky,
        unit_attribute=experiment.unit_attribute,
    )


def _taking_part(owned: tuple[Range, ...], coverage_bp: int) -> tuple[Range, ...]:
    """Return the slots that take part; of a single range the lower part, be it empty."""
    if len(owned) == 1:
        lo, hi = owned[0]
        return ((lo, lo + (hi - lo) * coverage_bp // SLOTS),)
    return covered(owned, coverage_bp)


def _namespace(experiment: Experiment) -> NamespaceSpec | None:
    if experiment.namespace is None:
        return None
    return NamespaceSpec(experiment.namespace.seed, tuple((lo, hi) for lo, hi in experiment.namespace_ranges))


def _as_varied(spec: PromptSpec, variant: Variant) -> PromptSpec:
    """Return what a version says, with the model and the parameters that the variant tries out."""
    if not variant.model and not variant.parameters:
        return spec
    content = spec.content
    parameters = {**content.parameters, **variant.parameters}
    return replace(spec, content=replace(content, model=variant.model or content.model, parameters=parameters))
