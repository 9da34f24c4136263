"""A word to every process: over Redis, over PostgreSQL while Redis is away, and lost without harm."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction

from promptlab.lib import push
from promptlab.lib.sender import Sender


class Heard:
    """What arrived, and how often words may have been missed."""

    def __init__(self) -> None:
        self.words: list[tuple[str, str]] = []
        self.missed = threading.Event()

    def take(self, subject: str, value: str) -> None:
        self.words.append((subject, value))

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, self.words
            time.sleep(0.01)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    """Listen to one topic, as another process would."""
    found = Heard()
    monkeypatch.setattr(push, "_handlers", {"weather": found.take})
    with push.listening(found.missed.set):
        assert found.missed.wait(20)
        yield found


@pytest.fixture
def without_redis(no_redis: None, heard: Heard) -> Heard:
    return heard


def tell(subject: object, value: object) -> None:
    with transaction.atomic():
        push.tell_on_commit("weather", subject, value)


@pytest.mark.django_db(transaction=True)
def test_a_word_arrives_when_the_transaction_commits(heard: Heard) -> None:
    with transaction.atomic():
        push.tell_on_commit("weather", 12, 413)
        push.tell_on_commit("elsewhere", 12, 414)
        time.sleep(0.05)
        assert heard.words == []
    heard.until(lambda: heard.words == [("12", "413")])


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_is_never_said(heard: Heard) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        push.tell_on_commit("weather", 1, 1)
        raise ZeroDivisionError
    tell(2, 2)
    heard.until(lambda: bool(heard.words))
    assert heard.words == [("2", "2")]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_while_redis_is_away_postgresql_carries_it(without_redis: Heard) -> None:
    tell(12, 413)
    without_redis.until(lambda: without_redis.words == [("12", "413")])


@pytest.mark.django_db(transaction=True)
def test_it_can_be_switched_off(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.REVISION_PUSH = False
    said: list[tuple[str, str]] = []
    monkeypatch.setattr(push, "sender", Sender("test", said.append))
    tell(1, 1)
    with push.listening(lambda: said.append(("listening", ""))):
        settings.REVISION_PUSH = True
        tell(2, 2)
        deadline = time.monotonic() + 20
        while not said:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert said == [(push.channel("weather:2"), "2")]
