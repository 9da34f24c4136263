#!/usr/bin/env python
"""Do the sums equal a recount after a storm of ratings, while workers are killed?

`tests/stores.py -- .venv/bin/python bench/storm.py` on PostgreSQL. Answers and ratings are written in bulk, by the very
statement that keeps single ones; Celery workers, woken by the clock, add them to the sums and are killed with SIGKILL in
the middle of it. Then raw rows are counted again, unit by unit, and every sum compared. See bench/README.md.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "sdk"))
DUPLICATES, FLIPS, RETRACTIONS, LATE = 0.05, 0.10, 0.03, 0.10
BATCH = 1000
MISFIT = "Fine."
"""Instead of JSON."""
Event = tuple[int, str, int | None]
"""(index of the answer, rater, value; None takes it back)"""


def setup() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promptlab.settings")
    import django

    django.setup()


class Workers:
    """Celery workers as production runs them, of which one is killed now and then and replaced; and the clock."""

    def __init__(self, count: int, env: dict[str, str]) -> None:
        self.env = env
        self.clock = self._run("beat", "-s", str(Path(env["PROMPTLAB_VAR"]) / "beat"))
        self.kills, self.numbers = 0, itertools.count()
        self.processes = [self._new() for _ in range(count)]

    def _new(self) -> subprocess.Popen[bytes]:
        return self._run(
            "worker", "-P", "threads", "-c", "4", "-Q", "ingest,default,llm", "-n", f"storm{next(self.numbers)}@%h"
        )

    def _run(self, *words: str) -> subprocess.Popen[bytes]:
        """Start one in a group of its own, so that a kill takes its children along."""
        celery = [sys.executable, "-m", "celery", "-A", "promptlab", *words, "-l", "ERROR"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(celery, cwd=ROOT, env=self.env, start_new_session=True, **quiet)

    def kill_one(self) -> None:
        """Kill the oldest while rows are being added."""
        before = waiting()
        while waiting() == before:
            time.sleep(0.02)
        self._kill(self.processes.pop(0))
        self.kills += 1
        self.processes.append(self._new())

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        for process in (self.clock, *self.processes):
            self._kill(process)


def answers(count: int, units: int) -> list[Any]:
    """Write so many answers of a running experiment, a tenth of them long ago, and return them.

    One unit in a hundred meets both texts.
    """
    from django.utils import timezone

    from experiments.models import Experiment
    from promptlab.accounts.access import SYSTEM
    from promptlab.accounts.services import create_team
    from promptlab.chat.models import Conversation, Message
    from tests.support.make import make_experiment, make_prompt, make_version

    team = create_team(SYSTEM, "Storm")
    prompt = make_prompt(team, title="Storm", parameters={"response_format": {"type": "json_object"}})
    make_version(prompt, parameters={"response_format": {"type": "json_object"}})
    experiment = make_experiment(prompt, running=True)
    variants = list(Experiment.objects.get(pk=experiment.pk).variants.all())
    chance, now, rows = random.Random(1), timezone.now(), []
    for number in range(count):
        unit = number % units
        side = (number // units) % 2 if unit % 100 == 0 else unit % 2
        ended = now - timedelta(hours=chance.randrange(1, 60) if chance.random() < LATE else 0)
        rows.append(
            Message(
                conversation=Conversation(team=team, prompt=experiment.prompt, unit_id=f"u{unit}"),
                role=Message.Role.ASSISTANT,
                state=Message.State.COMPLETED if chance.random() < 0.98 else Message.State.FAILED,
                ended_at=ended,
                version_id=variants[side].version_id,
                environment=experiment.environment,
                experiment=experiment,
                phase=1,
                assigned_variant=variants[side],
                served_variant=variants[side],
                unit_id=f"u{unit}",
                latency_ms=1 + int(chance.expovariate(1 / 800)),
                first_token_ms=1,
                cost_usd=Decimal(chance.randrange(1, 90_000)) / 10**7 if chance.random() < 0.9 else None,
                content=MISFIT if chance.random() < 0.05 else "{}",
            )
        )
    for start in range(0, count, 5000):
        part = rows[start : start + 5000]
        Conversation.objects.bulk_create([row.conversation for row in part], batch_size=BATCH)
        Message.objects.bulk_create(part, batch_size=BATCH)
    return rows


def events(count: int, messages: int) -> list[Event]:
    """Return ratings in the order they arrive: first ones, and later changes, retractions and repetitions of them."""
    chance = random.Random(2)
    first = int(count * (1 - DUPLICATES - FLIPS - RETRACTIONS))
    found: list[tuple[float, Event]] = []
    for number in range(first):
        at, one = chance.random(), (number % messages, f"r{number // messages}", 1 if chance.random() < 0.7 else -1)
        found.append((at, one))
    for share, change in ((DUPLICATES, 1), (FLIPS, -1), (RETRACTIONS, None)):
        for _ in range(int(count * share)):
            at, (message, rater, value) = found[chance.randrange(first)]
            said = None if change is None or value is None else change * value
            found.append((at + chance.random() * (1 - at), (message, rater, said)))
    return [event for _, event in sorted(found, key=lambda one: one[0])]


def batches(events: Sequence[Event]) -> Iterator[list[Event]]:
    """Yield the events in order; one statement cannot hold two of the same rating."""
    batch: dict[tuple[int, str], Event] = {}
    for event in events:
        if event[:2] in batch or len(batch) == BATCH:
            yield list(batch.values())
            batch = {}
        batch[event[:2]] = event
    yield list(batch.values())


def rate(messages: Sequence[Any], batch: Sequence[Event], team_id: int) -> None:
    """Keep ratings by the statement that keeps all of them."""
    from django.db import OperationalError, transaction

    from feedback.services import writing

    rows = [writing.Row(team_id, messages[at].pk, rater, "rating", value, "") for at, rater, value in sorted(batch)]
    while True:
        try:
            with transaction.atomic():
                writing.upsert(rows)
            return
        except OperationalError:
            time.sleep(0.5)  # PostgreSQL ends the transaction of who was killed a little later.


def storm(messages: Sequence[Any], arriving: Sequence[Event], workers: Workers, kills: int) -> None:
    """Write all ratings while the workers work, and kill them one after the other."""
    team_id, every = messages[0].conversation.team_id, max(1, len(arriving) // (kills + 1))
    done = 0
    for batch in batches(arriving):
        rate(messages, batch, team_id)
        done += len(batch)
        if done >= every * (workers.kills + 1) and workers.kills < kills:
            workers.kill_one()


def waiting() -> int:
    from feedback.models import Feedback
    from promptlab.chat.models import Message

    return int(Message.objects.not_rolled_up().count() + Feedback.objects.not_rolled_up().count())


Sums = dict[str, Any]


def recounted() -> dict[int, Sums]:
    """Return every sum by variant, counted from raw rows alone: unit by unit, without those that met two texts."""
    from django.db.models import Count, F, Q, Sum
    from django.db.models.functions import Ln

    from experiments.models import ExperimentUnit
    from experiments.services.rollups import sums_over_units
    from feedback.models import Feedback
    from promptlab.chat.models import Message

    shown = Message.objects.filter(served_variant__isnull=False)
    is_checked = Q(state="completed")
    by_unit = shown.order_by().values("served_variant_id", "unit_id").annotate(
        requests=Count("id"), errors=Count("id", filter=Q(state="failed")), ln_ms=Sum(Ln("latency_ms")),
        ln_ms_events=Sum(Ln("latency_ms") * Ln("latency_ms")), ms=Sum("latency_ms"),
        priced=Count("cost_usd"), cost=Sum("cost_usd"), cost_events=Sum(F("cost_usd") * F("cost_usd")),
        checked=Count("id", filter=is_checked), misfits=Count("id", filter=is_checked & Q(content=MISFIT)),
    )  # fmt: skip
    said = (
        Feedback.objects.filter(value__isnull=False).order_by().values("message__served_variant_id", "message__unit_id")
    )
    rated = {
        (row["message__served_variant_id"], row["message__unit_id"]): (row["n"], row["up"])
        for row in said.annotate(n=Count("id"), up=Count("id", filter=Q(value=1)))
    }
    rows = list(by_unit)
    met = Counter(row["unit_id"] for row in rows)
    found: dict[int, Sums] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        ratings, ups = rated.get((row["served_variant_id"], row["unit_id"]), (0, 0))
        sums = found[row["served_variant_id"]]
        whole = {name: row[name] for name in ("requests", "errors", "checked", "misfits")}
        whole |= {"shown": row["requests"], "ratings": ratings, "ups": ups, "latency_ms": row["ms"]}
        whole |= {"cost_usd": row["cost"] or 0, "unpriced": row["requests"] - row["priced"]}
        for name, number in whole.items():
            sums[name] += number
        unit = ExperimentUnit(
            requests=row["requests"], errors=row["errors"], ratings=ratings, ups=ups, waits=row["requests"],
            ln_ms=row["ln_ms"], ln_ms_events=row["ln_ms_events"], is_multiple=met[row["unit_id"]] > 1,
            priced=row["priced"], cost=float(row["cost"] or 0), cost_events=float(row["cost_events"] or 0),
            checked=row["checked"], misfits=row["misfits"],
        )  # fmt: skip
        for name, number in sums_over_units(unit).items():
            sums[name] += number
    return found


def waits_by_length() -> dict[int, dict[str, int]]:
    """Return the waits of each variant by bucket, counted from raw rows."""
    from experiments.stats.histogram import bucket
    from promptlab.chat.models import Message

    found: dict[int, Counter[str]] = defaultdict(Counter)
    for variant_id, ms in Message.objects.filter(served_variant__isnull=False).values_list(
        "served_variant_id", "latency_ms"
    ):
        found[variant_id][str(bucket(ms))] += 1
    return {variant_id: dict(counts) for variant_id, counts in found.items()}


def differences() -> list[str]:
    """Return what the roll-ups hold differently: counts to the last one, logarithms to nine digits."""
    from django.db.models import Sum

    from experiments.models import HourRollup
    from experiments.stats.histogram import merged

    wrong = []
    for variant_id, counted in waits_by_length().items():
        counts = merged(HourRollup.objects.filter(variant_id=variant_id).values_list("wait_counts", flat=True))
        if counts != merged([counted]):
            wrong.append(f"variant {variant_id}: waits by length differ")
    for variant_id, expected in recounted().items():
        names = {f"of_{name}": Sum(name) for name in expected}
        held = HourRollup.objects.filter(variant_id=variant_id).aggregate(**names)
        for name, number in expected.items():
            there = held[f"of_{name}"] or 0
            tolerance = 1e-9 * abs(number) if isinstance(number, float) else 0
            if abs(float(there) - float(number)) > tolerance:
                wrong.append(f"variant {variant_id}, {name}: {there} instead of {number}")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--answers", type=int, default=40_000)
    parser.add_argument("--units", type=int, default=8_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="promptlab-storm-") as folder:
        socket = Path(folder) / "valkey.sock"
        os.environ |= {"PROMPTLAB_VAR": folder, "LOG_LEVEL": "ERROR", "REDIS_URL": f"unix://{socket}"}
        os.environ |= {"SECRET_KEY": "storm-" * 10, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "sdk")])}
        os.environ.pop("CELERY_BROKER_URL", None)
        env = dict(os.environ)
        os.environ["TASK_WAKE_UPS"] = "0"
        setup()
        from django.core.management import call_command
        from django.db import connection

        from promptlab.management.local_valkey import LocalValkey

        call_command("migrate", verbosity=0)
        began = time.monotonic()
        messages = answers(options.answers, options.units)
        arriving = events(options.events, options.answers)
        print(f"{connection.vendor}: {len(messages)} answers in {time.monotonic() - began:.0f} s", flush=True)
        valkey = LocalValkey(socket, Path(folder) / "valkey")
        valkey.start()
        workers = Workers(options.workers, env)
        try:
            began = time.monotonic()
            storm(messages, arriving, workers, options.kills)
            written_s = time.monotonic() - began
            while left := waiting():
                print(f"  {left} wait", flush=True)
                time.sleep(2)
            took_s = time.monotonic() - began
        finally:
            workers.stop()
            valkey.stop()
        wrong = differences()
        print(
            f"{len(arriving)} events written in {written_s:.0f} s, in the sums after {took_s:.0f} s, {workers.kills} kills"
        )
        sums = sum(len(one) for one in recounted().values())
        print(f"{sums} sums and the waits by length compared, differences: {len(wrong)}", *wrong[:20], sep="\n  ")
        sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
