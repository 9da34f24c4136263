#!/usr/bin/env python
"""Measure PromptLab's hot routes against a bare server, and a FastAPI one, in the same run: `make bench`, or with `--help`.

Absolute figures change from machine to machine and from minute to minute; the ratios hold.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from servers import ROOT, Server, manage, promptlab, serving

sys.path.insert(0, str(ROOT))

from load import Burst, NextRequest, burst

PEER_PYTHON = ROOT / "bench" / ".venv" / "bin" / "python"
WARMERS = 8
PATH = "/api/v1/prompts/bench-{}/deployed?environment=production"


@dataclass(frozen=True, slots=True)
class Reads:
    """GETs of these paths, one at random each time, with these headers."""

    paths: Sequence[str]
    headers: dict[str, str]

    def __call__(self) -> bytes:
        return request("GET", random.choice(self.paths), self.headers)


@dataclass(frozen=True, slots=True)
class Measure:
    """The median of several bursts."""

    per_second: float
    cpu_us: float
    p50_ms: float
    p99_ms: float


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """Return one HTTP request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def rating(server: Server) -> NextRequest:
    """Ratings of one answer by ever new people, each with a key of its own: nothing is a repetition."""
    _, _, stream = server.call("POST", "/chat", {"message": "Hello", "prompt": "bench", "variables": {"email": "Hi"}})
    events = [
        json.loads(line.removeprefix("data: ")) for line in stream.decode().split("\n\n") if line.startswith("data: ")
    ]
    message_id, numbers = events[-1]["message_id"], itertools.count()

    def next_rating() -> bytes:
        number = next(numbers)
        body = {"message_id": message_id, "rating": 1, "user": f"user-{number}", "id": f"bench-{number}"}
        return request("POST", "/api/v1/feedback", {"X-API-Key": server.key}, json.dumps(body).encode())

    return next_rating


def one_burst(server: Server, what: NextRequest, connections: int, seconds: float, status: int) -> Measure:
    """Call the server for so many seconds. Ends the run when anything is answered that is not `status`."""
    before = server.cpu_s()
    if isinstance(what, Reads) and shutil.which("wrk"):
        found = _wrk(server, what, connections, seconds)
    else:
        found = burst(server.port, what, connections=connections, seconds=seconds)
    wrong = {seen for seen in found.answers if seen != status}
    if wrong:
        sys.exit(f"Expected {status}, got also {sorted(wrong)}.")
    cpu_us = (server.cpu_s() - before) / found.answers.total() * 1e6
    return Measure(found.per_second, cpu_us, found.wait_ms(0.5), found.wait_ms(0.99))


class _WrkBurst(Burst):
    """What wrk told of a burst."""

    def wait_ms(self, share: float) -> float:
        return self.waits[0 if share == 0.5 else 1]


def _wrk(server: Server, what: Reads, connections: int, seconds: float) -> Burst:
    """The same by wrk, which leaves more of the machine to the server."""
    with tempfile.TemporaryDirectory(prefix="promptlab-wrk-") as name:
        paths, headers = Path(name, "paths"), Path(name, "headers")
        paths.write_text("\n".join(what.paths) + "\n")
        headers.write_text("".join(f"{key}: {value}\n" for key, value in what.headers.items()))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency"]
        command += ["-s", str(ROOT / "bench" / "wrk.lua"), f"http://127.0.0.1:{server.port}"]
        env = {**os.environ, "BENCH_PATHS": str(paths), "BENCH_HEADERS": str(headers)}
        printed = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout
    told = json.loads(next(line for line in printed.splitlines() if line.startswith("{")))
    status = 304 if "If-None-Match" in what.headers else 200
    answers = Counter({status: told["requests"]})
    if told["failed"]:
        answers[599] = told["failed"]
    return _WrkBurst(told["seconds"], answers, [told["p50_ms"], told["p99_ms"]])


def compare(
    servers: Sequence[tuple[Server, NextRequest, int]], rounds: int, connections: int, seconds: float
) -> list[Measure]:
    """Measure all in turns, so that whatever else the machine does meets all alike; medians count."""
    for server, what, status in servers:
        one_burst(server, what, 4, 1, status)
    turns = [
        [one_burst(server, what, connections, seconds, status) for server, what, status in servers]
        for _ in range(rounds)
    ]
    return [_median(found) for found in zip(*turns, strict=True)]


def _median(found: Sequence[Measure]) -> Measure:
    fields = ("per_second", "cpu_us", "p50_ms", "p99_ms")
    return Measure(*(statistics.median(getattr(one, name) for one in found) for name in fields))


@contextmanager
def peer(options: argparse.Namespace, key: str, prompts: int) -> Iterator[Server | None]:
    """Run the FastAPI service, if FastAPI is there."""
    python = options.peer_python
    if not Path(python).exists():
        yield None
        return
    env = {**os.environ, "PYTHONPATH": str(ROOT / "bench"), "BENCH_KEY": key, "BENCH_PROMPTS": str(prompts)}
    with serving("peer:application", PATH.format(0), env, python=python) as server:
        yield server


