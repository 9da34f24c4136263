"""Counting what has no log line of its own: answers that lay ready are told together, once every few seconds."""

from __future__ import annotations

import time

from promptlab.lib.logs import get_logger
from promptlab.lib.watch import watch

log = get_logger(__name__)
EVERY_S = 10.0


class Tally:
    """Answers of one route since the last line. The loop's thread counts, the watch tells; neither waits."""

    __slots__ = ("_told", "_told_at", "not_modified", "ok", "route")

    def __init__(self, route: str) -> None:
        self.route = route
        self.ok = self.not_modified = 0
        self._told = (0, 0)
        self._told_at = time.monotonic()
        watch.every(self._tell_now_and_then)
        watch.at_end(self.tell)

    def tell(self) -> None:
        """Write the line, if there is anything to tell."""
        now, counted = time.monotonic(), (self.ok, self.not_modified)
        ok, not_modified = counted[0] - self._told[0], counted[1] - self._told[1]
        if ok or not_modified:
            seconds = round(now - self._told_at, 1)
            log.info("served", route=self.route, ok=ok, not_modified=not_modified, seconds=seconds)
        self._told, self._told_at = counted, now

    def _tell_now_and_then(self) -> bool:
        if time.monotonic() - self._told_at >= EVERY_S:
            self.tell()
        return False
