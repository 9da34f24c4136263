#!/usr/bin/env python
"""Gradual launches end to end: a bad version is sent back by itself, a good one reaches everybody, in real processes.

`tests/stores.py -- .venv/bin/python bench/rollout.py` runs on PostgreSQL; without it, on SQLite. Web processes, workers
with the clock, a Valkey; an application that takes the payload, assigns its users and reports what they say. Only the
time that steps take is shortened, by the setting RAMP_TIME_FACTOR. See bench/README.md.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from freshness import until, workers
from servers import ROOT, Server, promptlab, serving

sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "sdk"))

from promptlab_sdk.kernel.assignment import assign
from promptlab_sdk.kernel.spec import Delivery

from experiments.services.guardrails import APPROVAL, Metric, decide
from experiments.stats.moments import independent

PATH = "/prompts/bench/deployed?environment=production"
WITHIN_S = 5.0
PATIENCE_S = 600.0
Json = dict[str, Any]


@dataclass(slots=True)
class Caller:
    """One connection to a web process, kept open."""

    server: Server
    connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)

    def call(self, method: str, path: str, body: object = None) -> Any:
        headers = {"X-API-Key": self.server.key, "Content-Type": "application/json"}
        self.connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.connection.getresponse()
        said = json.loads(answer.read())
        assert answer.status < 300, said
        return said


class Watcher(threading.Thread):
    """Asks one web process again and again what it serves, and notes when no experiment was on it any more."""

    def __init__(self, server: Server, live: int) -> None:
        super().__init__(daemon=True)
        self.caller = Caller(server)
        self.live = live
        self.back_at: float | None = None

    def run(self) -> None:
        while self.back_at is None:
            said = self.caller.call("GET", PATH)
            if said["experiment"] is None and said["version"] == self.live:
                self.back_at = time.monotonic()
            time.sleep(0.02)


@dataclass(slots=True)
class Application:
    """Serves its users what the payload says, and reports each use and each rating. Approval by version."""

    servers: list[Server]
    approval: dict[int, float]
    chance: random.Random
    numbers: count[int] = field(default_factory=count)
    said: list[tuple[float, bool, bool]] = field(default_factory=list)
    """Each rating in the order of the commits: when it was acknowledged, of the new version or not, up or not."""

    def serve(self, users: int) -> bool:
        """Serve so many users of the launch, on one web process after the other; False when there is none any more."""
        caller = Caller(self.servers[next(self.numbers) % len(self.servers)])
        delivery = Delivery.from_dict(caller.call("GET", PATH))
        if delivery.experiment is None:
            return False
        shown = []
        while len(shown) < users:
            user = f"user-{next(self.numbers)}"
            found = assign(delivery.experiment, user)
            if found.assigned:
                shown.append((user, found.variant))
        reports = [
            {
                "receipt": variant.prompt.receipt,
                "unit_id": user,
                "latency_ms": int(self.chance.lognormvariate(6.5, 0.4)),
            }
            for user, variant in shown
        ]
        caller.call("POST", "/exposures", reports)
        for user, variant in shown:
            up = self.chance.random() < self.approval[variant.prompt.version]
            body = {"receipt": variant.prompt.receipt, "user": user, "rating": 1 if up else -1}
            caller.call("POST", "/feedback", body)
            self.said.append((time.monotonic(), not variant.is_control, up))
        return True

    def decided_at(self) -> tuple[int, float]:
        """Return after how many ratings harm was proven first, and when the last of them was acknowledged."""
        sums = {False: [0, 0], True: [0, 0]}
        for number, (at, is_new, up) in enumerate(self.said, start=1):
            sums[is_new][0] += 1
            sums[is_new][1] += up
            arms = {name: {Metric.APPROVAL: independent(*sums[name])} for name in sums}
            if (
                min(one[0] for one in sums.values())
                and decide(arms[False], {"new": arms[True]}, (APPROVAL,)).is_harmful
            ):
                return number, at
        sys.exit("Harm was never proven by the ratings that were acknowledged.")


def launch(caller: Caller, version: int) -> int:
    body = {"prompt_name": "bench", "environment": "production", "version": version, "ramp": True}
    return int(caller.call("POST", "/deployments", body)["id"])


def story(ramp: Json) -> list[str]:
    """Return the record's decisions, a line each."""
    return [
        f"  {one['kind']:12} {one['share_bp'] / 100:>5g} %   {one['rule']:18} revision {one['revision']}"
        for one in ramp["decisions"]
    ]


