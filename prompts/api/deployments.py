"""Moving what is live, over REST."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab.accounts.rest import id_in, idempotent
from promptlab.lib.errors import Invalid
from prompts import resolve
from prompts.api.contract_shapes import DeployedOut, contract_shown
from prompts.api.filters import DeploymentFilter
from prompts.api.serializers import DeploymentIn, DeploymentOut, RollbackIn
from prompts.api.shapes import LiveAtIn, PromoteIn, UndeployIn
from prompts.api.views import House, OfPrompts
from prompts.errors import DeploymentNotFound
from prompts.models import DeploymentEvent, Environment, Prompt, Version
from prompts.services import contracting, deploying
from prompts.services.environments import named


class OfDeployments(House):
    serializer_class = DeploymentOut
    filterset_class = DeploymentFilter
    queryset = DeploymentEvent.objects.none()

    def target(self, body: dict[str, Any]) -> tuple[Prompt, Environment]:
        """Return the prompt and environment a body names. Raises PromptNotFound, EnvironmentNotFound."""
        prompt = resolve.prompt_for(self.principal, body["prompt_name"], body.get("team_id"))
        return prompt, named(prompt.team_id, body["environment"])


class DeploymentList(OfDeployments):
    """The moves of pointers. Experiments answer at this address, because a move may begin with one."""

    @extend_schema(responses=DeploymentOut(many=True))
    def get(self, request: Request) -> Response:
        """List the moves, newest first."""
        return self.page(DeploymentEvent.objects.visible_to(self.principal).with_names().newest_first(), DeploymentOut)

    @extend_schema(request=DeploymentIn, responses={201: DeployedOut, 200: DeployedOut})
    @idempotent
    def post(self, request: Request) -> Response:
        """Put a version live: 201. It was live already: 200, and nothing moves. Other variables: 409 until confirmed.

        `contract` says what that changes for callers; ask `.../versions/{v}/contract` to know it before.
        """
        body = self.checked(DeploymentIn)
        prompt, environment = self.target(body)
        version = wanted_version(prompt, body)
        contract = contracting.contract_of(version, environment)
        event, is_new = deploying.deploy(
            self.principal,
            version,
            environment,
            note=body.get("note", ""),
            confirm=body.get("confirm", False),
            break_glass=body.get("break_glass", ""),
        )
        told = {**DeploymentOut(event).data, "contract": contract_shown(contract)}
        return Response(told, status=status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)


class DeploymentDetail(OfDeployments):
    def get(self, request: Request, pk: str) -> Response:
        """Return one move."""
        rows = DeploymentEvent.objects.visible_to(self.principal).with_names()
        found = rows.filter(pk=id_in(pk)).first()
        if found is None:
            raise DeploymentNotFound
        return Response(DeploymentOut(found).data)


class Rollback(OfDeployments):
    @extend_schema(request=RollbackIn, responses={201: DeploymentOut})
    def post(self, request: Request) -> Response:
        """Make live what was live before; again, and it goes one step further back.

        With `version` or `deployment_id`: to that earlier deployment at once. Reviews and freezes do not stop this.
        """
        body = self.checked(RollbackIn)
        prompt, environment = self.target(body)
        to = _earlier(prompt, body)
        event = deploying.rollback(self.principal, prompt, environment, note=body.get("note", ""), to=to)
        return Response(DeploymentOut(event).data, status=status.HTTP_201_CREATED)


class Promote(OfDeployments):
    @extend_schema(request=PromoteIn, responses={201: DeploymentOut, 200: DeploymentOut})
    def post(self, request: Request) -> Response:
        """Make live in one environment what is live in another: 201. It was live there already: 200."""
        body = self.checked(PromoteIn)
        prompt, there = self.target({**body, "environment": body["to_environment"]})
        event, is_new = deploying.promote(
            self.principal,
            prompt,
            named(prompt.team_id, body["from_environment"]),
            there,
            note=body.get("note", ""),
            confirm=body.get("confirm", False),
            break_glass=body.get("break_glass", ""),
        )
        return Response(DeploymentOut(event).data, status=status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)


class Undeploy(OfDeployments):
    @extend_schema(request=UndeployIn, responses={201: DeploymentOut})
    def post(self, request: Request) -> Response:
        """Stop serving a prompt in an environment: callers without a copy get an error."""
        body = self.checked(UndeployIn)
        prompt, environment = self.target(body)
        event = deploying.undeploy(self.principal, prompt, environment, note=body.get("note", ""))
        return Response(DeploymentOut(event).data, status=status.HTTP_201_CREATED)


class LiveAt(OfPrompts):
    serializer_class = DeploymentOut
    filter_backends = ()
    pagination_class = None

    @extend_schema(parameters=[LiveAtIn], responses=DeploymentOut)
    def get(self, request: Request, prompt: str) -> Response:
        """Return the move that was in force in `environment` at the moment `at`; without it, now. 404: nothing was."""
        one = self.prompt(prompt)
        asked = LiveAtIn(data=request.query_params)
        asked.is_valid(raise_exception=True)
        environment = named(one.team_id, asked.validated_data["environment"])
        moment = asked.validated_data.get("at") or timezone.now()
        return Response(DeploymentOut(resolve.live_at(one, environment, moment)).data)


def _earlier(prompt: Prompt, body: dict[str, Any]) -> DeploymentEvent | int | None:
    """Return the earlier move or version that a body names; None when it names none."""
    if "version" in body and "deployment_id" in body:
        raise Invalid.field("version", "Say either version or deployment_id.")
    if "deployment_id" not in body:
        number: int | None = body.get("version")
        return number
    found = DeploymentEvent.objects.filter(prompt=prompt, pk=body["deployment_id"]).first()
    if found is None:
        raise DeploymentNotFound
    return found


def wanted_version(prompt: Prompt, body: dict[str, Any]) -> Version:
    """Return the version a body names, by number or name. Raises a 400 unless it names it once."""
    if ("version" in body) == ("version_string" in body):
        raise Invalid.field("version", "Say which version: either version or version_string.", code="required")
    if "version" in body:
        return resolve.version_of(prompt, str(body["version"]))
    return resolve.version_called(prompt, body["version_string"])
