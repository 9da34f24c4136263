"""Hearing that the server is told to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any


class Stopping:
    """Knows at once that the server is told to end. Servers wait for open answers first, and say nothing meanwhile."""

    def __init__(self) -> None:
        self.is_set = False
        self._callbacks: set[Callable[[], None]] = set()

    def hear(self) -> None:
        """Listen to the signals that end a server, before it does; it hears them as before."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            before = signal.getsignal(number)
            if callable(before):
                signal.signal(number, partial(self._heard, before))

    def call(self, callback: Callable[[], None]) -> None:
        """Call `callback` then, on the main thread, between two instructions of whatever it does."""
        self._callbacks.add(callback)

    def forget(self, callback: Callable[[], None]) -> None:
        """Do not call it any more."""
        self._callbacks.discard(callback)

    def _heard(self, before: Callable[[int, FrameType | None], Any], number: int, frame: FrameType | None) -> None:
        self.is_set = True
        for callback in list(self._callbacks):
            callback()
        before(number, frame)


stopping = Stopping()
