"""Nightly runs on what is live, and what they found, over REST."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from prompts.api.filters import DriftFilter
from prompts.api.views import House
from prompts.models import GoldenRun


class DriftOut(serializers.ModelSerializer[GoldenRun]):
    """One night's run on a version that is live. `verdict`: open, first (nothing to compare with), steady, drift, unknown.

    `rate_before` is of the oldest runs that asked the very same; `p_of_drop`: how often chance alone makes such a drop.
    """

    environment = serializers.CharField(source="environment.name")
    suite = serializers.CharField(source="suite.name")
    prompt = serializers.CharField(source="version.prompt.name")
    version = serializers.IntegerField(source="version.number")
    run = serializers.IntegerField(source="run_id", allow_null=True)

    class Meta:
        model = GoldenRun
        fields = [
            "id", "night", "environment", "suite", "prompt", "version", "run", "verdict", "rate_before", "rate_after",
            "p_of_drop", "problem", "created_at",
        ]  # fmt: skip


class DriftList(House):
    serializer_class = DriftOut
    filterset_class = DriftFilter
    queryset = GoldenRun.objects.none()

    @extend_schema(responses=DriftOut(many=True))
    def get(self, request: Request) -> Response:
        """List the nightly runs on what is live, newest first. Environments that are given no money have none."""
        return self.page(GoldenRun.objects.visible_to(self.principal).with_names(), DriftOut)
