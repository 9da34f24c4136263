"""A provider without a model: it answers with what a model would have received. Free, offline and deterministic."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence

from promptlab.llm import tokens
from promptlab.llm.errors import ProviderUnavailable
from promptlab.llm.providers.base import Finish
from promptlab.llm.types import ChatMessage, CompletionRequest, Delta, FinishReason, Usage

SLOW_WORD_S = 0.04
WORDS_BEFORE_DROP = 3
WORD = re.compile(r"\s*\S+|\s+\Z")


class EchoProvider:
    """Answer `[instructions: ...]` and `You said: ...`, word by word; a token is a word.

    `echo-slow` waits 40 ms before each word, `echo-fail` fails before the first, `echo-drop` after three.
    """

    async def astream(self, request: CompletionRequest) -> AsyncGenerator[Delta | Finish, None]:
        """Yield the answer. Of the parameters only `max_tokens` counts, so that cut answers can be tried out."""
        if request.model == "echo-fail":
            raise ProviderUnavailable("The model echo-fail always fails.")
        words = WORD.findall(answer(request.messages))
        limit = _limit(request, len(words))
        for number, word in enumerate(words[:limit]):
            if request.model == "echo-drop" and number == WORDS_BEFORE_DROP:
                raise ProviderUnavailable("The model echo-drop always breaks off.")
            await asyncio.sleep(SLOW_WORD_S if request.model == "echo-slow" else 0)
            yield Delta(word)
        reason = FinishReason.LENGTH if limit < len(words) else FinishReason.STOP
        spent = Usage(tokens.estimate(request.messages, request.model).tokens, limit)
        yield Finish(reason, spent, request.model)

    async def aclose(self) -> None:
        """Hold nothing, close nothing."""


def answer(messages: Sequence[ChatMessage]) -> str:
    """Return the text that echo answers with: all instructions, then the last thing the user said."""
    instructions = [message.content for message in messages if message.role in ("system", "developer")]
    said = [message.content for message in messages if message.role == "user"]
    parts = [f"[instructions: {' '.join(instructions)}]"] if instructions else []
    parts += [f"You said: {said[-1]}"] if said else []
    return "\n\n".join(parts) or "You said nothing."


def _limit(request: CompletionRequest, available: int) -> int:
    wanted = request.parameters.get("max_tokens")
    return min(wanted, available) if isinstance(wanted, int) and wanted > 0 else available
