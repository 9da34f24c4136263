"""Values that many processes share for a while, each made by one of them while the others wait.

They lie in Redis, which is never trusted: a value carries a proof that we wrote it for this place, so one that was
changed, or moved to another owner's place, counts as none. Without Redis everybody makes their own.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType

from django.conf import settings

from promptlab.lib import redis, signed
from promptlab.lib.jsonbody import JSONValue
from promptlab.lib.logs import get_logger

log = get_logger(__name__)
PURPOSE = "cache"
MAX_VALUE_BYTES = 256_000
"""Larger values are not kept."""
SCANNED = 1000
"""Keys that Redis looks at, and removes, in one go."""
LEASE_S = 5.0
"""How long others wait for a process that died."""
FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.25
RENEW = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0"
RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value lies. `owner` is the id of whom it belongs to; `digest` says what it was made from."""

    kind: str
    owner: int
    digest: str

    @property
    def name(self) -> str:
        return f"{settings.REDIS_PREFIX}:{PURPOSE}:{self.kind}:{self.owner}:{self.digest}"


@dataclass(slots=True)
class Lease:
    """The right to make a value. As a context it is renewed, and given back at the end.

    `is_held` False: nobody waits for us, because Redis is away or somebody has been at it for too long.
    """

    place: Place
    is_held: bool = False
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    _renewal: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return f"{self.place.name}:lease"

    async def take(self) -> bool:
        """Try to get the lease and return whether we have it. Raises RedisAway."""
        taken = await redis.acommand("SET", self.name, self.token, "NX", "PX", _ms(LEASE_S))
        self.is_held = taken is not None
        return self.is_held

    async def release(self) -> None:
        """Let somebody else have it, if it is still ours."""
        if self.is_held:
            self.is_held = False
            try:
                await redis.acommand("EVAL", RELEASE, 1, self.name, self.token)
            except redis.RedisAway:
                log.info("lease_not_released", kind=self.place.kind)

    async def __aenter__(self) -> Lease:
        if self.is_held:
            self._renewal = asyncio.ensure_future(self._renew())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
        # Shielded: whoever hangs up cancels this task, and those who wait would wait for the lease to end.
        await asyncio.shield(asyncio.ensure_future(self.release()))

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 3)
            try:
                await redis.acommand("EVAL", RENEW, 1, self.name, self.token, _ms(LEASE_S))
            except redis.RedisAway:
                log.info("lease_not_renewed", kind=self.place.kind)


async def find(place: Place) -> JSONValue | None:
    """Return the value that lies there; None for none, and for one that we did not write for this place.

    Raises RedisAway.
    """
    raw = await redis.acommand("GET", place.name)
    if raw is None:
        return None
    proof, _, text = raw.decode(errors="replace").partition(".")
    if not signed.is_ours(PURPOSE, _proven(place, text), proof):
        log.warning("cache_value_refused", kind=place.kind, owner=place.owner)
        return None
    return json.loads(text)


async def keep(place: Place, value: JSONValue, ttl_s: int) -> bool:
    """Put a value there for `ttl_s` seconds and return whether it was kept: not when it is too large, or without Redis."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    raw = f"{signed.mac(PURPOSE, _proven(place, text))}.{text}".encode()
    if len(raw) > MAX_VALUE_BYTES:
        return False
    try:
        await redis.acommand("SET", place.name, raw, "EX", ttl_s)
    except redis.RedisAway:
        return False
    return True


def forget(kind: str, owner: int) -> int:
    """Remove every value of an owner and return how many there were. Looks at all keys of Redis: for rare occasions.

    What is being made meanwhile may still be kept. Raises RedisAway.
    """
    names = re.sub(r"([*?\[\]\\])", r"\\\1", Place(kind, owner, "").name) + "*"
    client, removed = redis.client(), 0
    found = redis.attempt(lambda: list(client.scan_iter(match=names, count=SCANNED)))
    for start in range(0, len(found), SCANNED):
        removed += redis.attempt(partial(client.unlink, *found[start : start + SCANNED]))
    return removed


async def find_or_lead(place: Place, patience_s: float) -> JSONValue | Lease:
    """Return the value that lies there, or that somebody else is making; a Lease when it is ours to make.

    When whoever makes it gives up or dies, the next of those who wait leads. After `patience_s` nobody waits any more.
    """
    lease, pause_s, until = Lease(place), FIRST_PAUSE_S, time.monotonic() + patience_s
    try:
        while (found := await find(place)) is None:
            if await lease.take():
                # Between our look and our lease its last holder may have kept the value.
                found = await find(place)
                if found is None:
                    return lease
                await lease.release()
                return found
            if time.monotonic() > until:
                return lease
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
    except redis.RedisAway:
        return lease
    except asyncio.CancelledError:
        await asyncio.shield(asyncio.ensure_future(lease.release()))
        raise
    return found


def _proven(place: Place, text: str) -> str:
    return f"{place.name}\n{text}"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
