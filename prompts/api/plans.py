"""Plans (putting live later), rules of environments and freezes over REST."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab.accounts.rest import id_in
from promptlab.lib.errors import Invalid
from prompts.api.deployments import OfDeployments, wanted_version
from prompts.api.filters import ScheduleFilter
from prompts.api.serializers import EnvironmentOut
from prompts.api.shapes import FreezeIn, FreezeOut, RulesIn, ScheduleIn, ScheduleOut
from prompts.api.views import House
from prompts.errors import EnvironmentNotFound, FreezeNotFound, ScheduleNotFound
from prompts.models import Environment, FreezeWindow, ScheduledDeployment
from prompts.services import environments, scheduling
from prompts.services.environments import Rules


class ScheduleList(OfDeployments):
    queryset = ScheduledDeployment.objects.none()
    serializer_class = ScheduleOut
    filterset_class = ScheduleFilter

    @extend_schema(responses=ScheduleOut(many=True))
    def get(self, request: Request) -> Response:
        """List the plans, the next one first. Cancelled and refused ones stay in the list."""
        return self.page(ScheduledDeployment.objects.visible_to(self.principal).with_names(), ScheduleOut)

    @extend_schema(request=ScheduleIn, responses={201: ScheduleOut})
    def post(self, request: Request) -> Response:
        """Plan that a version goes live later. Rights, reviews and freezes are asked again at that moment."""
        body = self.checked(ScheduleIn)
        prompt, environment = self.target(body)
        planned = scheduling.schedule(
            self.principal,
            wanted_version(prompt, body),
            environment,
            body["due_at"],
            note=body.get("note", ""),
            confirm=body.get("confirm", False),
        )
        return Response(ScheduleOut(planned).data, status=status.HTTP_201_CREATED)


class ScheduleDetail(OfDeployments):
    serializer_class = ScheduleOut

    def found(self, pk: str) -> ScheduledDeployment:
        """Return a plan the caller sees. Raises ScheduleNotFound."""
        rows = ScheduledDeployment.objects.visible_to(self.principal).with_names()
        one: ScheduledDeployment | None = rows.filter(pk=id_in(pk)).first()
        if one is None:
            raise ScheduleNotFound
        return one

    def get(self, request: Request, pk: str) -> Response:
        """Return one plan."""
        return Response(ScheduleOut(self.found(pk)).data)

    @extend_schema(responses=ScheduleOut)
    def delete(self, request: Request, pk: str) -> Response:
        """Call a plan off and return it; it stays in the list. Again changes nothing."""
        return Response(ScheduleOut(scheduling.cancel(self.principal, self.found(pk))).data)


class OfEnvironments(House):
    """Views that find an environment by its name."""

    serializer_class = EnvironmentOut
    filter_backends = ()
    pagination_class = None

    def environment(self, name: str, team_id: int | None = None) -> Environment:
        """Return an environment the caller sees. Raises EnvironmentNotFound, Invalid when several teams have it."""
        teams = self.principal.teams_with("prompt.read", team_id)
        if len(teams) == 1:
            environments.ensure_defaults(teams[0])
        found = list(Environment.objects.filter(team_id__in=teams, name=name)[:2])
        if not found:
            raise EnvironmentNotFound(environment=name[:50], known="see /environments")
        if len(found) > 1:
            raise Invalid.field("team_id", "Several of your teams have it. Say which team.", code="team_needed")
        return found[0]


class EnvironmentDetail(OfEnvironments):
    @extend_schema(responses=EnvironmentOut)
    def get(self, request: Request, name: str) -> Response:
        """Return an environment with what it asks for."""
        return Response(EnvironmentOut(self.environment(name)).data)

    @extend_schema(request=RulesIn, responses=EnvironmentOut)
    def patch(self, request: Request, name: str) -> Response:
        """Change what an environment asks for before something goes live. Administrators."""
        body = self.checked(RulesIn)
        environment = self.environment(name, body.pop("team_id", None))
        changed = environments.change_environment(self.principal, environment, Rules(**body))
        return Response(EnvironmentOut(changed).data)


class FreezeList(OfEnvironments):
    serializer_class = FreezeOut

    @extend_schema(responses=FreezeOut(many=True))
    def get(self, request: Request, name: str) -> Response:
        """List the freezes that hold or will."""
        rows = FreezeWindow.objects.filter(environment=self.environment(name), ends_at__gt=timezone.now())
        return Response(FreezeOut(rows.select_related("environment"), many=True).data)

    @extend_schema(request=FreezeIn, responses={201: FreezeOut})
    def post(self, request: Request, name: str) -> Response:
        """Let nothing go live for a while; going back always works. Administrators."""
        body = self.checked(FreezeIn)
        environment = self.environment(name, body.get("team_id"))
        made = environments.freeze(
            self.principal,
            environment,
            starts_at=body.get("starts_at") or timezone.now(),
            ends_at=body["ends_at"],
            reason=body["reason"],
        )
        return Response(FreezeOut(made).data, status=status.HTTP_201_CREATED)


class FreezeDetail(OfEnvironments):
    serializer_class = FreezeOut

    @extend_schema(responses={204: None})
    def delete(self, request: Request, name: str, pk: str) -> Response:
        """End a freeze. Administrators."""
        rows = FreezeWindow.objects.visible_to(self.principal).select_related("environment")
        window = rows.filter(pk=id_in(pk), environment__name=name).first()
        if window is None:
            raise FreezeNotFound
        environments.thaw(self.principal, window)
        return Response(status=status.HTTP_204_NO_CONTENT)
