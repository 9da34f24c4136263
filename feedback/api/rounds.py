"""Rounds of annotation over REST: drawing answers, rating them one after the other, and how far annotators agree."""

from __future__ import annotations

from typing import Any

from django.db.models import Count
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.annotations import results_of, waiting_for
from feedback.api.serializers import SaidIn
from feedback.api.views import may_read
from feedback.errors import AnswerNotDrawn, RoundNotFound
from feedback.models import AnnotationItem, AnnotationRound, Metric
from feedback.results import READ
from feedback.services import annotating
from feedback.services.annotated import CARE, annotate
from feedback.services.fitting import RATING
from promptlab.accounts.access import require
from promptlab.accounts.rest import id_in, idempotent
from promptlab.chat.transcripts import question_of
from promptlab.lib.errors import Forbidden
from prompts.api.views import House
from prompts.resolve import prompt_for


class AgreementOut(serializers.Serializer[Any]):
    """How far two say the same of `both` answers; kappa is agreement beyond chance, with its 95 % range."""

    both = serializers.IntegerField()
    share = serializers.FloatField(allow_null=True)
    kappa = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)


class RoundOut(serializers.ModelSerializer[AnnotationRound]):
    """A sample of a prompt's answers that colleagues rate."""

    prompt = serializers.CharField(source="prompt.name")
    answers = serializers.SerializerMethodField()

    class Meta:
        model = AnnotationRound
        fields = ["id", "title", "prompt", "metric", "answers", "created_at", "closed_at"]

    def get_answers(self, one: Any) -> int:
        return int(one.answer_count)


class DoneOut(serializers.Serializer[Any]):
    rater = serializers.CharField(help_text="annotator:USER_ID")
    answers = serializers.IntegerField()


class RoundDetailOut(RoundOut):
    """A round, who rated how many, and how far they agree: with each other, and most of them with most end users."""

    done = DoneOut(many=True)
    kappa = serializers.FloatField(allow_null=True)
    with_users = AgreementOut()

    class Meta(RoundOut.Meta):
        fields = [*RoundOut.Meta.fields, "done", "kappa", "with_users"]


class RoundIn(serializers.Serializer[Any]):
    """A round to be."""

    title = serializers.CharField(max_length=100)
    prompt = serializers.CharField(max_length=255, help_text="Short name.")
    metric = serializers.CharField(default=RATING, max_length=50, help_text="rating is thumbs; or one of your own.")
    answers = serializers.IntegerField(default=50, min_value=1, max_value=annotating.MOST)
    days = serializers.IntegerField(default=30, min_value=1, max_value=365, help_text="Of the last days.")
    team_id = serializers.IntegerField(required=False)


class DrawnOut(serializers.Serializer[Any]):
    """An answer to rate."""

    id = serializers.IntegerField(source="pk")
    message_id = serializers.UUIDField(source="message.uid")
    question = serializers.SerializerMethodField()
    answer = serializers.CharField(source="message.content")

    def get_question(self, item: AnnotationItem) -> str:
        return question_of(item.message)


class MetricShape(serializers.ModelSerializer[Metric]):
    """What to say: a number from `low` to `high`, true or false, or one of `categories`."""

    class Meta:
        model = Metric
        fields = ["key", "kind", "low", "high", "categories"]
        extra_kwargs = {"categories": {"help_text": "Of a category."}}


class NextOut(serializers.Serializer[Any]):
    """The next answer that you did not rate; null when you rated all. Without a `metric` say 1 or -1."""

    item = DrawnOut(allow_null=True)
    left = serializers.IntegerField()
    metric = MetricShape(allow_null=True)


class AnnotationIn(serializers.Serializer[Any]):
    value = SaidIn(help_text="What the round's metric takes: 1 or -1, a number, true or false, or one of its words.")
    comment = serializers.CharField(required=False, allow_blank=True, max_length=5_000)


@extend_schema_field({"oneOf": [{"type": "number"}, {"type": "string"}]})
class _Told(serializers.ReadOnlyField):
    """A number or words."""


class AnnotatedOut(serializers.Serializer[Any]):
    """The receipt of what an annotator said."""

    feedback_id = serializers.UUIDField()
    message_id = serializers.UUIDField()
    metric = serializers.CharField()
    value = _Told()


