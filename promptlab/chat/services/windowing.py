"""How much of a conversation goes along with a question: what the model's context window has room for, whole turns."""

from __future__ import annotations

from collections.abc import Sequence

from promptlab import llm
from promptlab.chat.models import Message
from promptlab.chat.transcripts import upstream_messages
from promptlab.llm.routes import window_of

USUAL_ANSWER_TOKENS = 1024
"""Room that is kept for an answer without `max_tokens`; at most a quarter of the window."""
TALKS = (Message.Purpose.CHAT, Message.Purpose.TRY)
MOST_TOKENS_AROUND = 8
"""What a provider's frame around one message takes at most."""


def fitting_messages(answer: Message, team_id: int, told: Sequence[Message] | None = None) -> list[llm.ChatMessage]:
    """Return what is sent for `answer`, without its oldest turns where all of it would not fit; the row says which.

    The prompt and the question are never cut, nor is a talk that the caller tells whole. Raises ContextTooLong when they
    do not fit by themselves. `told`: as for `upstream_messages`.
    """
    messages = upstream_messages(answer, told)
    room = _room(answer, team_id)
    if room is None or _at_most(messages) <= room:
        return messages
    excess = llm.estimate(messages, answer.model).tokens - room
    if excess <= 0:
        return messages
    if answer.purpose not in TALKS or told is not None:
        raise llm.ContextTooLong()
    answer.history_from = _first_kept(answer, excess)
    answer.save(update_fields=["history_from"])
    return upstream_messages(answer)


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


def _first_kept(answer: Message, excess: int) -> int:
    """Return the id of the first message that is kept when the oldest turns with `excess` tokens are left out."""
    said = Message.objects.filter(conversation_id=answer.conversation_id).transcript(before_id=answer.pk)
    *history, question = said.filter(ended_at__lte=answer.created_at).only("role", "content", "tool_calls")
    cut = 0
    for past in history:
        if cut >= excess and past.role == Message.Role.USER:
            return past.pk
        cut += llm.estimate([llm.ChatMessage(role=past.role, content=past.content)], answer.model).tokens
    if cut < excess:
        raise llm.ContextTooLong()
    return question.pk
