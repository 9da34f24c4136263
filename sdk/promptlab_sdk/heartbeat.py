"""Telling the server which revision this process serves, so that people see when a move has reached everybody."""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping

from promptlab_sdk import __version__
from promptlab_sdk.kernel.spec import JSON

log = logging.getLogger("promptlab")

LONGEST_S = 300.0
SPREAD_S = 1.0
"""A move reaches all clients at once. Their reports say how long ago, so they need not come all at once, too."""


class Heartbeat:
    """Reports soon after the revision changes, and every so often in between. Its thread begins with the first word."""

    def __init__(self, post: Callable[[Mapping[str, JSON]], object]) -> None:
        """`post` sends one report; whatever it raises is nobody's trouble here."""
        self._post = post
        self.forget_parent()

    def forget_parent(self) -> None:
        """In the child of a fork: another process, which reports for itself."""
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._serving: tuple[str, int] | None = None
        self._since = 0.0
        self._every_s = LONGEST_S
        self._is_leaving = False

    def tell(self, environment: str, revision: int, every_s: float) -> None:
        """Say what is served from now on, and how often the server wants to hear it."""
        with self._wake:
            self._every_s = min(max(every_s, 0.1), LONGEST_S)
            if self._serving == (environment, revision) or self._is_leaving:
                return
            self._serving, self._since = (environment, revision), time.monotonic()
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="promptlab-sdk-heartbeat", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # The interpreter is shutting down, or the system has no thread left.
                    log.debug("no thread for heartbeats: %s", error)
                    return
                self._thread = thread
            self._wake.notify_all()

    def close(self) -> threading.Thread | None:
        """Say goodbye, and return the thread that is saying it, if there is one."""
        with self._wake:
            self._is_leaving = True
            self._wake.notify_all()
            return self._thread

    def _run(self) -> None:
        told: tuple[str, int] | None = None
        while True:
            with self._wake:
                if self._serving == told and not self._is_leaving:
                    self._wake.wait(self._every_s)
                if told is not None and self._serving != told and not self._is_leaving:
                    self._wake.wait_for(lambda: self._is_leaving, random.uniform(0, SPREAD_S))
                told, is_leaving = self._serving, self._is_leaving
                age_ms = int((time.monotonic() - self._since) * 1000)
            assert told is not None
            report: dict[str, JSON] = {
                "environment": told[0],
                "revision": told[1],
                "sdk": "promptlab-sdk-python",
                "version": __version__,
                "host": socket.gethostname()[:100],
                "process": str(os.getpid()),
                "age_ms": min(age_ms, 86_400_000),
                **({"leaving": True} if is_leaving else {}),
            }
            try:
                self._post(report)
            except Exception:
                log.debug("heartbeat failed", exc_info=True)
            if is_leaving:
                return
