"""Gradual launches over REST: a deployment that begins one, what they are and decided, and what people do to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from experiments.api.serializers import DeploymentOrRampIn, RampActIn, RampOut, RampWithDecisionsOut
from experiments.errors import RampNotFound
from experiments.models import Ramp
from experiments.services import ramping
from promptlab.accounts.rest import KEY_PARAMETER, HouseView, id_in, idempotent
from promptlab.lib.errors import Invalid
from prompts.api import deployments
from prompts.api.contract_shapes import DeployedOut
from prompts.api.deployments import wanted_version

VERBS: Mapping[str, Callable[..., Ramp]] = {
    "hold": ramping.hold,
    "go-on": ramping.go_on,
    "go-earlier": ramping.go_earlier,
    "send-back": ramping.send_back,
}
MOVED = PolymorphicProxySerializer("DeploymentOrRamp", [DeployedOut, RampOut], None)


class DeploymentList(deployments.DeploymentList):
    @extend_schema(parameters=[KEY_PARAMETER], request=DeploymentOrRampIn, responses={201: MOVED, 200: DeployedOut})
    def post(self, request: Request) -> Response:
        """Put a version live: 201. It was live already: 200, and nothing moves. Other variables: 409 until confirmed.

        With `ramp` it goes live step by step instead, and the answer is the gradual launch.
        """
        stages = self.checked(DeploymentOrRampIn).get("ramp")
        return super().post(request) if stages is None else self.launched(request, stages)

    @idempotent
    def launched(self, request: Request, stages: Any) -> Response:
        """Begin a gradual launch."""
        body = self.checked(DeploymentOrRampIn)
        if body.get("break_glass"):
            raise Invalid.field("break_glass", "What cannot wait does not go live step by step.")
        prompt, environment = self.target(body)
        ramp = ramping.start_ramp(
            self.principal,
            wanted_version(prompt, body),
            environment,
            stages=stages,
            note=body.get("note", ""),
            confirm=body.get("confirm", False),
        )
        return Response(RampOut(Ramp.objects.with_names().get(pk=ramp.pk)).data, status=status.HTTP_201_CREATED)


class OfRamps(HouseView, GenericAPIView[Ramp]):
    """Views that find a gradual launch by its id."""

    serializer_class = RampOut
    queryset = Ramp.objects.none()
    filter_backends = ()

    def ramp(self, pk: str) -> Ramp:
        """Return a ramp the caller sees. Raises RampNotFound."""
        rows = Ramp.objects.visible_to(self.principal, "experiment.read").with_names().prefetch_related("decisions")
        found = rows.filter(pk=id_in(pk)).first()
        if found is None:
            raise RampNotFound(ramp=pk[:20])
        return found

    def checked(self, shape: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        """Return the checked body. Raises a 400 naming the fields."""
        if not isinstance(self.request.data, Mapping):
            raise Invalid("The body must be a JSON object.", code="invalid_json")
        found = shape(data=self.request.data)
        found.is_valid(raise_exception=True)
        return dict(found.validated_data)


class RampList(OfRamps):
    @extend_schema(responses=RampOut(many=True))
    def get(self, request: Request) -> Response:
        """List gradual launches, newest first."""
        rows = Ramp.objects.visible_to(self.principal, "experiment.read").with_names().order_by("-id")
        return self.get_paginated_response(RampOut(self.paginate_queryset(rows), many=True).data)


class RampDetail(OfRamps):
    @extend_schema(responses=RampWithDecisionsOut)
    def get(self, request: Request, pk: str) -> Response:
        """Return one gradual launch with every decision and its numbers."""
        return Response(RampWithDecisionsOut(self.ramp(pk)).data)


class RampAct(OfRamps):
    @extend_schema(operation_id="ramps_act", request=RampActIn, responses=RampWithDecisionsOut)
    def post(self, request: Request, pk: str, verb: str) -> Response:
        """Hold it at its step, let it go on, take the next step before time and numbers allow it, or send everybody back.

        `go-earlier` asks for the `step` you saw: it is a 409 when somebody else, or the numbers, took it meanwhile.
        """
        ramp, body = self.ramp(pk), self.checked(RampActIn)
        seen = {"step": body.get("step")} if verb == "go-earlier" else {}
        if None in seen.values():
            raise Invalid.field(
                "step", "Say which step it was at when you looked: the launch's `step`.", code="required"
            )
        VERBS[verb](self.principal, ramp, note=body.get("note", ""), **seen)
        return Response(RampWithDecisionsOut(self.ramp(pk)).data)
