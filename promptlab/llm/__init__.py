"""The one door to language models: `from promptlab import llm`, then `llm.astream(request)` or `llm.complete(request)`.

Nothing heavy is imported until it is needed: not the SDK, not the tokenizer, not the price tables.
"""

from promptlab.llm.catalog import ModelInfo, model_names, price, resolve
from promptlab.llm.draining import Rest
from promptlab.llm.errors import (
    BadRequest,
    ContextTooLong,
    LLMError,
    MalformedAnswer,
    Misconfigured,
    NoRouteLeft,
    ProviderRateLimited,
    ProviderRefusedKey,
    ProviderTimeout,
    ProviderUnavailable,
    UnknownModel,
)
from promptlab.llm.finding import KINDS, Masks, without_values
from promptlab.llm.gateway import aclose, acomplete, aspent, astream, complete
from promptlab.llm.masking import masked_messages
from promptlab.llm.tokens import TokenCount, estimate
from promptlab.llm.types import (
    PARAMETERS,
    ChatMessage,
    Completion,
    CompletionRequest,
    Delta,
    FinishReason,
    Json,
    Parameter,
    Route,
    Usage,
)

__all__ = [
    "KINDS",
    "PARAMETERS",
    "BadRequest",
    "ChatMessage",
    "Completion",
    "CompletionRequest",
    "ContextTooLong",
    "Delta",
    "FinishReason",
    "Json",
    "LLMError",
    "MalformedAnswer",
    "Masks",
    "Misconfigured",
    "ModelInfo",
    "NoRouteLeft",
    "Parameter",
    "ProviderRateLimited",
    "ProviderRefusedKey",
    "ProviderTimeout",
    "ProviderUnavailable",
    "Rest",
    "Route",
    "TokenCount",
    "UnknownModel",
    "Usage",
    "aclose",
    "acomplete",
    "aspent",
    "astream",
    "complete",
    "estimate",
    "masked_messages",
    "model_names",
    "price",
    "resolve",
    "without_values",
]
