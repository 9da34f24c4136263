"""What was loaded, and when to ask again. Knows keys, ages and threads; nothing of prompts or HTTP.

A value is served from memory while it is fresh. After that it is still served at once, while a background
thread asks again; and it stays for as long as asking fails. Only a `PromptNotFound` takes a value away.
"""

from __future__ import annotations

import copy
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from dataclasses import replace
from typing import Generic, TypeVar

from promptlab_sdk.errors import PromptLabError, PromptNotFound, ServiceUnavailable
from promptlab_sdk.memory import MAX_ENTRIES, MAX_WEIGHT, Entry, Loaded, Memory, Origin

log = logging.getLogger("promptlab")

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

REFUSAL_TTL_S = 5.0
"""How long a failure is remembered for a key of which nothing is known, so that callers do not wait again."""

MAX_RETRY_S = 60.0
"""A value that could not be refreshed is tried again after its TTL, or after this if the TTL is longer."""

MAX_REFUSALS = 1_000
MAX_WORKERS = 8
"""Threads for callers that wait in an event loop. Refreshing alone takes one."""


Found = tuple[V, Origin]
Flight = Future[Found[V]]


class Cache(Generic[K, V]):
    """Values by key: stale-while-revalidate, remembered refusals, one load at a time per key. Thread-safe, bounded.

    Reading a fresh value takes no lock.
    """

    def __init__(
        self,
        load: Callable[[K, str], Loaded[V]],
        *,
        ttl_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        reserve: Callable[[K], Loaded[V] | None] = lambda key: None,
        changed: Callable[[K, Entry[V] | None, Entry[V] | None], None] = lambda key, old, new: None,
        max_entries: int = MAX_ENTRIES,
        max_weight: int = MAX_WEIGHT,
    ) -> None:
        """`load(key, etag)` raises PromptLabError and reports it as well: not every one reaches a caller.

        `reserve(key)` is asked when loading failed and nothing is in memory. `changed(key, old, new)` hears of every
        value that was loaded or confirmed missing, outside the lock; `new` is None when it went away.
        """
        self._load = load
        self._reserve = reserve
        self._changed = changed
        self._ttl_s = ttl_s
        self.clock = clock
        self._entries: Memory[K, V] = Memory(max_entries, max_weight)
        self.entry = self._entries.get
        self._refusals: dict[K, tuple[float, PromptLabError]] = {}
        self._away_until = float("-inf")
        self._closed = False
        self.forget_threads()

    def forget_threads(self) -> None:
        """Begin anew with locks and threads, keeping the values: after a fork, only one thread lives on."""
        self._lock = threading.Lock()
        self._flights: dict[K, Flight[V]] = {}
        self._waiting: deque[tuple[K, Flight[V]]] = deque()
        self._queue: dict[K, None] = {}
        self._busy: set[K] = set()
        self._workers: set[threading.Thread] = set()

    def get(self, key: K) -> Found[V]:
        """Return the value and where it came from. Loads, and may raise, only if nothing is known."""
        return self.peek(key) or self.ask(key)

    def peek(self, key: K) -> Found[V] | None:
        """Return what needs no waiting, and see to its refresh; None when it has to be asked for."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        now = self.clock()
        entry.used = True
        if now < entry.fresh_until:
            return entry.value, "cache" if entry.supply == "network" else entry.supply
        if entry.ask_first:
            return None
        if now >= entry.retry_at:
            self.refresh_later(key)
        return entry.value, entry.stale()

    def ask(self, key: K) -> Found[V]:
        """Load the value, or wait for the thread that is loading it already. Raises PromptLabError."""
        with self._lock:
            flight, is_mine = self._join(key)
        if is_mine:
            self._fly(key, flight)
        return flight.result()

    def ask_later(self, key: K) -> Flight[V]:
        """Load the value in a background thread; the future cannot be cancelled, for others may wait for it as well."""
        with self._lock:
            flight, is_mine = self._join(key)
            if is_mine:
                self._waiting.append((key, flight))
                self._hire(MAX_WORKERS)
        return flight

    def renew(self, key: K) -> Found[V]:
        """Load the value now, however fresh it is; what was under way may be older and no longer counts.

        Whoever asks meanwhile is served what is known. Raises what `ask` does.
        """
        flight: Flight[V] = Future()
        flight.set_running_or_notify_cancel()
        with self._lock:
            self._flights[key] = flight
        self._fly(key, flight)
        return flight.result()

    def refresh_later(self, key: K) -> None:
        """Queue the key for the background thread, which ends when the queue is empty."""
        with self._lock:
            if not self._closed and key not in self._queue and key not in self._busy:
                self._queue[key] = None
                self._hire(1)

    def put(self, key: K, loaded: Loaded[V], fresh_s: float) -> None:
        """Keep a value that came unasked, and take it for fresh for so long."""
        assert loaded.value is not None
        with self._lock:
            now = self.clock()
            old = self._entries.get(key)
            used = old.used if old else False
            entry = Entry(loaded.value, loaded.etag, now, now + fresh_s, now + fresh_s, "network", loaded.order)
            entry.weight, entry.used = loaded.weight, used
            self._entries.keep(key, entry)
            self._refusals.pop(key, None)
        self._changed(key, old, entry)

    def confirm(self, keys: Iterable[K], fresh_s: float) -> None:
        """Take what is in memory under these keys for fresh from now on; it has not changed."""
        with self._lock:
            now = self.clock()
            for key in keys:
                entry = self._entries.get(key)
                if entry is not None and not entry.ask_first:
                    entry.confirmed_at, entry.error = now, ""
                    entry.fresh_until = entry.retry_at = now + fresh_s

    def expire(self) -> None:
        """Take nothing for fresh any more; everything is served, and asked for in the background when it is used."""
        with self._lock:
            now = self.clock()
            for _, entry in self._entries:
                entry.fresh_until = entry.retry_at = min(entry.fresh_until, now)

    def forget(self, matches: Callable[[K], bool]) -> None:
        """Take the matching keys out of memory; nobody is going to ask for them again."""
        with self._lock:
            for key, _ in self._entries:
                if matches(key):
                    self._entries.remove(key)

    def invalidate(self, matches: Callable[[K], bool]) -> None:
        """Make the next `get` of each matching key load first. The old value serves if that fails."""
        with self._lock:
            # A load that is under way may have read before the change; disowned, it no longer counts.
            self._flights = {key: flight for key, flight in self._flights.items() if not matches(key)}
            self._refusals = {key: refusal for key, refusal in self._refusals.items() if not matches(key)}
            self._away_until = float("-inf")
            for key, entry in self._entries:
                if matches(key):
                    self._entries.keep(key, replace(entry, fresh_until=self.clock(), ask_first=True))

    def entries(self) -> list[tuple[K, Entry[V], float, bool]]:
        """Return every key with its entry, the seconds since it was confirmed, and whether it is fresh."""
        now = self.clock()
        with self._lock:
            entries = list(self._entries)
        return [(key, entry, now - entry.confirmed_at, now < entry.fresh_until) for key, entry in entries]

    def close(self) -> list[threading.Thread]:
        """Start no more background work and return the threads that are ending. Memory can still be read."""
        with self._lock:
            self._closed = True
            self._queue.clear()
            return list(self._workers)

    def _join(self, key: K) -> tuple[Flight[V], bool]:
        """Return the load that is under way, or a new one that is the caller's to fly. Call it under the lock."""
        entry = self._entries.get(key)
        flight: Flight[V] = Future()
        # Nobody may cancel what others wait for: a running future refuses to be.
        flight.set_running_or_notify_cancel()
        if entry is not None and not entry.ask_first and self.clock() < entry.fresh_until:
            flight.set_result((entry.value, entry.fresh()))  # Another thread has loaded it since this one looked.
            return flight, False
        if entry is None:
            self._raise_if_refused(key)
        if key in self._flights:
            return self._flights[key], False
        self._flights[key] = flight
        return flight, True

    def _fly(self, key: K, flight: Flight[V]) -> None:
        """Load the value and tell whoever waits. Raises only what is no Exception: an interrupt."""
        entry = self._entries.get(key)
        started_at = self.clock()
        try:
            spare = self._spare(key) if entry is None and started_at < self._away_until else None
            found = spare or self._store(key, flight, self._load(key, entry.etag if entry else ""), started_at)
        except Exception as error:  # noqa: BLE001  (it is told to whoever waits)
            self._tell_failure(key, flight, error)
        except BaseException:
            self._land(key, flight)
            # Who waits did not press Ctrl-C: an interrupt belongs to this thread alone.
            flight.set_exception(PromptLabError("Loading was interrupted."))
            raise
        else:
            self._land(key, flight)
            flight.set_result(found)

    def _tell_failure(self, key: K, flight: Flight[V], error: Exception) -> None:
        """Give those who wait what serves instead, or the error."""
        found: Found[V] | None = None
        try:
            found = self._settle(key, flight, error)
        except Exception as broken:  # noqa: BLE001  (a faulty reserve must not leave anybody waiting)
            error = broken
        self._land(key, flight)
        if found is None:
            flight.set_exception(error)
        else:
            flight.set_result(found)

    def _land(self, key: K, flight: Flight[V]) -> None:
        """Let the next caller ask anew."""
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def _store(self, key: K, flight: Flight[V], loaded: Loaded[V], started_at: float) -> Found[V]:
        with self._lock:
            old = self._entries.get(key)
            value = loaded.value if loaded.value is not None else old.value if old else None
            if value is None:
                raise PromptLabError("The server says that nothing changed, but nothing is known here.")
            if self._flights.get(key) is not flight:
                return value, "network"
            if old is not None and old.confirmed_at > started_at and old.order > loaded.order > 0:
                return old.value, old.fresh()  # Something newer came in by push while this was on its way.
            entry = self._entry(value, loaded, old)
            self._entries.keep(key, entry)
            self._refusals.pop(key, None)
            self._away_until = float("-inf")
        self._changed(key, old, entry)
        return value, loaded.supply

    def _entry(self, value: V, loaded: Loaded[V], old: Entry[V] | None) -> Entry[V]:
        now = self.clock()
        ttl_s = self._ttl_s if loaded.ttl_s is None else loaded.ttl_s
        # Jitter only shortens: the TTL is a promise. It spreads the processes that started together.
        fresh_until = now + ttl_s * random.uniform(0.9, 1.0)
        if loaded.value is None and old is not None:
            etag, order, weight = loaded.etag or old.etag, old.order, old.weight
        else:
            etag, order, weight = loaded.etag, loaded.order, loaded.weight
        return Entry(value, etag, now - loaded.age_s, fresh_until, fresh_until, loaded.supply, order, weight)

    def _settle(self, key: K, flight: Flight[V], error: Exception) -> Found[V] | None:
        """Return what serves although loading failed; None when nothing does, or nothing may."""
        counts = self._flights.get(key) is flight  # Not when `invalidate` has disowned it.
        if isinstance(error, PromptNotFound) and counts:
            self._remove(key, error)
            return None
        with self._lock:
            if isinstance(error, ServiceUnavailable):
                self._away_until = self.clock() + REFUSAL_TTL_S
            entry = self._entries.get(key)
            if entry is not None and not counts:
                return entry.value, entry.stale()
            if entry is not None:
                wait_s = min(max(self._ttl_s, REFUSAL_TTL_S), MAX_RETRY_S) * random.uniform(0.9, 1.0)
                kept = replace(entry, retry_at=self.clock() + wait_s, ask_first=False, error=type(error).__name__)
                self._entries.keep(key, kept)
                return kept.value, kept.stale()
        if not counts:
            return None
        spare = self._spare(key, error)
        if spare is None and isinstance(error, PromptLabError):
            with self._lock:
                self._remember_refusal(key, error)
        return spare

    def _spare(self, key: K, error: Exception | None = None) -> Found[V] | None:
        """Take the value from the reserve into memory, to be asked for again soon."""
        loaded = self._reserve(key)
        if loaded is None or loaded.value is None:
            return None
        with self._lock:
            now = self.clock()
            entry = Entry(loaded.value, loaded.etag, now - loaded.age_s, now, now + REFUSAL_TTL_S, loaded.supply)
            entry.order, entry.weight, entry.error = loaded.order, loaded.weight, type(error).__name__ if error else ""
            self._entries.keep(key, entry)
        return entry.value, entry.stale()

    def _remove(self, key: K, error: PromptNotFound) -> None:
        with self._lock:
            old = self._entries.remove(key)
            self._remember_refusal(key, error)
        self._changed(key, old, None)

    def _remember_refusal(self, key: K, error: PromptLabError) -> None:
        now = self.clock()
        if len(self._refusals) >= MAX_REFUSALS:
            self._refusals = {k: refusal for k, refusal in self._refusals.items() if refusal[0] > now}
        if len(self._refusals) < MAX_REFUSALS:
            self._refusals[key] = (now + REFUSAL_TTL_S, error)

    def _raise_if_refused(self, key: K) -> None:
        refusal = self._refusals.get(key)
        if refusal is not None and self.clock() < refusal[0]:
            # A copy, because a raised error collects the traceback of every caller.
            raise copy.copy(refusal[1])

    def _hire(self, limit: int) -> None:
        """Start a worker unless there are enough. Call it under the lock."""
        if len(self._workers) >= limit:
            return
        worker = threading.Thread(target=self._work, name="promptlab-sdk-refresh", daemon=True)
        try:
            worker.start()
        except RuntimeError as error:  # The interpreter is shutting down, or the system has no thread left.
            self._queue.clear()
            log.warning("no thread to load prompts, serving what is known: %s", error)
            if not self._workers:
                self._turn_away()
            return
        self._workers.add(worker)

    def _turn_away(self) -> None:
        while self._waiting:
            key, flight = self._waiting.popleft()
            self._flights.pop(key, None)
            flight.set_exception(ServiceUnavailable("There is no thread to load prompts with."))

    def _work(self) -> None:
        while True:
            with self._lock:
                key, flight = self._next()
                if key is None:
                    self._workers.discard(threading.current_thread())
                    return
            if flight is not None:
                self._fly(key, flight)
                continue
            try:
                self.ask(key)
            except Exception:  # One key must not end the thread; the loader has reported it already.
                log.debug("refresh failed", exc_info=True)
            with self._lock:
                self._busy.discard(key)

    def _next(self) -> tuple[K | None, Flight[V] | None]:
        """Return what to do next: somebody who waits goes before what is only stale. Call it under the lock."""
        if self._waiting:
            return self._waiting.popleft()
        key = next(iter(self._queue), None)
        if key is not None:
            del self._queue[key]
            self._busy.add(key)  # While it is being asked for, nobody has to queue it again.
        return key, None
