"""Webhooks over REST: who hears of what, and how telling them went."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab.accounts.rest import HouseView, id_in
from promptlab.hooks.errors import DeliveryNotFound, WebhookNotFound
from promptlab.hooks.models import Delivery, Endpoint
from promptlab.hooks.services import endpoints
from promptlab.hooks.services.endpoints import EndpointChanges


class WebhookIn(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=1000)
    event_types = serializers.ListField(child=serializers.CharField(max_length=60), required=False, max_length=50)
    description = serializers.CharField(max_length=200, required=False, allow_blank=True)
    with_private = serializers.BooleanField(required=False, help_text="Prompts in private collections, too.")
    team_id = serializers.IntegerField(required=False)


class WebhookPatch(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=1000, required=False)
    event_types = serializers.ListField(child=serializers.CharField(max_length=60), required=False, max_length=50)
    description = serializers.CharField(max_length=200, required=False, allow_blank=True)
    with_private = serializers.BooleanField(required=False, help_text="Prompts in private collections, too.")
    is_active = serializers.BooleanField(required=False)


class WebhookOut(serializers.ModelSerializer[Endpoint]):
    """A webhook without its secret, which only the answer that made it has. No `event_types`: all of them."""

    event_types = serializers.ListField(source="event_list", child=serializers.CharField())

    class Meta:
        model = Endpoint
        fields = [
            "id", "url", "event_types", "description", "with_private", "is_active", "disabled_at", "disabled_reason",
            "created_at",
        ]  # fmt: skip


class WebhookWithSecret(WebhookOut):
    """The answer that made a secret. `secret` signs, and is shown this once."""

    secret = serializers.CharField()

    class Meta(WebhookOut.Meta):
        fields = [*WebhookOut.Meta.fields, "secret"]


class WebhookChanged(WebhookOut):
    """`secret` is there when the address changed: a new address has a new secret."""

    secret = serializers.CharField(required=False)

    class Meta(WebhookOut.Meta):
        fields = [*WebhookOut.Meta.fields, "secret"]


class DeliveryOut(serializers.ModelSerializer[Delivery]):
    webhook_id = serializers.CharField(source="event.webhook_id")
    type = serializers.CharField(source="event.type")
    about = serializers.CharField(source="event.about")

    class Meta:
        model = Delivery
        fields = [
            "id", "webhook_id", "type", "about", "state", "attempts", "next_at",
            "last_status", "last_error", "delivered_at", "created_at",
        ]  # fmt: skip


class WebhookList(HouseView, GenericAPIView[Endpoint]):
    serializer_class = WebhookOut
    queryset = Endpoint.objects.none()
    filter_backends = ()

    @extend_schema(responses=WebhookOut(many=True))
    def get(self, request: Request) -> Response:
        """List the webhooks of the teams the caller administers."""
        page = self.paginate_queryset(Endpoint.objects.visible_to(self.principal))
        return self.get_paginated_response(WebhookOut(page, many=True).data)

    @extend_schema(request=WebhookIn, responses={201: WebhookWithSecret})
    def post(self, request: Request) -> Response:
        """Make a webhook. `secret` in the answer checks its signatures; it is shown this once."""
        shape = WebhookIn(data=request.data)
        shape.is_valid(raise_exception=True)
        body = dict(shape.validated_data)
        team_id = self.principal.team_for(endpoints.CAPABILITY, body.pop("team_id", None))
        made, secret = endpoints.create_endpoint(self.principal, team_id, **body)
        return Response(_with_secret(made, secret), status=status.HTTP_201_CREATED)


class OneWebhook(HouseView):
    def found(self, pk: str) -> Endpoint:
        """Return a webhook the caller administers. Raises WebhookNotFound."""
        one = Endpoint.objects.visible_to(self.principal).filter(pk=id_in(pk)).first()
        if one is None:
            raise WebhookNotFound
        return one


class WebhookDetail(OneWebhook):
    @extend_schema(responses=WebhookOut)
    def get(self, request: Request, pk: str) -> Response:
        """Show a webhook."""
        return Response(WebhookOut(self.found(pk)).data)

    @extend_schema(request=WebhookPatch, responses=WebhookChanged)
    def patch(self, request: Request, pk: str) -> Response:
        """Change a webhook. Another address gets another secret, shown in this answer."""
        shape = WebhookPatch(data=request.data)
        shape.is_valid(raise_exception=True)
        body = dict(shape.validated_data)
        types = body.pop("event_types", None)
        changes = EndpointChanges(**body, event_types=None if types is None else tuple(types))
        changed, secret = endpoints.update_endpoint(self.principal, self.found(pk), changes)
        return Response(_with_secret(changed, secret) if secret else WebhookOut(changed).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: str) -> Response:
        """Remove a webhook; what was not delivered is not sent."""
        endpoints.remove_endpoint(self.principal, self.found(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


class RotateWebhook(OneWebhook):
    @extend_schema(request=None, responses={201: WebhookWithSecret})
    def post(self, request: Request, pk: str) -> Response:
        """Replace the secret: for 24 hours requests carry a signature with the old one as well."""
        changed, secret = endpoints.rotate_secret(self.principal, self.found(pk))
        return Response(_with_secret(changed, secret), status=status.HTTP_201_CREATED)


class TestWebhook(OneWebhook):
    @extend_schema(request=None, responses={202: DeliveryOut})
    def post(self, request: Request, pk: str) -> Response:
        """Send this webhook an event `webhook.test`; look at its deliveries to see how it went."""
        delivery = endpoints.send_test(self.principal, self.found(pk))
        return Response(DeliveryOut(delivery).data, status=status.HTTP_202_ACCEPTED)


class DeliveryList(OneWebhook, GenericAPIView[Delivery]):
    serializer_class = DeliveryOut
    queryset = Delivery.objects.none()
    filter_backends = ()

    @extend_schema(responses=DeliveryOut(many=True))
    def get(self, request: Request, pk: str) -> Response:
        """List what was sent to a webhook, newest first, and how it went."""
        rows = Delivery.objects.filter(endpoint=self.found(pk)).select_related("event")
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(DeliveryOut(page, many=True).data)


class ReplayDelivery(HouseView):
    @extend_schema(request=None, responses={202: DeliveryOut})
    def post(self, request: Request, pk: str) -> Response:
        """Send a delivery again, under the same `webhook-id`."""
        rows = Delivery.objects.visible_to(self.principal).select_related("event", "endpoint")
        found = rows.filter(pk=id_in(pk)).first()
        if found is None:
            raise DeliveryNotFound
        again = endpoints.replay(self.principal, found)
        return Response(DeliveryOut(again).data, status=status.HTTP_202_ACCEPTED)


def _with_secret(endpoint: Endpoint, secret: str) -> dict[str, Any]:
    return {**WebhookOut(endpoint).data, "secret": secret}
