"""Which mails the caller wants, over REST."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab.accounts.rest import HouseView
from promptlab.hooks.services import choosing


class NotificationsPatch(serializers.Serializer[Any]):
    mail = serializers.DictField(child=serializers.BooleanField(), help_text="Kind of mail: wanted or not.")


class NotificationsOut(serializers.Serializer[Any]):
    mail = serializers.DictField(child=serializers.BooleanField(), help_text="Kind of mail: sent or not.")


class MyNotifications(HouseView):
    @extend_schema(responses=NotificationsOut)
    def get(self, request: Request) -> Response:
        """Say which mails the caller gets: every kind, on or off. A key gets none."""
        return Response({"mail": choosing.choices_of(self.principal.user_id)})

    @extend_schema(request=NotificationsPatch, responses=NotificationsOut)
    def patch(self, request: Request) -> Response:
        """Switch kinds of mail on or off; those not named stay as they are. For people, not for keys."""
        shape = NotificationsPatch(data=request.data)
        shape.is_valid(raise_exception=True)
        return Response({"mail": choosing.choose_mails(self.principal, shape.validated_data["mail"])})
