"""Who else has a prompt's page open. Kept in Redis for a minute at a time, never a lock; without Redis nobody is seen."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings

from promptlab.accounts.access import Principal
from promptlab.lib import redis
from prompts.models import Prompt

SEEN_FOR_S = 60
"""Who said nothing for this long has gone; pages say every 20 s that they are open."""
PLACE = "presence"


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who has the page open. `began` and `at` are Unix times: since when, and when that was last said."""

    name: str
    began: int
    at: int
    is_writing: bool

    @property
    def is_here(self) -> bool:
        return time.time() - self.at < SEEN_FOR_S

    @property
    def since_s(self) -> int:
        """For how long the page has been open, in seconds."""
        return max(0, int(time.time()) - self.began)


def look(reader: Principal, prompt: Prompt, *, is_writing: bool = False) -> list[Reader]:
    """Note that somebody has the prompt's page open, and return who else has; who came first is first."""
    seen, mine, now = _seen(prompt), str(reader.user_id), int(time.time())
    before = seen.get(mine)
    if before and before.is_here:
        said = Reader(reader.label, before.began, now, is_writing or before.is_writing)
    else:
        said = Reader(reader.label, now, now, is_writing)
    row = json.dumps([said.name, said.began, said.at, said.is_writing])
    place, pipe = _place(prompt), redis.client().pipeline()
    pipe.hset(place, mine, row)
    pipe.expire(place, SEEN_FOR_S)
    try:
        redis.attempt(pipe.execute)
    except redis.RedisAway:
        return []
    return _others(seen, mine)


def others(reader: Principal, prompt: Prompt) -> list[Reader]:
    """Return who else has the prompt's page open; that `reader` has is not noted."""
    return _others(_seen(prompt), str(reader.user_id))


def _place(prompt: Prompt) -> str:
    return f"{settings.REDIS_PREFIX}:{PLACE}:{prompt.pk}"


def _seen(prompt: Prompt) -> dict[str, Reader]:
    """Return what is known, by person; what cannot be read counts as nothing."""
    place, client = _place(prompt), redis.client()
    try:
        rows = redis.attempt(lambda: client.hgetall(place))
        read = {person: json.loads(said) for person, said in rows.items()}
        return {
            person.decode() if isinstance(person, bytes) else person: Reader(
                str(name), int(began), int(at), bool(writes)
            )
            for person, (name, began, at, writes) in read.items()
        }
    except (redis.RedisAway, ValueError, TypeError):
        return {}


def _others(seen: Mapping[str, Reader], mine: str) -> list[Reader]:
    rows = [reader for person, reader in seen.items() if person != mine and reader.is_here]
    return sorted(rows, key=lambda reader: reader.began)
