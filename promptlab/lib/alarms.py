"""Many alarms of an event loop behind one timer of it: most are put off or cancelled long before they ring.

A timer of the loop takes half a kilobyte and a call into its core; a stream has two, and there may be thousands.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from weakref import WeakKeyDictionary

FEW = 64
"""So many cancelled ones are never worth clearing away."""


class Alarm:
    """Something to call at a time of the loop's clock."""

    __slots__ = ("_alarms", "call", "when")

    def __init__(self, alarms: _Alarms, when: float, call: Callable[[], None]) -> None:
        self._alarms = alarms
        self.when = when
        self.call: Callable[[], None] | None = call

    def __lt__(self, other: Alarm) -> bool:
        return self.when < other.when

    def cancel(self) -> None:
        """Call nothing; again, and after it rang, changes nothing."""
        if self.call is not None:
            self.call = None
            self._alarms.forget_one()


class _Alarms:
    """Those of one event loop, the next one first."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[Alarm] = []
        self._cancelled = 0
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf

    def add(self, when: float, call: Callable[[], None]) -> Alarm:
        alarm = Alarm(self, when, call)
        heappush(self._waiting, alarm)
        if when < self._rings_at:
            self._wind(when)
        return alarm

    def forget_one(self) -> None:
        """Count one that was cancelled; where they are most, clear them away: they hold on to nothing but take room."""
        self._cancelled += 1
        if self._cancelled > FEW and 2 * self._cancelled > len(self._waiting):
            self._waiting = [alarm for alarm in self._waiting if alarm.call is not None]
            heapify(self._waiting)
            self._cancelled = 0
        if self._cancelled == len(self._waiting):
            self._stop()

    def _wind(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = when
        self._timer = self._loop.call_at(when, self._ring)

    def _stop(self) -> None:
        """Nothing waits: the loop has no timer of ours."""
        if self._timer is not None:
            self._timer.cancel()
        self._waiting, self._cancelled, self._timer, self._rings_at = [], 0, None, math.inf

    def _ring(self) -> None:
        self._timer, self._rings_at = None, math.inf
        now = self._loop.time()
        for _ in range(len(self._waiting)):  # one that is set meanwhile has the next turn, however early it is
            if not self._waiting or (self._waiting[0].when > now and self._waiting[0].call is not None):
                break
            alarm = heappop(self._waiting)
            if alarm.call is None:
                self._cancelled -= 1
                continue
            call, alarm.call = alarm.call, None
            try:
                call()
            except Exception as error:  # noqa: BLE001  (the others ring all the same)
                self._loop.call_exception_handler({"message": "An alarm failed.", "exception": error})
        if self._waiting:
            self._wind(self._waiting[0].when)


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Alarms] = WeakKeyDictionary()


def at(when: float, call: Callable[[], None]) -> Alarm:
    """Have something called at a time of the running loop's clock, unless it is cancelled before."""
    loop = asyncio.get_running_loop()
    alarms = _of_loops.get(loop)
    if alarms is None:
        alarms = _of_loops[loop] = _Alarms(loop)
    return alarms.add(when, call)
