"""Sliding windows counted in Redis: several of them asked and taken in one atomic step, one way there and back."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from promptlab.lib import redis

SCRIPT = b"""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local is_asked, fits, seen = ARGV[1] == '1', 1, {}
for i, key in ipairs(KEYS) do
    local quota, window, size = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
    local number, before, count = math.floor(now / window), 0, 0
    local was = redis.call('HMGET', key, 'number', 'before', 'count')
    if was[1] and tonumber(was[1]) == number then
        before, count = tonumber(was[2]), tonumber(was[3])
    elseif was[1] and tonumber(was[1]) == number - 1 then
        before = tonumber(was[3])
    end
    local left = (number + 1) * window - now
    if is_asked and math.floor(before * left / window) + count + size > quota then fits = 0 end
    seen[i] = {number, before, count, left, window, size}
end
local said = {fits}
for i, key in ipairs(KEYS) do
    local number, before, count, left, window, size = unpack(seen[i])
    if fits == 1 then
        count = math.max(0, count + size)
        redis.call('HSET', key, 'number', number, 'before', before, 'count', count)
        redis.call('PEXPIRE', key, 2 * window)
    end
    said[3 * i - 1], said[3 * i], said[3 * i + 1] = before, count, left
end
return said
"""
SHA = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Want:
    """So much of a window of `window_s` seconds that has room for `quota`."""

    key: str
    quota: int
    window_s: int
    size: int


@dataclass(frozen=True, slots=True)
class Window:
    """What was counted in a window and, of the last one, in all. `left_s`: until it ends."""

    want: Want
    before: int
    count: int
    left_s: float

    @property
    def used(self) -> int:
        """What counts now: of the last window the share that is still in sight."""
        return int(self.before * self.left_s / self.want.window_s) + self.count

    @property
    def has_room(self) -> bool:
        """Whether what was wanted fits, where it was not taken."""
        return self.used + self.want.size <= self.want.quota

    def wait_s(self) -> float:
        """Return how long it takes until what was wanted fits. Parts of a call do not count, so one more is room enough."""
        room, window_s = self.want.quota - self.want.size, self.want.window_s
        if self.count <= room:
            return self.left_s - window_s * min(1.0, (room - self.count + 1) / max(1, self.before))
        return self.left_s + window_s * max(0.0, 1 - (room + 1) / self.count)


def take(wants: Sequence[Want]) -> tuple[bool, list[Window]]:
    """Take all of it, or nothing where something does not fit; tell which, and how the windows are after. RedisAway."""
    words = _words(wants, is_asked=True)
    client = redis.client()
    said = redis.attempt(lambda: _run(client, words))
    return _read(wants, said)


async def atake(wants: Sequence[Want]) -> tuple[bool, list[Window]]:
    """The same as `take`, for the hot routes."""
    words = _words(wants, is_asked=True)
    try:
        said = await redis.acommand("EVALSHA", SHA, *words)
    except redis.ScriptUnknown:
        said = await redis.acommand("EVAL", SCRIPT, *words)
    return _read(wants, said)


async def aadd(want: Want) -> None:
    """Count `want.size` more, or less where it is negative, whether there is room or not. Raises RedisAway."""
    words = _words([want], is_asked=False)
    try:
        await redis.acommand("EVALSHA", SHA, *words)
    except redis.ScriptUnknown:
        await redis.acommand("EVAL", SCRIPT, *words)


def _run(client: redis.Client, words: Sequence[str | int]) -> list[int]:
    try:
        said: list[int] = client.execute_command("EVALSHA", SHA, *words)  # type: ignore[no-untyped-call]
    except redis.ScriptUnknown:
        said = client.execute_command("EVAL", SCRIPT, *words)  # type: ignore[no-untyped-call]
    return said


def _words(wants: Sequence[Want], *, is_asked: bool) -> list[str | int]:
    numbers = [number for one in wants for number in (one.quota, one.window_s * 1000, one.size)]
    return [len(wants), *(one.key for one in wants), int(is_asked), *numbers]


def _read(wants: Sequence[Want], said: Sequence[int]) -> tuple[bool, list[Window]]:
    windows = [Window(want, said[3 * i + 1], said[3 * i + 2], said[3 * i + 3] / 1000) for i, want in enumerate(wants)]
    return bool(said[0]), windows
