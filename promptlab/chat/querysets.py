"""Named questions about conversations and messages."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from django.apps import apps
from django.db import connection
from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.expressions import RawSQL
from django.db.models.functions import Left

from promptlab.accounts.access import Principal
from prompts.querysets import OfTeam

if TYPE_CHECKING:
    from promptlab.chat.models import Message

TITLE_CHARACTERS = 80
"""What is shown of a first question."""
NAMED = "SELECT message_id FROM chat_messagekey WHERE uid = ANY(%s)"
"""The ids that uids stand for. PostgreSQL itself keeps the table, see the migration that divides messages by months."""


class ConversationQuerySet(OfTeam):
    path = "team_id"

    def narrowed(
        self,
        *,
        prompt: str = "",
        environment: str = "",
        unit_id: str = "",
        session: str = "",
        archived: bool | None = False,
        since: datetime | None = None,
    ) -> Self:
        """Return those that are about a prompt, in an environment, of an end user, of a session, begun since a moment.

        `archived` None: those that were put away as well.
        """
        named = {"prompt__name": prompt, "environment": environment, "unit_id": unit_id, "session": session}
        rows = self.filter(**{name: value for name, value in named.items() if value})
        if archived is not None:
            rows = rows.filter(archived_at__isnull=not archived)
        return rows if since is None else rows.filter(created_at__gte=since)

    def narrowed_for(self, principal: Principal, **by: Any) -> Self:
        """Return those that may be read, `narrowed`, with `is_hidden`; of a private prompt's name nothing is told."""
        rows = self.visible_to(principal, "chat.read").with_hidden(principal, "prompt__").narrowed(**by)
        return rows.filter(is_hidden=False) if by.get("prompt") else rows

    def with_titles(self) -> Self:
        """Return each with its prompt, `first_question` (its beginning, or None) and `answer_count`."""
        message: Any = apps.get_model("chat", "Message")
        first = message.objects.filter(conversation=OuterRef("pk"), role="user").order_by("pk")
        beginning = Left("content", TITLE_CHARACTERS + 1)
        return self.select_related("prompt").annotate(
            first_question=Subquery(first.annotate(beginning=beginning).values("beginning")[:1]),
            answer_count=Count("messages", filter=Q(messages__role="assistant")),
        )


class MessageQuerySet(OfTeam):
    path = "conversation__team_id"

    def with_uids(self, uids: Collection[uuid.UUID | str]) -> Self:
        """Return those that go by these uids. On PostgreSQL, where there is a part for each month, by way of their ids."""
        if connection.vendor != "postgresql":
            return self.filter(uid__in=uids)
        return self.filter(pk__in=RawSQL(NAMED, [[uuid.UUID(str(uid)) for uid in uids]]))

    def transcript(self, before_id: int | None = None, from_id: int | None = None) -> Self:
        """Return what was said and finished, oldest first: before message `before_id`, from `from_id` on, if given."""
        said = self.filter(state="completed", purged_at=None).order_by("id")
        if from_id is not None:
            said = said.filter(id__gte=from_id)
        return said if before_id is None else said.filter(id__lt=before_id)

    def sent_with(self, answer: Message) -> Self:
        """Return what the caller told along with the question for `answer`, in its order; nothing where it told none."""
        if answer.sent_from is None:
            return self.none()
        told = self.filter(conversation_id=answer.conversation_id, is_sent=True)
        return told.filter(id__gte=answer.sent_from, id__lt=answer.pk).order_by("id")

    def answers(self) -> Self:
        """Return the messages that a model wrote, without those that a caller only told."""
        return self.filter(role="assistant", is_sent=False)

    def not_rolled_up(self) -> Self:
        """Return ended answers whose sums are not in the rollups yet, oldest first."""
        return self.answers().filter(rolled_up_at=None, ended_at__isnull=False, version__isnull=False).order_by("id")

    def abandoned(self, now: datetime) -> Self:
        """Return answers whose process stopped renewing its lease."""
        return self.filter(state="streaming", lease_until__lt=now)


class BudgetQuerySet(OfTeam):
    path = "team_id"

    def in_force(self) -> Self:
        """Return those that were not removed, with what they are about."""
        return self.filter(removed_at=None).select_related("team", "key", "prompt", "experiment")


class RepricingQuerySet(OfTeam):
    path = "team_id"

    def waiting(self) -> Self:
        """Return the jobs that are not done, the first that was asked for in front."""
        return self.filter(ended_at=None).order_by("id")
