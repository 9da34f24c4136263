"""Removing what was said, by age. Text, blanks and end users go; what an answer took, and what was rated, stays.

So the sums stay true, and a rating still names an answer. What was sent for a purged answer can no longer be rebuilt.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q, QuerySet
from django.utils import timezone

from promptlab import llm
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.audit.recorder import record
from promptlab.chat.models import Conversation, Message, Retention
from promptlab.lib.batches import in_batches
from promptlab.lib.logs import get_logger
from promptlab.llm import Masks

log = get_logger(__name__)
PURGE_TASK = "chat.purge_old_messages"
BATCH = 200
"""Answers in one transaction."""


def purge_old_messages(now: datetime | None = None, limit: int = BATCH) -> int:
    """Purge what is older than its team keeps it, and return how many messages. Safe to repeat and to break off."""
    moment = now or timezone.now()
    total = 0
    for retention in Retention.objects.select_related("team"):
        total += purge_team(retention.team, moment - timedelta(days=retention.days), limit)
    return total


def purge_conversations(conversation_ids: Sequence[int], until_ids: Sequence[int], now: datetime) -> int:
    """Purge the conversations, each up to the message of the same place in `until_ids`; return how many messages.

    In a transaction of the caller's. An answer that is being written is left.
    """
    upto = Q()
    for conversation_id, until_id in zip(conversation_ids, until_ids, strict=True):
        upto |= Q(conversation_id=conversation_id, id__lte=until_id)
    rows = Message.objects.filter(upto, purged_at=None, ended_at__isnull=False)
    purged: int = rows.update(
        content="", variables={}, unit_id="", dealt_unit="", tool_calls=[], tool_call_id="", purged_at=now
    )
    left = Message.objects.filter(conversation=OuterRef("pk"), purged_at=None)
    empty = Conversation.objects.filter(~Exists(left), pk__in=conversation_ids)
    empty.update(title="", unit_id="", session="")
    return purged


def purge_unit(team_id: int, unit_id: str, stands_for: str, now: datetime) -> int:
    """Purge whatever an end user's conversations hold, however young; return how many messages.

    In a transaction of the caller's. What is counted later counts for the name that `stands_for` theirs. An answer that
    is being written gets its text when it ends: it is left under the new name, for another call.
    """
    ids = list(_talks_of(team_id, unit_id).values_list("pk", flat=True))
    rows = Message.objects.filter(conversation__in=ids)
    purged: int = rows.filter(purged_at=None, ended_at__isnull=False).update(
        content="", variables={}, tool_calls=[], tool_call_id="", metadata={}, purged_at=now
    )
    rows.exclude(unit_id="").update(unit_id=stands_for)
    rows.exclude(dealt_unit="").update(dealt_unit=stands_for)
    dealt = Message.objects.filter(experiment__team=team_id, dealt_unit=unit_id)
    dealt.exclude(experiment__unit_attribute="").update(dealt_unit=stands_for)
    Conversation.objects.filter(pk__in=ids).update(title="", unit_id=stands_for, session="")
    return purged


def said_with(team_id: int, unit_id: str) -> dict[int, uuid.UUID]:
    """Return the messages of an end user's conversations: their uids by their ids."""
    rows = Message.objects.filter(conversation__in=_talks_of(team_id, unit_id))
    return dict(rows.order_by().values_list("pk", "uid"))


def _talks_of(team_id: int, unit_id: str) -> QuerySet[Conversation]:
    theirs = Exists(Message.objects.filter(conversation=OuterRef("pk"), unit_id=unit_id))
    return Conversation.objects.filter(Q(unit_id=unit_id) | theirs, team_id=team_id)


def mask_messages(team_id: int, masks: Masks, after_id: int, limit: int) -> tuple[int, int]:
    """Replace values in the texts of a team's ended messages with ids above `after_id`, at most `limit` of them.

    Returns the id to go on after, and how many changed. In a transaction of the caller's. It stops before an answer that
    is being written, and a conversation that goes on is told with what was replaced.
    """
    rows = Message.objects.filter(conversation__team=team_id, pk__gt=after_id).order_by("pk")
    texts = ("content", "variables", "metadata", "tool_calls")
    changed = 0
    for message in rows.only(*texts, "state", "conversation__title").select_related("conversation")[:limit]:
        if message.state == Message.State.STREAMING:
            break
        after_id = message.pk
        clean = {name: _without(getattr(message, name), masks) for name in texts}
        if any(clean[name] != getattr(message, name) for name in texts):
            Message.objects.filter(pk=message.pk).update(**clean)
            changed += 1
        title = llm.without_values(message.conversation.title, masks)
        if title != message.conversation.title:
            Conversation.objects.filter(pk=message.conversation_id).update(title=title)
    return after_id, changed


def _without(value: Any, masks: Masks) -> Any:
    """Return a value of JSON without what the masks name."""
    if isinstance(value, str):
        return llm.without_values(value, masks)
    if isinstance(value, dict):
        return {name: _without(one, masks) for name, one in value.items()}
    return [_without(one, masks) for one in value] if isinstance(value, list) else value


def purge_team(team: Team, before: datetime, limit: int = BATCH) -> int:
    """Purge a team's turns whose answers ended before, and return how many messages."""
    counted: list[int] = []

    def batch(most: int) -> int:
        answers, messages = _purge_batch(team, before, most)
        counted.append(messages)
        return answers

    in_batches(batch, limit)
    if total := sum(counted):
        log.info("messages_purged", team=team.pk, messages=total)
    return sum(counted)


@transaction.atomic
def _purge_batch(team: Team, before: datetime, limit: int) -> tuple[int, int]:
    """Purge turns whose answers ended before; return how many answers were looked at, and how many messages purged."""
    counted = Q(rolled_up_at__isnull=False) | Q(version=None)
    old = Message.objects.answers().filter(counted, conversation__team=team, purged_at=None, ended_at__lt=before)
    ids = list(
        old.select_for_update(skip_locked=True, of=("self",), no_key=True)
        .order_by("id")
        .values_list("id", flat=True)[:limit]
    )
    if not ids:
        return 0, 0
    newest = Message.objects.filter(pk__in=ids).values("conversation_id").annotate(until=Max("id"))
    pairs = [(row["conversation_id"], row["until"]) for row in newest.order_by("conversation_id")]
    messages = purge_conversations([pair[0] for pair in pairs], [pair[1] for pair in pairs], timezone.now())
    record(SYSTEM, "conversation.purged", team, team_id=team.pk, after={"messages": messages})
    return len(ids), messages
