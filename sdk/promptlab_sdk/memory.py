"""The values in memory: bounded in number and weight, the one that was not used for longest goes first."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Supply = Literal["network", "disk", "bootstrap"]
"""Who gave a value."""

Origin = Literal["network", "cache", "stale", "disk", "bootstrap"]
"""Where an answer came from. "cache" and "stale" are memory, within and beyond the TTL; what disk or bootstrap gave is
called so until the server has confirmed it."""

MAX_ENTRIES = 10_000
MAX_WEIGHT = 64 * 1024 * 1024
"""Characters of text that are kept in memory."""


@dataclass(frozen=True, slots=True)
class Loaded(Generic[V]):
    """What a loader found. `value` is None when what the given ETag names still holds.

    `ttl_s` overrides the cache's own TTL for this value, `age_s` is how long ago the supplier got it, `order` grows
    with every change on the server, `weight` is in characters.
    """

    value: V | None
    etag: str = ""
    ttl_s: float | None = None
    supply: Supply = "network"
    age_s: float = 0.0
    order: int = 0
    weight: int = 0


@dataclass(slots=True)
class Entry(Generic[V]):
    """A value with its times, all on the cache's clock. `ask_first` is set by `invalidate`, `used` by every `get`."""

    value: V
    etag: str
    confirmed_at: float
    fresh_until: float
    retry_at: float
    supply: Supply = "network"
    order: int = 0
    weight: int = 0
    ask_first: bool = False
    error: str = ""
    used: bool = True

    def fresh(self) -> Origin:
        """Return what to call this value while it is fresh."""
        return "cache" if self.supply == "network" else self.supply

    def stale(self) -> Origin:
        """Return what to call this value once it is not."""
        return "stale" if self.supply == "network" else self.supply


class Memory(Generic[K, V]):
    """Entries by key. Reading takes no lock; whoever writes holds one."""

    def __init__(self, max_entries: int = MAX_ENTRIES, max_weight: int = MAX_WEIGHT) -> None:
        self.weight = 0
        self._max_entries = max_entries
        self._max_weight = max_weight
        self._entries: dict[K, Entry[V]] = {}
        self.get = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[K, Entry[V]]]:
        return iter(list(self._entries.items()))

    def keep(self, key: K, entry: Entry[V]) -> None:
        """Put the entry in, and take others out as long as there is too much."""
        old = self._entries.get(key)
        self.weight += entry.weight - (old.weight if old else 0)
        self._entries[key] = entry
        while len(self._entries) > 1 and (len(self._entries) > self._max_entries or self.weight > self._max_weight):
            oldest = next(iter(self._entries))
            going = self._entries.pop(oldest)
            if going is entry:
                self._entries[oldest] = going
            elif going.used:
                # A second chance: to the end it goes, and out for good unless it is used until its turn comes again.
                going.used = False
                self._entries[oldest] = going
            else:
                self.weight -= going.weight

    def remove(self, key: K) -> Entry[V] | None:
        """Take the entry out and return it, if there is one."""
        old = self._entries.pop(key, None)
        self.weight -= old.weight if old else 0
        return old
