"""Shapes of the feedback API. No rules here: services have them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from feedback.models import Feedback


@extend_schema_field({"oneOf": [{"type": "number"}, {"type": "string"}]})
class _Said(serializers.ReadOnlyField):
    """A number or words."""


class FeedbackOut(serializers.ModelSerializer[Feedback]):
    """One rating and the answer it is about, as that was served. A prompt that is private to others is not named."""

    id = serializers.UUIDField(source="uid")
    feedback_id = serializers.UUIDField(source="uid")
    message_id = serializers.UUIDField(source="message.uid")
    rating = serializers.IntegerField(source="value", allow_null=True)
    value = _Said(source="said", help_text="What was said in the metric: a number or words; 1 and 0 are yes and no.")
    correction = serializers.SerializerMethodField(help_text="The ideal answer that came with a thumb.")
    user = serializers.CharField(source="rater")
    prompt = serializers.CharField(source="message.version.prompt.name", default=None)
    version = serializers.IntegerField(source="message.version.number", default=None)
    version_string = serializers.CharField(source="message.version.version_string", default=None)
    environment = serializers.CharField(source="message.environment.name", default=None)
    experiment = serializers.CharField(source="message.experiment.key", default=None)
    variant = serializers.CharField(source="message.served_variant.key", default=None)

    class Meta:
        model = Feedback
        fields = [
            "id",
            "feedback_id",
            "message_id",
            "metric",
            "rating",
            "value",
            "comment",
            "correction",
            "source",
            "user",
            "prompt",
            "version",
            "version_string",
            "environment",
            "experiment",
            "variant",
            "created_at",
            "updated_at",
        ]

    def get_correction(self, rating: Feedback) -> str:
        return "" if rating.value is None and rating.score is None else rating.text

    def to_representation(self, instance: Any) -> dict[str, Any]:
        told = super().to_representation(instance)
        return {**told, "prompt": None, "experiment": None, "variant": None} if instance.is_hidden else told


@extend_schema_field({"oneOf": [{"type": "number"}, {"type": "boolean"}, {"type": "string"}]})
class SaidIn(serializers.JSONField):
    """A number, true or false, or words."""


class OneRatingIn(serializers.Serializer[Any]):
    """A rating: for the documentation; `intake.read_rating` reads it."""

    message_id = serializers.UUIDField(required=False, help_text="Comes with the answer; or `receipt`.")
    receipt = serializers.CharField(required=False, help_text="Comes with the answer or the prompt; or `message_id`.")
    conversation_id = serializers.UUIDField(required=False, help_text="Its newest answer is rated.")
    rating = serializers.ChoiceField(choices=[1, -1], required=False, help_text="Or `metric` and `value`.")
    metric = serializers.CharField(required=False, max_length=50, help_text="One that your team declared.")
    value = SaidIn(required=False, help_text="What the metric takes: a number, true or false, or words.")
    retract = serializers.BooleanField(required=False, help_text="True, in place of a rating: take it back.")
    comment = serializers.CharField(required=False, allow_blank=True, max_length=5_000)
    correction = serializers.CharField(required=False, allow_blank=True, max_length=20_000, help_text="Ideal answer.")
    user = serializers.CharField(required=False, allow_blank=True, max_length=200, help_text="Who rates.")
    source = serializers.ChoiceField(choices=Feedback.Source.choices, required=False)
    id = serializers.CharField(required=False, max_length=255, help_text="Idempotency key; or the header of that name.")


class RatingIn(OneRatingIn):
    """A rating, or `items` with several of them and nothing else."""

    items = OneRatingIn(many=True, required=False, help_text="1 to 1,000 ratings, each with its own `id`.")


class RatingAccepted(serializers.Serializer[Any]):
    """The receipt of a rating: it is in the database. It holds `rating` too; null for one taken back."""

    feedback_id = serializers.UUIDField()
    id = serializers.UUIDField()
    message_id = serializers.UUIDField()
    rating = serializers.IntegerField(allow_null=True)


class RefusalOut(serializers.Serializer[Any]):
    """Why one of several ratings was refused, and which: the first has the index 0."""

    index = serializers.IntegerField()
    field = serializers.CharField(allow_blank=True)
    code = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()


class RatingsAccepted(serializers.Serializer[Any]):
    """What became of several ratings, in their order; null for what was refused."""

    accepted = serializers.IntegerField()
    items = RatingAccepted(many=True, allow_null=True)
    rejected = serializers.IntegerField(required=False)
    errors = RefusalOut(many=True, required=False)


class EraseIn(serializers.Serializer[Any]):
    """Whom to forget."""

    unit_id = serializers.CharField(max_length=200, trim_whitespace=False, help_text="As applications name this user.")
    team_id = serializers.IntegerField(required=False)


class ErasedOut(serializers.Serializer[Any]):
    """What was erased, and the random name that what is left goes by."""

    stands_for = serializers.CharField()
    messages = serializers.IntegerField()
    ratings = serializers.IntegerField()
    experiment_rows = serializers.IntegerField()
    kept_answers = serializers.IntegerField()


class CountsOut(serializers.Serializer[Any]):
    """Counts; ratios are null while there is nothing to divide by. The range is the 95 % one."""

    shown = serializers.IntegerField()
    rated = serializers.IntegerField()
    up = serializers.IntegerField()
    down = serializers.IntegerField()
    approval = serializers.FloatField(allow_null=True)
    approval_low = serializers.FloatField(allow_null=True)
    approval_high = serializers.FloatField(allow_null=True)
    coverage = serializers.FloatField(allow_null=True)


class VersionCountsOut(CountsOut):
    """What was said of one version, in experiments and outside."""

    prompt = serializers.CharField()
    version = serializers.IntegerField()
    version_string = serializers.CharField(allow_blank=True)


class VariantCountsOut(VersionCountsOut):
    """What was said of one variant in one phase of an experiment."""

    experiment = serializers.CharField()
    phase = serializers.IntegerField()
    variant = serializers.CharField()
    is_control = serializers.BooleanField()


class MetricCountsOut(serializers.Serializer[Any]):
    """What was said of one text in one metric by one kind of rater. `mean` of scores; of yes and no the share of yes."""

    metric = serializers.CharField()
    source = serializers.ChoiceField(choices=Feedback.Source.choices)
    prompt = serializers.CharField()
    version = serializers.IntegerField()
    experiment = serializers.CharField(allow_null=True)
    variant = serializers.CharField(allow_null=True)
    choice = serializers.CharField(allow_blank=True, help_text="Of a category, which.")
    ratings = serializers.IntegerField()
    mean = serializers.FloatField(allow_null=True)


class StatsOut(serializers.Serializer[Any]):
    """Everything that was said, summed. `since`: the full hour from which is counted."""

    since = serializers.DateTimeField(allow_null=True)
    totals = CountsOut()
    variants = VariantCountsOut(many=True)
    versions = VersionCountsOut(many=True)
    metrics = MetricCountsOut(many=True, help_text="Declared metrics, and what annotators and judges say.")
