"""What a request hands over: sent in order, dropped when too much waits, never waited for, not inherited by a fork."""

from __future__ import annotations

import os
import threading

import pytest

from promptlab.lib.sender import Sender

PATIENCE_S = 20


class Receiver:
    """Takes what is sent once its gate is open."""

    def __init__(self) -> None:
        self.got: list[int] = []
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.is_full = threading.Event()
        self.wanted = 0

    def take(self, thing: int) -> None:
        self.entered.set()
        assert self.gate.wait(PATIENCE_S)
        self.got.append(thing)
        if len(self.got) >= self.wanted:
            self.is_full.set()


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


def test_everything_is_sent_in_order(receiver: Receiver) -> None:
    receiver.gate.set()
    receiver.wanted = 100
    sender = Sender("test", receiver.take)
    assert all(sender.put(number) for number in range(100))
    assert receiver.is_full.wait(PATIENCE_S)
    assert receiver.got == list(range(100))


def test_what_is_too_much_is_dropped_and_nobody_waits(receiver: Receiver) -> None:
    receiver.wanted = 3
    sender = Sender("test", receiver.take, maxsize=2)
    assert sender.put(0)
    assert receiver.entered.wait(PATIENCE_S)
    assert [sender.put(number) for number in range(1, 5)] == [True, True, False, False]
    assert len(sender) == 2
    receiver.gate.set()
    assert receiver.is_full.wait(PATIENCE_S)
    assert receiver.got == [0, 1, 2]


def test_what_waits_can_be_forgotten(receiver: Receiver) -> None:
    receiver.wanted = 2
    sender = Sender("test", receiver.take)
    sender.put(0)
    assert receiver.entered.wait(PATIENCE_S)
    sender.put(1)
    sender.drop()
    sender.put(2)
    receiver.gate.set()
    assert receiver.is_full.wait(PATIENCE_S)
    assert receiver.got == [0, 2]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_ends_the_thread_and_the_next_thing_starts_another() -> None:
    got = threading.Event()

    def take(thing: str) -> None:
        if thing == "bad":
            raise ZeroDivisionError
        got.set()

    sender = Sender("test", take)
    sender.put("bad")
    assert sender._thread is not None
    sender._thread.join(PATIENCE_S)
    sender.put("good")
    assert got.wait(PATIENCE_S)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_starts_with_nothing_waiting(receiver: Receiver) -> None:
    sender = Sender("test", receiver.take)
    sender.put(0)
    assert receiver.entered.wait(PATIENCE_S)
    sender.put(1)
    child = os.fork()
    if child == 0:
        os._exit(10 + len(sender) + (sender._thread is not None))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 10
    receiver.gate.set()
