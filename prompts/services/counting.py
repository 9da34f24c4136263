"""Fetches counted in this process's memory, and added to the day's sums every few seconds by a thread.

A process that is killed takes what it counted since the last time with it: `settings.USAGE_FLUSH_S` seconds, or up to
`LONGEST_S` where writing takes long because very many prompts are fetched.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import Counter, deque
from datetime import UTC, datetime

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections

from promptlab.lib.logs import get_logger
from prompts.models import Prompt
from prompts.services import usage
from prompts.services.usage import Use

log = get_logger(__name__)
MOST_FETCHES = 1_000_000
"""Kept between two flushes; above it the oldest are forgotten."""
MOST_SUMS = 50_000
"""Sums kept while the database is away; above it new prompts are not counted."""
MOST_NAMED = 1000
SHARE = 50
"""Writing takes at most so small a part of the time: 100,000 prompts in use would keep it busy otherwise."""
LONGEST_S = 60.0


def pause_s(took_s: float) -> float:
    """Return how long to count before the next writing, when the last took so long."""
    usual: float = settings.USAGE_FLUSH_S
    return max(usual, min(LONGEST_S, SHARE * took_s))


class FetchCounter:
    """Counts without a lock: adding to a deque and taking from it are whole by themselves."""

    def __init__(self) -> None:
        self._fetched: deque[int] = deque(maxlen=MOST_FETCHES)
        self._sums: Counter[Use] = Counter()
        self._flushing = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, prompt_id: int) -> None:
        """Count one fetch. HOT PATH: one append; the first one starts the thread."""
        self._fetched.append(prompt_id)
        if self._thread is None:
            self._start()

    def flush(self) -> None:
        """Add what was counted to the day's sums. While the database is away it is kept for the next time."""
        with self._flushing:
            self._take()
            if not self._sums:
                return
            try:
                usage.count(fetches=self._of_known())
            except (DatabaseError, InterfaceError) as error:
                log.warning("usage_kept", prompts=len(self._sums), error=type(error).__name__)
                return
            self._sums.clear()

    def stop(self) -> None:
        """Write what is left, at the end of the process."""
        self._over.set()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(timeout=10)
        self.flush()

    def forget(self) -> None:
        """Forget what was counted, as a new process would."""
        with self._flushing:
            self._fetched.clear()
            self._sums.clear()

    def _take(self) -> None:
        """Add up what was fetched. The counting itself is C's: with ten thousand fetches a second it would be felt."""
        today, take = datetime.now(UTC).date(), self._fetched.popleft
        for prompt_id, times in Counter([take() for _ in range(len(self._fetched))]).items():
            use = (prompt_id, today)
            if use in self._sums or len(self._sums) < MOST_SUMS:
                self._sums[use] += times

    def _of_known(self) -> dict[Use, int]:
        """Return the sums without prompts that are gone, which would keep all others from being written."""
        ids = {prompt_id for prompt_id, _ in self._sums}
        # Very many are named by their ends: to name each takes longer than to write it.
        which = {"pk__in": ids} if len(ids) <= MOST_NAMED else {"pk__range": (min(ids), max(ids))}
        known = set(Prompt.objects.filter(**which).values_list("pk", flat=True))
        return {use: number for use, number in self._sums.items() if use[0] in known}

    def _start(self) -> None:
        with self._flushing:
            if self._thread is None and settings.USAGE_FLUSH_S:
                self._thread = threading.Thread(target=self._run, name="promptlab-usage", daemon=True)
                self._thread.start()
                atexit.register(self.stop)

    def _run(self) -> None:
        pause = pause_s(0)
        while not self._over.wait(pause):
            started = time.monotonic()
            self.flush()
            connections.close_all()
            pause = pause_s(time.monotonic() - started)


fetched = FetchCounter()
