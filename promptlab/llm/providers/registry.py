"""Providers that were registered by name, ahead of the built-in ones."""

from __future__ import annotations

from promptlab.llm.providers.base import Provider

_registered: dict[str, Provider] = {}


def register(name: str, provider: Provider) -> None:
    """Make `provider` answer for `name`, ahead of a built-in one of that name."""
    _registered[name] = provider


def unregister(name: str) -> None:
    """Take back `register`."""
    _registered.pop(name, None)


def registered(name: str) -> Provider | None:
    """Return the provider registered under `name`."""
    return _registered.get(name)


def registered_names() -> tuple[str, ...]:
    """Return the names that were registered; the built-in ones are not among them."""
    return tuple(_registered)
