"""What of texts a team keeps, over REST, for administrators."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.services import privacy
from promptlab import llm
from promptlab.accounts.models import Team
from promptlab.accounts.rest import HouseView


class PrivacyShape(serializers.Serializer[Any]):
    """`masked`: kinds of values that are replaced in what is kept. Without `keeps_text` only numbers are kept."""

    masked = serializers.ListField(child=serializers.ChoiceField(choices=llm.KINDS))
    keeps_text = serializers.BooleanField()


class PrivacyIn(PrivacyShape):
    team_id = serializers.IntegerField(required=False)


class PrivacyDetail(HouseView):
    @extend_schema(
        operation_id="privacy_retrieve", parameters=[OpenApiParameter("team_id", int)], responses=PrivacyShape
    )
    def get(self, request: Request) -> Response:
        """Show what of texts your team keeps."""
        asked = serializers.IntegerField(required=False).run_validation(request.query_params.get("team_id", "0"))
        team_id = self.principal.team_for(privacy.ADMIN, asked or None)
        return Response(PrivacyShape(privacy.read_privacy(team_id)).data)

    @extend_schema(operation_id="privacy_update", request=PrivacyIn, responses=PrivacyShape)
    def put(self, request: Request) -> Response:
        """Say what of texts your team keeps from now on: of messages, comments and ideal answers."""
        shape = PrivacyIn(data=request.data)
        shape.is_valid(raise_exception=True)
        said = shape.validated_data
        team = Team.objects.get(pk=self.principal.team_for(privacy.ADMIN, said.get("team_id")))
        found = privacy.set_privacy(self.principal, team, masked=said["masked"], keeps_text=said["keeps_text"])
        return Response(PrivacyShape(found).data)
