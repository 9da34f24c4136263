#!/usr/bin/env python
"""How soon after a commit everybody serves what was put live: web processes, and applications that follow with the SDK.

`tests/stores.py -- .venv/bin/python bench/freshness.py` measures on PostgreSQL; without it, on SQLite. See bench/README.md.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from servers import ROOT, Server, promptlab, serving

sys.path.insert(0, str(ROOT))

import redis

PATH = "/prompts/bench/deployed?environment=production"
PATIENCE_S = 60.0
REPORTED_WITHIN_S = 15.0
Seen = dict[int, float]
"""When each revision was first served, on the machine's monotonic clock."""


class Reader(threading.Thread):
    """Asks one web process again and again, and notes when it first saw each revision."""

    def __init__(self, server: Server, every_s: float) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.every_s = every_s
        self.seen: Seen = {}
        self.is_over = False

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        while not self.is_over:
            connection.request("GET", PATH, headers={"X-API-Key": self.server.key})
            revision = json.loads(connection.getresponse().read())["revision"]
            self.seen.setdefault(revision, time.monotonic())
            time.sleep(self.every_s)


@dataclass(slots=True)
class Followers:
    """Processes with the SDK in mode "stream", and what each has seen."""

    process: subprocess.Popen[str]
    seen: dict[int, Seen] = field(default_factory=dict)
    ready: set[int] = field(default_factory=set)

    def listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said = json.loads(line)
            if "ready" in said:
                self.ready.add(said["client"])
            else:
                self.seen.setdefault(said["client"], {}).setdefault(said["revision"], said["at"])


@contextmanager
def following(servers: list[Server], count: int) -> Iterator[Followers]:
    """Run so many followers, spread over the servers, and yield when all of them follow."""
    ports = ",".join(str(server.port) for server in servers)
    words = [sys.executable, str(ROOT / "bench" / "followers.py"), str(count), ports, servers[0].key]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=servers[0].env
    ) as process:
        found = Followers(process)
        hearing = threading.Thread(target=found.listen, daemon=True)
        hearing.start()
        try:
            until(lambda: len(found.ready) == count, "the followers are ready")
            yield found
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=60)
            hearing.join(timeout=10)


