"""What the application reports: feedback and exposures. Kept in a bounded queue and sent in the background.

Handing one in never blocks and never raises. What the server cannot take now is kept and sent again; what it refuses,
and what finds the queue full, is dropped and counted.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Literal

from promptlab_sdk.errors import PromptLabError, RateLimited, ServiceUnavailable, Unauthorized
from promptlab_sdk.kernel.spec import JSON

log = logging.getLogger("promptlab")

MAX_QUEUED = 10_000
MAX_BATCH = 100
GATHER_S = 0.5
"""How long the first event of a batch waits for others."""

MAX_PAUSE_S = 60.0

Kind = Literal["rating", "exposure"]
Event = tuple[Kind, dict[str, JSON]]
Send = Callable[[Kind, Sequence[dict[str, JSON]]], int]


class Outbox:
    """Events on their way. Its thread begins with the first event and ends when none is left."""

    def __init__(self, send: Send, *, max_queued: int = MAX_QUEUED, gather_s: float = GATHER_S) -> None:
        """`send` hands in events of one kind and returns how many were refused, or raises PromptLabError for all of them.

        It may be called again with the same ones.
        """
        self._send = send
        self._max_queued = max_queued
        self._gather_s = gather_s
        self.counts: Counter[str] = Counter()
        self.forget_parent()

    def forget_parent(self) -> None:
        """In the child of a fork: what was queued is the parent's to send, and so is its thread."""
        self._events: deque[Event] = deque()
        self._wake = threading.Condition()
        self._worker: threading.Thread | None = None
        self._sending = 0
        self._hurry_until = 0.0
        self._closed = False

    def __len__(self) -> int:
        return len(self._events) + self._sending

    def put(self, kind: Kind, event: dict[str, JSON]) -> None:
        """Take an event; when there are too many already, it is dropped and counted."""
        with self._wake:
            if self._closed or len(self) >= self._max_queued:
                self.counts["dropped"] += 1
                if self.counts["dropped"] == 1:
                    log.warning("reports are dropped: queued=%d closed=%s", len(self), self._closed)
                return
            self._events.append((kind, event))
            self._start()
            if len(self._events) >= MAX_BATCH:
                self._wake.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Send what is queued without waiting for more; tell whether all of it has gone within the time."""
        deadline = time.monotonic() + timeout_s
        with self._wake:
            self._hurry_until = deadline
            self._start()
            self._wake.notify_all()
            return self._wake.wait_for(lambda: len(self) == 0 or self._worker is None, timeout_s) and len(self) == 0

    def close(self, timeout_s: float) -> threading.Thread | None:
        """Flush, take no more, and return the thread that is ending, if there is one. What is left is counted."""
        deadline = time.monotonic() + timeout_s
        gone = len(self) == 0 or self.flush(timeout_s)
        while not gone and self._worker is None and self._events and time.monotonic() < deadline:
            # At the end of an interpreter no thread can be started any more: send from here.
            if self._send_batch() is not None:
                break
        with self._wake:
            self._closed = True
            self.counts["dropped"] += len(self._events)
            if self._events:
                log.warning("closed before reports were sent: dropped=%d", len(self._events))
            self._events.clear()
            self._wake.notify_all()
            return self._worker

    def _start(self) -> None:
        """Start the thread, if there is something to send and none yet. Call it under the lock."""
        if self._worker is not None or not self._events:
            return
        worker = threading.Thread(target=self._work, name="promptlab-sdk-outbox", daemon=True)
        try:
            worker.start()
        except RuntimeError as error:
            log.warning("no thread to send reports: %s", error)
            return
        self._worker = worker

    def _work(self) -> None:
        attempt = 0
        while True:
            with self._wake:
                if not self._events:
                    self._worker = None
                    self._wake.notify_all()
                    return
                if not self._is_hurried() and len(self._events) < MAX_BATCH:
                    self._wake.wait(self._gather_s)
            pause_s = self._send_batch()
            with self._wake:
                self._wake.notify_all()
                if pause_s is None:
                    attempt = 0
                    continue
                attempt += 1
                if self._is_hurried():
                    self._wake.wait(max(pause_s, 0.2))
                else:
                    backoff_s = min(2.0 ** min(attempt - 1, 6), MAX_PAUSE_S) * random.uniform(0.5, 1.0)
                    self._wake.wait_for(self._is_hurried, max(pause_s, backoff_s))

    def _is_hurried(self) -> bool:
        return self._closed or time.monotonic() < self._hurry_until

    def _send_batch(self) -> float | None:
        """Send the oldest events of one kind. Return None, or the least pause when they have to be sent again."""
        with self._wake:
            batch = self._take()
            self._sending = len(batch)
        if not batch:
            return None
        kind, events = batch[0][0], [event for _, event in batch]
        keep, pause_s = False, None
        try:
            refused = self._send(kind, events)
            self.counts["sent"] += len(events) - refused
            if refused:
                self._refused(kind, refused, "each by itself")
        except RateLimited as error:
            keep, pause_s = True, min(error.retry_after_s or 1.0, MAX_PAUSE_S)
        except ServiceUnavailable:
            keep, pause_s = True, 0.0
        except Unauthorized as error:
            keep, pause_s = True, 0.0
            log.error("reports are refused, keeping them: kind=%s error=%s", kind, error)
        except PromptLabError as error:
            self._refused(kind, len(events), type(error).__name__)
        except Exception as error:  # noqa: BLE001  (whatever it is, the next batch must not suffer)
            self._refused(kind, len(events), type(error).__name__)
        with self._wake:
            self._sending = 0
            if keep and not self._closed:
                self._events.extendleft(reversed(batch))
        return pause_s

    def _take(self) -> list[Event]:
        """Take the longest run of one kind from the front."""
        batch: list[Event] = []
        while self._events and len(batch) < MAX_BATCH and self._events[0][0] == (batch or self._events)[0][0]:
            batch.append(self._events.popleft())
        return batch

    def _refused(self, kind: Kind, number: int, why: str) -> None:
        self.counts["refused"] += number
        log.error("reports were refused and dropped: kind=%s number=%d error=%s", kind, number, why)