def warm(ours: Server, size: int) -> None:
    """Fetch all at once, then each prompt, as a server that has run for a while has been asked: no first load counts."""
    connection = http.client.HTTPConnection("127.0.0.1", ours.port, timeout=300)
    connection.request("GET", "/bundle?environment=production", headers={"X-API-Key": ours.key})
    answer = connection.getresponse()
    assert answer.status == 200, answer.status
    while answer.read(1 << 20):
        pass

    def fetch(numbers: range) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", ours.port, timeout=60)
        for number in numbers:
            status = 404
            while status == 404:  # until this process has heard of it
                connection.request("GET", PATH.format(number), headers={"X-API-Key": ours.key})
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            assert status == 200, status

    with ThreadPoolExecutor(WARMERS) as pool:
        list(pool.map(fetch, [range(start, size, WARMERS) for start in range(WARMERS)]))


def reads(options: argparse.Namespace, ours: Server, limit: Server) -> None:
    """Fetches of deployed prompts, out of ever more of them."""
    first = 0.0
    for size in options.prompts:
        print(f"{size:,} prompts live", flush=True)
        manage(ours.env, "shell", "--verbosity", "0", "-c", f"import catalogue; catalogue.fill({size})")
        warm(ours, size)
        what = Reads([PATH.format(number) for number in range(size)], {"X-API-Key": ours.key})
        with peer(options, ours.key, size) as other:
            servers = [(limit, what, 200), (ours, what, 200), *([(other, what, 200)] if other else [])]
            found = compare(servers, options.rounds, options.connections, options.seconds)
        first = first or found[1].cpu_us / found[0].cpu_us
        _print("limit: constant bytes", found[0], None)
        _print("deployed prompt, 200", found[1], found[0])
        if other:
            _print("FastAPI + dictionary", found[2], found[0])
            cpu, rate = found[2].cpu_us / found[1].cpu_us, found[1].per_second / found[2].per_second
            print(f"  ours is {cpu:.1f} times as good by CPU, {rate:.1f} by rate")
        share = found[1].cpu_us / found[0].cpu_us / first
        print(f"  CPU over the limit's, against {options.prompts[0]} prompts: {share:.2f}", flush=True)
    _known_and_alone(options, ours, limit)


def _known_and_alone(options: argparse.Namespace, ours: Server, limit: Server) -> None:
    """What the caller has already; and one caller alone."""
    _, headers, _ = ours.call("GET", PATH.format(0))
    key = {"X-API-Key": ours.key}
    whole = Reads([PATH.format(0)], key)
    known = Reads([PATH.format(0)], {**key, "If-None-Match": str(headers["ETag"])})
    pair = compare([(limit, whole, 200), (ours, known, 304)], options.rounds, options.connections, options.seconds)
    _print("limit", pair[0], None)
    _print("deployed prompt, 304", pair[1], pair[0])
    print("One connection")
    alone = compare([(limit, whole, 200), (ours, whole, 200)], options.rounds, 1, options.seconds)
    _print("limit", alone[0], None)
    _print("deployed prompt, 200", alone[1], alone[0])
    print(f"  p99 {alone[1].p99_ms / alone[0].p99_ms:.1f} times the limit's")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one burst")
    parser.add_argument("--rounds", type=int, default=3, help="bursts per route and server; medians count")
    parser.add_argument("--prompts", type=lambda text: [int(word) for word in text.split(",")], default=[10, 1000])
    parser.add_argument("--database", default="", help="an empty PostgreSQL's address; else SQLite")
    parser.add_argument("--peer-python", default=str(PEER_PYTHON), help="a Python that has FastAPI and uvicorn")
    parser.add_argument("--ratings", action="store_true", help="ratings too: acknowledged once they are committed")
    options = parser.parse_args()
    if not Path(options.peer_python).exists():
        print("FastAPI is not installed (bench/README.md says how), so it is left out.")
    client = "wrk" if shutil.which("wrk") else "bench/load.py"
    print(
        f"{'PostgreSQL' if options.database else 'SQLite'}, one process, {options.connections} connections by {client}"
    )
    print(f"{'':26}{'per second':>12}{'CPU us':>9}{'p50 ms':>9}{'p99 ms':>9}   share of the limit: by CPU, by rate")
    plain = {**os.environ, "PYTHONPATH": str(ROOT / "bench")}
    with promptlab(options.database) as ours, serving("limit:application", "/", plain) as limit:
        reads(options, ours, limit)
        if options.ratings:
            what = rating(ours)
            pair = compare(
                [(limit, what, 200), (ours, what, 202)], options.rounds, options.connections, options.seconds
            )
            _print("limit", pair[0], None)
            _print("rating, committed", pair[1], pair[0])


def _print(name: str, found: Measure, limit: Measure | None) -> None:
    times = f"{found.p50_ms:>9.2f}{found.p99_ms:>9.2f}"
    shares = f"{limit.cpu_us / found.cpu_us:>28.2f}{found.per_second / limit.per_second:>9.2f}" if limit else ""
    print(f"{name:26}{found.per_second:>12,.0f}{found.cpu_us:>9.0f}{times}{shares}", flush=True)


if __name__ == "__main__":
    main()
