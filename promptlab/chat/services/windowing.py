"""How much of a conversation goes along with a question: what the model's context window has room for, whole turns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from promptlab import llm
from promptlab.chat.models import Message
from promptlab.chat.transcripts import upstream_messages
from promptlab.llm.routes import window_of

USUAL_ANSWER_TOKENS = 1024
"""Room that is kept for an answer without `max_tokens`; at most a quarter of the window."""
TALKS = (Message.Purpose.CHAT, Message.Purpose.TRY)
MOST_TOKENS_AROUND = 8
"""What a provider's frame around one message takes at most."""


def fitting_messages(
    answer: Message, team_id: int, told: Sequence[Message] | None = None, others: Collection[str] = ()
) -> dict[str, list[llm.ChatMessage]]:
    """Return what is sent for `answer`, without its oldest turns where all of it would not fit; the row says which.

    It stands under the answer's `text_for`; beside it, made of the same turns, what is sent by each of the `others`. The
    longest decides, unless it would not fit even without any turn: its model may refuse it. The prompt and the question
    are never cut, nor is a talk that the caller tells whole. Raises ContextTooLong when those of the answer's own text
    do not fit by themselves. `told`: as for `upstream_messages`.
    """
    names = (answer.text_for, *others)
    found = {name: upstream_messages(answer, told, text_for=name) for name in names}
    room = _room(answer, team_id)
    if room is None or all(_at_most(messages) <= room for messages in found.values()):
        return found
    excess = {name: llm.estimate(messages, answer.model).tokens - room for name, messages in found.items()}
    if answer.purpose not in TALKS or told is not None:
        if excess[answer.text_for] > 0:
            raise llm.ContextTooLong()
        return found
    first = _first_kept(answer, excess)
    if first is None:
        return found
    answer.history_from = first
    answer.save(update_fields=["history_from"])
    return {name: upstream_messages(answer, text_for=name) for name in names}


def _room(answer: Message, team_id: int) -> int | None:
    """Return the tokens there are for prompt, history and question; None when nobody knows the model's window."""
    window = _window(team_id, answer.model)
    if window is None:
        return None
    wanted = answer.parameters.get("max_tokens")
    return window - (wanted if isinstance(wanted, int) else min(USUAL_ANSWER_TOKENS, window // 4))


def _window(team_id: int, model: str) -> int | None:
    """Return the model's context window, as the team's own row says, else as published."""
    own = window_of(team_id, model)
    if own is not None:
        return own
    try:
        return llm.resolve(model).context_window
    except llm.UnknownModel:
        return None


def _at_most(messages: Sequence[llm.ChatMessage]) -> int:
    """Return more tokens than the messages can have, without counting them: a token is a byte at least."""
    return sum(len(message.content.encode()) + len(message.role) + MOST_TOKENS_AROUND for message in messages)


def _first_kept(answer: Message, excess: Mapping[str, int]) -> int | None:
    """Return the id of the first message that is kept; None to keep all. `excess` is in tokens, by text."""
    if max(excess.values()) <= 0:
        return None
    found = _first_without(answer, max(excess.values()))
    own = excess[answer.text_for]
    if found is None and own > 0:
        found = _first_without(answer, own)
        if found is None:
            raise llm.ContextTooLong()
    return found


def _first_without(answer: Message, excess: int) -> int | None:
    """Return the id of the first message left when the oldest turns with `excess` tokens are; None: there are not as many."""
    said = Message.objects.filter(conversation_id=answer.conversation_id).transcript(before_id=answer.pk)
    *history, question = said.filter(ended_at__lte=answer.created_at).only("role", "content", "tool_calls")
    cut = 0
    for past in history:
        if cut >= excess and past.role == Message.Role.USER:
            return past.pk
        cut += llm.estimate([llm.ChatMessage(role=past.role, content=past.content)], answer.model).tokens
    return question.pk if cut >= excess else None
