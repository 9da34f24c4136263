"""Many at once: threads, tasks and forks share a client while the server comes and goes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from cast import Clock, Connect, our_threads, settle, until
from fake_server import PromptServer
from promptlab_sdk import AsyncPrompts, Prompts
from test_experiment import make_experiment
from test_fork import in_child

GETS = 200_000
"""bench/sdk.py does the same with a million."""

THREADS = 8


def test_gets_go_on_while_the_server_is_killed(server: PromptServer, connect: Connect, clock: Clock) -> None:
    server.deploy("test", "Hi {{name}}", revision=1)
    prompts = connect(timeout=1.0)
    prompts.get("test", name="Alex")
    wrong: list[object] = []
    half = threading.Barrier(THREADS + 1, timeout=100)

    def ask() -> None:
        get = prompts.get
        for number in range(GETS // THREADS):
            if number == GETS // THREADS // 10:
                half.wait()
            if get("test", name="Alex") != "Hi Alex":
                wrong.append(number)
            if number % 1_000 == 0:
                clock.now += 10.0  # Half an hour passes in all: the TTL ends over and over.

    with ThreadPoolExecutor(THREADS) as pool:
        done = [pool.submit(ask) for _ in range(THREADS)]
        half.wait()
        server.kill()
        for one in done:
            one.result(100)
    assert wrong == []
    settle()
    server.deploy("test", "Bye {{name}}", revision=2)
    server.start()
    clock.pass_(60)
    prompts.get("test", name="Alex")
    until(lambda: prompts.get("test", name="Alex") == "Bye Alex", "the return of the server")


def test_64_threads_and_a_loop_agree_and_ask_once_per_prompt(
    server: PromptServer, connect: Connect, clock: Clock
) -> None:
    names = [f"p{number}" for number in range(5)]
    for name in names:
        server.deploy(name, f"{name} {{{{a}}}}", experiment=make_experiment())
    prompts = connect()
    tasks = AsyncPrompts(prompts._core)
    units = [f"user-{number}" for number in range(20)]
    start = threading.Barrier(65, timeout=60)

    def in_thread() -> list[str]:
        start.wait()
        return [str(prompts.get(name, unit_id=unit, a="x")) for name in names for unit in units]

    async def in_loop() -> list[str]:
        await asyncio.to_thread(start.wait)
        return [str(await tasks.get(name, unit_id=unit, a="x")) for name in names for unit in units]

    for expected_requests in (5, 10):
        with ThreadPoolExecutor(65) as pool:
            answers = [pool.submit(in_thread) for _ in range(64)]
            answers.append(pool.submit(lambda: asyncio.run(in_loop())))
            found = {tuple(answer.result(60)) for answer in answers}
        settle()
        assert len(found) == 1
        assert len(server.requests) == expected_requests
        clock.pass_(60)


def test_64_threads_in_stream_mode_while_everything_moves(server: PromptServer, connect: Connect) -> None:
    server.deploy("test", "0", revision=1)
    prompts = connect(refresh="stream")
    prompts.get("test")
    until(lambda: prompts.status().is_connected)
    stop = threading.Event()

    def watch() -> bool:
        last, ordered = 0, True
        while not stop.is_set():
            now = int(prompts.get("test"))
            ordered, last = ordered and now >= last, now
            time.sleep(0.001)
        return ordered

    with ThreadPoolExecutor(64) as pool:
        watchers = [pool.submit(watch) for _ in range(64)]
        for revision in range(2, 7):
            server.deploy("test", str(revision), revision=revision)
            server.tell()
            until(lambda revision=revision: prompts.get("test") == str(revision))
        stop.set()
        assert all(watcher.result(60) for watcher in watchers)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.parametrize("refresh", ["poll", "stream"])
def test_a_child_follows_by_itself(server: PromptServer, connect: Connect, refresh: str) -> None:
    server.deploy("test", "one")
    prompts = connect(refresh=refresh, poll_interval=0.05)
    prompts.get("test")
    until(lambda: prompts.status().is_connected)

    def work() -> str:
        assert our_threads() == []
        first = prompts.get("test")
        until(lambda: prompts.status().is_connected)
        server_told = f"{first} {prompts.get('test').source}"
        prompts.close()
        return f"{server_told} {our_threads()}"

    assert in_child(work) == "one cache []"
    assert prompts.get("test") == "one"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_a_child_does_not_send_its_parents_reports(server: PromptServer, prompts: Prompts) -> None:
    server.kill()
    prompts.feedback("m1", "rating", 1)

    def work() -> str:
        before = prompts.status().queued
        prompts.feedback("m2", "rating", 1)
        return f"{before} {prompts.status().queued}"

    assert in_child(work) == "0 1"
    server.start()
    assert prompts.flush(20)
    assert [request.body["message_id"] for request in server.requests] == ["m1"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_forks_out_of_a_busy_process_never_hang(server: PromptServer, connect: Connect, clock: Clock) -> None:
    server.deploy("test", "one")
    prompts = connect(refresh="stream")
    prompts.get("test")
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            prompts.get("test")
            prompts.feedback("m1", "rating", 1)
            clock.pass_(1)

    threads = [threading.Thread(target=busy) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            assert in_child(lambda: str(prompts.get("test"))) == "one"
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_the_end_of_a_process_sends_what_is_queued(server: PromptServer) -> None:
    server.deploy("test", "one")
    code = """
import sys
from promptlab_sdk import Prompts
prompts = Prompts.connect(sys.argv[1], refresh="stream")
prompts.get("test")
for number in range(20):
    prompts.feedback(f"m{number}", "rating", 1)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, server.url],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    sent = [request.body for request in server.requests if request.path == "/api/v1/feedback"]
    assert sorted(one["message_id"] for body in sent for one in body.get("items", [body])) == sorted(
        f"m{number}" for number in range(20)
    )
