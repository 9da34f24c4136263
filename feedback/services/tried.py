"""What people think of answers in talks of their own, on the page where prompts are tried."""

from __future__ import annotations

from dataclasses import replace

from feedback.errors import SubjectNotFound
from feedback.services.ingest import MAX_RATER, Accepted, NewRating, accept
from promptlab.accounts.access import Principal
from promptlab.chat.models import Message


def rate_tried(actor: Principal, answer: Message, value: int | None, *, comment: str = "") -> Accepted:
    """Keep what a person thinks of an answer they tried, whatever their role. It stands in no sum.

    Raises SubjectNotFound for an answer that somebody else tried, or an application asked for; Invalid as `accept`.
    """
    talk = answer.conversation
    if talk.author_id is None or talk.author_id != actor.user_id or not actor.may("chat.use", talk.team_id):
        raise SubjectNotFound(message=str(answer.uid))
    rater = replace(actor, grants={talk.team_id: frozenset({"feedback.write"})})
    return accept(rater, NewRating(str(answer.uid), value, comment=comment, user=actor.label[:MAX_RATER]))
