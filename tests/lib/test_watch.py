"""The thread that confirms beliefs: it starts when asked, survives the database, and ends when nothing is in use."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError

from promptlab.lib import watch as module
from promptlab.lib.watch import Watch

WAIT_S = 20


@pytest.fixture
def watch(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    settings.WATCH = True
    settings.REVISION_PUSH = False
    settings.REVISION_CHECK_S = 0.02
    found = Watch()
    yield found
    found.stop()


def thread_of(watch: Watch) -> threading.Thread:
    assert watch._thread is not None
    return watch._thread


def test_it_confirms_again_and_again_until_it_is_stopped(watch: Watch) -> None:
    times, ended = threading.Semaphore(0), threading.Event()
    watch.every(lambda: times.release() or True)
    watch.at_end(ended.set)
    watch.ensure()
    watch.ensure()
    for _ in range(5):
        assert times.acquire(timeout=WAIT_S)
    watch.stop(WAIT_S)
    assert not thread_of(watch).is_alive()
    assert ended.is_set()


def test_a_missing_database_does_not_end_it(watch: Watch) -> None:
    tries, worked = [1, 1, 1], threading.Event()

    def confirm() -> bool:
        if tries:
            tries.pop()
            raise OperationalError
        worked.set()
        return True

    watch.every(confirm)
    watch.ensure()
    assert worked.wait(WAIT_S)


def test_it_ends_when_nothing_is_in_use_and_starts_again_when_asked(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.0)
    watch.every(lambda: False)
    watch.ensure()
    first = thread_of(watch)
    first.join(WAIT_S)
    assert not first.is_alive()
    watch.ensure()
    assert thread_of(watch) is not first


def test_it_looks_at_once_when_woken(watch: Watch, settings: Any) -> None:
    settings.REVISION_CHECK_S = 3600
    times = threading.Semaphore(0)
    watch.every(lambda: times.release() or True)
    watch.ensure()
    assert times.acquire(timeout=WAIT_S)
    watch.wake()
    assert times.acquire(timeout=WAIT_S)


def test_a_fork_begins_without_the_thread(watch: Watch) -> None:
    watch.every(lambda: True)
    watch.ensure()
    running = thread_of(watch)
    watch.stop(WAIT_S)
    watch._forget()
    watch.ensure()
    assert thread_of(watch) is not running
