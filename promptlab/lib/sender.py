"""Work that a request hands over and never waits for: one bounded queue, one daemon thread, in each process."""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
_all: weakref.WeakSet[Sender[object]] = weakref.WeakSet()


class Sender(Generic[T]):
    """Hands one thing after another to `send`, in the order they came, from a thread that starts with the first.

    `send` answers for its own errors: what it raises ends the thread, and the next `put` starts another.
    """

    def __init__(self, name: str, send: Callable[[T], None], maxsize: int = 1000) -> None:
        self.name = name
        self.send = send
        self.maxsize = maxsize
        self.begin()
        _all.add(self)  # type: ignore[arg-type]

    def begin(self) -> None:
        """Start with an empty queue and no thread: what was waiting belongs to the parent process of a fork."""
        self._waiting: queue.Queue[T] = queue.Queue(maxsize=self.maxsize)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def put(self, thing: T) -> bool:
        """Hand `thing` over and return at once; False when so much is waiting already that it was dropped."""
        self._start()
        try:
            self._waiting.put_nowait(thing)
        except queue.Full:
            return False
        return True

    def drop(self) -> None:
        """Forget what is waiting."""
        with self._waiting.mutex:
            self._waiting.queue.clear()

    def __len__(self) -> int:
        return self._waiting.qsize()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=f"promptlab-{self.name}", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self.send(self._waiting.get())


def _begin_all() -> None:
    for sender in list(_all):
        sender.begin()


os.register_at_fork(after_in_child=_begin_all)
