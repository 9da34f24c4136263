"""Runs of test suites over REST: asking for them, their results, comparing two, and what they mean for going live."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from promptlab.accounts.rest import id_in, idempotent
from promptlab.lib.errors import Invalid
from prompts import comparing, resolve
from prompts.api.filters import ResultFilter, RunFilter
from prompts.api.suite_shapes import (
    ComparisonOut,
    EstimateRunOut,
    GoOnIn,
    ResultOut,
    RunIn,
    RunOut,
    SummaryOut,
    VerdictOut,
)
from prompts.api.suites import OfSuites
from prompts.api.versions import OfVersions
from prompts.api.views import House
from prompts.errors import RunNotFound
from prompts.models import Environment, Suite, SuiteResult, SuiteRun, Version
from prompts.services import suite_gate, suite_runs
from prompts.services.environments import named
from prompts.services.suite_runs import Wanted


class OfRuns(House):
    serializer_class = RunOut
    queryset = SuiteRun.objects.none()

    def found(self, pk: str) -> SuiteRun:
        """Return a run the caller sees. Raises RunNotFound."""
        rows = SuiteRun.objects.visible_to(self.principal).with_names().with_counts()
        one: SuiteRun | None = rows.filter(pk=id_in(pk)).first()
        if one is None:
            raise RunNotFound
        return one

    def shown(self, run: SuiteRun, code: int = status.HTTP_200_OK) -> Response:
        """Return the answer about one run."""
        return Response(RunOut(self.found(str(run.pk))).data, status=code)


class RunList(OfRuns):
    filterset_class = RunFilter

    @extend_schema(responses=RunOut(many=True))
    def get(self, request: Request) -> Response:
        """List the runs, newest first."""
        return self.page(SuiteRun.objects.visible_to(self.principal).with_names().with_counts(), RunOut)


class SuiteRuns(OfSuites):
    serializer_class = RunOut

    @extend_schema(request=RunIn, responses={201: RunOut})
    @idempotent
    def post(self, request: Request, suite: str) -> Response:
        """Ask a version, by some models, everything: 201 a run to look at again. Nothing is repeated without an order."""
        one = self.suite(suite)
        made = suite_runs.request_run(self.principal, one, wanted_of(self, one, self.checked(RunIn)))
        fresh = SuiteRun.objects.with_names().with_counts().get(pk=made.pk)
        return Response(RunOut(fresh).data, status=status.HTTP_201_CREATED)


class SuiteEstimate(OfSuites):
    serializer_class = EstimateRunOut

    @extend_schema(request=RunIn, responses=EstimateRunOut)
    def post(self, request: Request, suite: str) -> Response:
        """Say how many calls a run would make, and what they can cost at most. Nothing is asked."""
        one = self.suite(suite)
        said = suite_runs.estimate_run(self.principal, one, wanted_of(self, one, self.checked(RunIn)))
        return Response(EstimateRunOut(said).data)


class RunDetail(OfRuns):
    serializer_class = SummaryOut

    @extend_schema(responses=SummaryOut)
    def get(self, request: Request, pk: str) -> Response:
        """Return a run: how far it is, and how many answers of each model passed."""
        run = self.found(pk)
        run.shares = comparing.shares(run)
        return Response(SummaryOut(run).data)


class RunCancel(OfRuns):
    @extend_schema(request=None, responses=RunOut)
    def post(self, request: Request, pk: str) -> Response:
        """End a run; what is being asked is broken off. Again changes nothing."""
        return self.shown(suite_runs.cancel_run(self.principal, self.found(pk)))


class RunGoOn(OfRuns):
    @extend_schema(request=GoOnIn, responses=RunOut)
    def post(self, request: Request, pk: str) -> Response:
        """Ask again what got no answer or was lost, and what is left of a run that stopped."""
        body = self.checked(GoOnIn)
        return self.shown(suite_runs.resume_run(self.principal, self.found(pk), budget_usd=body.get("budget_usd")))


class RunResults(OfRuns):
    serializer_class = ResultOut
    filterset_class = ResultFilter
    queryset = SuiteResult.objects.none()

    @extend_schema(responses=ResultOut(many=True))
    def get(self, request: Request, pk: str) -> Response:
        """List the answers with what each check said, case by case."""
        rows = SuiteResult.objects.filter(run=self.found(pk)).order_by("place", "model", "repeat")
        return self.page(rows, ResultOut)


class RunCompare(OfRuns):
    serializer_class = ComparisonOut
    pagination_class = None
    filter_backends = ()

    @extend_schema(responses=ComparisonOut)
    def get(self, request: Request, pk: str, other: str) -> Response:
        """Return what differs from another run, case by case, that one being the earlier: flips both ways, and the drop.

        With the same version in both it is the noise that every comparison stands on.
        """
        return Response(ComparisonOut(comparing.compare(self.found(other), self.found(pk))).data)


class VersionVerdicts(OfVersions):
    serializer_class = VerdictOut
    pagination_class = None

    @extend_schema(parameters=[OpenApiParameter("environment", str)], responses=VerdictOut(many=True))
    def get(self, request: Request, prompt: str, version: str) -> Response:
        """Say what the suites that an environment asks for have found about a version. Without a name, Production."""
        found, where = self._at(prompt, version)
        return Response(VerdictOut(suite_gate.verdicts(found, where), many=True).data)

    @extend_schema(parameters=[OpenApiParameter("environment", str)], request=None, responses={201: RunOut(many=True)})
    def post(self, request: Request, prompt: str, version: str) -> Response:
        """Ask for the runs that are missing for a verdict: the version's, and the live version's."""
        found, where = self._at(prompt, version)
        made = suite_gate.request_missing(self.principal, found, where)
        rows = SuiteRun.objects.with_names().with_counts().filter(pk__in=[one.pk for one in made])
        return Response(RunOut(rows, many=True).data, status=status.HTTP_201_CREATED)

    def _at(self, prompt: str, version: str) -> tuple[Version, Environment]:
        one = self.prompt(prompt)
        where = self.request.query_params.get("environment") or suite_runs.USUAL_ENVIRONMENT
        return self.version(one, version), named(one.team_id, where[:36])


def wanted_of(view: House, suite: Suite, body: dict[str, Any]) -> Wanted:
    """Return what a body wants to be run. Raises Invalid, PromptNotFound, VersionNotFound, EnvironmentNotFound."""
    prompt = suite.prompt
    if "prompt" in body:
        prompt = resolve.prompt_for(view.principal, body["prompt"], suite.team_id)
    if prompt is None:
        raise Invalid.field("prompt", "This suite is for all prompts. Say which one.", code="required")
    return Wanted(
        resolve.version_of(prompt, body.get("version", "latest")),
        body.get("models", ()),
        named(suite.team_id, body["environment"]) if "environment" in body else None,
        body.get("budget_usd"),
        body.get("note", ""),
    )
