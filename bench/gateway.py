"""What PromptLab adds between a caller and a model, durable rows included; and how it ends what goes wrong.

    .venv/bin/python bench/gateway.py                       # first token, answers a second, many streams
    .venv/bin/python bench/gateway.py --litellm /path/to/litellm  # and LiteLLM's proxy, in the same run
    .venv/bin/python bench/gateway.py --drill --calls 2000  # every way a model server fails; callers who hang up
    .venv/bin/python tests/stores.py -- .venv/bin/python bench/gateway.py --database DATABASE_URL

The model server is `upstream.py`, in a process of its own. The same client asks it directly and through `POST /chat`.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "sdk")]

from asking import Heard, Target, ask, ends, quantile, together, waits  # noqa: E402
from servers import Server, free_port, manage, promptlab, wait_for  # noqa: E402

TOKEN = "bench-metrics"
TOKENS, SECONDS = 20, 4.0
"""Of each of many streams at once."""
MODES = ("429", "500", "refuse", "stall", "hang", "drop", "trickle", "garbage", "long")
LIMITS = {"LLM_FIRST_TOKEN_TIMEOUT_S": "3", "LLM_IDLE_TIMEOUT_S": "2", "LLM_DEADLINE_S": "6"}
"""Of the drill: a model server that says nothing is given up soon."""
ENDED = """
from django.db.models import Count
from promptlab.chat.models import Message
rows = Message.objects.filter(role="assistant").values_list("state").annotate(number=Count("id"))
print(dict(rows.order_by("state")))
"""
UNTOLD = """
import json, os
from uuid import UUID
from promptlab.chat.models import Message
heard = json.loads(os.environ["BENCH_HEARD"])
stored = dict(Message.objects.filter(uid__in=heard).values_list("uid", "content"))
print(sum(not stored.get(UUID(uid), "").startswith(text) for uid, text in heard.items()))
"""
UNPRICED = """
from promptlab.chat.models import Message
print(Message.objects.filter(role="assistant").exclude(content="").filter(input_tokens=None).count())
"""


def rss_kib(server: Server) -> int:
    """Return the memory the server holds (Linux)."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process and its children have used so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + sum(cpu_s(int(one)) for one in children)


@dataclass(slots=True)
class Figures:
    """What was measured of one way to a model. Waits in ms, beside those of the model server itself."""

    alone_p50: float
    alone_p99: float
    together_p50: float
    together_p99: float
    answers_per_s: float
    answer_cpu_ms: float
    ended: str
    is_whole: bool
    streams_p99_s: float
    kib: float
    cpu_s: float


async def added(direct: Target, through: Target, at_once: int, rounds: int) -> tuple[float, float]:
    """Return how much later the first token comes with so many streams started at once: p50 and p99, in ms."""
    near, far = [], []
    for _ in range(rounds):
        near += waits(await together(direct, "ok:5:1", at_once, at_once))
        far += waits(await together(through, "ok:5:1", at_once, at_once))
    return quantile(far, 0.5) - quantile(near, 0.5), quantile(far, 0.99) - quantile(near, 0.99)


async def measured(server: Server, direct: Target, through: Target, options: argparse.Namespace) -> Figures:
    """Return what there is to measure of a server between the caller and the model."""
    await together(through, "ok:1:0", 20, 4)
    alone = await added(direct, through, 1, options.rounds * 20)
    at_once = await added(direct, through, 50, options.rounds)
    before, started = cpu_s(server.process.pid), time.perf_counter()
    await together(through, "ok:1:0", options.answers, 32)
    took_s, answer_cpu_s = time.perf_counter() - started, cpu_s(server.process.pid) - before
    heard, kib, streams_cpu_s = await many(server, through, options)
    first = [one.first_s for one in heard if one.first_s is not None]
    return Figures(
        *alone,
        *at_once,
        answers_per_s=options.answers / took_s,
        answer_cpu_ms=answer_cpu_s / options.answers * 1000,
        ended=ends(heard),
        is_whole=all(one.end == "whole" for one in heard),
        streams_p99_s=quantile(first, 0.99),
        kib=kib,
        cpu_s=streams_cpu_s / (options.streams * TOKENS) * 1000,
    )


