"""What leaves in place of addresses and numbers, and their way back into the answer. No value is ever logged.

A value becomes a token such as `[EMAIL_1]`, the same one wherever it stands in a call. Tokens hold one bracket at each
end and none inside, and none of them stands in the texts already: so the way back is exact.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from promptlab.llm.errors import LLMError
from promptlab.llm.finding import NOTHING, Masks, find
from promptlab.llm.types import ChatMessage, CompletionRequest, Delta, Events, Json

LONG = 20_000
"""Characters that take some milliseconds to look through."""
_TOKEN = re.compile(r"\[[A-Z_]+_[0-9]+\]")
Event = TypeVar("Event")


@dataclass
class Sheet:
    """Which token stands for which value in one call. `counts`: how many values of a kind were replaced."""

    masks: Masks
    taken: set[str] = field(default_factory=set)
    tokens: dict[tuple[str, str], str] = field(default_factory=dict)
    numbers: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)

    def masked(self, text: str) -> str:
        """Return the text with tokens for its values."""
        pieces, last = [], 0
        for one in find(text, self.masks):
            pieces += [text[last : one.start], self._token(one.kind, text[one.start : one.end])]
            last = one.end
            self.counts[one.kind] += 1
        return "".join((*pieces, text[last:])) if pieces else text

    def masked_json(self, text: str) -> str:
        """Return a text of JSON with tokens in its words and numbers; one that is no JSON, as any other text."""
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            return self.masked(text)
        before = self.counts.total()
        masked = self._masked_value(said)
        return json.dumps(masked, ensure_ascii=False) if self.counts.total() > before else text

    def values(self) -> Mapping[str, str]:
        """Return the values by their tokens."""
        return {token: value for (_, value), token in self.tokens.items()}

    def _masked_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.masked(value)
        if isinstance(value, dict):
            return {self.masked(name): self._masked_value(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self._masked_value(one) for one in value]
        if isinstance(value, int) and not isinstance(value, bool):
            masked = self.masked(str(value))
            return value if masked == str(value) else masked
        return value

    def _token(self, kind: str, value: str) -> str:
        token = self.tokens.get((kind, value))
        while token is None:
            self.numbers[kind] += 1
            free = f"[{kind.upper()}_{self.numbers[kind]}]"
            token = None if free in self.taken else free
        self.tokens[kind, value] = token
        return token


EMPTY = Sheet(NOTHING)
"""Of every call that has no masks: nothing is ever written on it."""


def masked(request: CompletionRequest) -> tuple[CompletionRequest, Sheet]:
    """Return the request as its provider gets it, and what was replaced. The same request always gives the same."""
    masks = request.masks_in_force
    messages, sheet = masked_messages(request.messages, masks)
    return replace(request, messages=messages) if masks else request, sheet


async def amasked(request: CompletionRequest) -> tuple[CompletionRequest, Sheet]:
    """Return what `masked` returns. Long texts are looked through in a thread, so that other calls go on."""
    if request.masks_in_force and sum(len(message.content) for message in request.messages) > LONG:
        return await asyncio.to_thread(masked, request)
    return masked(request)


def masked_messages(messages: Sequence[ChatMessage], masks: Masks) -> tuple[Sequence[ChatMessage], Sheet]:
    """Return the messages with tokens in their texts and in the arguments of their calls, and what was replaced."""
    if not masks:
        return messages, EMPTY
    sheet = Sheet(masks)
    for message in messages:
        sheet.taken.update(_TOKEN.findall(message.content))
        for call in message.tool_calls:
            sheet.taken.update(_TOKEN.findall(_arguments(call)))
    return [_masked_message(sheet, message) for message in messages], sheet


def _masked_message(sheet: Sheet, message: ChatMessage) -> ChatMessage:
    calls = [_with_arguments(call, sheet.masked_json(_arguments(call))) for call in message.tool_calls]
    return replace(message, content=sheet.masked(message.content), tool_calls=tuple(calls))


class Filler:
    """Puts values back into a text that comes in pieces: `put` holds back only what may be a token's beginning."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._any = re.compile("|".join(re.escape(token) for token in values)) if values else None
        self._held = ""

    def put(self, piece: str) -> str:
        """Return what is sure by now, with its values."""
        if self._any is None:
            return piece
        text = self._held + piece
        begins = text.rfind("[")
        self._held = text[begins:] if begins >= 0 and self._may_go_on(text[begins:]) else ""
        sure = text[: len(text) - len(self._held)]
        return self._any.sub(lambda token: self._values[token[0]], sure)

    def rest(self) -> str:
        """Return what was held back: no token came of it."""
        held, self._held = self._held, ""
        return held

    def _may_go_on(self, tail: str) -> bool:
        return any(len(tail) < len(token) and token.startswith(tail) for token in self._values)


class _CallFiller:
    """Puts values back into the calls of tools: their arguments are JSON, so values are written as JSON writes them."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = {token: json.dumps(value, ensure_ascii=False)[1:-1] for token, value in values.items()}
        self._fillers: dict[object, Filler] = {}

    def put(self, piece: Json) -> Json | None:
        """Return the piece with its values; None when all of it is held back."""
        said = _arguments(piece)
        if not said:
            return piece
        filler = self._fillers.setdefault(piece.get("index"), Filler(self._values))
        sure = filler.put(said)
        is_empty = not sure and not piece.get("id") and not _function(piece).get("name")
        return None if is_empty else _with_arguments(piece, sure)

    def rest(self) -> tuple[Json, ...]:
        """Return what was held back of each call."""
        held = ((index, filler.rest()) for index, filler in self._fillers.items())
        return tuple({"index": index, "function": {"arguments": text}} for index, text in held if text)


def restored(source: Events[Delta | Event], sheet: Sheet) -> Events[Delta | Event]:
    """Return the answer with the values in place of their tokens; itself where none was replaced."""
    return _restored(source, sheet) if sheet.tokens else source


async def _restored(source: Events[Delta | Event], sheet: Sheet) -> AsyncGenerator[Delta | Event, None]:
    """Yield the answer with the values in place of their tokens, and nothing else changed.

    What is held back comes before whatever ends the answer, also before an error that breaks it off.
    """
    text, calls = Filler(sheet.values()), _CallFiller(sheet.values())
    has_begun = False
    async with aclosing(source) as events:
        try:
            async for event in events:
                delta = _filled(event, text, calls) if isinstance(event, Delta) else _held(text, calls)
                if delta is not None:
                    has_begun = True
                    yield delta
                if not isinstance(event, Delta):
                    yield event
        except LLMError:
            # Before the first word another provider may be asked: then nothing is given out that it would repeat.
            last = _held(text, calls)
            if has_begun and last is not None:
                yield last
            raise


def _filled(delta: Delta, text: Filler, calls: _CallFiller) -> Delta | None:
    """Return the delta with its values; None when all of it is held back."""
    sure = text.put(delta.text)
    pieces = tuple(piece for one in delta.tool_calls if (piece := calls.put(one)) is not None)
    return Delta(sure, pieces) if sure or pieces else None


def _held(text: Filler, calls: _CallFiller) -> Delta | None:
    last, pieces = text.rest(), calls.rest()
    return Delta(last, pieces) if last or pieces else None


def _function(call: Json) -> Mapping[str, object]:
    function = call.get("function")
    return function if isinstance(function, dict) else {}


def _arguments(call: Json) -> str:
    said = _function(call).get("arguments")
    return said if isinstance(said, str) else ""


def _with_arguments(call: Json, arguments: str) -> Json:
    return {**call, "function": {**_function(call), "arguments": arguments}} if _arguments(call) else call
