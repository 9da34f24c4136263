"""What is rated: an answer by its id, whoever's shape that has, or a conversation by its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from django.db.models import Max

from promptlab.chat.models import Message

PREFIXES = ("chatcmpl-", "resp_")
"""What the OpenAI-compatible answers put before the id of a message."""


def uid_in(name: str) -> uuid.UUID | None:
    """Return the id in what a caller calls an answer or a conversation; None when it is none."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    try:
        return uuid.UUID(name)
    except ValueError:
        return None


def newest_answers(conversations: Iterable[str]) -> dict[uuid.UUID, str]:
    """Return the id of the newest answer of each conversation that has one: two queries, none without conversations.

    Who rates a conversation rates what it came to: a later rating may be about a later answer.
    """
    uids = {uid for uid in map(uid_in, conversations) if uid is not None}
    if not uids:
        return {}
    answers = Message.objects.answers().filter(conversation__uid__in=uids)
    newest = answers.order_by().values("conversation").annotate(newest=Max("pk")).values("newest")
    found = Message.objects.filter(pk__in=newest).values_list("conversation__uid", "uid")
    return {conversation: str(uid) for conversation, uid in found}
