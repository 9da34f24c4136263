"""What was read of a team's rows, kept in this process for seconds, so that a call does not ask the database again."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from django.db import transaction

KEEP_S = 3.0
"""How late a change made in another process arrives. In its own process it is there from the commit on."""

Read = TypeVar("Read")


class Kept(Generic[Read]):
    """The last reading for each team. `load` is given the team's id."""

    def __init__(self, load: Callable[[int], Read]) -> None:
        self._load = load
        self._read: dict[int, tuple[float, Read]] = {}
        _every.append(self)

    def of(self, team_id: int) -> Read:
        """Return what is known of the team, read anew when it is older than `KEEP_S`."""
        known = self._read.get(team_id)
        now = time.monotonic()
        if known is not None and now - known[0] < KEEP_S:
            return known[1]
        found = self._load(team_id)
        self._read[team_id] = (now, found)
        return found

    def forget(self, team_id: int | None = None) -> None:
        """Forget one team, or all of them."""
        if team_id is None:
            self._read.clear()
        else:
            self._read.pop(team_id, None)


_every: list[Kept] = []


def forget(team_id: int | None = None) -> None:
    """Forget everything kept of a team, or of all of them."""
    for kept in _every:
        kept.forget(team_id)


def forget_on_commit(team_id: int) -> None:
    """Forget what is kept of a team, when the transaction that changes it is through."""
    transaction.on_commit(partial(forget, team_id))
