"""The one door to language models: `from promptlab import llm`, then `llm.astream(request)` or `llm.complete(request)`.

Nothing heavy is imported until it is needed: not the SDK, not the tokenizer, not the price tables.
"""

from promptlab.llm.catalog import ModelInfo, models, price, resolve
from promptlab.llm.errors import (
    BadRequest,
    ContextTooLong,
    LLMError,
    MalformedAnswer,
    Misconfigured,
    ProviderRateLimited,
    ProviderRefusedKey,
    ProviderTimeout,
    ProviderUnavailable,
    UnknownModel,
)
from promptlab.llm.gateway import aclose, acomplete, astream, complete
from promptlab.llm.tokens import TokenCount, estimate
from promptlab.llm.types import (
    PARAMETERS,
    ChatMessage,
    Completion,
    CompletionRequest,
    Delta,
    FinishReason,
    Parameter,
    Usage,
)

__all__ = [
    "PARAMETERS",
    "BadRequest",
    "ChatMessage",
    "Completion",
    "CompletionRequest",
    "ContextTooLong",
    "Delta",
    "FinishReason",
    "LLMError",
    "MalformedAnswer",
    "Misconfigured",
    "ModelInfo",
    "Parameter",
    "ProviderRateLimited",
    "ProviderRefusedKey",
    "ProviderTimeout",
    "ProviderUnavailable",
    "TokenCount",
    "UnknownModel",
    "Usage",
    "aclose",
    "acomplete",
    "astream",
    "complete",
    "estimate",
    "models",
    "price",
    "resolve",
]
