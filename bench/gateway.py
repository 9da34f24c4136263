"""What PromptLab adds between a caller and a model, durable rows included; and how it ends what goes wrong.

    .venv/bin/python bench/gateway.py                       # first token, answers a second, many streams
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
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "sdk")]

from servers import Server, free_port, manage, promptlab  # noqa: E402

TOKEN = "bench-metrics"
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
PATIENCE_S = 60.0
"""No call takes longer, whatever the model server does: who still waits then has found a mistake."""
UNPRICED = """
from promptlab.chat.models import Message
print(Message.objects.filter(role="assistant").exclude(content="").filter(input_tokens=None).count())
"""


@dataclass(slots=True)
class Heard:
    """How one call ended. `first_s` is the wait for the first token, `None` without one."""

    status: int
    first_s: float | None
    total_s: float
    text: bytes
    message_id: str = ""

    @property
    def said(self) -> str:
        """The tokens that came whole."""
        events = [part[6:] for part in self.text.split(b"\n\n")[:-1] if part.startswith(b"data: {")]
        return "".join(json.loads(event).get("token", "") for event in events)

    @property
    def end(self) -> str:
        """Say it in a word: `whole`, or the code of the error."""
        if self.status < 0:
            return "no end"
        events = [part[6:] for part in self.text.split(b"\n\n") if part.startswith(b"data: {")]
        last = json.loads(events[-1]) if events else {}
        if self.status != 200:
            start = self.text.find(b"{")
            return str(json.loads(self.text[start : self.text.rfind(b"}") + 1])["code"]) if start >= 0 else "nothing"
        if "error" in last:
            return f"event: {last['error']['code']}"
        return "whole" if last.get("done") or self.text.rstrip().endswith(b"[DONE]") else "cut off"


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask, and how."""

    port: int
    path: str
    key: str = ""

    def request(self, model: str) -> bytes:
        """Return the request as it goes over the wire."""
        body: dict[str, object] = {"model": model, "message": "Hello"}
        if not self.key:
            body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
        raw = json.dumps(body).encode()
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {self.key}\r\nConnection: close\r\n"
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw


async def ask(target: Target, model: str, *, hang_up_after: int | None = None) -> Heard:
    """Ask and read to the end, or hang up after so many bytes; give up after `PATIENCE_S`."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await _ask(target, model, hang_up_after)
    except TimeoutError:
        return Heard(-1, None, PATIENCE_S, b"")


async def _ask(target: Target, model: str, hang_up_after: int | None) -> Heard:
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=1 << 24)
    writer.write(target.request(model))
    raw, first_s = bytearray(), None
    try:
        while block := await reader.read(65536 if hang_up_after is None else 1):
            raw += block
            if first_s is None and b"tok" in raw:
                first_s = time.perf_counter() - started
            if hang_up_after is not None and len(raw) >= hang_up_after:
                writer.transport.abort()
                break
            if target.key == "" and raw.endswith(b"0\r\n\r\n"):
                break
    finally:
        writer.close()
    head, ended, body = bytes(raw).partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1]) if ended else 0
    named = head.partition(b"x-promptlab-message-id: ")[2].split(b"\r\n")[0].decode()
    text = _joined(body, is_chunked=b"chunked" in head)
    return Heard(status, first_s, time.perf_counter() - started, text, named)


def _joined(body: bytes, *, is_chunked: bool) -> bytes:
    """Return a body without the frames of its transfer."""
    if not is_chunked:
        return body
    parts = []
    while body:
        size, ended, body = body.partition(b"\r\n")
        length = int(size, 16) if ended and size else 0
        parts.append(body[:length])
        body = body[length + 2 :]
        if not length:
            break
    return b"".join(parts)


async def together(target: Target, model: str, number: int, at_once: int) -> list[Heard]:
    """Ask so many times, so many at once."""
    room = asyncio.Semaphore(at_once)

    async def one() -> Heard:
        async with room:
            return await ask(target, model)

    return list(await asyncio.gather(*(one() for _ in range(number))))


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that so much of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def rss_kib(server: Server) -> int:
    """Return the memory the server holds (Linux)."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def waits(heard: Sequence[Heard]) -> list[float]:
    """Return the waits for the first token, in ms. Ends the run when one is missing."""
    found = [one.first_s * 1000 for one in heard if one.first_s is not None]
    if len(found) != len(heard):
        sys.exit(f"Answers without a token: {Counter(one.end for one in heard)}")
    return found


