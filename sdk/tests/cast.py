"""The cast of the tests: a clock moved by hand, and ways to wait for what happens in the background."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from promptlab_sdk import Prompts


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


Connect = Callable[..., Prompts]


def settle() -> None:
    """Wait until the background refreshes that are under way have ended."""
    for thread in threading.enumerate():
        if thread.name == "promptlab-sdk-refresh":
            thread.join(10)
            assert not thread.is_alive()


def until(condition: Callable[[], object], what: str = "what was waited for") -> None:
    """Wait until the condition holds; fail after 20 seconds."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.005)


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("promptlab-sdk-")]
