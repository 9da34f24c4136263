"""Shapes of the experiment API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from experiments.models import ConclusionRequest, Experiment, Phase, Ramp, RampDecision, Stage, Variant
from experiments.services.concluding import LONGEST_LESSON, PutLive
from experiments.services.ramp_stages import DEFAULT_STAGES
from prompts.api.serializers import DeploymentIn


class VariantIn(serializers.Serializer[Any]):
    """One variant: its key, its version, its share. `weight` is in percent, `weight_bp` in hundredths of a percent."""

    key = serializers.CharField(max_length=50)
    name = serializers.CharField(required=False, allow_blank=True, max_length=100)
    version = serializers.IntegerField(required=False, min_value=1)
    version_string = serializers.CharField(required=False, max_length=100)
    weight_bp = serializers.IntegerField(required=False, min_value=0, max_value=10_000)
    weight = serializers.DecimalField(required=False, max_digits=5, decimal_places=2, min_value=0, max_value=100)
    model = serializers.CharField(required=False, allow_blank=True, max_length=100)
    parameters = serializers.DictField(required=False)


class NamespaceIn(serializers.Serializer[Any]):
    """A part of a namespace for this experiment alone: ranges of its 10000 slots, `[lower, upper]`."""

    key = serializers.RegexField(r"^[a-z0-9][a-z0-9._-]*\Z", max_length=100)
    ranges = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField(), min_length=2, max_length=2), min_length=1
    )


class ExperimentIn(serializers.Serializer[Any]):
    title = serializers.CharField(max_length=200)
    key = serializers.CharField(required=False, max_length=100)
    hypothesis = serializers.CharField(required=False, allow_blank=True, max_length=5000)
    prompt_name = serializers.CharField(max_length=255)
    environment = serializers.CharField(max_length=36)
    coverage_bp = serializers.IntegerField(required=False)
    variants = VariantIn(many=True)
    condition = serializers.JSONField(required=False, help_text="Whom it is for, docs/spec/assignment.md.")
    overrides = serializers.DictField(
        child=serializers.CharField(), required=False, help_text="unit_id -> variant: who tries it out, uncounted."
    )
    namespace = NamespaceIn(required=False, allow_null=True)
    is_sticky = serializers.BooleanField(required=False)
    primary_metric = serializers.CharField(required=False, max_length=10)
    guardrails = serializers.ListField(child=serializers.CharField(max_length=10), required=False, max_length=5)
    planned_size = serializers.IntegerField(required=False, allow_null=True)
    unit_attribute = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=100,
        help_text="The attribute whose value is dealt; usually unit_id.",
    )
    team_id = serializers.IntegerField(required=False, write_only=True)


class ExperimentEditIn(serializers.Serializer[Any]):
    """What becomes different of a draft; what is left out stays. `variants` come in place of all that were there."""

    title = serializers.CharField(required=False, max_length=200)
    hypothesis = serializers.CharField(required=False, allow_blank=True, max_length=5000)
    environment = serializers.CharField(required=False, max_length=36)
    coverage_bp = serializers.IntegerField(required=False)
    variants = VariantIn(many=True, required=False)
    condition = serializers.JSONField(required=False)
    overrides = serializers.DictField(child=serializers.CharField(), required=False)
    namespace = NamespaceIn(required=False, allow_null=True)
    is_sticky = serializers.BooleanField(required=False)
    primary_metric = serializers.CharField(required=False, max_length=10)
    guardrails = serializers.ListField(child=serializers.CharField(max_length=10), required=False, max_length=5)
    planned_size = serializers.IntegerField(required=False, allow_null=True)
    unit_attribute = serializers.CharField(required=False, allow_blank=True, max_length=100)


class ActIn(serializers.Serializer[Any]):
    note = serializers.CharField(required=False, allow_blank=True, max_length=500)


class RampActIn(ActIn):
    step = serializers.IntegerField(
        required=False, min_value=1, help_text="For go-earlier: the `step` at which it was when you looked."
    )


class StartIn(ActIn):
    confirm = serializers.BooleanField(required=False, help_text="Variants may have other variables than what is live.")


class ItemOut(serializers.Serializer[Any]):
    """One point of the check-list. `code`: what starting would be refused with; empty where the point is met.

    One that is not `is_blocking` is advice: starting does not ask for it.
    """

    point = serializers.CharField()
    is_met = serializers.BooleanField()
    code = serializers.CharField()
    detail = serializers.CharField()
    is_blocking = serializers.BooleanField()


class VariantOut(serializers.ModelSerializer[Variant]):
    version = serializers.IntegerField(source="version.number")
    version_string = serializers.CharField(source="version.version_string")

    class Meta:
        model = Variant
        fields = ["key", "name", "is_control", "weight_bp", "version", "version_string", "model", "parameters"]


class ExperimentOut(serializers.ModelSerializer[Experiment]):
    prompt_name = serializers.CharField(source="prompt.name")
    environment = serializers.CharField(source="environment.name")
    variants = VariantOut(many=True)
    condition = serializers.DictField()
    overrides = serializers.DictField(child=serializers.CharField())
    namespace = serializers.SerializerMethodField()
    outcome = serializers.CharField()
    kept_variant = serializers.CharField(source="kept_variant.key", default=None, allow_null=True)
    guardrails = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Experiment
        fields = [
            "id", "key", "title", "hypothesis", "state", "prompt_name", "environment", "phase", "coverage_bp",
            "variants", "condition", "overrides", "namespace", "is_sticky", "bucket_version", "primary_metric",
            "guardrails", "planned_size", "unit_attribute", "created_at", "started_at", "ended_at", "end_note",
            "outcome", "lesson", "kept_variant", "concluded_at",
        ]  # fmt: skip

    @extend_schema_field(NamespaceIn(allow_null=True))
    def get_namespace(self, experiment: Experiment) -> dict[str, Any] | None:
        if experiment.namespace is None:
            return None
        return {"key": experiment.namespace.key, "ranges": experiment.namespace_ranges}


class ShareIn(serializers.Serializer[Any]):
    """The share of a variant from now on. A new variant says its version, too."""

    key = serializers.CharField(max_length=50)
    weight_bp = serializers.IntegerField(min_value=0, max_value=10_000)
    name = serializers.CharField(required=False, allow_blank=True, max_length=100)
    version = serializers.IntegerField(required=False, min_value=1)
    version_string = serializers.CharField(required=False, max_length=100)
    model = serializers.CharField(required=False, allow_blank=True, max_length=100)
    parameters = serializers.DictField(required=False)


class SharesIn(serializers.Serializer[Any]):
    variants = ShareIn(many=True)
    note = serializers.CharField(required=False, allow_blank=True, max_length=500)


class CoverageIn(serializers.Serializer[Any]):
    coverage_bp = serializers.IntegerField()
    note = serializers.CharField(required=False, allow_blank=True, max_length=500)


class PhaseOut(serializers.ModelSerializer[Phase]):
    """One dealing of the units. `shares`: by variant the share, and the slots at full coverage."""

    shares = serializers.DictField()

    class Meta:
        model = Phase
        fields = ["number", "kind", "bucket_version", "shares", "moved_slots", "began_at"]


class ConclusionIn(serializers.Serializer[Any]):
    """What was decided. `keep`: the variant whose text stays; `put_live`: now, gradually, or not by this."""

    outcome = serializers.ChoiceField(choices=Experiment.Outcome.choices)
    lesson = serializers.CharField(max_length=LONGEST_LESSON)
    keep = serializers.CharField(max_length=50)
    put_live = serializers.ChoiceField(choices=[one.value for one in PutLive], required=False)
    confirm = serializers.BooleanField(required=False, help_text="As for a deployment.")


class ConclusionRequestOut(serializers.ModelSerializer[ConclusionRequest]):
    """A conclusion against the numbers, which another person approves or refuses. `verdict`: what they said, of which text."""

    keep = serializers.CharField(source="keep.key")
    asked_by = serializers.CharField(source="asker_label")
    decided_by = serializers.CharField(source="decider_label")

    class Meta:
        model = ConclusionRequest
        fields = [
            "id", "state", "outcome", "lesson", "keep", "put_live", "verdict", "about", "asked_by", "asked_at",
            "decided_by", "decided_at", "note",
        ]  # fmt: skip


class OverridesIn(serializers.Serializer[Any]):
    overrides = serializers.DictField(child=serializers.CharField())


class StepOut(serializers.Serializer[Any]):
    rule = serializers.CharField()
    has_decided = serializers.BooleanField()
    detail = serializers.CharField()


class AssignmentOut(serializers.Serializer[Any]):
    experiment = serializers.CharField()
    unit_id = serializers.CharField()
    phase = serializers.IntegerField()
    state = serializers.CharField()
    variant = serializers.CharField()
    version = serializers.IntegerField()
    is_assigned = serializers.BooleanField()
    slot = serializers.IntegerField(allow_null=True)
    reason = serializers.CharField()
    forced = serializers.BooleanField()
    rules = StepOut(many=True)
    receipt = serializers.CharField(allow_null=True)


class StageIn(serializers.Serializer[Any]):
    """One step: so many hundredths of a percent of all units, for so many seconds."""

    share_bp = serializers.IntegerField()
    min_dwell_s = serializers.IntegerField()
    max_dwell_s = serializers.IntegerField()


class StagesIn(serializers.Serializer[Any]):
    stages = StageIn(many=True)


STAGES = {
    "type": "object",
    "required": ["stages"],
    "properties": {
        "stages": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["share_bp", "min_dwell_s", "max_dwell_s"],
                "properties": {name: {"type": "integer"} for name in ("share_bp", "min_dwell_s", "max_dwell_s")},
            },
        }
    },
}


@extend_schema_field({"oneOf": [{"type": "boolean"}, STAGES]})
class RampIn(serializers.Field[Any, Any, Any, Any]):
    """`true` is the usual steps, an object names its own; false is none."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the stages; None without a ramp."""
        if isinstance(data, bool):
            return DEFAULT_STAGES if data else None
        if not isinstance(data, Mapping):
            raise serializers.ValidationError('Send true, or {"stages": [...]}.')
        shape = StagesIn(data=data)
        shape.is_valid(raise_exception=True)
        return tuple(Stage(**one) for one in shape.validated_data["stages"])


