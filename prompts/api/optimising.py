"""Better texts over REST: asking for suggestions, following the work, and deciding what becomes of them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab.accounts.rest import id_in, idempotent
from prompts.api.filters import ImprovementFilter
from prompts.api.optimiser_shapes import (
    AcceptIn,
    EstimateOptimizeOut,
    GoalOut,
    ImprovementFullOut,
    ImprovementOut,
    OptimizeIn,
    PairAnswerOut,
    PairIn,
    SuggestionOut,
    TeamIn,
)
from prompts.api.serializers import VersionOut
from prompts.api.suite_shapes import GoOnIn
from prompts.api.versions import OfVersions
from prompts.api.views import House
from prompts.errors import RunNotFound, SuggestionNotFound
from prompts.models import OptimiserRun, Suggestion
from prompts.services import goals, optimising, pairing, suggesting
from prompts.services.pairing import PairWanted
from prompts.services.suggesting import Wanted


class VersionOptimize(OfVersions):
    serializer_class = ImprovementOut

    @extend_schema(request=OptimizeIn, responses={202: ImprovementOut})
    @idempotent
    def post(self, request: Request, prompt: str, version: str) -> Response:
        """Have a model suggest a better text: 202 a run to look at again. Nothing is saved of it by itself."""
        run = suggesting.request_suggestion(self.principal, self.wanted(prompt, version))
        return Response(ImprovementOut(run).data, status=status.HTTP_202_ACCEPTED)

    def wanted(self, prompt: str, version: str) -> Wanted:
        """Return what the body asks for."""
        return Wanted(self.version(self.prompt(prompt), version), **self.checked(OptimizeIn))


class VersionOptimizeEstimate(VersionOptimize):
    serializer_class = EstimateOptimizeOut

    @extend_schema(request=OptimizeIn, responses=EstimateOptimizeOut)
    def post(self, request: Request, prompt: str, version: str) -> Response:
        """Say how many calls a suggestion takes at most, and what they can cost. Nothing is asked."""
        said = suggesting.estimate_suggestion(self.principal, self.wanted(prompt, version))
        return Response(EstimateOptimizeOut(said).data)


class OfImprovements(House):
    serializer_class = ImprovementOut
    queryset = OptimiserRun.objects.none()

    def found(self, pk: str) -> OptimiserRun:
        """Return a run the caller sees. Raises RunNotFound."""
        rows = OptimiserRun.objects.visible_to(self.principal).with_names()
        one: OptimiserRun | None = rows.filter(pk=id_in(pk)).first()
        if one is None:
            raise RunNotFound
        return one


class ImprovementList(OfImprovements):
    filterset_class = ImprovementFilter

    @extend_schema(responses=ImprovementOut(many=True))
    def get(self, request: Request) -> Response:
        """List the runs that look for better texts, newest first."""
        return self.page(OptimiserRun.objects.visible_to(self.principal).with_names(), ImprovementOut)


class ImprovementDetail(OfImprovements):
    serializer_class = ImprovementFullOut

    @extend_schema(responses=ImprovementFullOut)
    def get(self, request: Request, pk: str) -> Response:
        """Return a run: how far it is, and what it suggested so far."""
        run = self.found(pk)
        made = list(Suggestion.objects.filter(run=run).select_related("saved_version"))
        answers = pairing.pair_answers(run) if run.kind == OptimiserRun.Kind.PAIR else []
        found = {"suggestions": SuggestionOut(made, many=True).data, "answers": PairAnswerOut(answers, many=True).data}
        return Response({**ImprovementOut(run).data, **found})


class ImprovementCancel(OfImprovements):
    @extend_schema(request=None, responses=ImprovementOut)
    def post(self, request: Request, pk: str) -> Response:
        """End a run; what is being asked is broken off. Again changes nothing."""
        return Response(ImprovementOut(optimising.cancel_improvement(self.principal, self.found(pk))).data)


class ImprovementGoOn(OfImprovements):
    @extend_schema(request=GoOnIn, responses=ImprovementOut)
    def post(self, request: Request, pk: str) -> Response:
        """Go on with a run that stopped; what got no answer, or was lost, is asked again."""
        run, budget = self.found(pk), self.checked(GoOnIn).get("budget_usd")
        return Response(ImprovementOut(optimising.resume_improvement(self.principal, run, budget_usd=budget)).data)


class OfSuggestions(House):
    serializer_class = SuggestionOut
    queryset = Suggestion.objects.none()

    def found(self, pk: str) -> Suggestion:
        """Return a suggestion the caller sees. Raises SuggestionNotFound."""
        rows = Suggestion.objects.visible_to(self.principal).with_names()
        one: Suggestion | None = rows.filter(pk=id_in(pk)).first()
        if one is None:
            raise SuggestionNotFound
        return one


class SuggestionAccept(OfSuggestions):
    serializer_class = VersionOut

    @extend_schema(request=AcceptIn, responses={201: VersionOut})
    @idempotent
    def post(self, request: Request, pk: str) -> Response:
        """Save a suggestion, as it is or edited, as the next version: 201. Nothing goes live."""
        body: dict[str, Any] = self.checked(AcceptIn)
        made = suggesting.accept_suggestion(self.principal, self.found(pk), text=body.pop("content", None), **body)
        return Response(VersionOut(made).data, status=status.HTTP_201_CREATED)


class SuggestionTry(OfSuggestions):
    serializer_class = ImprovementOut

    @extend_schema(request=PairIn, responses={202: ImprovementOut})
    @idempotent
    def post(self, request: Request, pk: str) -> Response:
        """Have the text as it is and the suggested one answer the same: 202 a run with both answers to look at again."""
        body: dict[str, Any] = self.checked(PairIn)
        made = pairing.request_pair(self.principal, PairWanted(self.found(pk), text=body.pop("content", None), **body))
        return Response(ImprovementOut(made).data, status=status.HTTP_202_ACCEPTED)


class SuggestionDiscard(OfSuggestions):
    @extend_schema(request=None, responses=SuggestionOut)
    def post(self, request: Request, pk: str) -> Response:
        """Leave a suggestion; it stays to be read. Again changes nothing."""
        return Response(SuggestionOut(suggesting.discard_suggestion(self.principal, self.found(pk))).data)


class GoalList(House):
    serializer_class = GoalOut
    filter_backends = ()
    pagination_class = None

    @extend_schema(parameters=[OpenApiParameter("team_id", int)], responses=GoalOut(many=True))
    def get(self, request: Request) -> Response:
        """List in which ways a text can become better, and what is asked of models for each."""
        wanted = request.query_params.get("team_id", "")
        team_id = self.principal.team_for("prompt.read", id_in(wanted) if wanted else None)
        return Response(GoalOut(goals.goals_of(team_id), many=True).data)


class GoalRestore(House):
    serializer_class = VersionOut

    @extend_schema(request=TeamIn, responses={201: VersionOut, 200: VersionOut})
    def post(self, request: Request, key: str) -> Response:
        """Save the shipped text of a goal as its prompt's newest version: 201; 200 when it says that already.

        What is live stays as it is.
        """
        team_id = self.principal.team_for("prompt.write", self.checked(TeamIn).get("team_id"))
        made, is_new = goals.restore_goal(self.principal, team_id, key)
        return Response(VersionOut(made).data, status=status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)
