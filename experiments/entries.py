"""This process's payloads, and the answers made of them that lie ready to be sent. Bounded in bytes."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from promptlab_sdk.kernel.spec import Delivery

from prompts import revisions

Key = tuple[int, str, str]
"""(team id, environment name, prompt name)"""
OVERHEAD = 1500
"""Bytes that an entry takes beside its body, about."""


@dataclass(slots=True, eq=False)
class Entry:
    """One payload as it is sent, and what it was made of."""

    body: bytes
    etag: str
    environment: str
    prompt_name: str
    revision: int
    known: revisions.Known
    prompt_id: int
    version_id: int
    variant_ids: Mapping[str, int]
    variant_version_ids: Mapping[str, int]
    deprecated_at: int | None = None
    """Since when, in Unix time, the name it is kept under is a former one of the prompt."""

    @property
    def environment_id(self) -> int:
        return self.known.environment_id

    @property
    def delivery(self) -> Delivery:
        """The payload, read back from what is sent: texts are kept once."""
        return Delivery.from_dict(json.loads(self.body))

    @property
    def size(self) -> int:
        return len(self.body) + OVERHEAD

    def is_fresh(self) -> bool:
        """Whether it may be served without asking anybody."""
        return self.known.is_newest(self.revision, time.monotonic())


@dataclass(slots=True, eq=False)
class Place:
    """The answers that lie ready in one (team, environment): by prompt name, all of them made at `revision`.

    Kept apart from the entries and close together, for with very many prompts what a fetch costs is the memory it touches.
    """

    known: revisions.Known
    revision: int = 0
    ready: dict[str, Any] = field(default_factory=dict, repr=False)


class Entries:
    """This process's payloads; bounded in bytes, the least recently loaded goes first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Key, Entry] = OrderedDict()
        self._places: dict[tuple[int, str], Place] = {}
        self._lock = threading.Lock()
        self.size = 0
        self.get = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, key: Key, entry: Entry) -> None:
        with self._lock:
            self._take(key)
            self._entries[key] = entry
            self.size += entry.size
            while self.size > settings.DELIVERY_MEMORY_MB * 1_000_000 and len(self._entries) > 1:
                self._take(next(iter(self._entries)))

    def lay(self, key: Key, entry: Entry, answer: Any) -> Place:
        """Lay an answer ready for whoever asks next, and return where. What an older revision left there goes."""
        with self._lock:
            place = self._places.setdefault(key[:2], Place(entry.known))
            if entry.revision > place.revision:
                place.ready = {}
                place.revision = entry.revision
            if entry.revision == place.revision and self._entries.get(key) is entry:
                place.ready[key[2]] = answer
            return place

    def drop(self, key: Key) -> None:
        with self._lock:
            self._take(key)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self.size = 0
            for place in self._places.values():
                place.ready.clear()
            self._places.clear()

    def _take(self, key: Key) -> None:
        gone = self._entries.pop(key, None)
        if gone is None:
            return
        self.size -= gone.size
        place = self._places.get(key[:2])
        if place is not None:
            place.ready.pop(key[2], None)
