"""The private server: on a socket only, and never in the way of one that lives."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from promptlab.management import local_valkey
from promptlab.management.local_valkey import LocalValkey, NoServerFound


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[LocalValkey]:
    server = LocalValkey(tmp_path / "v.sock", tmp_path / "valkey")
    yield server
    server.stop()


def test_it_answers_on_its_socket_and_on_no_port(valkey: LocalValkey) -> None:
    valkey.start()
    client = redis.Redis(unix_socket_path=str(valkey.socket))
    assert client.set("a", "b")
    assert client.config_get("port") == {b"port": b"0"} or client.config_get("port") == {"port": "0"}
    assert valkey.socket.stat().st_mode & 0o777 == 0o700


def test_stopping_leaves_no_socket_and_may_be_repeated(valkey: LocalValkey) -> None:
    valkey.start()
    valkey.stop()
    valkey.stop()
    assert not valkey.socket.exists()
    assert not valkey.is_answering()


def test_what_it_held_is_there_after_a_restart(valkey: LocalValkey) -> None:
    valkey.start()
    redis.Redis(unix_socket_path=str(valkey.socket)).set("a", "b")
    valkey.stop()
    valkey.start()
    assert redis.Redis(unix_socket_path=str(valkey.socket)).get("a") in (b"b", "b")


def test_the_socket_file_of_a_dead_server_is_no_obstacle(valkey: LocalValkey) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(valkey.socket))
    assert valkey.socket.exists() and not valkey.is_answering()
    valkey.start()
    assert valkey.is_answering()


def test_a_server_that_does_not_answer_in_time_counts_as_alive(valkey: LocalValkey) -> None:
    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.bind(str(valkey.socket))
        stopped.listen()
        assert valkey.is_answering()


def test_without_any_server_it_says_how_to_get_one(valkey: LocalValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(local_valkey, "_from_wheel", lambda: None)
    with pytest.raises(NoServerFound, match="REDIS_URL"):
        valkey.command()
