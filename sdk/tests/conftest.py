"""The stage: a server that can be killed, clients on a hand-moved clock, a cache folder of the test's own."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cast import Clock, Connect, our_threads, until
from fake_server import PromptServer
from promptlab_sdk import Prompts
from promptlab_sdk.core import Core
from promptlab_sdk.source import HttpSource
from promptlab_sdk.transport import Transport

SETTINGS = ("PROMPTLAB_URL", "PROMPTLAB_API_KEY", "PROMPTLAB_ENV", "HTTP_PROXY", "http_proxy")


@pytest.fixture(scope="session", autouse=True)
def _certificates_read_once() -> Iterator[None]:
    """Let clients share what they trust: each reads all certificates otherwise, and no server here speaks TLS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
        yield


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROMPTLAB_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    """Every test closes its clients, and none of them may leave a thread."""
    yield
    until(lambda: our_threads() == [], f"the end of {our_threads()}")


@pytest.fixture
def server() -> Iterator[PromptServer]:
    running = PromptServer()
    yield running
    running.gate.set()
    running.kill()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connect(server: PromptServer, clock: Clock) -> Iterator[Connect]:
    """Return a function that makes a client on the hand-moved clock, with options of transport and client."""
    made: list[Prompts] = []

    def make(*, retries: int = 0, timeout: float = 5.0, api_key: str = "pl_key", **options: Any) -> Prompts:
        transport = Transport(server.url, api_key=api_key, timeout_s=timeout, retries=retries)
        made.append(Prompts(Core(HttpSource(transport), clock=clock, **options)))
        return made[-1]

    yield make
    server.gate.set()
    for prompts in made:
        prompts.close()


@pytest.fixture
def prompts(connect: Connect) -> Prompts:
    return connect()
