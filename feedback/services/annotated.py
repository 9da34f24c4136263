"""What annotators say, one answer after the other."""

from __future__ import annotations

from dataclasses import replace

from feedback.models import AnnotationItem, Feedback
from feedback.services.fitting import Value
from feedback.services.ingest import Accepted, NewRating, accept
from promptlab.accounts.access import Principal, require
from promptlab.lib.errors import Conflict, Forbidden

CARE = "prompt.comment"


def annotate(actor: Principal, item: AnnotationItem, value: Value, *, comment: str = "") -> Accepted:
    """Keep what a person thinks of an answer of a round; again changes it. It is compared with approval, never added.

    Raises Forbidden for keys, Conflict once the round ended, and what `accept` raises.
    """
    one = item.round
    require(actor, CARE, one.team_id)
    if actor.user_id is None:
        raise Forbidden("Only people annotate.")
    if one.closed_at is not None:
        raise Conflict("This round ended. Begin another one.")
    rater = replace(actor, grants={one.team_id: frozenset({"feedback.write"})})
    said = NewRating(str(item.message.uid), value, metric=one.metric, comment=comment, user=name_of(actor.user_id))
    return accept(rater, replace(said, source=Feedback.Source.ANNOTATOR))


def name_of(user_id: int) -> str:
    """Return what an annotator is called as a rater: names of people change."""
    return f"annotator:{user_id}"
