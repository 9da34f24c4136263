"""What was asked for an answer, as a case of a test suite: without the addresses, numbers and ids of who asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from promptlab.chat.models import Message
from promptlab.llm import KINDS, Masks, without_values
from prompts.checks.cases import Case, Check

MOST_TURNS: Final = 20
"""Messages of a conversation that go into a case: the newest before the answer."""


def turns_before(answers: Iterable[Message]) -> dict[int, list[Message]]:
    """Return what was said before each answer, by the answer's id, oldest first: one query."""
    wanted = list(answers)
    talks = {one.conversation_id for one in wanted}
    rows = Message.objects.filter(conversation__in=talks, role__in=("user", "assistant")).exclude(content="")
    said: dict[int, list[Message]] = defaultdict(list)
    for turn in rows.order_by("pk").only("conversation_id", "role", "content"):
        said[turn.conversation_id].append(turn)
    return {one.pk: [turn for turn in said[one.conversation_id] if turn.pk < one.pk][-MOST_TURNS:] for one in wanted}


def case_of(
    answer: Message,
    turns: Sequence[Message],
    *,
    name: str,
    expected: str,
    tags: Sequence[str],
    checks: Sequence[Check] = (),
) -> Case:
    """Return the case. Addresses and numbers are replaced by what they are, and the end user's id by `customer`."""

    def clean(value: Any) -> Any:
        if isinstance(value, str):
            told = without_values(value, Masks(KINDS))
            return told.replace(answer.unit_id, "customer") if answer.unit_id else told
        if isinstance(value, Mapping):
            return {key: clean(one) for key, one in value.items()}
        return [clean(one) for one in value] if isinstance(value, list) else value

    said: dict[str, Any] = {
        "name": name,
        "variables": clean(answer.variables),
        "messages": [{"role": turn.role, "content": clean(turn.content)} for turn in turns],
        "expected": clean(expected),
        "tags": list(tags),
        "checks": [check.to_dict() for check in checks],
    }
    return Case.from_json(said)
