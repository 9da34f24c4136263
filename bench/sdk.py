#!/usr/bin/env python
"""Measure the SDK: `python bench/sdk.py` (what a get costs), `python bench/sdk.py --outage` (a million gets, server killed).

The limit is a dictionary look-up and the join of a text that was split beforehand, in the same run and in turns with ours.
With the package `langfuse` installed its cached get and compile are measured beside it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import timeit
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

from servers import ROOT, Server, promptlab

sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "sdk"))

from promptlab_sdk import Prompts
from promptlab_sdk.bootstrap import signature
from promptlab_sdk.core import Core
from promptlab_sdk.kernel.assignment import ranges
from promptlab_sdk.kernel.spec import Content, Delivery, ExperimentSpec, PromptSpec, VariantSpec
from promptlab_sdk.memory import Loaded
from promptlab_sdk.source import FakeSource, Key, loaded

TEXT = (
    "You answer letters for {{company}}. Write in {{language}}, in at most {{max_words}} words.\n\n"
    "What we know:\n{{context}}\n\n" + "Say only what is written above, and say so when it is not there. " * 27
) + "\n\n{{customer_name}} asks: {{question}}\n"
VALUES = {
    "company": "Acme",
    "language": "English",
    "max_words": "120",
    "context": "Order 42 ships on 3 May.",
    "customer_name": "Alex",
    "question": "Where is my order?",
}
GOAL_US, EXPERIMENT_GOAL_US = 2.0, 8.0
GETS, THREADS = 1_000_000, 8
POLL_S = 2.0


class Constant(FakeSource):
    """One delivery, whatever is asked for."""

    def __init__(self, delivery: Delivery) -> None:
        super().__init__({})
        self._delivery = delivery

    def load(self, key: Key, etag: str) -> Loaded[Delivery]:
        return loaded(self._delivery)


def client(*, with_experiment: bool = False) -> Prompts:
    """Return a client with the text in memory, and an experiment of two variants on it if wanted."""
    specs = [PromptSpec("bench", number, "", Content(text=TEXT), "") for number in (1, 2)]
    split = zip(("control", "short"), ranges((5000, 5000)), specs, strict=True)
    variants = tuple(VariantSpec(key, key == "control", (own,), spec) for key, own, spec in split)
    experiment = ExperimentSpec(1, "tone", 1, "0123456789abcdef", "running", variants) if with_experiment else None
    prompts = Prompts(Core(Constant(Delivery(specs[0], "production", 1, experiment)), ttl=3600))
    prompts.prefetch("bench")
    return prompts


def limit() -> Callable[[], str]:
    """Return the least that has to be done: look a text up, and join its parts with the values."""
    parts = re.split(r"\{\{(\w+)\}\}", TEXT)
    known = {("bench", "production"): (parts[0::2], parts[1::2])}

    def call(values: Mapping[str, str] = VALUES) -> str:
        literals, names = known[("bench", "production")]
        out = [literals[0]]
        for name, literal in zip(names, literals[1:], strict=False):
            out.append(values[name])
            out.append(literal)
        return "".join(out)

    return call


def calls() -> dict[str, Callable[[], str]]:
    """Return what is measured; all of it gives the same text."""
    plain, split = client(), client(with_experiment=True)
    units = itertools.count()

    def ours() -> str:
        return plain.get(
            "bench",
            company="Acme",
            language="English",
            max_words="120",
            context="Order 42 ships on 3 May.",
            customer_name="Alex",
            question="Where is my order?",
        )

    found: dict[str, Callable[[], str]] = {
        "limit: look-up and join": limit(),
        "get": ours,
        "get, values in a dictionary (**)": lambda: plain.get("bench", **VALUES),
        "get with a unit, no experiment": lambda: plain.get("bench", unit_id="user-1", **VALUES),
        "get with an experiment": lambda: split.get("bench", unit_id="user-1", **VALUES),
        "get with an experiment, every unit new": lambda: split.get("bench", unit_id=f"user-{next(units)}", **VALUES),
    }
    if (theirs := langfuse()) is not None:
        found["langfuse: get and compile"] = theirs
    assert len({call() for call in found.values()}) == 1
    return found


def langfuse() -> Callable[[], str] | None:
    """Return the same with Langfuse's SDK, against a server of its own kind in this process; None without the package."""
    try:
        from langfuse import Langfuse  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return None
    body = {"name": "bench", "version": 1, "type": "text", "prompt": TEXT, "config": {}, "labels": ["production"]}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = json.dumps({**body, "tags": []}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    theirs = Langfuse(public_key="pk-1", secret_key="sk-1", base_url=url, tracing_enabled=False)
    return lambda: str(theirs.get_prompt("bench", cache_ttl_seconds=3600).compile(**VALUES))


def speed(rounds: int) -> bool:
    """Print CPU nanoseconds per call, all calls in turns; tell whether the goals are met."""
    print(f"a text of {len(TEXT)} characters with {len(VALUES)} variables; CPU time, {rounds} rounds in turns")
    measured = calls()
    times: dict[str, list[float]] = {name: [] for name in measured}
    for _, (name, call) in itertools.product(range(rounds), measured.items()):
        times[name].append(timeit.timeit(call, timer=time.process_time, number=4_000) / 4_000 * 1e6)
    base = next(iter(times))
    print(f"{'':42}{'median us':>10}{'least us':>10}{'over the limit, median':>24}{'least':>8}")
    over: dict[str, float] = {}
    for name, found in times.items():
        # Each round against the limit of the same round: whatever else the machine does meets both.
        over[name] = statistics.median(one - other for one, other in zip(found, times[base], strict=True))
        least = min(found) - min(times[base])
        print(f"{name:42}{statistics.median(found):>10.2f}{min(found):>10.2f}{over[name]:>24.2f}{least:>8.2f}")
    met = over["get"] <= GOAL_US and over["get with an experiment"] <= EXPERIMENT_GOAL_US
    print(f"goals (at most {GOAL_US} and {EXPERIMENT_GOAL_US} us over the limit): {'met' if met else 'MISSED'}")
    return met


def outage() -> bool:
    """Kill a real server under a million gets; start fresh processes from disk and from a lock file, then the server.

    Tell if all held.
    """
    with promptlab() as server, tempfile.TemporaryDirectory(prefix="promptlab-bench-") as name:
        folder = Path(name)
        _write_lock(server, folder / "prompts.lock")
        server.call("POST", "/prompts/bench/versions", {"content": "Changed {{email}}."})
        url = f"http://127.0.0.1:{server.port}"
        prompts = Prompts.connect(url, api_key=server.key, ttl=0.5, timeout=2, cache_dir=folder / "here")
        expected = str(prompts.get("bench", email="Hi"))
        following = [_follower(url, server, "poll"), _follower(url, server, "stream")]
        print("a fresh process, server running:", _fresh(url, server, folder, "here"))
        failed = _hammer(prompts, expected, server.process.kill)
        print(f"{GETS:,} gets in {THREADS} threads, the server killed after a tenth of them: {failed} wrong or raised")
        print("status:", prompts.status().last_error)
        from_disk, from_lock = (_fresh(url, server, folder, where) for where in ("here", "elsewhere"))
        print(f"a fresh process, server dead: {from_disk}; on another machine, from the lock file: {from_lock}")
        with _restarted(server):
            late_s = _caught_up_s(server, following)
        print(
            f"server back, another version live: who follows is current after {late_s:.2f} s, polling every {POLL_S:.0f} s"
        )
        for client in (prompts, *following):
            client.close()
        left = [thread.name for thread in threading.enumerate() if thread.name.startswith("promptlab-")]
        print(f"threads left after close: {left}")
        sources = (from_disk, from_lock)
        return not failed and not left and sources == ("disk", "bootstrap") and late_s <= POLL_S + 0.2


def _follower(url: str, server: Server, mode: Literal["poll", "stream"]) -> Prompts:
    """Return a client that follows, with the prompt in memory."""
    found = Prompts.connect(
        url, api_key=server.key, refresh=mode, poll_interval=POLL_S, timeout=2, cache_dir=False, env="production"
    )
    found.get("bench", email="Hi")
    return found


@contextmanager
def _restarted(server: Server) -> Iterator[None]:
    """Run the server again, on the same port and data, and go on when it answers."""
    again = subprocess.Popen(server.process.args, cwd=ROOT, env=server.env, stderr=subprocess.DEVNULL)
    try:
        while not _answers(server):
            time.sleep(0.05)
        yield
    finally:
        again.terminate()
        again.wait(timeout=20)


def _answers(server: Server) -> bool:
    try:
        return server.call("GET", "/readyz")[0] == 200
    except OSError:
        return False


def _caught_up_s(server: Server, clients: Sequence[Prompts]) -> float:
    """Put another version live; return how many seconds later the last client serves it, infinity if one does not."""
    server.call("POST", "/deployments", {"prompt_name": "bench", "environment": "production", "version": 2})
    moved_at = time.monotonic()
    while any(client.get("bench", email="Hi") != "Changed Hi." for client in clients):
        if time.monotonic() - moved_at > 60:
            return math.inf
        time.sleep(0.01)
    return time.monotonic() - moved_at


def _write_lock(server: Server, path: Path) -> None:
    _, _, body = server.call("GET", "/api/v1/prompts/bench/deployed?environment=production")
    delivery = json.loads(body)
    payload = {"environment": "production", "revision": delivery["revision"], "prompts": [delivery]}
    made_at = datetime.now(UTC).isoformat()
    lock = {
        "payload": payload,
        "created_at": made_at,
        "signature": signature(payload, made_at, "s3cret"),
        "key_id": "1",
    }
    path.write_text(json.dumps(lock))


def _hammer(prompts: Prompts, expected: str, kill: Callable[[], object]) -> int:
    """Return how many of a million gets raised or gave another text."""
    wrong = 0
    ready = threading.Barrier(THREADS + 1)

    def ask() -> None:
        nonlocal wrong
        for number in range(GETS // THREADS):
            if number == GETS // THREADS // 10:
                ready.wait()
            try:
                wrong += prompts.get("bench", email="Hi") != expected
            except Exception as error:  # noqa: BLE001  (that is what is counted)
                wrong += 1
                print(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    ready.wait()
    kill()
    for thread in threads:
        thread.join()
    return wrong


def _fresh(url: str, server: Server, folder: Path, where: str) -> str:
    """Return where a new process got the prompt from."""
    code = """
import sys
from promptlab_sdk import Prompts
url, key, folder, lock = sys.argv[1:]
with Prompts.connect(url, api_key=key, cache_dir=folder, timeout=2, bootstrap=lock, bootstrap_key="s3cret") as prompts:
    print(prompts.get("bench", email="Hi").source)
"""
    words = [sys.executable, "-c", code, url, server.key, str(folder / where), str(folder / "prompts.lock")]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "sdk")}
    return subprocess.run(words, env=env, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--outage", action="store_true", help="the outage instead of the speed")
    options = parser.parse_args()
    sys.exit(0 if (outage() if options.outage else speed(options.rounds)) else 1)


if __name__ == "__main__":
    main()
