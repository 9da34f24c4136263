"""What this process believes for a moment is confirmed before the moment is over, by one thread, off every request's path.

The thread starts with the first thing believed and ends when nothing is in use any more. Whoever finds a belief
expired (no thread, a late one, no database) asks for itself: the thread makes things quick, not right.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from django.conf import settings
from django.db import DatabaseError

from promptlab.lib import push
from promptlab.lib.logs import get_logger
from promptlab.lib.threads import giving_back

log = get_logger(__name__)
IDLE_S = 30.0
"""How long the thread goes on with nothing in use."""
Confirm = Callable[[], bool]
"""Confirms what is in use, by one cheap read, and tells whether anything is."""


class Watch:
    """The thread, and what it does every half `REVISION_CHECK_S`, and at once when woken."""

    def __init__(self) -> None:
        self._confirms: list[Confirm] = []
        self._at_end: list[Callable[[], object]] = []
        self._forget()

    def _forget(self) -> None:
        """Begin anew, as a process that was forked off does: threads do not come along."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._woken = threading.Event()
        self._stopped = threading.Event()

    def every(self, confirm: Confirm) -> None:
        """Call `confirm` again and again. It may raise what the database raises; it is called again then."""
        self._confirms.append(confirm)

    def at_end(self, last: Callable[[], object]) -> None:
        """Call `last` when the thread ends."""
        self._at_end.append(last)

    def ensure(self) -> None:
        """See to it that the thread runs."""
        if not settings.WATCH or self.is_running:
            return
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._stopped.clear()
                self._thread = threading.Thread(target=self._run, name="promptlab-watch", daemon=True)
                self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether the thread runs: what is left to it will be done."""
        return self._thread is not None and self._thread.is_alive()

    def wake(self) -> None:
        """Confirm now: something may have been missed."""
        self._woken.set()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End the thread, and wait a moment for it."""
        self._stopped.set()
        self._woken.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)

    def _run(self) -> None:
        used_at = time.monotonic()
        with push.listening(self.wake):
            while not self._stopped.is_set():
                if self._confirm_all():
                    used_at = time.monotonic()
                elif time.monotonic() - used_at > IDLE_S:
                    break
                self._woken.wait(settings.REVISION_CHECK_S / 2)
                self._woken.clear()
        for last in self._at_end:
            try:
                giving_back(last)
            except DatabaseError as error:
                log.info("not_written_at_end", error=type(error).__name__)

    def _confirm_all(self) -> bool:
        is_used = False
        for confirm in self._confirms:
            try:
                is_used |= giving_back(confirm)
            except DatabaseError as error:
                log.info("not_confirmed", error=type(error).__name__)
                is_used = True
        return is_used


watch = Watch()
os.register_at_fork(after_in_child=watch._forget)
