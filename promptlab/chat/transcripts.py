"""Reads: what exactly was sent to the model for an answer. The same code sends it and rebuilds it later."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptlab_sdk.kernel.spec import Message as Part

from promptlab import llm
from promptlab.chat.errors import MissingVariables
from promptlab.chat.models import Message
from prompts import rendering, snippets
from prompts.errors import VariablesInvalid

HISTORY = ("history", "messages")
"""Placeholders that stand for the conversation so far."""


@dataclass(frozen=True, slots=True)
class _Said(Part):
    """Something that was said, as it stands in a placeholder: with the calls of tools, which a template cannot have."""

    tool_calls: Sequence[Mapping[str, object]] = ()
    tool_call_id: str = ""


def upstream_request(
    answer: Message, team_id: int, messages: Sequence[llm.ChatMessage] | None = None
) -> llm.CompletionRequest:
    """Return the request sent to the model for `answer`: its messages, the model asked for, settings and end user.

    `messages` are those of `upstream_messages`, where they are at hand. Raises what that raises.
    """
    return llm.CompletionRequest(
        messages=upstream_messages(answer) if messages is None else messages,
        model=answer.asked_model or answer.model,
        parameters=upstream_parameters(answer),
        purpose=answer.purpose,
        user=_anonymous(team_id, answer.unit_id),
    )


def upstream_messages(
    answer: Message, told: Sequence[Message] | None = None, *, text_for: str | None = None
) -> list[llm.ChatMessage]:
    """Return the messages asked of the model for `answer`, as they are before anything of them is masked.

    They are made of its version, the versions of the snippets noted with it, its variables and what was said before:
    byte for byte the same at any later time, for none of these ever changes. Nothing is left of an answer that was
    purged; what was purged before an answer is missing. `told` is what was said, where that is all that ever was.
    `text_for` names the model whose text they are made of, empty for the version's own; without it, the one in the row.
    Raises MissingVariables, VariablesInvalid naming every problem, TemplateTooCostly, TemplateFailed.
    """
    if answer.purged_at is not None:
        return []
    text_for = answer.text_for if text_for is None else text_for
    if answer.purpose == Message.Purpose.GENERATE and answer.version is not None:
        return _generated(answer, text_for)
    if answer.purpose == Message.Purpose.OPENAI:
        talk = Message.objects.all().sent_with(answer) if told is None else told
        return [_sent(part) for part in _rendered(answer, [_said(one) for one in talk], text_for)]
    said = list(_before(answer) if told is None else told)
    question, history = said[-1], [_said(past) for past in said[:-1]]
    parts = [*_rendered(answer, history, text_for), Part(role="user", content=question.content)]
    return [_sent(part) for part in parts]


def _before(answer: Message) -> Iterable[Message]:
    """Return what the conversation says before an answer: what had ended when it began."""
    said = Message.objects.filter(conversation_id=answer.conversation_id)
    said = said.transcript(before_id=answer.pk, from_id=answer.history_from)
    return said.filter(ended_at__lte=answer.created_at)


def sent_messages(answer: Message) -> list[llm.ChatMessage]:
    """Return the messages of `answer` as its provider got them: with tokens in place of what does not leave.

    Raises what `upstream_messages` raises.
    """
    messages = upstream_messages(answer)
    return list(llm.masked_messages(messages, llm.Masks.of(answer.masks))[0]) if answer.masks else messages


def upstream_parameters(answer: Message) -> dict[str, Any]:
    """Return the model settings sent for `answer`: what its version says of its own, and what the row has.

    A version says nothing twice, so nothing is overwritten.
    """
    if answer.version is None:
        return dict(answer.parameters)
    return {**rendering.parameters_of(answer.version.content), **answer.parameters}


def _generated(answer: Message, text_for: str) -> list[llm.ChatMessage]:
    """Return the prompt alone, to which nobody says anything. One that is a text is what the model is asked."""
    assert answer.version is not None
    role = "system" if answer.version.messages else "user"
    parts = _rendered(answer, [], text_for)
    return [llm.ChatMessage(role=part.role if role == "system" else role, content=part.content) for part in parts]


def _said(message: Message) -> Part:
    if message.tool_calls or message.tool_call_id:
        return _Said(message.role, message.content, "", tuple(message.tool_calls), message.tool_call_id)
    return Part(role=message.role, content=message.content)


def _sent(part: Part) -> llm.ChatMessage:
    if isinstance(part, _Said):
        return llm.ChatMessage(part.role, part.content, part.tool_calls, part.tool_call_id)
    return llm.ChatMessage(part.role, part.content)


def _anonymous(team_id: int, unit_id: str) -> str:
    """Return what the provider may know of an end user: a hash that tells abusers apart, and nothing else."""
    return hashlib.sha256(f"{team_id}:{unit_id}".encode()).hexdigest() if unit_id else ""


def _rendered(answer: Message, history: Sequence[Part], text_for: str) -> Sequence[Part]:
    """Return the prompt's own messages with the history in its place: at its placeholder, else behind them."""
    if answer.version is None:
        return history
    content = snippets.resolve_pinned(answer.version, answer.snippets).content.for_model(text_for)
    try:
        filled = rendering.render(content, answer.variables, placeholders=dict.fromkeys(HISTORY, tuple(history)))
    except VariablesInvalid as error:
        raise _missing(answer.version.prompt.name, error) from error
    if isinstance(filled, str):
        return [Part(role="system", content=filled), *history]
    has_place = any(part.placeholder in HISTORY for part in content.messages)
    return list(filled) if has_place else [*filled, *history]


def _missing(prompt: str, error: VariablesInvalid) -> VariablesInvalid | MissingVariables:
    """Return what a caller hears: when nothing is wrong but what is missing, the prompt that needs it."""
    if error.code != MissingVariables.code:
        return error
    names = ", ".join(problem.field.removeprefix("variables.") for problem in error.problems)
    return MissingVariables(problems=error.problems, prompt=prompt, names=names)


def question_of(answer: Message) -> str:
    """Return what was asked before the answer; "" when nothing was, or nothing is known of it."""
    asked = Message.objects.filter(
        conversation_id=answer.conversation_id, role=Message.Role.USER, pk__lt=answer.pk
    ).order_by("-pk")
    found = asked.first()
    return found.content if found else ""
