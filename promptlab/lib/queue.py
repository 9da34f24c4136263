"""Handing work to the workers: services name a task, they never import it.

A message is only a wake-up. What must happen is in the database and swept by the workers, so a wake-up that is lost
(no Redis, full queue) delays, and never loses. Nothing in a request waits for the broker: one daemon thread sends.
"""

from __future__ import annotations

import time

from celery import current_app
from django.conf import settings
from django.db import transaction

from promptlab.lib import redis
from promptlab.lib.logs import get_logger, request_id
from promptlab.lib.sender import Sender

log = get_logger(__name__)
Argument = int | str
WakeUp = tuple[str, tuple[Argument, ...], str, float]


def enqueue_on_commit(task_name: str, *args: Argument, every_s: float = 0.0, after_s: float = 0.0) -> None:
    """Wake a worker for `task_name` after this transaction commits. Raises KeyError at once for an unknown name.

    `every_s`: this process wakes for it no sooner again, and leaves what comes meanwhile to the sweep. For tasks that
    take all that waits, where there may be hundreds of commits a second. `after_s`: the worker waits so long.
    """
    if task_name not in current_app.tasks:
        raise KeyError(f"No task is named {task_name!r}.")
    wake_up = (task_name, args, request_id(), after_s)
    transaction.on_commit(lambda: _put(wake_up, every_s))


_woken_at: dict[str, float] = {}


def _put(wake_up: WakeUp, every_s: float) -> None:
    now = time.monotonic()
    if now - _woken_at.get(wake_up[0], float("-inf")) < every_s:
        return
    _woken_at[wake_up[0]] = now
    if settings.TASK_WAKE_UPS and not sender.put(wake_up):
        log.warning("wake_up_dropped", task=wake_up[0])


def _send(wake_up: WakeUp) -> None:
    task_name, args, of_request, after_s = wake_up
    if redis.is_away():
        log.info("wake_up_skipped", task=task_name)
        return
    try:
        current_app.tasks[task_name].apply_async(
            args, headers={"request_id": of_request}, retry=False, countdown=after_s
        )
    except Exception as error:  # noqa: BLE001  (whatever the broker's transport raises; the sweeper does the work)
        redis.breaker.failed(error)
        log.warning("wake_up_failed", task=task_name, error=type(error).__name__)


sender: Sender[WakeUp] = Sender("wake-ups", _send)
