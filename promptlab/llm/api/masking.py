"""What a team never sends to a model as it is, over REST, for administrators."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab.accounts.rest import HouseView
from promptlab.llm import finding
from promptlab.llm.finding import Masks
from promptlab.llm.querysets import CAPABILITY
from promptlab.llm.routes import read_masks
from promptlab.llm.services import hiding


class MaskingShape(serializers.Serializer[Any]):
    """`kinds` of values that leave as tokens, whoever answers; `patterns` of your own by their names."""

    kinds = serializers.ListField(child=serializers.ChoiceField(choices=finding.KINDS))
    patterns = serializers.DictField(child=serializers.CharField(max_length=finding.MAX_PATTERN, trim_whitespace=False))


class MaskingIn(MaskingShape):
    team_id = serializers.IntegerField(required=False)


class MaskingDetail(HouseView):
    @extend_schema(parameters=[OpenApiParameter("team_id", int)], responses=MaskingShape)
    def get(self, request: Request) -> Response:
        """Show what is replaced before every call of your team."""
        asked = serializers.IntegerField(required=False).run_validation(request.query_params.get("team_id", "0"))
        team_id = self.principal.team_for(CAPABILITY, asked or None)
        return Response(_shown(read_masks(team_id)))

    @extend_schema(request=MaskingIn, responses=MaskingShape)
    def put(self, request: Request) -> Response:
        """Say what is replaced before every call of your team, in place of what was said before."""
        shape = MaskingIn(data=request.data)
        shape.is_valid(raise_exception=True)
        body = shape.validated_data
        team_id = self.principal.team_for(CAPABILITY, body.get("team_id"))
        said = hiding.set_masking(self.principal, team_id, kinds=body["kinds"], patterns=body["patterns"])
        return Response(_shown(said))


def _shown(masks: Masks) -> dict[str, Any]:
    return {"kinds": list(masks.kinds), "patterns": dict(masks.patterns)}
