"""Providers over REST, for administrators: who answers, with which key, and whether it does. No answer holds a key."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab.accounts.rest import HouseView, id_in
from promptlab.llm.finding import KINDS
from promptlab.llm.models import Provider
from promptlab.llm.querysets import CAPABILITY
from promptlab.llm.refusals import ProviderNotFound
from promptlab.llm.services import checking, providing


class ProviderPatch(serializers.Serializer[Any]):
    """`key` goes in and never comes out; it is needed again when the address leads to another host."""

    name = serializers.CharField(max_length=50, required=False)
    kind = serializers.ChoiceField(choices=Provider.Kind.values, required=False)
    address = serializers.CharField(max_length=1000, required=False, allow_blank=True)
    key = serializers.CharField(max_length=providing.LONGEST_KEY, required=False, allow_blank=True, write_only=True)
    key_variable = serializers.CharField(max_length=100, required=False, allow_blank=True)
    api_version = serializers.CharField(max_length=40, required=False, allow_blank=True)
    connect_timeout_s = serializers.FloatField(required=False, allow_null=True)
    first_token_timeout_s = serializers.FloatField(required=False, allow_null=True)
    deadline_s = serializers.FloatField(required=False, allow_null=True)
    on_hang_up = serializers.ChoiceField(choices=Provider.OnHangUp.values, required=False)
    region_note = serializers.CharField(max_length=300, required=False, allow_blank=True)
    is_on = serializers.BooleanField(required=False)
    masked = serializers.ListField(child=serializers.ChoiceField(choices=KINDS), required=False)


class ProviderIn(ProviderPatch):
    name = serializers.CharField(max_length=50)
    kind = serializers.ChoiceField(choices=Provider.Kind.values)
    team_id = serializers.IntegerField(required=False)


class ProviderOut(serializers.ModelSerializer[Provider]):
    """A provider without its key: `key_hint` is its last four characters. `called_at`: the address in use."""

    called_at = serializers.CharField()
    masked = serializers.ListField(child=serializers.CharField(), source="masked_list")
    has_key = serializers.BooleanField()
    check_words = serializers.SerializerMethodField()

    class Meta:
        model = Provider
        fields = [
            "id", "name", "kind", "address", "called_at", "has_key", "key_hint", "key_variable", "key_set_at",
            "api_version", "connect_timeout_s", "first_token_timeout_s", "deadline_s", "on_hang_up", "region_note",
            "is_on", "masked", "checked_at", "check_result", "check_status", "check_words", "created_at",
        ]  # fmt: skip

    def get_check_words(self, provider: Provider) -> str:
        return checking.words(provider.check_result, provider.check_status)


class FindingOut(serializers.Serializer[Any]):
    """How a check went. `status`: what the address answered, null when it did not."""

    result = serializers.CharField()
    status = serializers.IntegerField(allow_null=True)
    words = serializers.CharField()


class ProviderList(HouseView, GenericAPIView[Provider]):
    serializer_class = ProviderOut
    queryset = Provider.objects.none()
    filter_backends = ()

    @extend_schema(responses=ProviderOut(many=True))
    def get(self, request: Request) -> Response:
        """List the providers of the teams the caller administers."""
        page = self.paginate_queryset(Provider.objects.visible_to(self.principal))
        return self.get_paginated_response(ProviderOut(page, many=True).data)

    @extend_schema(request=ProviderIn, responses={201: ProviderOut})
    def post(self, request: Request) -> Response:
        """Make a provider. Its key is stored sealed, and no answer repeats it."""
        shape = ProviderIn(data=request.data)
        shape.is_valid(raise_exception=True)
        body = dict(shape.validated_data)
        team_id = self.principal.team_for(CAPABILITY, body.pop("team_id", None))
        made = providing.create_provider(self.principal, team_id, _fields(body))
        return Response(ProviderOut(made).data, status=status.HTTP_201_CREATED)


class OneProvider(HouseView):
    def found(self, pk: str) -> Provider:
        """Return a provider the caller administers. Raises ProviderNotFound."""
        one: Provider | None = Provider.objects.visible_to(self.principal).filter(pk=id_in(pk)).first()
        if one is None:
            raise ProviderNotFound
        return one


class ProviderDetail(OneProvider):
    @extend_schema(responses=ProviderOut)
    def get(self, request: Request, pk: str) -> Response:
        """Show a provider."""
        return Response(ProviderOut(self.found(pk)).data)

    @extend_schema(request=ProviderPatch, responses=ProviderOut)
    def patch(self, request: Request, pk: str) -> Response:
        """Change a provider, or replace its key. An address at another host takes the key again."""
        shape = ProviderPatch(data=request.data)
        shape.is_valid(raise_exception=True)
        changed = providing.update_provider(self.principal, self.found(pk), _fields(shape.validated_data))
        return Response(ProviderOut(changed).data)

    @extend_schema(parameters=[OpenApiParameter("confirm", str)], responses={204: None})
    def delete(self, request: Request, pk: str) -> Response:
        """Remove a provider with its key, models and prices. While models are on, `confirm` has to be its name."""
        confirm = request.query_params.get("confirm", "")
        providing.remove_provider(self.principal, self.found(pk), confirm=confirm)
        return Response(status=status.HTTP_204_NO_CONTENT)


class CheckProvider(OneProvider):
    @extend_schema(request=None, responses=FindingOut)
    def post(self, request: Request, pk: str) -> Response:
        """Ask a provider which models it has, for 10 seconds at most, and say how that went."""
        finding = checking.check_provider(self.principal, self.found(pk))
        said = {"result": finding.result.value, "status": finding.status}
        return Response({**said, "words": checking.words(finding.result, finding.status)})


def _fields(body: dict[str, Any]) -> providing.ProviderFields:
    """Return the valid body as the service takes it."""
    fields: Any = dict(body)
    return fields
