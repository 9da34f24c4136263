"""Budgets over REST: what may be spent in a day or a month, and how much of it is left."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from experiments.models import Experiment
from promptlab.accounts.models import ApiKey, Team
from promptlab.accounts.rest import HouseView, id_in
from promptlab.chat.allowances import Standing, standings
from promptlab.chat.errors import BudgetNotFound
from promptlab.chat.models import Budget
from promptlab.chat.services import budgeting
from promptlab.chat.services.budgeting import CAPABILITY
from promptlab.lib.errors import Invalid
from prompts.models import Prompt


class BudgetIn(serializers.Serializer[Any]):
    """What may cost how much. At most one of `key_id`, `prompt` and `experiment`; none: the whole team."""

    key_id = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=2**63 - 1)
    prompt = serializers.CharField(required=False, allow_null=True, max_length=200, help_text="Its name.")
    experiment = serializers.CharField(required=False, allow_null=True, max_length=100, help_text="Its key.")
    period = serializers.ChoiceField(choices=Budget.Period.values)
    limit_usd = serializers.DecimalField(max_digits=14, decimal_places=6)
    takes_unpriced = serializers.BooleanField(required=False, default=False)
    team_id = serializers.IntegerField(required=False, write_only=True, min_value=1, max_value=2**63 - 1)


class BudgetPatch(serializers.Serializer[Any]):
    limit_usd = serializers.DecimalField(required=False, max_digits=14, decimal_places=6)
    takes_unpriced = serializers.BooleanField(required=False)


class BudgetOut(serializers.Serializer[Standing]):
    """A budget, and how it stands in the period that is running. Days and months are those of UTC."""

    id = serializers.IntegerField(source="budget.pk")
    of = serializers.ChoiceField(source="budget.kind", choices=["team", "key", "prompt", "experiment"])
    name = serializers.CharField(source="budget.about")
    period = serializers.ChoiceField(source="budget.period", choices=Budget.Period.values)
    limit_usd = serializers.DecimalField(source="budget.limit_usd", max_digits=14, decimal_places=6)
    takes_unpriced = serializers.BooleanField(source="budget.takes_unpriced")
    spent_usd = serializers.DecimalField(max_digits=20, decimal_places=9)
    reserved_usd = serializers.DecimalField(max_digits=20, decimal_places=9)
    left_usd = serializers.DecimalField(max_digits=20, decimal_places=9)
    unpriced_answers = serializers.IntegerField()
    starts_at = serializers.DateTimeField()
    resets_at = serializers.DateTimeField()


class BudgetList(HouseView, GenericAPIView[Budget]):
    serializer_class = BudgetOut
    queryset = Budget.objects.none()
    filter_backends = ()

    @extend_schema(responses=BudgetOut(many=True))
    def get(self, request: Request) -> Response:
        """List budgets with what is left of them. Administrators."""
        if not self.principal.may_anywhere(CAPABILITY):
            self.principal.team_for(CAPABILITY)
        page = self.paginate_queryset(Budget.objects.visible_to(self.principal, CAPABILITY).in_force())
        return self.get_paginated_response(BudgetOut(standings(page or (), timezone.now()), many=True).data)

    @extend_schema(request=BudgetIn, responses={201: BudgetOut})
    def post(self, request: Request) -> Response:
        """Set a budget, in place of one for the same thing and period. Administrators."""
        shape = BudgetIn(data=request.data)
        shape.is_valid(raise_exception=True)
        body = dict(shape.validated_data)
        team = Team.objects.get(pk=self.principal.team_for(CAPABILITY, body.pop("team_id", None)))
        of = _named(team, body)
        made = budgeting.set_budget(self.principal, team, of=of, **body)
        return Response(_shown(made), status=status.HTTP_201_CREATED)


class BudgetDetail(HouseView):
    def found(self, pk: str) -> Budget:
        """Return a budget of a team that the caller administers. Raises BudgetNotFound."""
        if not self.principal.may_anywhere(CAPABILITY):
            self.principal.team_for(CAPABILITY)
        rows = Budget.objects.visible_to(self.principal, CAPABILITY).in_force()
        one: Budget | None = rows.filter(pk=id_in(pk)).first()
        if one is None:
            raise BudgetNotFound
        return one

    @extend_schema(responses=BudgetOut)
    def get(self, request: Request, pk: str) -> Response:
        """Show a budget and what is left of it."""
        return Response(_shown(self.found(pk)))

    @extend_schema(request=BudgetPatch, responses=BudgetOut)
    def patch(self, request: Request, pk: str) -> Response:
        """Change a budget's limit, or whether it takes calls of unknown price."""
        one = self.found(pk)
        shape = BudgetPatch(data=request.data)
        shape.is_valid(raise_exception=True)
        wanted = {"limit_usd": one.limit_usd, "takes_unpriced": one.takes_unpriced, **shape.validated_data}
        of = one.key or one.prompt or one.experiment
        return Response(_shown(budgeting.set_budget(self.principal, one.team, of=of, period=one.period, **wanted)))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: str) -> Response:
        """Remove a budget. Answers that are under way are still counted in it."""
        budgeting.remove_budget(self.principal, self.found(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


def _shown(budget: Budget) -> dict[str, Any]:
    return dict(BudgetOut(standings([budget], timezone.now())[0]).data)


def _named(team: Team, body: dict[str, Any]) -> ApiKey | Prompt | Experiment | None:
    """Take what the budget is about out of the body. Raises Invalid when it is two things, or none of the team's."""
    rows: dict[str, tuple[Any, str]] = {
        "key_id": (ApiKey.objects, "pk"),
        "prompt": (Prompt.objects, "name"),
        "experiment": (Experiment.objects, "key"),
    }
    said = {name: body.pop(name, None) for name in rows}
    given = [(name, value) for name, value in said.items() if value is not None]
    if not given:
        return None
    name, value = given[-1]
    if len(given) > 1:
        raise Invalid.field(name, "A budget is about one thing: a key, a prompt or an experiment.")
    manager, column = rows[name]
    found: ApiKey | Prompt | Experiment | None = manager.filter(team=team, **{column: value}).first()
    if found is None:
        raise Invalid.field(name, "The team has none of this name.", code="not_found")
    return found