async def many(server: Server, through: Target, options: argparse.Namespace) -> tuple[list[Heard], float, float]:
    """Return how so many streams at once ended, what memory one of them took (KiB), and the CPU time of all (s)."""
    idle_kib, before = rss_kib(server), cpu_s(server.process.pid)
    peaks: list[int] = [idle_kib]

    async def watch() -> None:
        while True:
            peaks.append(rss_kib(server))
            await asyncio.sleep(0.2)

    watching = asyncio.ensure_future(watch())
    heard = await together(through, f"ok:{TOKENS}:{SECONDS / TOKENS * 1000:.0f}", options.streams, options.streams)
    watching.cancel()
    return heard, (max(peaks) - idle_kib) / options.streams, cpu_s(server.process.pid) - before


def client_alone(upstream_port: int, options: argparse.Namespace) -> float:
    """Return the CPU seconds that the `openai` client itself takes for 1,000 chunks, without anything between."""
    words = [sys.executable, str(ROOT / "bench" / "direct.py"), f"http://127.0.0.1:{upstream_port}/v1"]
    words += [str(options.streams), str(TOKENS), str(SECONDS)]
    told = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    return float(told) / (options.streams * TOKENS) * 1000


def table(ours: Figures, alone_cpu_s: float, theirs: Figures | None, options: argparse.Namespace) -> str:
    """Return the figures beside their goals."""
    names = ("", "goal", "PromptLab", "LiteLLM's proxy")
    told = [[name, goal, of(ours), of(theirs) if theirs else "left out"] for name, goal, of in LINES]
    told.append([f"{options.streams:,} streams of {TOKENS} tokens: how they ended", "whole", ours.ended])
    told[-1].append(theirs.ended if theirs else "left out")
    told.append(["... CPU, times the openai client's alone", "-", f"{ours.cpu_s / alone_cpu_s:.1f}"])
    told[-1].append(f"{theirs.cpu_s / alone_cpu_s:.1f}" if theirs else "left out")
    told.append(
        ["... CPU, share of LiteLLM's proxy", "0.10", f"{ours.cpu_s / theirs.cpu_s:.3f}" if theirs else "left out"]
    )
    told[-1].append("1" if theirs else "left out")
    rows = [names, ["---"] * 4, *told]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + f"\n(the openai client alone: {alone_cpu_s:.3f} s)"


LINES: tuple[tuple[str, str, Callable[[Figures], str]], ...] = (
    ("first token later, one stream: p50, p99, ms", "6", lambda it: f"{it.alone_p50:.1f}, {it.alone_p99:.1f}"),
    ("... 50 at once: p50, p99, ms", "p99 120", lambda it: f"{it.together_p50:.0f}, {it.together_p99:.0f}"),
    ("short answers, 32 at once: a second", "-", lambda it: f"{it.answers_per_s:.0f}"),
    ("... CPU each, ms", "-", lambda it: f"{it.answer_cpu_ms:.2f}"),
    ("many streams: first token p99, s", "-", lambda it: f"{it.streams_p99_s:.2f}"),
    ("... memory of one, KiB", "30", lambda it: f"{it.kib:.1f}"),
    ("... CPU for 1,000 chunks, s", "0.10", lambda it: f"{it.cpu_s:.3f}"),
)


async def hang_ups(ours: Target, number: int, at_once: int) -> list[Heard]:
    """Hang up so many times, each after a random number of bytes; return what was heard by then."""
    room = asyncio.Semaphore(at_once)

    async def one() -> Heard:
        async with room:
            return await ask(ours, "ok:20:10", hang_up_after=random.randint(1, 1500))

    return list(await asyncio.gather(*(one() for _ in range(number))))


def untold(server: Server, heard: Sequence[Heard]) -> int:
    """Return how many answers are stored without all the tokens that their callers heard."""
    told = {one.message_id: one.said for one in heard if one.message_id and one.said}
    print(f"hang-ups: {len(heard)}, of them {len(told)} after the first token")
    env = {**server.env, "BENCH_HEARD": json.dumps(told)}
    return int(manage(env, "shell", "--verbosity", "0", "-c", UNTOLD))


async def drill(server: Server, upstream_port: int, options: argparse.Namespace) -> bool:
    """Print how every call of every mode ended; return whether nothing was left over."""
    ours = Target(server.port, "/api/v1/chat", server.key)
    is_stated = True
    for mode in options.modes:
        heard = await together(ours, f"{mode}:6:0", options.calls, options.at_once)
        print(f"{mode:>8}: {ends(heard)}", flush=True)
        is_stated = is_stated and not any(one.end in ("nothing", "cut off", "no end") for one in heard)
    heard = await hang_ups(ours, options.hang_ups, options.at_once)
    is_stated = is_stated and not any(one.status < 0 for one in heard)
    left = await settled(server, upstream_port)
    left["texts"] = untold(server, heard)
    rows = manage(server.env, "shell", "--verbosity", "0", "-c", ENDED)
    unpriced = manage(server.env, "shell", "--verbosity", "0", "-c", UNPRICED)
    print(f"after {options.hang_ups} hang-ups: rows {rows}; begun answers without usage {unpriced}; left over {left}")
    return is_stated and not any(left.values()) and "streaming" not in rows and unpriced == "0"


