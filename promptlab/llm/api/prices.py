"""Prices over REST: what a provider takes for a million tokens, from when on. They go before the published ones."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab.accounts.rest import HouseView, id_in
from promptlab.llm.api.providers import OneProvider
from promptlab.llm.models import Price
from promptlab.llm.refusals import PriceNotFound
from promptlab.llm.services import price_list


class PriceIn(serializers.Serializer[Any]):
    """`model`: the provider's name for it. No `valid_from`: from now on; no `valid_to`: until another one begins."""

    model = serializers.CharField(max_length=200)
    token = serializers.ChoiceField(choices=Price.Token.values)
    usd_per_million = serializers.DecimalField(max_digits=14, decimal_places=6)
    valid_from = serializers.DateTimeField(required=False, allow_null=True)
    valid_to = serializers.DateTimeField(required=False, allow_null=True)


class PriceOut(serializers.ModelSerializer[Price]):
    class Meta:
        model = Price
        fields = ["id", "provider_id", "model", "token", "usd_per_million", "valid_from", "valid_to"]


class PriceList(OneProvider, GenericAPIView[Price]):
    serializer_class = PriceOut
    queryset = Price.objects.none()
    filter_backends = ()

    @extend_schema(responses=PriceOut(many=True))
    def get(self, request: Request, pk: str) -> Response:
        """List a provider's own prices, by model and kind of token, the latest first."""
        page = self.paginate_queryset(Price.objects.filter(provider=self.found(pk)))
        return self.get_paginated_response(PriceOut(page, many=True).data)

    @extend_schema(request=PriceIn, responses={201: PriceOut})
    def post(self, request: Request, pk: str) -> Response:
        """Write a price. An endless one ends the endless one before it."""
        shape = PriceIn(data=request.data)
        shape.is_valid(raise_exception=True)
        made = price_list.set_price(self.principal, self.found(pk), **shape.validated_data)
        return Response(PriceOut(made).data, status=status.HTTP_201_CREATED)


class PriceDetail(HouseView):
    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: str) -> Response:
        """Remove a price that was a mistake. What was priced with it keeps its cost until it is re-priced."""
        rows = Price.objects.visible_to(self.principal).select_related("provider")
        one: Price | None = rows.filter(pk=id_in(pk)).first()
        if one is None:
            raise PriceNotFound
        price_list.remove_price(self.principal, one)
        return Response(status=status.HTTP_204_NO_CONTENT)
