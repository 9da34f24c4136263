"""How many answers are under way at once: of one key, and in this process. A place is always given back, once."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Iterator
from threading import Lock

from django.conf import settings

from promptlab.chat.errors import StreamsFull, TooManyStreams
from promptlab.lib.metrics import Gauge

COME_BACK_S = 2
_open: Count[str] = Count()
_lock = Lock()


class Place:
    """A place for one answer of `who`. Leaving it as a context gives it back, unless it was `kept` for the stream.

    Raises TooManyStreams, StreamsFull.
    """

    def __init__(self, who: str) -> None:
        self.who = who
        self._is_kept = False
        self._is_taken = True
        with _lock:
            if _open[who] >= settings.CHAT_STREAMS_PER_KEY:
                limit = settings.CHAT_STREAMS_PER_KEY
                raise TooManyStreams(retry_after_s=COME_BACK_S, limit=limit)
            if _open.total() >= settings.CHAT_STREAMS:
                raise StreamsFull(retry_after_s=COME_BACK_S)
            _open[who] += 1

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_kept:
            self.give_back()

    def keep(self) -> None:
        """Keep the place beyond the context: who streams gives it back."""
        self._is_kept = True

    def give_back(self) -> None:
        """Give it back; again changes nothing."""
        with _lock:
            if not self._is_taken:
                return
            self._is_taken = False
            _open[self.who] -= 1
            if not _open[self.who]:
                del _open[self.who]


def count() -> int:
    """Return how many answers this process has under way."""
    with _lock:
        return _open.total()


def _reading() -> Iterator[tuple[tuple[str, ...], float]]:
    yield (), count()


Gauge("promptlab_chat_streams", "Answers under way.", (), _reading)
