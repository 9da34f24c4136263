"""The Python SDK of PromptLab: `Prompts.connect(...)`, then `prompts.get("name", customer_name="Alex")`.

Names are loaded when they are first used: the server imports `promptlab_sdk.kernel` and must not pay for
httpx.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptlab_sdk.aclient import AsyncPrompts, FakeAsyncPrompts
    from promptlab_sdk.client import FakePrompts, Prompts
    from promptlab_sdk.errors import (
        BootstrapInvalid,
        MissingVariable,
        PromptLabError,
        PromptNotFound,
        RateLimited,
        ServiceUnavailable,
        Unauthorized,
        VariablesInvalid,
    )
    from promptlab_sdk.kernel.spec import Message
    from promptlab_sdk.kernel.template import BadValue, TemplateSyntaxError
    from promptlab_sdk.prompt import Prompt, Rendered
    from promptlab_sdk.status import Status

__version__ = "0.1.0"

__all__ = [
    "AsyncPrompts",
    "BadValue",
    "BootstrapInvalid",
    "FakeAsyncPrompts",
    "FakePrompts",
    "Message",
    "MissingVariable",
    "Prompt",
    "PromptLabError",
    "PromptNotFound",
    "Prompts",
    "RateLimited",
    "Rendered",
    "ServiceUnavailable",
    "Status",
    "TemplateSyntaxError",
    "Unauthorized",
    "VariablesInvalid",
]

_HOMES = {
    "AsyncPrompts": "aclient",
    "BadValue": "kernel.template",
    "FakeAsyncPrompts": "aclient",
    "FakePrompts": "client",
    "Message": "kernel.spec",
    "Prompt": "prompt",
    "Prompts": "client",
    "Rendered": "prompt",
    "Status": "status",
    "TemplateSyntaxError": "kernel.template",
}


def __getattr__(name: str) -> object:
    """Import the module that a public name lives in, once (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
