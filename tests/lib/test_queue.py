"""Wake-ups: sent after the commit, never in the way of a request, never a reason for one to fail."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import redis as client
from django.conf import settings as django_settings
from django.db import transaction

from promptlab.chat.services.sweeping import CLOSE_TASK
from promptlab.lib import logs, queue, redis

KEY = f"{django_settings.REDIS_PREFIX}:ingest"


@pytest.fixture
def broker(settings: Any) -> client.Redis:
    """Where wake-ups of the queue `ingest` arrive."""
    settings.TASK_WAKE_UPS = True
    server = client.Redis(connection_pool=redis.pool())
    server.delete(KEY)
    return server


def arrived(broker: client.Redis) -> dict[str, Any]:
    deadline = time.monotonic() + 5
    while not broker.llen(KEY):
        assert time.monotonic() < deadline, "no wake-up arrived"
        time.sleep(0.02)
    message: dict[str, Any] = json.loads(broker.lpop(KEY))
    return message


@pytest.mark.django_db
def test_a_mistyped_name_fails_at_once() -> None:
    with pytest.raises(KeyError, match=r"chat\.close_abandonned"):
        queue.enqueue_on_commit("chat.close_abandonned")


@pytest.mark.django_db(transaction=True)
def test_a_wake_up_arrives_with_the_request_s_id(broker: client.Redis) -> None:
    logs.begin("req-7")
    queue.enqueue_on_commit(CLOSE_TASK)
    assert arrived(broker)["headers"]["task"] == CLOSE_TASK


@pytest.mark.django_db(transaction=True)
def test_nothing_is_sent_for_what_was_rolled_back(broker: client.Redis) -> None:
    with transaction.atomic():
        queue.enqueue_on_commit(CLOSE_TASK)
        transaction.set_rollback(True)
    queue.enqueue_on_commit(CLOSE_TASK)
    arrived(broker)
    assert broker.llen(KEY) == 0


@pytest.mark.django_db(transaction=True)
def test_without_redis_a_wake_up_is_dropped_and_nobody_waits(settings: Any) -> None:
    settings.TASK_WAKE_UPS = True
    redis.breaker.failed(client.ConnectionError())
    started = time.monotonic()
    for _ in range(queue.sender.maxsize + 10):
        queue.enqueue_on_commit(CLOSE_TASK)
    assert time.monotonic() - started < 30


@pytest.mark.django_db(transaction=True)
def test_what_comes_soon_again_is_left_to_the_sweep(broker: client.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "_woken_at", {})
    for _ in range(3):
        queue.enqueue_on_commit(CLOSE_TASK, every_s=60)
    queue.enqueue_on_commit(CLOSE_TASK)
    arrived(broker), arrived(broker)
    assert broker.llen(KEY) == 0