class DeploymentOrRampIn(DeploymentIn):
    ramp = RampIn(required=False, help_text="Step by step, as far as the numbers allow; see /ramps.")


class StageOut(serializers.Serializer[Any]):
    share_bp = serializers.IntegerField()
    min_dwell_s = serializers.IntegerField()
    max_dwell_s = serializers.IntegerField()


class RampOut(serializers.ModelSerializer[Ramp]):
    """A gradual launch. `step` counts from 1; `share_bp` of all units get the new version now."""

    prompt_name = serializers.CharField(source="experiment.prompt.name")
    environment = serializers.CharField(source="experiment.environment.name")
    experiment = serializers.CharField(source="experiment.key")
    version = serializers.SerializerMethodField()
    previous_version = serializers.SerializerMethodField()
    stages = StageOut(many=True, source="plan")
    step = serializers.SerializerMethodField()
    share_bp = serializers.SerializerMethodField()
    started_by = serializers.CharField(source="starter_label")

    class Meta:
        model = Ramp
        fields = [
            "id", "prompt_name", "environment", "version", "previous_version", "state", "hold_reason", "step",
            "share_bp", "stages", "entered_at", "experiment", "started_by", "started_at", "ended_at",
        ]  # fmt: skip

    def get_version(self, ramp: Ramp) -> int:
        return _number(ramp, is_control=False)

    def get_previous_version(self, ramp: Ramp) -> int:
        return _number(ramp, is_control=True)

    def get_step(self, ramp: Ramp) -> int:
        return ramp.stage_index + 1

    def get_share_bp(self, ramp: Ramp) -> int:
        if ramp.state == Ramp.State.COMPLETED:
            return 10_000
        return ramp.stage.share_bp if ramp.is_open else 0


class RampDecisionOut(serializers.ModelSerializer[RampDecision]):
    """One step with every number that decided it. `revision`: of the environment, where other people are served now."""

    step = serializers.SerializerMethodField()
    actor = serializers.CharField(source="actor_label")
    numbers = serializers.DictField()

    class Meta:
        model = RampDecision
        fields = [
            "at", "kind", "rule", "step", "share_bp", "revision", "note", "actor", "numbers", "code_version",
        ]  # fmt: skip

    def get_step(self, decision: RampDecision) -> int:
        return decision.stage_index + 1


class RampWithDecisionsOut(RampOut):
    decisions = RampDecisionOut(many=True)

    class Meta(RampOut.Meta):
        fields = [*RampOut.Meta.fields, "decisions"]


def _number(ramp: Ramp, *, is_control: bool) -> int:
    number: int = next(one.version.number for one in ramp.experiment.variants.all() if one.is_control == is_control)
    return number