async def first_token(direct: Target, ours: Target, at_once: int, rounds: int) -> None:
    """Print how much later the first token comes, with so many streams started at once."""
    added_50, added_99, plain = [], [], []
    for _ in range(rounds):
        near = waits(await together(direct, "ok:5:1", at_once, at_once))
        far = waits(await together(ours, "ok:5:1", at_once, at_once))
        plain.append(statistics.median(near))
        added_50.append(statistics.median(far) - statistics.median(near))
        added_99.append(quantile(far, 0.99) - quantile(near, 0.99))
    print(
        f"first token, {at_once:>3} at once: direct p50 {statistics.median(plain):.1f} ms; added "
        f"p50 {statistics.median(added_50):.1f} ms, p99 {quantile(added_99, 0.99 if at_once == 1 else 0.5):.1f} ms",
        flush=True,
    )


async def answers(server: Server, ours: Target, number: int) -> None:
    """Print how many short answers a second there are, 32 at once, and what one costs."""
    before, started = server.cpu_s(), time.perf_counter()
    heard = await together(ours, "ok:1:0", number, 32)
    took_s = time.perf_counter() - started
    cpu_ms = (server.cpu_s() - before) / number * 1000
    print(f"short answers: {number / took_s:.0f} a second, {cpu_ms:.2f} ms of CPU each, {ends(heard)}", flush=True)


async def many(server: Server, ours: Target, number: int, tokens: int, seconds: float) -> None:
    """Print what so many streams at once cost."""
    idle_kib, before = rss_kib(server), server.cpu_s()
    peaks: list[int] = []

    async def watch() -> None:
        while True:
            peaks.append(rss_kib(server))
            await asyncio.sleep(0.2)

    watching = asyncio.ensure_future(watch())
    heard = await together(ours, f"ok:{tokens}:{seconds / tokens * 1000:.0f}", number, number)
    watching.cancel()
    cpu_s = server.cpu_s() - before
    first = [one.first_s for one in heard if one.first_s is not None]
    print(
        f"{number:,} streams x {tokens}: {ends(heard)}; first token p50 {quantile(first, 0.5):.2f} s, "
        f"p99 {quantile(first, 0.99):.2f} s; {(max(peaks) - idle_kib) / number:.1f} KiB a stream; "
        f"{cpu_s / (number * tokens) * 1000:.3f} s of CPU per 1,000 chunks",
        flush=True,
    )


def ends(heard: Sequence[Heard]) -> str:
    """Say how calls ended, the most frequent end first."""
    counted = Counter(f"{one.status} {one.end}" for one in heard)
    return ", ".join(f"{number} x {end}" for end, number in counted.most_common())


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


async def speed(server: Server, upstream_port: int, options: argparse.Namespace) -> None:
    direct, ours = Target(upstream_port, "/v1/chat/completions"), Target(server.port, "/api/v1/chat", server.key)
    await together(ours, "ok:1:0", 20, 4)
    await first_token(direct, ours, 1, options.rounds * 20)
    await first_token(direct, ours, 50, options.rounds)
    await answers(server, ours, options.answers)
    await many(server, ours, options.streams, 20, 4.0)


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
    options = parser.parse_args()
    with upstream() as port:
        os.environ |= {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "METRICS_TOKEN": TOKEN}
        os.environ |= {"CHAT_STREAMS": "5000", "CHAT_STREAMS_PER_KEY": "5000", **(LIMITS if options.drill else {})}
        with promptlab(options.database) as server:
            if options.drill:
                sys.exit(0 if asyncio.run(drill(server, port, options)) else 1)
            asyncio.run(speed(server, port, options))


if __name__ == "__main__":
    main()
