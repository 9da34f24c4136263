"""Answers under way say that their process is alive: all of a process by one statement, not each by a task of its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from contextvars import Context
from datetime import timedelta
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from promptlab.chat.models import Message
from promptlab.lib.logs import get_logger
from promptlab.lib.threads import run_db

log = get_logger(__name__)
RENEWALS_PER_LEASE = 3


class _Keeper:
    """Renews the leases of one event loop's answers for as long as there are any."""

    def __init__(self) -> None:
        self._under_way: Counter[int] = Counter()
        self._task: asyncio.Task[None] | None = None

    def add(self, answer_id: int) -> None:
        self._under_way[answer_id] += 1
        if self._task is None or self._task.done():
            # In no call's context: its lines belong to none of the answers.
            self._task = asyncio.get_running_loop().create_task(self._keep(), context=Context())

    def drop(self, answer_id: int) -> None:
        self._under_way[answer_id] -= 1
        if not self._under_way[answer_id]:
            del self._under_way[answer_id]
        if not self._under_way and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(settings.MESSAGE_LEASE_S / RENEWALS_PER_LEASE)
            try:
                await run_db(renew_leases, tuple(self._under_way))
            except (OperationalError, InterfaceError) as error:
                log.warning("leases_not_renewed", error=type(error).__name__)


_keepers: WeakKeyDictionary[asyncio.AbstractEventLoop, _Keeper] = WeakKeyDictionary()


class Lease:
    """Keep the answer's lease while the context lasts, in the running event loop."""

    __slots__ = ("_answer_id", "_keeper")

    def __init__(self, answer_id: int) -> None:
        self._answer_id = answer_id
        self._keeper = _keepers.setdefault(asyncio.get_running_loop(), _Keeper())

    def __enter__(self) -> None:
        self._keeper.add(self._answer_id)

    def __exit__(self, *_: object) -> None:
        self._keeper.drop(self._answer_id)


def renew_leases(answer_ids: Collection[int]) -> None:
    """Say that the answers' process is alive. One that stops saying so is closed by the sweeper."""
    until = timezone.now() + timedelta(seconds=settings.MESSAGE_LEASE_S)
    Message.objects.filter(pk__in=answer_ids, state=Message.State.STREAMING).update(lease_until=until)
