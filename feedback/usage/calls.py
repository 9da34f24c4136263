"""Single calls of a prompt, the newest first: those that its sums are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Substr

from feedback.models import Feedback
from feedback.usage.asking import Asked
from promptlab.chat.models import Message
from prompts.models import Version

EXCERPT = 160
SHOWN = (
    "id", "uid", "ended_at", "version__number", "version__version_string", "environment__name", "model", "latency_ms",
    "input_tokens", "output_tokens", "cost_usd", "state", "error_code", "is_external", "is_cached", "request_id",
    "conversation_id", "purged_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Call:
    """One answer, and how many thumbs went up and down on it. `excerpt` is "" unless it was asked for."""

    answer: Message
    ups: int
    downs: int
    excerpt: str = ""


def calls(asked: Asked, *, number: int, before: int | None = None, has_texts: bool = False) -> list[Call]:
    """Return at most so many calls of a prompt (`asked.prompt_id`) that ended in these days, the newest first.

    `before`: those older than the one with this id. `has_texts`: with the beginning of each answer. Three queries.
    What people only tried is not among them, as it is in no sum.
    """
    rows = _rows(asked)
    if before is not None:
        rows = rows.filter(pk__lt=before)
    if has_texts:
        rows = rows.annotate(excerpt=Substr("content", 1, EXCERPT))
    answers = list(rows[:number])
    thumbs = _thumbs([one.pk for one in answers])
    return [Call(one, thumbs[one.pk, 1], thumbs[one.pk, -1], getattr(one, "excerpt", "")) for one in answers]


def _rows(asked: Asked) -> QuerySet[Any]:
    versions = Version.objects.filter(prompt=asked.prompt_id)
    if asked.version is not None:
        versions = versions.filter(number=asked.version)
    # The ids themselves: the database then knows how rare these versions are, and which way is shorter.
    found = Message.objects.answers().filter(version__in=list(versions.values_list("pk", flat=True)))
    where = {"environment__name": asked.environment} if asked.environment else {"environment__isnull": False}
    since = datetime.combine(asked.since, time(), UTC)
    rows: QuerySet[Any] = found.filter(ended_at__gte=since, **where).exclude(purpose=Message.Purpose.TRY)
    return rows.order_by("-pk").select_related("version", "environment").only(*SHOWN)


def _thumbs(pks: Sequence[int]) -> Counter[tuple[int, int]]:
    """Return how many thumbs of each kind stand on each of these answers."""
    said = Feedback.objects.filter(message__in=pks, value__isnull=False)
    return Counter(said.values_list("message_id", "value"))
