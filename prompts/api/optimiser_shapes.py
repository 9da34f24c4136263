"""Shapes of improvements, what they suggest, and goals. No rules and no writes here: services have them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from prompts.api.serializers import VersionOut
from prompts.api.suite_shapes import SaidIn
from prompts.meta_prompts import GOALS
from prompts.models import OptimiserRun, Suggestion, Version
from prompts.services.pairing import MAX_SAID as MAX_ASKED
from prompts.services.pairing import SIDES
from prompts.services.suggesting import MAX_SAID


class OptimizeIn(serializers.Serializer[Any]):
    """What to suggest. `said`: the language, or one's own instruction, where the goal asks for it.

    Without a `model`: the version's own. `budget_usd`: the most it may cost.
    """

    goal = serializers.ChoiceField(list(GOALS))
    said = serializers.CharField(required=False, allow_blank=True, max_length=MAX_SAID)
    model = serializers.CharField(required=False, allow_blank=True, max_length=100)
    budget_usd = serializers.DecimalField(required=False, max_digits=12, decimal_places=6, min_value=0)
    note = serializers.CharField(required=False, allow_blank=True, max_length=300)


class ImprovementOut(serializers.ModelSerializer[OptimiserRun]):
    """A run that looks for a better text. Steps that are `done`, of `total`; what it may cost, and what it cost."""

    prompt = serializers.CharField(source="version.prompt.name")
    version = serializers.IntegerField(source="version.number")
    budget_usd = serializers.DecimalField(max_digits=18, decimal_places=9)
    spent_usd = serializers.DecimalField(max_digits=18, decimal_places=9)
    actor = serializers.CharField(source="requested_label")

    class Meta:
        model = OptimiserRun
        fields = [
            "id", "kind", "goal", "prompt", "version", "model", "state", "reason", "total", "done", "calls", "max_calls",
            "budget_usd", "spent_usd", "unpriced_calls", "note", "actor", "created_at", "started_at", "ended_at",
        ]  # fmt: skip


class PartOut(SaidIn):
    """A message, or the place of others."""

    role = serializers.ChoiceField(["system", "user", "assistant"], required=False)  # type: ignore[assignment]
    content = serializers.CharField(required=False)
    placeholder = serializers.CharField(required=False)


class SuggestionOut(serializers.ModelSerializer[Suggestion]):
    """A text that was suggested. Rejected: `missing` and `invented` placeholders, or what else is wrong with it.

    `edited_share`: how much of what was saved a person changed, from 0 to 1.
    """

    content = serializers.CharField(source="text")
    messages = PartOut(many=True)
    changes = serializers.ListField(child=serializers.CharField())
    missing = serializers.ListField(child=serializers.CharField())
    invented = serializers.ListField(child=serializers.CharField())
    saved_version = serializers.IntegerField(source="saved_version.number", default=None, allow_null=True)
    edited_share = serializers.DecimalField(max_digits=5, decimal_places=4, allow_null=True)
    decided_by = serializers.CharField(source="decided_label")

    class Meta:
        model = Suggestion
        fields = [
            "id", "model", "content", "messages", "changes", "state", "missing", "invented", "problem", "saved_version",
            "edited_share", "decided_by", "decided_at", "created_at",
        ]  # fmt: skip


class PairAnswerOut(serializers.Serializer[Any]):
    """What one side said where both were tried: `own` is the text as it is. Without text and problem it is on its way."""

    side = serializers.ChoiceField(SIDES)
    text = serializers.CharField(allow_blank=True)
    problem = serializers.CharField(allow_blank=True)
    latency_ms = serializers.IntegerField(allow_null=True)
    input_tokens = serializers.IntegerField(allow_null=True)
    output_tokens = serializers.IntegerField(allow_null=True)
    cost_usd = serializers.DecimalField(max_digits=18, decimal_places=9, allow_null=True)


class ImprovementFullOut(ImprovementOut):
    """`answers` are of a run of the kind `pair` alone."""

    suggestions = SuggestionOut(many=True)
    answers = PairAnswerOut(many=True)

    class Meta:
        model = OptimiserRun
        fields = [*ImprovementOut.Meta.fields, "suggestions", "answers"]


class OriginOut(serializers.Serializer[Any]):
    """Which model suggested a version, for which goal, in which run, and how much of it a person changed (0 to 1)."""

    suggestion = serializers.IntegerField(source="pk")
    improvement = serializers.IntegerField(source="run_id")
    model = serializers.CharField()
    goal = serializers.CharField(source="run.goal")
    from_version = serializers.IntegerField(source="run.version.number")
    edited_share = serializers.DecimalField(max_digits=5, decimal_places=4)
    decided_by = serializers.CharField(source="decided_label")


class VersionFullOut(VersionOut):
    """One version, and the suggestion that it was saved from; null for what a person wrote."""

    suggested = OriginOut(allow_null=True)

    class Meta:
        model = Version
        fields = [*VersionOut.Meta.fields, "suggested"]


class EstimateOptimizeOut(serializers.Serializer[Any]):
    """`most_usd` is what it can cost at most; null where the model has no price."""

    calls = serializers.IntegerField()
    most_usd = serializers.DecimalField(max_digits=18, decimal_places=9, allow_null=True)


class AcceptIn(serializers.Serializer[Any]):
    """What is saved: the suggestion as it is, or its `content` or `messages` as somebody edited them."""

    content = serializers.CharField(required=False, trim_whitespace=False, max_length=1_000_000)
    messages = SaidIn(many=True, required=False, max_length=100)
    message = serializers.CharField(required=False, allow_blank=True, max_length=500)
    with_other_placeholders = serializers.BooleanField(required=False)
    allow_secret = serializers.CharField(required=False, allow_blank=True, max_length=300)


class PairIn(serializers.Serializer[Any]):
    """What both texts are asked: `variables` fill their blanks, `said` is what a user says. Without a `model`: the version's.

    `content` or `messages`: the suggestion as somebody edited it.
    """

    content = serializers.CharField(required=False, trim_whitespace=False, max_length=1_000_000)
    messages = SaidIn(many=True, required=False, max_length=100)
    variables = serializers.DictField(required=False)
    said = serializers.CharField(required=False, allow_blank=True, max_length=MAX_ASKED)
    model = serializers.CharField(required=False, allow_blank=True, max_length=100)
    budget_usd = serializers.DecimalField(required=False, max_digits=12, decimal_places=6, min_value=0)


class GoalOut(serializers.Serializer[Any]):
    """In which way a text can become better. `asks`: what has to be said with it. `live_version`: null for the shipped text."""

    key = serializers.CharField()
    title = serializers.CharField()
    asks = serializers.CharField(allow_blank=True)
    prompt = serializers.CharField()
    text = serializers.CharField()
    live_version = serializers.IntegerField(allow_null=True)


class TeamIn(serializers.Serializer[Any]):
    team_id = serializers.IntegerField(required=False)
