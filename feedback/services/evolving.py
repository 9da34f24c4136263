"""Searches that are told what people said: the newest words of those who disliked an answer, without who they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from feedback.models import Feedback
from promptlab.accounts.access import Principal
from promptlab.llm import KINDS, Masks, without_values
from prompts.models import OptimiserRun, Prompt
from prompts.services.searching import MOST_COMMENTS, SearchWanted, request_search

LONGEST: Final = 300


def request_evolution(actor: Principal, wanted: SearchWanted, *, with_comments: bool = True) -> OptimiserRun:
    """Have a prompt evolve against a suite, told what people said of its answers. Raises as `searching.request_search`."""
    comments = said_of(wanted.version.prompt) if with_comments else ()
    return request_search(actor, replace(wanted, comments=comments))


def said_of(prompt: Prompt) -> list[str]:
    """Return the newest comments on answers that were disliked, without addresses, numbers and ids of end users."""
    rows = Feedback.objects.filter(team_id=prompt.team_id, message__version__prompt=prompt, value=-1).exclude(
        comment=""
    )
    found = []
    for rating in rows.select_related("message").order_by("-pk")[:MOST_COMMENTS]:
        told = without_values(" ".join(rating.comment.split())[:LONGEST], Masks(KINDS))
        for name in filter(None, (rating.message.unit_id, rating.rater)):
            told = told.replace(name, "customer")
        found.append(told)
    return found
