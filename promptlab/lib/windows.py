"""Sliding windows counted in Redis: several of them asked and taken in one atomic step, one way there and back.

The script takes windows, and for each call that is asked for what it wants of each of them; calls are let in in their order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from promptlab.lib import redis
from promptlab.lib.gathering import Gathering

SCRIPT = b"""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local is_asked, keys, seen, said, is_taken = ARGV[1] == '1', #KEYS, {}, {}, false
for i, key in ipairs(KEYS) do
    local quota, window = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
    local number, before, count = math.floor(now / window), 0, 0
    local was = redis.call('HMGET', key, 'number', 'before', 'count')
    if was[1] and tonumber(was[1]) == number then
        before, count = tonumber(was[2]), tonumber(was[3])
    elseif was[1] and tonumber(was[1]) == number - 1 then
        before = tonumber(was[3])
    end
    seen[i] = {number = number, before = before, count = count, left = (number + 1) * window - now, window = window, quota = quota}
end
for at = 2 * keys + 1, #ARGV - 1, keys do
    local fits = 1
    for i, one in ipairs(seen) do
        local used = math.floor(one.before * one.left / one.window) + one.count + tonumber(ARGV[at + i])
        if is_asked and used > one.quota then fits = 0 end
    end
    said[#said + 1] = fits
    for i, one in ipairs(seen) do
        if fits == 1 then
            one.count = math.max(0, one.count + tonumber(ARGV[at + i]))
            is_taken = true
        end
        said[#said + 1], said[#said + 2], said[#said + 3] = one.before, one.count, one.left
    end
end
if is_taken then
    for i, key in ipairs(KEYS) do
        redis.call('HSET', key, 'number', seen[i].number, 'before', seen[i].before, 'count', seen[i].count)
        redis.call('PEXPIRE', key, 2 * seen[i].window)
    end
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


Answer = tuple[bool, list[Window]]
About = tuple[bool, tuple[tuple[str, int, int], ...]]
"""Whether it is asked if there is room, and (key, quota, seconds) of each window."""


def take(wants: Sequence[Want]) -> Answer:
    """Take all of it, or nothing where something does not fit; tell which, and how the windows are after. RedisAway."""
    words = _words((True, _windows(wants)), [wants])
    client = redis.client()
    said = redis.attempt(lambda: _run(client, words))
    return _read([wants], said)[0]


async def atake(wants: Sequence[Want]) -> Answer:
    """The same as `take`, for the hot routes: what is wanted of the same windows at the same time is asked together."""
    return await _gathering.join(wants, (True, _windows(wants)))


async def aadd(want: Want) -> None:
    """Count `want.size` more, or less where it is negative, whether there is room or not. Raises RedisAway."""
    await _gathering.join([want], (False, _windows([want])))


async def _ask(about: Hashable, group: Sequence[Sequence[Want]]) -> Sequence[Answer]:
    words = _words(cast(About, about), group)
    try:
        said = await redis.acommand("EVALSHA", SHA, *words)
    except redis.ScriptUnknown:
        said = await redis.acommand("EVAL", SCRIPT, *words)
    return _read(group, said)


_gathering: Gathering[Sequence[Want], Answer] = Gathering(_ask)


def _run(client: redis.Client, words: Sequence[str | int]) -> list[int]:
    try:
        said: list[int] = client.execute_command("EVALSHA", SHA, *words)  # type: ignore[no-untyped-call]
    except redis.ScriptUnknown:
        said = client.execute_command("EVAL", SCRIPT, *words)  # type: ignore[no-untyped-call]
    return said


def _windows(wants: Sequence[Want]) -> tuple[tuple[str, int, int], ...]:
    return tuple((one.key, one.quota, one.window_s) for one in wants)


def _words(about: About, group: Sequence[Sequence[Want]]) -> list[str | int]:
    is_asked, of = about
    limits = [number for _, quota, window_s in of for number in (quota, window_s * 1000)]
    sizes = [want.size for wants in group for want in wants]
    return [len(of), *(key for key, _, _ in of), int(is_asked), *limits, *sizes]


def _read(group: Sequence[Sequence[Want]], said: Sequence[int]) -> list[Answer]:
    """Return what is said of each: whether it fits, and before, count and milliseconds left of each window."""
    words = iter(said)
    return [(bool(next(words)), [_window(want, words) for want in wants]) for wants in group]


def _window(want: Want, words: Iterator[int]) -> Window:
    return Window(want, before=next(words), count=next(words), left_s=next(words) / 1000)
