"""Ratings a second, acknowledged after their commit, beside the same route without storing, a view that saves row by
row, and COPY in batches; how fast a worker attributes and adds them up; and MLflow's and Phoenix's, where they run.

    .venv/bin/python tests/stores.py -- .venv/bin/python bench/ratings.py --database DATABASE_URL

`wrk` (Debian: `apt install wrk`) sends them over 64 connections. Every rating is by somebody else: each is a row.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "sdk")]

from elsewhere import Peer  # noqa: E402
from servers import Server, manage, promptlab, serving  # noqa: E402

ANSWERS = """
from django.utils import timezone
from promptlab.chat.models import Conversation, Message
from prompts.models import Environment, Version
version = Version.objects.get(prompt__name="bench"); team = version.prompt.team_id
where = Environment.objects.get(team_id=team, name="production"); now = timezone.now()
talks = Conversation.objects.bulk_create([Conversation(team_id=team, environment=where, unit_id=f"u-{n}") for n in range(%d)])
rows = [Message(conversation=talk, role="assistant", state="completed", content="x", version=version, environment=where,
    unit_id=talk.unit_id, first_token_ms=1, latency_ms=2, ended_at=now, rolled_up_at=now) for talk in talks]
print(" ".join(str(row.uid) for row in Message.objects.bulk_create(rows, batch_size=500)))
"""
ROLL_UP = """
import time
from feedback.models import Feedback
from feedback.services.batch import roll_up_feedback
waiting, started = Feedback.objects.filter(rolled_up_at=None).count(), time.perf_counter()
while Feedback.objects.filter(rolled_up_at=None).exists():
    roll_up_feedback()
print(waiting / (time.perf_counter() - started) if waiting else 0)
"""
COUNT = "from feedback.models import Feedback; print(Feedback.objects.count())"
COPY = """
import time, uuid
from django.db import connection
connection.ensure_connection(); raw = connection.connection
with connection.cursor() as cursor:
    cursor.execute("CREATE TABLE copied (LIKE feedback_feedback INCLUDING ALL, PRIMARY KEY (id), UNIQUE (uid))")
    cursor.execute("SELECT id, NOW() FROM chat_message LIMIT 1"); message, now = cursor.fetchone()
rows, started = 0, time.perf_counter()
columns = "id, uid, team_id, message_id, metric, rater, value, comment, created_at, updated_at"
while time.perf_counter() - started < %f:
    with raw.cursor() as cursor, cursor.copy(f"COPY copied ({columns}) FROM STDIN") as copy:
        for _ in range(100):
            rows += 1
            copy.write_row((rows, uuid.uuid4(), 1, message, "rating", f"c-{rows}", 1, "Clear.", now, now))
    raw.commit()
