"""Reading ratings over REST, and sending one where no ASGI stands in front. Read input, one call, shape output."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from feedback.api import intake
from feedback.api.moments import moment
from feedback.api.serializers import (
    ErasedOut,
    EraseIn,
    FeedbackOut,
    RatingAccepted,
    RatingIn,
    RatingsAccepted,
    StatsOut,
)
from feedback.models import Feedback
from feedback.querysets import FeedbackQuerySet
from feedback.results import READ, feedback_stats, of_prompt
from feedback.services.erasing import erase_unit
from feedback.services.ingest import NewRating, accept, accept_all, retract
from promptlab.accounts.access import Principal
from promptlab.accounts.models import Team
from promptlab.accounts.rest import HouseView
from promptlab.lib.errors import Invalid
from promptlab.lib.idempotency import HEADER
from promptlab.lib.jsonbody import check_text


class FeedbackFilter(filters.FilterSet):
    message_id = filters.UUIDFilter(field_name="message__uid")
    prompt = filters.CharFilter(method="of_prompt", help_text="Short name or id.")
    rating = extend_schema_field({"type": "integer", "enum": [1, -1]})(
        filters.TypedChoiceFilter(field_name="value", choices=[("1", "up"), ("-1", "down")], coerce=int)
    )

    metric = filters.CharFilter()
    source = filters.ChoiceFilter(choices=Feedback.Source.choices)

    class Meta:
        model = Feedback
        fields: list[str] = []

    def of_prompt(self, queryset: FeedbackQuerySet, name: str, value: str) -> FeedbackQuerySet:
        # What is private to others is not found by its name: a guess would be confirmed.
        return queryset.filter(of_prompt(value, "message__version__prompt__"), is_hidden=False)


class FeedbackLimit(BaseThrottle):
    """Ratings have a budget of their own, the same as on the hot route."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        if isinstance(request.auth, Principal):
            request._request.rate_verdict = intake.spend(request.auth)  # type: ignore[attr-defined]
        return True


class FeedbackList(HouseView, GenericAPIView[Feedback]):
    serializer_class = FeedbackOut
    filterset_class = FeedbackFilter
    queryset = Feedback.objects.none()

    def get_throttles(self) -> list[BaseThrottle]:
        return [FeedbackLimit()] if self.request.method == "POST" else super().get_throttles()

    @extend_schema(operation_id="feedback_list", responses=FeedbackOut(many=True), filters=True)
    def get(self, request: Request) -> Response:
        """List the ratings, newest first."""
        may_read(self.principal)
        rows = self.paginate_queryset(self.filter_queryset(_for_list(self.principal)))
        return self.get_paginated_response(FeedbackOut(rows, many=True).data)

    @extend_schema(request=RatingIn, responses={202: RatingAccepted, 207: RatingsAccepted})
    def post(self, request: Request) -> Response:
        """Rate an answer, or up to 1,000 with `items`. Rating it again changes the rating; the same key again nothing.

        Several are taken or refused one by one: 207 when some were refused, 202 otherwise.
        """
        if not isinstance(request.data, dict):
            raise Invalid("The body must be a JSON object.", code="invalid_json")
        if "items" in request.data:
            return self._many(request.data)
        rating = intake.read_rating(request.data, request.headers.get(HEADER, ""))
        accepted = accept(self.principal, rating)
        headers = intake.replay_header(accepted)
        return Response(intake.shape(accepted), status=status.HTTP_202_ACCEPTED, headers=headers)

    def _many(self, body: dict[str, Any]) -> Response:
        read = [intake.read_item(item) for item in intake.read_items(body)]
        outcomes = iter(accept_all([(self.principal, one) for one in read if isinstance(one, NewRating)]))
        code, answer = intake.shape_many([next(outcomes) if isinstance(one, NewRating) else one for one in read])
        return Response(answer, status=code)


class FeedbackItem(HouseView):
    @extend_schema(operation_id="feedback_destroy", responses={204: None})
    def delete(self, request: Request, uid: str) -> Response:
        """Take a rating back. Its words stay in the history; it counts no more. Again changes nothing."""
        retract(self.principal, uid)
        return Response(status=status.HTTP_204_NO_CONTENT)


class EraseUnit(HouseView):
    @extend_schema(operation_id="units_erase", request=EraseIn, responses=ErasedOut, tags=["units"])
    def post(self, request: Request) -> Response:
        """Erase an end user: texts and comments go, the id becomes a random name, counts stay. Administrators."""
        shape = EraseIn(data=request.data)
        shape.is_valid(raise_exception=True)
        team_id = self.principal.team_for("team.admin", shape.validated_data.get("team_id"))
        erased = erase_unit(self.principal, Team.objects.get(pk=team_id), shape.validated_data["unit_id"])
        return Response(asdict(erased))


class Stats(HouseView):
    @extend_schema(
        parameters=[
            OpenApiParameter("experiment", str, description="Key of an experiment."),
            OpenApiParameter("prompt", str, description="Short name or id of a prompt."),
            OpenApiParameter("since", str, description="ISO date or date-time; counted from its full hour on."),
        ],
        responses=StatsOut,
    )
    def get(self, request: Request) -> Response:
        """Sum up per variant and version: shown, rated, approval with its 95 % range, coverage."""
        may_read(self.principal)
        stats = feedback_stats(
            self.principal,
            experiment=word(request, "experiment"),
            prompt=word(request, "prompt"),
            since=moment(word(request, "since")),
        )
        return Response(StatsOut(stats).data)


def may_read(principal: Principal) -> None:
    """Raise Forbidden, saying what is missing, for somebody who may read ratings nowhere."""
    if not principal.may_anywhere(READ):
        principal.team_for(READ)


def word(request: Request, name: str) -> str:
    """Return a parameter of the query string, "" without it. Raises Invalid for text that no row can hold."""
    value: str = request.query_params.get(name, "")
    check_text(value, name)
    return value


def _for_list(principal: Principal) -> Any:
    """Return the visible ratings with what a list shows of each, without texts: one query."""
    return (
        Feedback.objects.visible_to(principal, READ)
        .standing()
        .with_hidden(principal, "message__version__prompt__")
        .select_related(
            "message__version__prompt", "message__environment", "message__experiment", "message__served_variant"
        )
        .defer("message__content", "message__variables", "message__version__text", "message__version__messages")
        .order_by("-id")
    )
