"""How a prompt is used, over REST."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.results import READ, of_prompt
from feedback.usage import Used, VersionUse, prompt_usage
from promptlab.accounts.rest import HouseView
from prompts.errors import PromptNotFound
from prompts.models import Prompt


class UsageQuery(serializers.Serializer[Any]):
    """What is asked for."""

    prompt = serializers.CharField(max_length=255, help_text="Short name or id.")
    days = serializers.IntegerField(min_value=1, max_value=365, default=30)
    environment = serializers.CharField(max_length=36, default="", allow_blank=True)


class UsedOut(serializers.Serializer[Any]):
    """Counts; ratios are null while there is nothing to divide by. The range is the 95 % one."""

    calls = serializers.IntegerField()
    shown = serializers.IntegerField()
    errors = serializers.IntegerField()
    rated = serializers.IntegerField(source="said.ratings")
    up = serializers.IntegerField(source="said.ups")
    approval = serializers.FloatField(source="said.rate", allow_null=True)
    approval_low = serializers.FloatField(source="said.low", allow_null=True)
    approval_high = serializers.FloatField(source="said.high", allow_null=True)
    coverage = serializers.FloatField(allow_null=True)
    median_ms = serializers.IntegerField(allow_null=True, help_text="Of the newest answers.")
    p95_ms = serializers.IntegerField(allow_null=True, help_text="Of the newest answers.")
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cost_usd = serializers.DecimalField(18, 9, help_text="Of calls whose price is known; `unpriced` are the others.")
    unpriced = serializers.IntegerField()


class VersionUsedOut(UsedOut):
    version = serializers.IntegerField()
    version_string = serializers.CharField(allow_blank=True)


class PromptUsageOut(serializers.Serializer[Any]):
    """How a prompt was used since a full hour. The newest version first."""

    prompt = serializers.CharField()
    since = serializers.DateTimeField()
    totals = UsedOut()
    versions = VersionUsedOut(many=True)


class Usage(HouseView):
    @extend_schema(operation_id="feedback_usage", parameters=[UsageQuery], responses=PromptUsageOut)
    def get(self, request: Request) -> Response:
        """Tell how a prompt is used, by version: calls, approval with its range, coverage, waits, cost."""
        if not self.principal.may_anywhere(READ):
            self.principal.team_for(READ)
        asked = UsageQuery(data=request.query_params)
        asked.is_valid(raise_exception=True)
        reference = asked.validated_data["prompt"]
        prompt = Prompt.objects.visible_to(self.principal, READ).filter(of_prompt(reference)).first()
        if prompt is None:
            raise PromptNotFound(name=reference[:100])
        said = asked.validated_data
        found = prompt_usage(self.principal, prompt, days=said["days"], environment=said["environment"])
        told = {"prompt": prompt.name, "since": found.since, "totals": UsedOut(found.totals).data}
        return Response({**told, "versions": [_version(one) for one in found.versions]})


def _version(one: VersionUse) -> dict[str, Any]:
    used: Used = one.used
    return {"version": one.number, "version_string": one.version_string, **UsedOut(used).data}
