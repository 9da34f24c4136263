#!/usr/bin/env python
"""How long after a commit the last of several web processes serves what was put live. See bench/README.md.

`tests/stores.py -- .venv/bin/python bench/freshness.py` measures on PostgreSQL; without it, on SQLite.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import signal
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import unquote

from servers import ROOT, Server, promptlab, serving

sys.path.insert(0, str(ROOT))

import redis

PATH = "/prompts/bench/deployed?environment=production"


class Reader(threading.Thread):
    """Asks one process again and again, and notes when it first saw each revision."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.seen: dict[int, float] = {}
        self.is_over = False

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        while not self.is_over:
            connection.request("GET", PATH, headers={"X-API-Key": self.server.key})
            revision = json.loads(connection.getresponse().read())["revision"]
            self.seen.setdefault(revision, time.monotonic())
            time.sleep(0.002)


def trial(servers: list[Server], readers: list[Reader], number: int) -> float:
    """Put another version live through one of the processes, and return the seconds until the last one serves it.

    Counted from the commit at the latest: the answer to the call, or the first process that serves it, if that is sooner.
    """
    writer, version = servers[number % len(servers)], 1 + number % 2
    body = {"prompt_name": "bench", "environment": "production", "version": version}
    status, _, answer = writer.call("POST", "/deployments", body)
    answered_at = time.monotonic()
    assert status == 201, answer
    revision = json.loads(answer)["revision"]
    while not all(revision in reader.seen for reader in readers):
        time.sleep(0.001)
    seen = [reader.seen[revision] for reader in readers]
    return max(seen) - min(answered_at, *seen)


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
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--push-only", action="store_true", help="leave out what happens without push")
    options = parser.parse_args()
    database = os.environ.get("DATABASE_URL", "")
    print(f"{'PostgreSQL' if database.startswith('postgres') else 'SQLite'}, {options.processes} web processes")
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
        readers = [Reader(server) for server in servers]
        for reader in readers:
            reader.start()
        for number in range(4):
            trial(servers, readers, number)
        tell("push lost" if more else "push", [trial(servers, readers, number) for number in range(options.trials)])
        if stops:
            address = unquote(env["REDIS_URL"].removeprefix("unix://"))
            process_id = redis.Redis(unix_socket_path=str(Path(address))).info("server")["process_id"]
            os.kill(process_id, signal.SIGSTOP)
            try:
                lags = [trial(servers, readers, number) for number in range(options.trials)]
            finally:
                os.kill(process_id, signal.SIGCONT)
            tell("Redis stopped", lags)
        for reader in readers:
            reader.is_over = True
            reader.join()


if __name__ == "__main__":
    main()
