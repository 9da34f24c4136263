"""Replays over REST: rated answers asked again of a version, and what a blind judge says of then and now."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from feedback import replays
from feedback.errors import ReplayNotFound
from feedback.models import Replay
from feedback.services import replaying
from feedback.services.replaying import ReplayPlan
from promptlab.accounts.rest import HouseView, id_in, idempotent
from prompts import resolve
from prompts.api.suite_shapes import EstimateRunOut
from prompts.models import Version


class ReplayIn(serializers.Serializer[Any]):
    """What to replay. `model` answers (else the version's own), `judge` is the model that compares (else the default one)."""

    prompt = serializers.CharField(max_length=255)
    version = serializers.CharField(max_length=100, default="latest", help_text="Number, name or latest.")
    downs = serializers.IntegerField(min_value=0, max_value=replaying.MOST, default=replaying.DOWNS)
    ups = serializers.IntegerField(min_value=0, max_value=replaying.MOST, default=replaying.UPS)
    model = serializers.CharField(max_length=100, default="", allow_blank=True)
    judge = serializers.CharField(max_length=100, default="", allow_blank=True)
    rubric = serializers.CharField(max_length=20_000, default="", allow_blank=True, help_text="What a good answer is.")
    budget_usd = serializers.DecimalField(required=False, max_digits=12, decimal_places=6, min_value=0)
    team_id = serializers.IntegerField(required=False, write_only=True)


class ReplayRowOut(serializers.ModelSerializer[Replay]):
    """A replay. How far it is, what it costs and cancelling it are at its run: `/runs/{run}`."""

    prompt = serializers.CharField(source="prompt.name")
    version = serializers.IntegerField(source="run.version.number")
    run = serializers.IntegerField(source="run_id")
    state = serializers.CharField(source="run.state")
    suite = serializers.CharField(source="run.suite.name")
    actor = serializers.CharField(source="run.requested_label")

    class Meta:
        model = Replay
        fields = ["id", "prompt", "version", "run", "state", "suite", "unfit", "actor", "created_at"]


class SideOut(serializers.Serializer[Any]):
    asked = serializers.IntegerField()
    better = serializers.IntegerField()
    same = serializers.IntegerField()
    worse = serializers.IntegerField()
    undecided = serializers.IntegerField()


class ReplayedOut(serializers.Serializer[Any]):
    """One rated answer. `flip`: mended (disliked then, better now), broken (liked then, worse now)."""

    case = serializers.CharField(source="result.case_name")
    was_liked = serializers.BooleanField(source="item.is_up")
    score = serializers.FloatField(allow_null=True, help_text="1 better, 0 worse, 0.5 neither; null: not known.")
    flip = serializers.ChoiceField(["", "mended", "broken"], allow_blank=True)
    reason = serializers.CharField(allow_blank=True)
    before = serializers.CharField(allow_blank=True, help_text="The rated answer, without addresses and numbers.")
    after = serializers.CharField(source="result.text", allow_blank=True)


class ReplayOut(ReplayRowOut):
    """What it came to. `share`: better among those that differ, with its 95 % range; `p`: how often chance alone does so.

    Shares are of this sample, which holds more dislikes than traffic does.
    """

    verdict = serializers.ChoiceField(["waiting", "better", "worse", "open"], source="found.verdict")
    share = serializers.FloatField(source="found.share", allow_null=True)
    low = serializers.FloatField(source="found.low")
    high = serializers.FloatField(source="found.high")
    p = serializers.FloatField(source="found.p")
    mended = serializers.IntegerField(source="found.mended")
    broken = serializers.IntegerField(source="found.broken")
    downs = SideOut(source="found.downs")
    ups = SideOut(source="found.ups")
    items = ReplayedOut(source="found.items", many=True)

    class Meta:
        model = Replay
        fields = [
            *ReplayRowOut.Meta.fields, "verdict", "share", "low", "high", "p", "mended", "broken", "downs", "ups", "items",
        ]  # fmt: skip


class SavedOut(serializers.Serializer[Any]):
    suite = serializers.CharField()
    cases = serializers.IntegerField()


class OfReplays(HouseView, GenericAPIView[Replay]):
    queryset = Replay.objects.none()
    serializer_class = ReplayOut

    def found(self, pk: str) -> Replay:
        """Return a replay the caller sees. Raises ReplayNotFound."""
        rows = Replay.objects.visible_to(self.principal).with_names()
        one: Replay | None = rows.filter(pk=id_in(pk)).first()
        if one is None:
            raise ReplayNotFound
        return one

    def asked(self, request: Request) -> tuple[Version, ReplayPlan]:
        """Return what a body wants. Raises Invalid, PromptNotFound, VersionNotFound."""
        shape = ReplayIn(data=request.data)
        shape.is_valid(raise_exception=True)
        said = dict(shape.validated_data)
        prompt = resolve.prompt_for(self.principal, said.pop("prompt"), said.pop("team_id", None))
        version = resolve.version_of(prompt, said.pop("version"))
        return version, ReplayPlan(**said)

    def shown(self, replay: Replay) -> dict[str, Any]:
        """Return the shape of one replay with what it came to."""
        replay.found = replays.found(replay)  # type: ignore[attr-defined]
        return ReplayOut(replay).data


class ReplayList(OfReplays):
    @extend_schema(responses=ReplayRowOut(many=True))
    def get(self, request: Request) -> Response:
        """List the replays, newest first."""
        rows = self.paginate_queryset(Replay.objects.visible_to(self.principal).with_names())
        return self.get_paginated_response(ReplayRowOut(rows, many=True).data)

    @extend_schema(request=ReplayIn, responses={201: ReplayOut})
    @idempotent
    def post(self, request: Request) -> Response:
        """Ask a version again what the newest disliked and liked answers were given to: 201 a replay to look at again."""
        made = replaying.request_replay(self.principal, *self.asked(request))
        return Response(self.shown(self.found(str(made.pk))), status=status.HTTP_201_CREATED)


class ReplayEstimate(OfReplays):
    serializer_class = EstimateRunOut

    @extend_schema(request=ReplayIn, responses=EstimateRunOut)
    def post(self, request: Request) -> Response:
        """Say how many calls a replay would make, and what they can cost at most. Nothing is asked."""
        return Response(EstimateRunOut(replaying.estimate_replay(self.principal, *self.asked(request))).data)


class ReplayDetail(OfReplays):
    @extend_schema(responses=ReplayOut)
    def get(self, request: Request, pk: str) -> Response:
        """Return a replay: the verdict with its range, and every answer, flips first."""
        return Response(self.shown(self.found(pk)))


class ReplayCases(OfReplays):
    serializer_class = SavedOut

    @extend_schema(request=None, responses=SavedOut)
    def post(self, request: Request, pk: str) -> Response:
        """Make cases of the answers of which one is better, held to the better one. Again adds none."""
        replay = self.found(pk)
        made = replaying.save_disagreements(self.principal, replay)
        return Response({"suite": replay.run.suite.name, "cases": len(made)})
