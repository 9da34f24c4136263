"""Models over REST: everybody sees which ones they may use, administrators manage them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab.accounts.rest import HouseView, id_in
from promptlab.lib.errors import FieldProblem
from promptlab.llm.models import LanguageModel, Provider
from promptlab.llm.querysets import CAPABILITY
from promptlab.llm.refusals import ModelRowNotFound, ProviderNotFound
from promptlab.llm.services import modelling


class ModelPatch(serializers.Serializer[Any]):
    """`fallbacks` are names of models: the first is tried first when this one cannot answer."""

    name = serializers.CharField(max_length=100, required=False)
    upstream_name = serializers.CharField(max_length=200, required=False, allow_blank=True)
    tier = serializers.ChoiceField(choices=LanguageModel.Tier.values, required=False, allow_blank=True)
    context_window = serializers.IntegerField(required=False, allow_null=True)
    max_output_tokens = serializers.IntegerField(required=False, allow_null=True)
    abilities = serializers.ListField(child=serializers.CharField(max_length=20), max_length=20, required=False)
    is_on = serializers.BooleanField(required=False)
    fallbacks = serializers.ListField(child=serializers.CharField(max_length=100), max_length=20, required=False)


class ModelIn(ModelPatch):
    provider_id = serializers.IntegerField()
    name = serializers.CharField(max_length=100)


class ModelOut(serializers.ModelSerializer[LanguageModel]):
    """A model, without its provider's address. It answers while `is_on` and `is_provider_on`."""

    provider = serializers.CharField(source="provider.name")
    is_provider_on = serializers.BooleanField(source="provider.is_on")
    region_note = serializers.CharField(source="provider.region_note")
    abilities = serializers.ListField(source="ability_list", child=serializers.CharField())
    fallbacks = serializers.SerializerMethodField()

    class Meta:
        model = LanguageModel
        fields = [
            "id", "name", "provider", "provider_id", "upstream_name", "tier", "context_window", "max_output_tokens",
            "abilities", "is_on", "is_provider_on", "region_note", "fallbacks", "created_at",
        ]  # fmt: skip

    def get_fallbacks(self, model: LanguageModel) -> list[str]:
        return [one.other.name for one in model.fallbacks.all()]


def _rows(principal: Any, capability: str) -> Any:
    """Return the models with what an answer shows of them: two queries."""
    rows = LanguageModel.objects.visible_to(principal, capability)
    return rows.select_related("provider").prefetch_related("fallbacks__other")


class ModelList(HouseView, GenericAPIView[LanguageModel]):
    serializer_class = ModelOut
    queryset = LanguageModel.objects.none()
    filter_backends = ()

    @extend_schema(responses=ModelOut(many=True))
    def get(self, request: Request) -> Response:
        """List the models of the caller's teams. `echo`, for practice, is there besides, as are the settings' models."""
        page = self.paginate_queryset(_rows(self.principal, "prompt.read"))
        return self.get_paginated_response(ModelOut(page, many=True).data)

    @extend_schema(request=ModelIn, responses={201: ModelOut})
    def post(self, request: Request) -> Response:
        """Make a model of a provider."""
        shape = ModelIn(data=request.data)
        shape.is_valid(raise_exception=True)
        body = dict(shape.validated_data)
        provider = self._provider(body.pop("provider_id"))
        made = modelling.create_model(self.principal, provider, _fields(body))
        return Response(ModelOut(made).data, status=status.HTTP_201_CREATED)

    def _provider(self, pk: int) -> Provider:
        """Return a provider of one of the caller's teams. Raises ProviderNotFound, about `provider_id`."""
        if not self.principal.may_anywhere(CAPABILITY):
            self.principal.team_for(CAPABILITY)
        one: Provider | None = Provider.objects.visible_to(self.principal).filter(pk=pk).first()
        if one is None:
            raise ProviderNotFound(
                problems=[FieldProblem("provider_id", ProviderNotFound.detail, ProviderNotFound.code)]
            )
        return one


class ModelDetail(HouseView):
    def found(self, pk: str) -> LanguageModel:
        """Return a model of the caller's teams. Raises ModelRowNotFound."""
        one: LanguageModel | None = _rows(self.principal, "prompt.read").filter(pk=id_in(pk)).first()
        if one is None:
            raise ModelRowNotFound
        return one

    @extend_schema(responses=ModelOut)
    def get(self, request: Request, pk: str) -> Response:
        """Show a model."""
        return Response(ModelOut(self.found(pk)).data)

    @extend_schema(request=ModelPatch, responses=ModelOut)
    def patch(self, request: Request, pk: str) -> Response:
        """Change a model, or switch it off or on."""
        shape = ModelPatch(data=request.data)
        shape.is_valid(raise_exception=True)
        modelling.update_model(self.principal, self.found(pk), _fields(shape.validated_data))
        return Response(ModelOut(self.found(pk)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: str) -> Response:
        """Remove a model. It is no fallback of others any more."""
        modelling.remove_model(self.principal, self.found(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


def _fields(body: dict[str, Any]) -> modelling.ModelFields:
    """Return the valid body as the service takes it."""
    fields: Any = dict(body)
    return fields
