"""A forked worker goes on with what its parent knew, over connections of its own."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable

import pytest
from cast import Clock, settle
from fake_server import PromptServer
from promptlab_sdk import Prompts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")


def in_child(work: Callable[[], object]) -> str:
    """Return what `work` returns in a forked process, as text."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # Ends the child if it hangs, whatever it inherited.
        try:
            answer = str(work())
        except BaseException as error:  # noqa: BLE001  (whatever it is, the parent has to hear of it)
            answer = repr(error)
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


def test_a_child_keeps_the_memory_of_its_parent(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "one")
    prompts.get("test")
    assert in_child(lambda: prompts.get("test").source) == "cache"


def test_a_child_loads_and_refreshes_by_itself(server: PromptServer, prompts: Prompts, clock: Clock) -> None:
    server.deploy("test", "one")
    prompts.get("test")
    server.deploy("test", "two", revision=2)
    server.deploy("other", "new")

    def work() -> str:
        clock.pass_(60)
        prompts.get("test")
        settle()
        return f"{prompts.get('test')} {prompts.get('other')}"

    assert in_child(work) == "two new"
    assert prompts.get("test").source == "cache"
    assert prompts.get("other") == "new"


def test_a_child_uses_no_connection_of_its_parent(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "one")
    server.deploy("other", "new")
    prompts.get("test")
    in_child(lambda: prompts.get("other"))
    prompts.get("other")
    parents, child, parents_again = (request.port for request in server.requests)
    assert parents == parents_again
    assert child != parents


def test_a_fork_in_the_middle_of_a_refresh_leaves_the_child_free(
    server: PromptServer, prompts: Prompts, clock: Clock
) -> None:
    server.deploy("test", "one")
    prompts.get("test")
    server.deploy("test", "two", revision=2)
    clock.pass_(60)
    server.gate.clear()
    prompts.get("test")
    assert server.arrived.acquire(timeout=10)
    assert server.arrived.acquire(timeout=10)  # The second request is the refresh, and it hangs.

    def work() -> str:
        late = prompts.get("test").source
        settle()
        return f"{late} {prompts.get('test')}"

    threading.Timer(0.3, server.gate.set).start()
    with prompts._core.cache._lock:  # The worst moment: another thread holds the lock, and it will not live on.
        answer = in_child(work)
    assert answer == "stale two"
    settle()
    assert prompts.get("test") == "two"
