"""What goes into a model call and what comes out: plain frozen values that know no provider, table or request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol, TypeVar

from promptlab.llm.finding import NOTHING, Masks

T_co = TypeVar("T_co", covariant=True)
Parameter = str | int | float | bool | None | Sequence[str] | Mapping[str, object]

PARAMETERS = frozenset(
    {
        "temperature", "max_tokens", "top_p", "stop", "seed", "response_format", "tools", "tool_choice",
        "parallel_tool_calls", "presence_penalty", "frequency_penalty", "logit_bias", "reasoning_effort", "verbosity",
        "service_tier", "prompt_cache_key", "prompt_cache_retention",
    }
)  # fmt: skip
"""The settings a request may carry. Others are refused: a silently ignored setting would spoil a comparison."""
OFFICIAL_ONLY = frozenset(
    {"reasoning_effort", "verbosity", "service_tier", "prompt_cache_key", "prompt_cache_retention"}
)
"""Those that OpenAI itself knows and other servers may refuse: they are dropped on the way to these."""


class FinishReason(StrEnum):
    """Why an answer ended. `error` and `cancelled` are for callers that store broken answers."""

    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    TOOL_CALLS = "tool_calls"
    ERROR = "error"
    CANCELLED = "cancelled"


Json = Mapping[str, object]
"""An object of JSON."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message as the model receives it. `role` is system, developer, user, assistant or tool.

    `tool_calls` are an assistant's, in the form of the chat completions API; `tool_call_id` is which of them a message
    of role tool answers.
    """

    role: str
    content: str
    tool_calls: Sequence[Json] = ()
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """One way to reach a model: all a call needs to know, and nothing of where it was stored.

    `name` is what its team calls the model, empty where no team does. `provider` names it in logs, metrics and breakers,
    `kind` says how it is spoken to, `model` is its own name for the model. `version` changes with every change of address
    or key, so that connections of old ones are not used again. `None` for a time limit means the setting. `drains`: when
    the caller hangs up the answer is read to its end, because it is billed all the same. `masks` are what may not leave
    by this way. `is_public_only`: what the address leads to is looked at whenever a connection is opened.
    """

    provider: str
    kind: str
    model: str
    address: str = ""
    key: str = field(default="", repr=False)
    version: str = ""
    api_version: str = ""
    connect_timeout_s: float | None = None
    first_token_timeout_s: float | None = None
    deadline_s: float | None = None
    drains: bool = False
    masks: Masks = NOTHING
    is_public_only: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """One question to a model.

    An empty `model` means the default model. `None` for a time limit means the setting. `purpose` says in the log what
    the call was for (`chat`, `generate`, `judge`). `user` is a hash that lets the provider tell abusers apart, never a
    name or an address; empty sends none. `routes` are the ways to reach the model, the best first: another one is taken
    when one fails before its first token. None means the way that the settings say. `traceparent` names the trace that
    the provider is told of; the gateway fills it in where the settings allow. `masks` are what may not leave by any
    way. `other_messages` are sent instead of `messages` to the models they are meant for, by `Route.name`.
    """

    messages: Sequence[ChatMessage]
    model: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=lambda: MappingProxyType({}))
    purpose: str = "unspecified"
    deadline_s: float | None = None
    first_token_timeout_s: float | None = None
    user: str = ""
    routes: Sequence[Route] = ()
    traceparent: str = ""
    masks: Masks = NOTHING
    other_messages: Mapping[str, Sequence[ChatMessage]] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def masks_in_force(self) -> Masks:
        """Its own masks and those of every way it may take: what is sent is the same by all of them."""
        masks = self.masks
        for route in self.routes:
            masks = masks | route.masks if route.masks else masks
        return masks


class Events(Protocol[T_co]):
    """What comes one after the other and can be left early."""

    def __aiter__(self) -> AsyncIterator[T_co]: ...

    def __anext__(self) -> Awaitable[T_co]: ...

    def aclose(self) -> Awaitable[None]:
        """End it."""
        ...


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call.

    `cached_tokens` (read) and `cache_write_tokens` are part of the input, `reasoning_tokens` part of the output.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0
    is_estimated: bool = False


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of the answer; never empty, though `text` is where only tools are called.

    `tool_calls` are pieces in the form of the chat completions API.
    """

    text: str
    tool_calls: Sequence[Json] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer.

    `model` is the name the provider answered with, which may be a dated form of the one asked for. `cost_usd` is `None`
    when no price is known, never 0. `first_token_ms` is `None` when no text came. `tool_calls` are whole, in the form
    of the chat completions API. `route_name` is what the team calls the model that answered.
    """

    text: str
    model: str
    provider: str
    usage: Usage
    cost_usd: Decimal | None
    finish_reason: FinishReason
    latency_ms: int
    first_token_ms: int | None
    tool_calls: Sequence[Json] = ()
    route_name: str = ""
