"""Has a move reached everybody, over REST."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab.accounts.rest import id_in
from prompts import convergence
from prompts.api.plans import OfEnvironments
from prompts.api.views import House
from prompts.convergence import Convergence
from prompts.errors import DeploymentNotFound
from prompts.models import DeploymentEvent


class StragglerOut(serializers.Serializer[Any]):
    host = serializers.CharField()
    process = serializers.CharField()
    client = serializers.CharField()
    revision = serializers.IntegerField()
    seen_s = serializers.FloatField(help_text="Seconds since it last reported.")
    is_quiet = serializers.BooleanField()


class ConvergenceOut(serializers.Serializer[Any]):
    """How many of the processes that report serve the revision, and how long it took the slowest of those waited for."""

    environment = serializers.CharField()
    revision = serializers.IntegerField()
    moved_at = serializers.DateTimeField(allow_null=True)
    processes = serializers.IntegerField()
    current = serializers.IntegerField()
    is_complete = serializers.BooleanField()
    waited_for = serializers.IntegerField()
    last_s = serializers.FloatField(allow_null=True)
    median_s = serializers.FloatField(allow_null=True)
    stragglers = StragglerOut(many=True)


def shape(found: Convergence) -> dict[str, Any]:
    """Return the answer's body."""
    return {**asdict(found), "is_complete": found.is_complete}


class DeploymentConvergence(House):
    serializer_class = ConvergenceOut
    filter_backends = ()
    pagination_class = None

    @extend_schema(responses=ConvergenceOut)
    def get(self, request: Request, pk: str) -> Response:
        """Tell whether a move has reached every process that reports, and who is behind."""
        rows = DeploymentEvent.objects.visible_to(self.principal).select_related("environment")
        event = rows.filter(pk=id_in(pk)).first()
        if event is None:
            raise DeploymentNotFound
        return Response(ConvergenceOut(shape(convergence.of_move(event))).data)


class EnvironmentConvergence(OfEnvironments):
    serializer_class = ConvergenceOut

    @extend_schema(responses=ConvergenceOut)
    def get(self, request: Request, name: str) -> Response:
        """Tell whether every process that reports serves the newest revision of the environment."""
        return Response(ConvergenceOut(shape(convergence.of_environment(self.environment(name)))).data)
