"""Database work for the hot routes."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from django.conf import settings
from django.db import connection

from promptlab.lib import logs
from promptlab.lib.threads import run_db


def test_it_runs_elsewhere_and_the_log_context_goes_along() -> None:
    def look() -> tuple[str, str]:
        return threading.current_thread().name, logs.request_id()

    async def ask() -> tuple[str, str]:
        logs.begin("req-9")
        return await run_db(look)

    name, request_id = asyncio.run(ask())
    assert name.startswith("promptlab-db")
    assert request_id == "req-9"


def test_what_it_raises_arrives() -> None:
    def fail(reason: str) -> None:
        raise LookupError(reason)

    with pytest.raises(LookupError, match="nothing here"):
        asyncio.run(run_db(fail, "nothing here"))


def test_no_more_threads_work_at_once_than_the_setting_allows() -> None:
    lock, state = threading.Lock(), {"now": 0, "most": 0}

    def work() -> None:
        with lock:
            state["now"] += 1
            state["most"] = max(state["most"], state["now"])
        time.sleep(0.01)
        with lock:
            state["now"] -= 1

    async def many() -> None:
        await asyncio.gather(*(run_db(work) for _ in range(settings.HOT_DB_THREADS * 3)))

    asyncio.run(many())
    assert state["most"] == settings.HOT_DB_THREADS


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_pooled_connection_is_given_back_after_each_piece() -> None:
    def ask() -> bool:
        connection.ensure_connection()
        return connection.connection is not None

    def look() -> bool:
        return connection.connection is None

    async def many() -> tuple[list[bool], list[bool]]:
        count = settings.HOT_DB_THREADS * 3
        asked = await asyncio.gather(*(run_db(ask) for _ in range(count)))
        return asked, await asyncio.gather(*(run_db(look) for _ in range(count)))

    asked, given_back = asyncio.run(many())
    assert all(asked)
    assert all(given_back)