class OfRounds(House):
    """Views that find a round by its id."""

    serializer_class = RoundOut
    filter_backends = ()
    queryset = AnnotationRound.objects.none()

    def round(self, pk: str, capability: str = "prompt.read") -> AnnotationRound:
        """Return a round the caller sees. Raises RoundNotFound."""
        rows = AnnotationRound.objects.visible_to(self.principal, capability).select_related("prompt")
        found: AnnotationRound | None = rows.annotate(answer_count=Count("items")).filter(pk=id_in(pk)).first()
        if found is None:
            raise RoundNotFound
        return found

    def to_rate(self, pk: str) -> AnnotationRound:
        """Return a round that the caller, a person, may rate in."""
        one = self.round(pk)
        require(self.principal, CARE, one.team_id)
        if self.principal.user_id is None:
            raise Forbidden("Only people annotate.")
        return one

    def shown(self, one: AnnotationRound, code: int = status.HTTP_200_OK) -> Response:
        """Return the answer about one round."""
        found = results_of(one)
        told = {**RoundOut(one).data, "kappa": found.kappa, "with_users": AgreementOut(found.with_users).data}
        done = [{"rater": rater, "answers": number} for rater, number in found.done.items()]
        return Response({**told, "done": done}, status=code)


class RoundList(OfRounds):
    @extend_schema(operation_id="annotation_list", responses=RoundOut(many=True))
    def get(self, request: Request) -> Response:
        """List the rounds, newest first."""
        may_read(self.principal)
        rows = AnnotationRound.objects.visible_to(self.principal, READ).select_related("prompt")
        return self.page(rows.annotate(answer_count=Count("items")).order_by("-id"), RoundOut)

    @extend_schema(operation_id="annotation_create", request=RoundIn, responses={201: RoundDetailOut})
    @idempotent
    def post(self, request: Request) -> Response:
        """Draw answers of a prompt at random for colleagues to rate."""
        said = self.checked(RoundIn)
        prompt = prompt_for(self.principal, said.pop("prompt"), said.pop("team_id", None))
        made = annotating.start_round(self.principal, prompt, **said)
        return self.shown(self.round(str(made.pk)), status.HTTP_201_CREATED)


class RoundDetail(OfRounds):
    @extend_schema(operation_id="annotation_retrieve", responses=RoundDetailOut)
    def get(self, request: Request, pk: str) -> Response:
        """Show how a round stands: who rated how many, and how far they agree."""
        may_read(self.principal)
        return self.shown(self.round(pk, READ))


class RoundEnd(OfRounds):
    @extend_schema(operation_id="annotation_end", request=None, responses=RoundDetailOut)
    def post(self, request: Request, pk: str) -> Response:
        """End a round: nobody rates in it any more. What was said stays. Again changes nothing."""
        annotating.close_round(self.principal, self.round(pk))
        return self.shown(self.round(pk))


class RoundNext(OfRounds):
    @extend_schema(operation_id="annotation_next", responses=NextOut)
    def get(self, request: Request, pk: str) -> Response:
        """Show the next answer of a round that you, a signed-in person, did not rate."""
        one = self.to_rate(pk)
        waiting = waiting_for(one, self.principal.user_id or 0)
        metric = Metric.objects.filter(team=one.team_id, key=one.metric).first()
        return Response(NextOut({"item": waiting.first(), "left": waiting.count(), "metric": metric}).data)


class RoundAnswer(OfRounds):
    @extend_schema(operation_id="annotation_rate", request=AnnotationIn, responses=AnnotatedOut)
    def put(self, request: Request, pk: str, item: str) -> Response:
        """Say what you, a signed-in person, think of an answer of a round; again changes it."""
        one = self.to_rate(pk)
        rows = AnnotationItem.objects.filter(round=one, pk=id_in(item)).select_related("round", "message")
        drawn = rows.first()
        if drawn is None:
            raise AnswerNotDrawn
        said = self.checked(AnnotationIn)
        kept = annotate(self.principal, drawn, said["value"], comment=said.get("comment", ""))
        return Response(AnnotatedOut(kept).data)
