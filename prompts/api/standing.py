"""How a prompt stands with people, over REST: favourites, stars, and how much it is used."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from prompts.api.finding_shapes import StarsIn, StarsOut, UsageAsked, UsageOut
from prompts.api.views import OfPrompts
from prompts.models import Rating
from prompts.querysets import day_ago
from prompts.services import favouring, usage


class PromptFavourite(OfPrompts):
    reads_library = ("PUT", "DELETE")
    filter_backends = ()

    @extend_schema(request=None, responses={204: None})
    def put(self, request: Request, prompt: str) -> Response:
        """Keep a prompt at hand. People only."""
        favouring.add_favourite(self.principal, self.prompt(prompt))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, prompt: str) -> Response:
        """Keep it at hand no longer."""
        favouring.remove_favourite(self.principal, self.prompt(prompt))
        return Response(status=status.HTTP_204_NO_CONTENT)


class PromptRating(OfPrompts):
    serializer_class = StarsOut
    filter_backends = ()

    @extend_schema(request=StarsIn, responses={200: StarsOut, 201: StarsOut})
    def put(self, request: Request, prompt: str) -> Response:
        """Give one to five stars, and say why: 201; again, and it replaces what you gave before: 200. People only."""
        one = self.prompt(prompt)
        body = self.checked(StarsIn)
        given, is_new = favouring.rate(self.principal, one, body["stars"], note=body.get("note", ""))
        shown = StarsOut(Rating.objects.with_names().get(pk=given.pk))
        return Response(shown.data, status=status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, prompt: str) -> Response:
        """Take your stars back."""
        favouring.take_back_rating(self.principal, self.prompt(prompt))
        return Response(status=status.HTTP_204_NO_CONTENT)


class RatingList(OfPrompts):
    serializer_class = StarsOut
    filter_backends = ()

    @extend_schema(responses=StarsOut(many=True))
    def get(self, request: Request, prompt: str) -> Response:
        """List what colleagues think of a prompt, newest first."""
        return self.page(Rating.objects.filter(prompt=self.prompt(prompt)).with_names(), StarsOut)


class PromptUse(OfPrompts):
    serializer_class = UsageOut
    filter_backends = ()
    pagination_class = None

    @extend_schema(parameters=[UsageAsked], responses=UsageOut)
    def get(self, request: Request, prompt: str) -> Response:
        """Return how much a prompt was used in the last days, today included."""
        asked = UsageAsked(data=request.query_params)
        asked.is_valid(raise_exception=True)
        days = usage.of_days(self.prompt(prompt), day_ago(asked.validated_data["days"] - 1))
        total = {name: sum(getattr(day, name) for day in days) for name in ("fetches", "answers")}
        return Response(UsageOut({**total, "days": days}).data)
