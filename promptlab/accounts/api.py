"""Who am I, and the team's keys, over REST."""

from __future__ import annotations

from typing import Any

from django.urls import re_path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab.accounts import services
from promptlab.accounts.models import ApiKey, Team
from promptlab.accounts.rest import HouseView, id_in
from promptlab.lib.errors import NotFound


class MeOut(serializers.Serializer[Any]):
    kind = serializers.CharField()
    label = serializers.CharField()
    teams = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))
    environments = serializers.ListField(child=serializers.CharField())
    default_environment = serializers.CharField()


class KeyIn(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100)
    scopes = serializers.ListField(child=serializers.CharField(), allow_empty=False)
    environments = serializers.ListField(child=serializers.CharField(max_length=36), required=False)
    expires_at = serializers.DateTimeField(required=False)
    calls_per_hour = serializers.IntegerField(required=False, min_value=1, max_value=100_000_000)
    team_id = serializers.IntegerField(required=False)


class KeyOut(serializers.ModelSerializer[ApiKey]):
    """A key without its secret, which only the answer that made it has."""

    scopes = serializers.ListField(source="scope_list")
    environments = serializers.SerializerMethodField()

    class Meta:
        model = ApiKey
        fields = [
            "id", "name", "prefix", "scopes", "environments", "calls_per_hour",
            "created_at", "expires_at", "last_used_at", "revoked_at",
        ]  # fmt: skip

    def get_environments(self, key: ApiKey) -> list[str]:
        return key.environments.split()


class KeyIssued(KeyOut):
    """The answer that made a key: `key` is the secret."""

    key = serializers.CharField()

    class Meta(KeyOut.Meta):
        fields = [*KeyOut.Meta.fields, "key"]


class Me(HouseView):
    @extend_schema(responses=MeOut)
    def get(self, request: Request) -> Response:
        """Say who calls and what they may do."""
        who = self.principal
        names = dict(Team.objects.filter(pk__in=who.grants).values_list("pk", "name"))
        teams = {names[team_id]: sorted(granted) for team_id, granted in who.grants.items() if team_id in names}
        shown = {
            "kind": who.kind,
            "label": who.label,
            "teams": teams,
            "environments": sorted(who.environments),
            "default_environment": who.default_environment,
        }
        return Response(shown)


class Keys(HouseView, GenericAPIView[ApiKey]):
    serializer_class = KeyOut
    queryset = ApiKey.objects.none()
    filter_backends = ()

    @extend_schema(responses=KeyOut(many=True))
    def get(self, request: Request) -> Response:
        """List the keys of the teams the caller administers."""
        page = self.paginate_queryset(ApiKey.objects.visible_to(self.principal))
        return self.get_paginated_response(KeyOut(page, many=True).data)

    @extend_schema(request=KeyIn, responses={201: KeyIssued})
    def post(self, request: Request) -> Response:
        """Make a key. `key` in the answer is the secret, shown this once."""
        shape = KeyIn(data=request.data)
        shape.is_valid(raise_exception=True)
        body = dict(shape.validated_data)
        team = Team.objects.get(pk=self.principal.team_for("key.admin", body.pop("team_id", None)))
        made, secret = services.issue_key(self.principal, team, **body)
        return Response({**KeyOut(made).data, "key": secret}, status=status.HTTP_201_CREATED)


class OneKey(HouseView):
    def found(self, pk: str) -> ApiKey:
        """Return a key the caller administers. Raises NotFound."""
        one = ApiKey.objects.visible_to(self.principal).filter(pk=id_in(pk)).first()
        if one is None:
            raise NotFound("There is no such key.", code="key_not_found")
        return one

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: str) -> Response:
        """Revoke a key; every process refuses it within a second."""
        services.revoke_key(self.principal, self.found(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


class RotateKey(OneKey):
    http_method_names = ["post", "options"]

    @extend_schema(request=None, responses={201: KeyIssued})
    def post(self, request: Request, pk: str) -> Response:
        """Replace a key: the old one works for 24 hours more."""
        made, secret = services.rotate_key(self.principal, self.found(pk))
        return Response({**KeyOut(made).data, "key": secret}, status=status.HTTP_201_CREATED)


urlpatterns = [
    re_path(r"^me/?$", Me.as_view()),
    re_path(r"^keys/?$", Keys.as_view()),
    re_path(r"^keys/(?P<pk>\d+)/?$", OneKey.as_view()),
    re_path(r"^keys/(?P<pk>\d+)/rotate/?$", RotateKey.as_view()),
]
