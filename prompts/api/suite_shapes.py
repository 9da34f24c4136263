"""Shapes of test suites, cases, runs and what they came to. No rules and no writes here: services have them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from prompts.checks import KINDS
from prompts.checks.cases import MAX_MESSAGES
from prompts.models import Suite, SuiteCase, SuiteResult, SuiteRun
from prompts.services import suites


class CheckIn(serializers.Serializer[Any]):
    """Something that an answer has to be. What `options` a kind has is said in the documentation of test suites."""

    kind = serializers.ChoiceField(list(KINDS))
    options = serializers.DictField(required=False)


class SaidIn(serializers.Serializer[Any]):
    role = serializers.ChoiceField(["system", "user", "assistant"])
    content = serializers.CharField(allow_blank=True, trim_whitespace=False)


class CaseIn(serializers.Serializer[Any]):
    """A case: what fills the blanks, what is said after the prompt, and what the answer has to be."""

    name = serializers.CharField(max_length=100)
    variables = serializers.DictField(required=False)
    messages = SaidIn(many=True, required=False, max_length=MAX_MESSAGES)
    expected = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False, max_length=100_000)
    tags = serializers.ListField(child=serializers.CharField(max_length=24), required=False)
    required = serializers.BooleanField(required=False)
    repeats = serializers.IntegerField(required=False, min_value=1, max_value=20)
    checks = CheckIn(many=True, required=False)


class CaseOut(serializers.ModelSerializer[SuiteCase]):
    required = serializers.BooleanField(source="is_required")
    tags = serializers.ListField(source="tag_list", child=serializers.CharField())
    variables = serializers.DictField()
    messages = SaidIn(many=True)
    checks = CheckIn(many=True)

    class Meta:
        model = SuiteCase
        fields = ["id", "name", "variables", "messages", "expected", "tags", "required", "repeats", "checks"]


class SuiteIn(serializers.Serializer[Any]):
    """A suite: of one `prompt`, by name or id, or without one of all prompts of the team. `checks` are those of every case."""

    name = serializers.CharField(max_length=100)
    prompt = serializers.CharField(required=False, allow_null=True, max_length=255)
    description = serializers.CharField(required=False, allow_blank=True, max_length=500)
    checks = CheckIn(many=True, required=False)
    team_id = serializers.IntegerField(required=False, write_only=True)


class SuiteChangeIn(serializers.Serializer[Any]):
    name = serializers.CharField(required=False, max_length=100)
    description = serializers.CharField(required=False, allow_blank=True, max_length=500)
    checks = CheckIn(many=True, required=False)


class SuiteRowOut(serializers.ModelSerializer[Suite]):
    prompt = serializers.CharField(source="prompt.name", default=None, allow_null=True)
    case_count = serializers.IntegerField()

    class Meta:
        model = Suite
        fields = ["id", "name", "prompt", "description", "revision", "case_count", "created_at", "updated_at"]


class SuiteOut(SuiteRowOut):
    checks = serializers.SerializerMethodField()

    class Meta:
        model = Suite
        fields = [*SuiteRowOut.Meta.fields, "checks"]

    def get_checks(self, suite: Suite) -> list[dict[str, Any]]:
        return [check.to_dict() for check in suites.checks_of(suite)]


class ImportedOut(serializers.Serializer[Any]):
    """What was added; with `dry_run`, what would be."""

    cases = serializers.IntegerField()
    names = serializers.ListField(child=serializers.CharField())
    revision = serializers.IntegerField()
    dry_run = serializers.BooleanField()


class RunIn(serializers.Serializer[Any]):
    """What to run: a `version` of a `prompt` (by number, name or `latest`), with `models`; without those, the version's own.

    `environment`: where the texts that it includes, and the prompts that judge, are live. `budget_usd`: the most it may cost.
    """

    prompt = serializers.CharField(required=False, max_length=255)
    version = serializers.CharField(required=False, max_length=100)
    models = serializers.ListField(child=serializers.CharField(max_length=100), required=False, max_length=10)
    environment = serializers.CharField(required=False, max_length=36)
    budget_usd = serializers.DecimalField(required=False, max_digits=12, decimal_places=6, min_value=0)
    note = serializers.CharField(required=False, allow_blank=True, max_length=300)


class GoOnIn(serializers.Serializer[Any]):
    budget_usd = serializers.DecimalField(required=False, max_digits=12, decimal_places=6, min_value=0)


class EstimateRunOut(serializers.Serializer[Any]):
    """`most_usd` is what the run can cost at most; null where a model has no price."""

    calls = serializers.IntegerField()
    most_usd = serializers.DecimalField(max_digits=18, decimal_places=9, allow_null=True)


class RunOut(serializers.ModelSerializer[SuiteRun]):
    """A run. `lost`: calls that were under way when a process died; they count as the most they may have cost."""

    suite = serializers.CharField(source="suite.name")
    prompt = serializers.CharField(source="version.prompt.name")
    version = serializers.IntegerField(source="version.number")
    environment = serializers.CharField(source="environment.name")
    models = serializers.ListField(source="asked_models", child=serializers.CharField())
    total = serializers.IntegerField()
    done = serializers.IntegerField()
    passed = serializers.IntegerField()
    failed = serializers.IntegerField()
    errors = serializers.IntegerField()
    lost = serializers.IntegerField()
    budget_usd = serializers.DecimalField(max_digits=18, decimal_places=9)
    spent_usd = serializers.DecimalField(max_digits=18, decimal_places=9)
    actor = serializers.CharField(source="requested_label")

    class Meta:
        model = SuiteRun
        fields = [
            "id", "suite", "suite_revision", "prompt", "version", "version_checksum", "environment", "models", "state",
            "reason", "total", "done", "passed", "failed", "errors", "lost", "calls", "max_calls", "budget_usd",
            "spent_usd", "unpriced_calls", "note", "actor", "created_at", "started_at", "ended_at",
        ]  # fmt: skip


class OutcomeOut(serializers.Serializer[Any]):
    check = serializers.CharField()
    passed = serializers.BooleanField(allow_null=True)
    detail = serializers.CharField(allow_blank=True)
    score = serializers.FloatField(allow_null=True)


class ResultOut(serializers.ModelSerializer[SuiteResult]):
    case = serializers.CharField(source="case_name")
    required = serializers.BooleanField(source="is_required")
    outcomes = OutcomeOut(many=True)

    class Meta:
        model = SuiteResult
        fields = [
            "id", "case", "required", "repeat", "model", "state", "text", "outcomes", "problem", "latency_ms",
            "input_tokens", "output_tokens", "cost_usd", "ended_at",
        ]  # fmt: skip


class ShareOut(serializers.Serializer[Any]):
    """How many answers of a model passed, of those that were decided, with the 95 % interval of the share (Wilson)."""

    model = serializers.CharField()
    passed = serializers.IntegerField()
    decided = serializers.IntegerField()
    undecided = serializers.IntegerField()
    rate = serializers.FloatField(allow_null=True)
    low = serializers.FloatField()
    high = serializers.FloatField()
    latency_ms = serializers.FloatField(allow_null=True)
    cost_usd = serializers.DecimalField(max_digits=18, decimal_places=9, allow_null=True)


class SummaryOut(RunOut):
    shares = ShareOut(many=True)

    class Meta:
        model = SuiteRun
        fields = [*RunOut.Meta.fields, "shares"]


class TallyOut(serializers.Serializer[Any]):
    passed = serializers.IntegerField()
    failed = serializers.IntegerField()
    undecided = serializers.IntegerField()


class CaseChangeOut(serializers.Serializer[Any]):
    case = serializers.CharField()
    model = serializers.CharField()
    required = serializers.BooleanField(source="is_required")
    before = TallyOut(allow_null=True)
    after = TallyOut(allow_null=True)
    flip = serializers.ChoiceField(["", "pass_to_fail", "fail_to_pass"], allow_blank=True)


class ComparisonOut(serializers.Serializer[Any]):
    """Two runs, case by case. `p_of_drop`: how often chance alone makes such a drop; `is_drop`: less often than 5 %."""

    rate_before = serializers.FloatField(allow_null=True)
    rate_after = serializers.FloatField(allow_null=True)
    p_of_drop = serializers.FloatField()
    is_drop = serializers.BooleanField()
    changes = CaseChangeOut(many=True)


class VerdictOut(serializers.Serializer[Any]):
    """What a suite that the environment asks for says of the version. `problem` is empty when it is green."""

    suite = serializers.CharField(source="suite.name")
    is_green = serializers.BooleanField()
    problem = serializers.CharField(allow_blank=True)
    step = serializers.CharField(allow_blank=True)
    run = serializers.IntegerField(source="run.pk", default=None, allow_null=True)
    live_run = serializers.IntegerField(source="live_run.pk", default=None, allow_null=True)
    p_of_drop = serializers.FloatField(source="comparison.p_of_drop", default=None, allow_null=True)