def bad(servers: list[Server], rate: float) -> None:
    """A version that fails 20 points more: sent back, everywhere, soon after the rating that decided."""
    caller = Caller(servers[0])
    ramp_id = launch(caller, 2)
    application = Application(servers, {1: 0.8, 2: 0.6}, random.Random(1))
    watchers = [Watcher(server, 1) for server in servers]
    until(lambda: caller.call("GET", PATH)["experiment"] is not None, "the launch is served")
    time.sleep(1.0)  # everywhere
    for watcher in watchers:
        watcher.start()
    while application.serve(10):
        time.sleep(10 / rate)
    until(lambda: all(one.back_at for one in watchers), "every process is back")
    ratings, at = application.decided_at()
    back_s = max(one.back_at or 0.0 for one in watchers) - at
    ramp = Caller(servers[0]).call("GET", f"/ramps/{ramp_id}")
    last = ramp["decisions"][-1]
    guard = next(one for one in last["numbers"]["guard"] if one["metric"] == "approval")
    print(f"20 points worse: {ramp['state']} by {last['rule']}", *story(ramp), sep="\n")
    print(
        f"  the record: {guard['control_events']} and {guard['treatment_events']} ratings,"
        f" change {100 * guard['change']:.1f} points, at most {100 * guard['upper']:.1f}"
    )
    print(
        f"  decided by rating {ratings}; {len(servers)} processes back {back_s:.2f} s after it was acknowledged",
        flush=True,
    )
    assert (ramp["state"], last["rule"]) == ("rolled_back", "guard_approval")
    assert back_s <= WITHIN_S, f"Slower than {WITHIN_S} s."


def good(servers: list[Server], rate: float) -> None:
    """A version as good as the live one: everybody's in the end, and nobody touched anything."""
    began = time.monotonic()
    ramp_id = launch(Caller(servers[0]), 3)
    application = Application(servers, {1: 0.8, 3: 0.8}, random.Random(2))
    until(lambda: Caller(servers[0]).call("GET", PATH)["experiment"] is not None, "the launch is served")
    ramp: Json = {"state": "running"}
    while ramp["state"] == "running" and time.monotonic() < began + PATIENCE_S:
        application.serve(20)
        time.sleep(20 / rate)
        ramp = Caller(servers[0]).call("GET", f"/ramps/{ramp_id}")
    print(f"as good: {ramp['state']} after {time.monotonic() - began:.0f} s, {len(application.said)} ratings")
    print(*story(ramp), sep="\n", flush=True)
    assert ramp["state"] == "completed", ramp["decisions"][-1]["numbers"].get("gate")
    assert {one["actor"] for one in ramp["decisions"][1:]} == {"PromptLab"}, "Somebody touched it."
    until(lambda: all(Caller(one).call("GET", PATH)["version"] == 3 for one in servers), "it is everywhere")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2, help="web processes")
    parser.add_argument("--workers", type=int, default=2, help="Celery workers beside them")
    parser.add_argument("--factor", type=float, default=1500.0, help="RAMP_TIME_FACTOR")
    parser.add_argument("--rate", type=float, default=200.0, help="ratings a second at most")
    parser.add_argument("--only", choices=("bad", "good"), help="one of the two")
    options = parser.parse_args()
    database = os.environ.get("DATABASE_URL", "")
    name = "PostgreSQL" if database.startswith("postgres") else "SQLite"
    print(f"{name}, {options.processes} web processes, {options.workers} workers, time x {options.factor:g}")
    with promptlab(database) as first, ExitStack() as stack:
        for content in ("Worse {{email}}.", "As good {{email}}."):
            first.call("POST", "/prompts/bench/versions", {"content": content})
        env = {**first.env, "RAMP_TIME_FACTOR": str(options.factor)}
        servers = [
            stack.enter_context(serving("promptlab.asgi:application", "/readyz", env)) for _ in range(options.processes)
        ]
        for server in servers:
            server.key = first.key
        stack.enter_context(workers(env, options.workers))
        if options.only != "good":
            bad(servers, options.rate)
        if options.only != "bad":
            good(servers, options.rate)


if __name__ == "__main__":
    main()
