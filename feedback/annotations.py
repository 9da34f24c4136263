"""How a round of annotation stands: who rated how much, and how far they agree, with each other and with end users."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, QuerySet

from feedback.models import AnnotationItem, AnnotationRound, Feedback, Judge
from feedback.stats import Agreement, agreement, pairwise

JUDGED = 1_000
Said = dict[int, float | str]
"""What somebody said, by the message's id."""


@dataclass(frozen=True, slots=True)
class RoundResults:
    """`done`: answers rated, by rater. `kappa` among annotators; `with_users`: most annotators, and most end users, of thumbs."""

    answers: int
    done: dict[str, int]
    kappa: float | None
    with_users: Agreement


def results_of(one: AnnotationRound) -> RoundResults:
    """Return how a round stands: two queries."""
    is_thumb = one.metric == "rating"  # only then end users were asked the same
    messages = list(AnnotationItem.objects.filter(round=one).values_list("message_id", flat=True))
    said: dict[str, Said] = defaultdict(dict)
    users: dict[int, list[float]] = defaultdict(list)
    for rating in Feedback.objects.filter(message__in=messages, metric__in=(one.metric, "rating")).standing():
        told = rating.said
        if rating.source == Feedback.Source.ANNOTATOR and rating.metric == one.metric and told is not None:
            said[rating.rater][rating.message_id] = told
        elif is_thumb and rating.source == Feedback.Source.END_USER and rating.value is not None:
            users[rating.message_id].append(rating.value)
    liked = {pk: float(1 if sum(values) > 0 else -1) for pk, values in users.items() if sum(values)}
    done = {rater: len(things) for rater, things in sorted(said.items())}
    return RoundResults(len(messages), done, pairwise(list(said.values())), agreement(_most(said), liked))


def waiting_for(one: AnnotationRound, user_id: int) -> QuerySet[AnnotationItem]:
    """Return the answers of a round that a person did not rate, in their order."""
    mine = Feedback.objects.filter(message=OuterRef("message"), rater=f"annotator:{user_id}", metric=one.metric)
    return AnnotationItem.objects.filter(~Exists(mine.standing()), round=one).select_related("message").order_by("pk")


def _most(said: dict[str, Said]) -> dict[int, float]:
    """Return the thumb of most annotators for each answer; none where they are even."""
    votes: dict[int, list[float]] = defaultdict(list)
    for things in said.values():
        for pk, told in things.items():
            if isinstance(told, float | int):
                votes[pk].append(told)
    return {pk: float(1 if sum(told) > 0 else -1) for pk, told in votes.items() if sum(told)}


def judged(judge: Judge, limit: int = JUDGED) -> Agreement:
    """Return how far a judge agrees with people on the newest answers it judged: two queries.

    People are end users and annotators, each with one thumb an answer; where they are even they say nothing.
    """
    verdicts = Feedback.objects.filter(
        source=Feedback.Source.JUDGE, rater=f"judge:{judge.pk}", metric="rating"
    ).standing()
    theirs = dict(verdicts.order_by("-pk").values_list("message_id", "score")[:limit])
    votes: dict[int, list[float]] = defaultdict(list)
    people = Feedback.objects.filter(message__in=list(theirs), metric="rating").exclude(source=Feedback.Source.JUDGE)
    for pk, value, score in people.standing().values_list("message_id", "value", "score"):
        votes[pk].append(value if value is not None else score)
    liked = {pk: float(1 if sum(said) > 0 else -1) for pk, said in votes.items() if sum(said)}
    return agreement(theirs, liked)
