"""Searches over REST: a prompt evolves against a test suite, and what was found waits for somebody to take it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.services import evolving
from promptlab.accounts.rest import HouseView, id_in, idempotent
from prompts import resolve
from prompts.api.optimiser_shapes import EstimateOptimizeOut
from prompts.errors import RunNotFound, SuiteNotFound
from prompts.models import OptimiserRun, Suggestion, Suite
from prompts.services import searching
from prompts.services.searching import MOST_CALLS, MOST_PROPOSALS, SearchWanted


class SearchIn(serializers.Serializer[Any]):
    """What to search. `model` answers (else the version's own), `by` proposes texts (else the same).

    `held_out`: the share of the cases that is not searched, and tells what the winner is worth. `max_calls` and
    `budget_usd` bound everything together. `with_comments`: what people said of disliked answers is told, without names.
    """

    prompt = serializers.CharField(max_length=255)
    suite = serializers.CharField(max_length=100)
    version = serializers.CharField(max_length=100, default="latest", help_text="Number, name or latest.")
    model = serializers.CharField(max_length=100, default="", allow_blank=True)
    by = serializers.CharField(max_length=100, default="", allow_blank=True)
    held_out = serializers.FloatField(default=0.34, min_value=0.1, max_value=0.9)
    max_calls = serializers.IntegerField(default=400, min_value=1, max_value=MOST_CALLS)
    proposals = serializers.IntegerField(default=30, min_value=1, max_value=MOST_PROPOSALS)
    seed = serializers.IntegerField(default=0, min_value=0, max_value=2**31 - 1)
    with_comments = serializers.BooleanField(default=True)
    budget_usd = serializers.DecimalField(required=False, max_digits=12, decimal_places=6, min_value=0)
    note = serializers.CharField(default="", allow_blank=True, max_length=300)
    team_id = serializers.IntegerField(required=False, write_only=True)


class SearchOut(serializers.ModelSerializer[OptimiserRun]):
    """A search. Proposals that are `done`, of `total`; what it may cost, and what it cost."""

    prompt = serializers.CharField(source="version.prompt.name")
    version = serializers.IntegerField(source="version.number")
    suite = serializers.CharField(source="plan.suite")
    by = serializers.CharField(source="plan.by")
    budget_usd = serializers.DecimalField(max_digits=18, decimal_places=9)
    spent_usd = serializers.DecimalField(max_digits=18, decimal_places=9)
    actor = serializers.CharField(source="requested_label")

    class Meta:
        model = OptimiserRun
        fields = [
            "id", "prompt", "version", "suite", "model", "by", "state", "reason", "total", "done", "calls", "max_calls",
            "budget_usd", "spent_usd", "unpriced_calls", "note", "actor", "created_at", "started_at", "ended_at",
        ]  # fmt: skip


class WorthOut(serializers.Serializer[Any]):
    """What a text is worth. `score`: the mean share of checks that passed, on the cases that were searched.

    The held-out cases nobody searched on: `held_out_passed` of `held_out_of`, with the 95 % range (Wilson).
    """

    score = serializers.FloatField()
    passed = serializers.IntegerField()
    of = serializers.IntegerField()
    held_out_passed = serializers.IntegerField(required=False)
    held_out_of = serializers.IntegerField(required=False)
    low = serializers.FloatField(required=False)
    high = serializers.FloatField(required=False)


class FoundOut(serializers.ModelSerializer[Suggestion]):
    """A text of the Pareto front, the winner first. It waits until somebody takes it."""

    content = serializers.CharField(source="text", allow_blank=True)
    messages = serializers.ListField(child=serializers.DictField())
    worth = WorthOut(source="facts")
    saved_version = serializers.IntegerField(source="saved_version.number", default=None, allow_null=True)

    class Meta:
        model = Suggestion
        fields = ["id", "content", "messages", "worth", "state", "saved_version"]


class SearchFullOut(SearchOut):
    """`start` is what the version itself is worth; null until the search has ended. `ended`: perfect, idle, proposals or budget."""

    ended = serializers.CharField(source="found.ended", default="")
    start = WorthOut(source="found.start", default=None, allow_null=True)
    found = FoundOut(source="suggestions", many=True)

    class Meta:
        model = OptimiserRun
        fields = [*SearchOut.Meta.fields, "ended", "start", "found"]


class OfSearches(HouseView, GenericAPIView[OptimiserRun]):
    queryset = OptimiserRun.objects.none()
    serializer_class = SearchFullOut

    def searches(self) -> Any:
        """Return the searches the caller sees."""
        return OptimiserRun.objects.visible_to(self.principal).filter(kind=OptimiserRun.Kind.SEARCH).with_names()

    def asked(self, request: Request) -> tuple[SearchWanted, bool]:
        """Return what a body wants, and whether comments are told. Raises Invalid, PromptNotFound, SuiteNotFound."""
        shape = SearchIn(data=request.data)
        shape.is_valid(raise_exception=True)
        said = dict(shape.validated_data)
        prompt = resolve.prompt_for(self.principal, said.pop("prompt"), said.pop("team_id", None))
        version = resolve.version_of(prompt, said.pop("version"))
        suites = Suite.objects.visible_to(self.principal).active()
        suite = suites.filter(team=prompt.team_id, name=said.pop("suite")).first()
        if suite is None:
            raise SuiteNotFound
        with_comments = said.pop("with_comments")
        return SearchWanted(version, suite, **said), with_comments


class SearchList(OfSearches):
    @extend_schema(responses=SearchOut(many=True))
    def get(self, request: Request) -> Response:
        """List the searches, newest first."""
        rows = self.paginate_queryset(self.searches().order_by("-pk"))
        return self.get_paginated_response(SearchOut(rows, many=True).data)

    @extend_schema(request=SearchIn, responses={201: SearchOut})
    @idempotent
    def post(self, request: Request) -> Response:
        """Have a prompt evolve against a suite: 201 a search to look at again. Nothing is saved of it by itself."""
        wanted, with_comments = self.asked(request)
        made = evolving.request_evolution(self.principal, wanted, with_comments=with_comments)
        return Response(SearchOut(made).data, status=status.HTTP_201_CREATED)


class SearchEstimate(OfSearches):
    serializer_class = EstimateOptimizeOut

    @extend_schema(request=SearchIn, responses=EstimateOptimizeOut)
    def post(self, request: Request) -> Response:
        """Say how many calls a search makes at most, and what they can cost at most. Nothing is asked."""
        wanted, _ = self.asked(request)
        return Response(EstimateOptimizeOut(searching.estimate_search(self.principal, wanted)).data)


class SearchDetail(OfSearches):
    @extend_schema(responses=SearchFullOut)
    def get(self, request: Request, pk: str) -> Response:
        """Return a search: how far it is, what the version is worth, and the texts that were found, the winner first."""
        found = self.searches().filter(pk=id_in(pk)).prefetch_related("suggestions__saved_version").first()
        if found is None:
            raise RunNotFound
        return Response(SearchFullOut(found).data)