print(rows / (time.perf_counter() - started))
"""


def burst(
    server: Server | Peer, path: str, bodies: Path, connections: int, seconds: int
) -> tuple[dict[str, float], float]:
    """Send ratings; return what wrk tells, and the CPU time of the server for each, in microseconds."""
    with tempfile.NamedTemporaryFile("w", suffix=".headers") as headers:
        headers.write(f"X-API-Key: {server.key}\nContent-Type: application/json\n")
        headers.flush()
        env = {**os.environ, "BENCH_HEADERS": headers.name, "BENCH_BODIES": str(bodies), "BENCH_PATH": path}
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(ROOT / "bench/post.lua")]
        before = server.cpu_s()
        said = subprocess.run(
            [*command, f"http://127.0.0.1:{server.port}"], env=env, check=True, capture_output=True, text=True
        ).stdout
    found: dict[str, float] = json.loads(said.strip().splitlines()[-1])
    return found, (server.cpu_s() - before) / max(found["requests"], 1) * 1e6


def write_bodies(folder: Path, uids: list[str], ratings: int, turn: int) -> Path:
    """Write one rating a line; in each turn other people rate."""
    path = folder / f"bodies-{turn}"
    with path.open("w") as lines:
        for number in range(ratings):
            said = {"message_id": uids[number % len(uids)], "rating": 1 if number % 3 else -1}
            lines.write(json.dumps({**said, "user": f"r-{turn}-{number}", "comment": "Clear and short."}) + "\n")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", default="", metavar="URL", help="an empty PostgreSQL; without it a SQLite file")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--answers", type=int, default=2000)
    parser.add_argument("--mlflow", default="", metavar="URL", help="a running MLflow server")
    parser.add_argument("--phoenix", default="", metavar="URL", help="a running Phoenix server")
    options = parser.parse_args()
    database = os.environ.get("DATABASE_URL", "") if options.database == "DATABASE_URL" else options.database
    rates: dict[str, list[float]] = {}
    peers = [Peer("MLflow", options.mlflow)] if options.mlflow else []
    peers += [Peer(name, options.phoenix) for name in ("Phoenix", "Phoenix, later") if options.phoenix]
    with promptlab(database) as ours, tempfile.TemporaryDirectory(prefix="promptlab-bench-") as name:
        uids = manage(ours.env, "shell", "--verbosity", "0", "-c", ANSWERS % options.answers).split()
        rows = {**ours.env, "BENCH_KEY": ours.key, "DJANGO_SETTINGS_MODULE": "promptlab.settings"}
        with (
            serving("unstored:application", "/readyz", rows) as unstored,
            serving("rowwise:application", "/readyz", rows) as rowwise,
        ):
            unstored.key = rowwise.key = ours.key
            for turn in range(options.rounds):
                for label, server in (("stored", ours), ("not stored", unstored), ("row by row", rowwise)):
                    bodies = write_bodies(Path(name), uids, 120_000, turn * 10 + len(label))
                    before = int(manage(ours.env, "shell", "--verbosity", "0", "-c", COUNT))
                    found, cpu_us = burst(server, "/feedback", bodies, options.connections, options.seconds)
                    new = int(manage(ours.env, "shell", "--verbosity", "0", "-c", COUNT)) - before
                    rate = found["requests"] / found["seconds"]
                    rates.setdefault(label, []).append(rate)
                    print(
                        f"{label:12} {rate:8.0f}/s  p50 {found['p50_ms']:.1f} ms  p99 {found['p99_ms']:.1f} ms"
                        f"  CPU {cpu_us:.0f} us  failed {found['failed']:.0f}  rows {new}",
                        flush=True,
                    )
                    if label == "stored":
                        summed = float(manage(ours.env, "shell", "--verbosity", "0", "-c", ROLL_UP))
                        rates.setdefault("rolled up", []).append(summed)
                        print(f"{'rolled up':12} {summed:8.0f}/s", flush=True)
            for peer in peers:  # after ours: what they put off would be in the way of it
                bodies = peer.prepare(Path(name))
                for _ in range(options.rounds):
                    found, _ = burst(peer, peer.path, bodies, options.connections, options.seconds)
                    rates.setdefault(peer.name, []).append(found["requests"] / found["seconds"])
                    failed = f"p50 {found['p50_ms']:.1f} ms  failed {found['failed']:.0f}"
                    print(f"{peer.name:14} {rates[peer.name][-1]:8.0f}/s  {failed}", flush=True)
        if database:
            copied = float(manage(ours.env, "shell", "--verbosity", "0", "-c", COPY % options.seconds))
            rates["COPY by 100"] = [copied]
    best = {label: sorted(found)[len(found) // 2] for label, found in rates.items()}
    print("\nmedians: " + ", ".join(f"{label} {rate:.0f}/s" for label, rate in best.items()))
    print(f"stored over not stored: {best['stored'] / best['not stored']:.2f} (goal 0.5)")
    print(f"stored over row by row: {best['stored'] / best['row by row']:.1f} (goal 10)")
    for peer in ("MLflow", "Phoenix", "Phoenix, later"):
        times = f"{best['stored'] / best[peer]:.1f} (goal 20)" if peer in best else "left out, no address was given"
        print(f"stored over {peer}: {times}")
    print(f"rolled up over stored:  {best['rolled up'] / best['stored']:.2f} (goal 1)")


if __name__ == "__main__":
    main()
