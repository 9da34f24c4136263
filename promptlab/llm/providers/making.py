"""Which kinds of providers there are, by name. Each is made at its first use."""

from __future__ import annotations

from promptlab.llm.providers import registry
from promptlab.llm.providers.base import Provider
from promptlab.llm.providers.echo import EchoProvider
from promptlab.llm.providers.openai import OpenAIProvider

OPENAI = "openai"
MAKERS: dict[str, type[Provider]] = {"echo": EchoProvider, OPENAI: OpenAIProvider}
_made: dict[str, Provider] = {}


def named(kind: str) -> Provider:
    """Return what speaks to providers of a kind. Those that have nothing of their own speak OpenAI's protocol."""
    own = registry.registered(kind)
    if own is not None:
        return own
    name = kind if kind in MAKERS else OPENAI
    provider = registry.registered(name) or _made.get(name)
    if provider is None:
        provider = _made[name] = MAKERS[name]()
    return provider


async def aclose() -> None:
    """Close what the providers hold for the running event loop."""
    others = filter(None, map(registry.registered, registry.registered_names()))
    for provider in (*others, *_made.values()):
        await provider.aclose()
