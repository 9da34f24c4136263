"""What a client knows about itself, for a health page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EntryStatus:
    """One prompt in memory. `age_s` counts from the server's last word; `error` is what failed since.

    `supply` is who gave it: "network", "disk" or "bootstrap". A pinned version has no environment.
    """

    name: str
    environment: str
    version: int
    age_s: float
    is_fresh: bool
    error: str
    supply: str


@dataclass(frozen=True, slots=True)
class Status:
    """A client. `last_error` is the newest failed attempt to load, empty without one.

    `is_connected`: in mode "poll" or "stream", whether it is up to date by them; `revision` is the environment's, 0 when
    it is not followed. Reports are `queued`, and counted since the start as `sent`, `refused` (by the server) and
    `dropped` (no room, or no time left at the end). `bootstrap_age_s` is None without a date.
    """

    address: str
    last_error: str
    entries: tuple[EntryStatus, ...]
    refresh: str
    is_connected: bool
    revision: int
    queued: int
    sent: int
    refused: int
    dropped: int
    bootstrap_age_s: float | None
    disk: str
