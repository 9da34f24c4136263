"""What may be said of answers, over REST. Administrators declare it; whoever reads ratings may look."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.errors import MetricNotFound
from feedback.models import Metric
from feedback.results import READ
from feedback.services import metrics
from promptlab.accounts.rest import HouseView


class MetricOut(serializers.ModelSerializer[Metric]):
    """Something that may be said of answers. Nothing more is said in it once it `is_archived`."""

    is_archived = serializers.SerializerMethodField()
    categories = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Metric
        fields = ["id", "key", "title", "kind", "low", "high", "is_higher_better", "categories", "is_archived"]

    def get_is_archived(self, metric: Metric) -> bool:
        return metric.archived_at is not None


class MetricChange(serializers.Serializer[Any]):
    """What to change; what is missing stays. `key` and `kind` never change."""

    title = serializers.CharField(required=False, max_length=100)
    low = serializers.FloatField(required=False, help_text="Of a score.")
    high = serializers.FloatField(required=False, help_text="Of a score.")
    is_higher_better = serializers.BooleanField(required=False)
    categories = serializers.ListField(child=serializers.CharField(max_length=100), required=False, max_length=50)


class MetricPatch(MetricChange):
    is_archived = serializers.BooleanField(required=False, help_text="True puts it away, false brings it back.")


class MetricIn(MetricChange):
    """A metric to declare."""

    key = serializers.CharField(max_length=50)
    kind = serializers.ChoiceField(choices=Metric.Kind.choices)
    team_id = serializers.IntegerField(required=False)


class MetricList(HouseView, GenericAPIView[Metric]):
    serializer_class = MetricOut
    queryset = Metric.objects.none()

    @extend_schema(operation_id="feedback_metrics_list", responses=MetricOut(many=True))
    def get(self, request: Request) -> Response:
        """List what may be said of answers besides thumbs up and down, which is always there as `rating`."""
        if not self.principal.may_anywhere(READ):
            self.principal.team_for(READ)
        rows = self.paginate_queryset(Metric.objects.visible_to(self.principal, READ))
        return self.get_paginated_response(MetricOut(rows, many=True).data)

    @extend_schema(operation_id="feedback_metrics_create", request=MetricIn, responses={201: MetricOut})
    def post(self, request: Request) -> Response:
        """Declare something that may be said of answers: a score, yes or no, one of a list, words, the ideal answer."""
        shape = MetricIn(data=request.data)
        shape.is_valid(raise_exception=True)
        said = dict(shape.validated_data)
        team_id = self.principal.team_for(metrics.ADMIN, said.pop("team_id", None))
        made = metrics.declare_metric(self.principal, team_id, **said)
        return Response(MetricOut(made).data, status=status.HTTP_201_CREATED)


class MetricDetail(HouseView):
    def _found(self, pk: str) -> Metric:
        found = Metric.objects.visible_to(self.principal, READ).filter(pk=int(pk)).first()
        if found is None:
            raise MetricNotFound(metric=pk[:20])
        return found

    @extend_schema(operation_id="feedback_metrics_retrieve", responses=MetricOut)
    def get(self, request: Request, pk: str) -> Response:
        """Show a metric."""
        return Response(MetricOut(self._found(pk)).data)

    @extend_schema(operation_id="feedback_metrics_partial_update", request=MetricPatch, responses=MetricOut)
    def patch(self, request: Request, pk: str) -> Response:
        """Change a metric, put it away or bring it back. What was said stays as it was said."""
        metric = self._found(pk)
        shape = MetricPatch(data=request.data)
        shape.is_valid(raise_exception=True)
        changed = metrics.change_metric(self.principal, metric, shape.validated_data)
        return Response(MetricOut(changed).data)