async def settled(server: Server, upstream_port: int) -> dict[str, int]:
    """Return what is still open 10 s after: streams of ours, and calls at the model server."""
    for _ in range(100):
        left = {"streams": _streams(server), "upstream calls": _stats(upstream_port)["open"]}
        if not any(left.values()):
            break
        await asyncio.sleep(0.1)
    return left


def _streams(server: Server) -> int:
    text = _get(server.port, "/metrics", {"Authorization": f"Bearer {TOKEN}"})
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("promptlab_chat_streams ")))


def _stats(port: int) -> dict[str, int]:
    found: dict[str, int] = json.loads(_get(port, "/stats", {}))
    return found


def _get(port: int, path: str, headers: dict[str, str]) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@contextmanager
def upstream() -> Iterator[int]:
    """Run the model server and yield its port when it answers."""
    port = free_port()
    process = subprocess.Popen([sys.executable, str(ROOT / "bench" / "upstream.py"), str(port)])
    try:
        for _ in range(200):
            try:
                _stats(port)
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=20)


@contextmanager
def litellm(command: str, upstream_port: int) -> Iterator[Server]:
    """Run LiteLLM's proxy as it is installed, in one process and without a database, before the model server."""
    port = free_port()
    way = {"model": "openai/*", "api_base": f"http://127.0.0.1:{upstream_port}/v1", "api_key": "k"}
    with tempfile.TemporaryDirectory(prefix="promptlab-bench-") as folder:
        written = Path(folder) / "litellm.yaml"  # JSON is YAML
        written.write_text(json.dumps({"model_list": [{"model_name": "*", "litellm_params": way}]}))
        words = [command, "--config", str(written), "--port", str(port), "--host", "127.0.0.1", "--num_workers", "1"]
        # Without keys, which costs it less than with them, without our database, and with the prices that it brings along.
        env = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
        env |= {"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true", "LITELLM_LOCAL_MODEL_COST_MAP": "true"}
        process = subprocess.Popen(words, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server = Server(port, process)
        try:
            wait_for(server, "/health/liveliness")
            yield server
        finally:
            process.terminate()
            process.wait(timeout=20)


async def speed(server: Server, upstream_port: int, options: argparse.Namespace) -> None:
    """Print what the gateway adds, beside the `openai` client alone and, where it is at hand, LiteLLM's proxy."""
    direct = Target(upstream_port, "/v1/chat/completions")
    ours = await measured(server, direct, Target(server.port, "/api/v1/chat", server.key), options)
    theirs = None
    if options.litellm:
        with litellm(options.litellm, upstream_port) as proxy:
            theirs = await measured(proxy, direct, Target(proxy.port, "/v1/chat/completions"), options)
    print(table(ours, client_alone(upstream_port, options), theirs, options))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", default="", help="an empty PostgreSQL instead of a new SQLite file")
    parser.add_argument("--drill", action="store_true", help="what goes wrong instead of the speed")
    parser.add_argument("--modes", default=",".join(MODES), type=lambda text: text.split(","))
    parser.add_argument("--calls", type=int, default=2000, help="calls of each mode of the drill")
    parser.add_argument("--hang-ups", type=int, default=500)
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--answers", type=int, default=1000)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--litellm", default="", help="the command of an installed litellm[proxy], for its figures")
    options = parser.parse_args()
    if options.database == "DATABASE_URL":
        options.database = os.environ.get("DATABASE_URL", "")
    with upstream() as port:
        os.environ |= {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "METRICS_TOKEN": TOKEN}
        os.environ |= {"CHAT_STREAMS": "5000", "CHAT_STREAMS_PER_KEY": "5000", **(LIMITS if options.drill else {})}
        with promptlab(options.database) as server:
            if options.drill:
                sys.exit(0 if asyncio.run(drill(server, port, options)) else 1)
            asyncio.run(speed(server, port, options))


if __name__ == "__main__":
    main()