@contextmanager
def workers(env: dict[str, str], count: int) -> Iterator[None]:
    """Run so many Celery workers beside, the first with the clock."""
    celery = [sys.executable, "-m", "celery", "-A", "promptlab", "worker", "-P", "threads", "-c", "2", "-l", "ERROR"]
    celery += ["-Q", "ingest,default,llm"]
    quiet = {"cwd": ROOT, "env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    beat = ["-B", "-s", str(Path(env["PROMPTLAB_VAR"]) / "beat")]
    running = [
        subprocess.Popen([*celery, "-n", f"bench{number}@%h", *(() if number else beat)], **quiet)  # type: ignore[call-overload]
        for number in range(count)
    ]
    try:
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(timeout=60)


def until(condition: Callable[[], bool], what: str, within_s: float = PATIENCE_S, found: object = "") -> None:
    """Wait for the condition; end the run when it does not come, and say what was found instead."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"Not within {within_s:.0f} s: {what}. {found}")
        time.sleep(0.002)


@dataclass(slots=True)
class Scene:
    """Who writes, who is watched."""

    servers: list[Server]
    readers: list[Reader]
    followers: Followers | None
    moves: int = 0

    def watched(self) -> list[Seen]:
        clients = self.followers.seen.values() if self.followers else ()
        return [*(reader.seen for reader in self.readers), *clients]

    def deploy(self) -> float:
        """Put another version live."""
        body = {"prompt_name": "bench", "environment": "production", "version": 1 + self.moves % 2}
        return self._last(lambda writer: writer.call("POST", "/deployments", body))[0]

    def kill(self) -> float:
        """Start an experiment, wait until it is everywhere, kill it, and return how long that took to be everywhere."""
        live = 1 + (self.moves - 1) % 2  # starting and killing are two moves
        body = {
            "title": f"Bench {self.moves}",
            "prompt_name": "bench",
            "environment": "production",
            "variants": [
                {"key": "control", "version": live, "weight": 50},
                {"key": "other", "version": 3 - live, "weight": 50},
            ],
        }
        status, _, answer = self.servers[0].call("POST", "/experiments", body)
        assert status == 201, answer
        key = json.loads(answer)["key"]
        self._last(lambda writer: writer.call("POST", f"/experiments/{key}/start", {}))
        return self._last(lambda writer: writer.call("POST", f"/experiments/{key}/kill", {"note": "bench"}))[0]

    def _last(self, call: Callable[[Server], tuple[int, object, bytes]]) -> tuple[float, dict[str, object]]:
        """Make the call through the next process; return the seconds until the last one serves it, and the answer.

        Counted from the commit at the latest: the answer to the call, or the first that serves it, if that is sooner.
        """
        self.moves += 1
        status, _, answer = call(self.servers[self.moves % len(self.servers)])
        answered_at = time.monotonic()
        assert status in (200, 201), answer
        moved = json.loads(answer)
        revision = moved.get("revision") or self._revision()
        watched = self.watched()
        until(lambda: all(any(one >= revision for one in list(seen)) for seen in watched), f"all serve {revision}")
        seen = [min(at for one, at in list(seen.items()) if one >= revision) for seen in watched]
        return max(seen) - min(answered_at, *seen), moved

    def _revision(self) -> int:
        """Return the newest revision; nobody moves anything but us."""
        return int(json.loads(self.servers[0].call("GET", "/environments/production/convergence")[2])["revision"])

    def agreement(self) -> str:
        """Put another version live; tell what we saw and, once all have reported, what the convergence page says."""
        body = {"prompt_name": "bench", "environment": "production", "version": 1 + self.moves % 2}
        lag_s, moved = self._last(lambda writer: writer.call("POST", "/deployments", body))
        found: dict[str, object] = {}

        def is_complete() -> bool:
            found.update(json.loads(self.servers[0].call("GET", f"/deployments/{moved['id']}/convergence")[2]))
            time.sleep(0.1)
            return found["processes"] == found["current"] == len(self.watched())

        until(is_complete, f"all {len(self.watched())} have reported", REPORTED_WITHIN_S, found)
        return f"{found['current']} of {found['processes']} after {found['last_s']:.2f} s; we saw {lag_s:.2f} s"


def tell(what: str, lags_s: list[float]) -> None:
    lags = sorted(lag * 1000 for lag in lags_s)
    p50, p99 = lags[len(lags) // 2], lags[max(0, math.ceil(0.99 * len(lags)) - 1)]
    print(
        f"{what:28}{len(lags):>6} trials   p50 {p50:>6.0f} ms   p99 {p99:>6.0f} ms   most {lags[-1]:>6.0f} ms",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--processes", type=int, default=4, help="web processes")
    parser.add_argument("--workers", type=int, default=2, help="Celery workers beside them")
    parser.add_argument("--clients", type=int, default=50, help="processes that follow with the SDK")
    parser.add_argument("--every", type=float, default=0.01, help="seconds between two looks at a web process")
    parser.add_argument("--push-only", action="store_true", help="leave out what happens without push")
    options = parser.parse_args()
    database = os.environ.get("DATABASE_URL", "")
    print(
        f"{'PostgreSQL' if database.startswith('postgres') else 'SQLite'}, {options.processes} web processes,"
        f" {options.workers} workers, {options.clients} applications with the SDK"
    )
    with promptlab(database) as first:
        first.call("POST", "/prompts/bench/versions", {"content": "Another {{email}}."})
        first.call("POST", "/deployments", {"prompt_name": "bench", "environment": "production", "version": 2})
        run(first, {}, options, stops=not options.push_only)
        if not options.push_only:
            run(first, {"REVISION_PUSH": "0"}, options)


def run(first: Server, more: dict[str, str], options: argparse.Namespace, *, stops: bool = False) -> None:
    """Measure processes with this environment: as they are, and while Redis is stopped."""
    with ExitStack() as stack:
        env = {**first.env, **more, "WEB_PROCESSES": str(options.processes)}
        servers = [
            stack.enter_context(serving("promptlab.asgi:application", "/readyz", env)) for _ in range(options.processes)
        ]
        for server in servers:
            server.key = first.key
        stack.enter_context(workers(env, options.workers))
        followers = stack.enter_context(following(servers, options.clients)) if options.clients else None
        scene = Scene(servers, [Reader(server, options.every) for server in servers], followers)
        for reader in scene.readers:
            reader.start()
        for _ in range(4):
            scene.deploy()
        what = "push lost" if more else "push"
        tell(what, [scene.deploy() for _ in range(options.trials)])
        tell(f"{what}, kill switch", [scene.kill() for _ in range(options.trials)])
        print("convergence page:", *(scene.agreement() for _ in range(3)), sep="\n  ", flush=True)
        if stops:
            address = unquote(env["REDIS_URL"].removeprefix("unix://"))
            process_id = redis.Redis(unix_socket_path=str(Path(address))).info("server")["process_id"]
            os.kill(process_id, signal.SIGSTOP)
            try:
                lags = [scene.deploy() for _ in range(options.trials)]
            finally:
                os.kill(process_id, signal.SIGCONT)
            tell("Redis stopped", lags)
        for reader in scene.readers:
            reader.is_over = True
            reader.join()


if __name__ == "__main__":
    main()
