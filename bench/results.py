#!/usr/bin/env python
"""Do results of an experiment with 10 million ratings cost what those of one with 10,000 cost?

`python tests/stores.py -- python bench/results.py` on PostgreSQL. Both experiments ran for as many hours, in one database,
and are asked for in turns, through the REST view. The database itself writes the rows. See bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "sdk"), str(ROOT)]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promptlab.settings")
os.environ.setdefault("SECRET_KEY", "bench " * 10)
os.environ |= {"LOG_LEVEL": "ERROR", "RATE_LIMIT_PER_HOUR": "1000000"}

import django  # noqa: E402

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from django.utils import timezone  # noqa: E402

from experiments.models import AnalysisSnapshot, Experiment, ExperimentUnit, HourRollup, Variant  # noqa: E402
from experiments.services import analysis, extremes  # noqa: E402
from feedback.models import Feedback  # noqa: E402
from promptlab.accounts import services as accounts  # noqa: E402
from promptlab.accounts.access import SYSTEM, Scope  # noqa: E402
from promptlab.accounts.models import Team  # noqa: E402
from promptlab.chat.models import Message  # noqa: E402
from tests.support.make import make_experiment, make_message, make_prompt  # noqa: E402

HOURS = 168
EACH = 10
"""Ratings of one answer, which is one unit's."""
AT_MOST = 1.2
EVENTS = {model._meta.db_table for model in (Feedback, Message, ExperimentUnit)}
Ask = Callable[[], object]


def copies(table: type[models.Model], pk: int, source: str, **changed: str) -> None:
    """Write a copy of one row for each row of `source`, which is called s, with some columns changed to expressions."""
    columns = [field.column for field in table._meta.concrete_fields if not field.primary_key]
    values = ", ".join(changed.get(column, f"one.{column}") for column in columns)
    name = table._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {name} ({', '.join(columns)}) SELECT {values} FROM {name} AS one, {source} AS s WHERE one.id = %s",
            [pk],
        )


def ran(team: Team, key: str, ratings: int) -> Experiment:
    """Return an experiment that ran for a week, with so many ratings, each row of which is there."""
    experiment = make_experiment(make_prompt(team), running=True, key=key)
    units = max(1, ratings // EACH // 2)
    for variant in experiment.variants.select_related("version__prompt", "experiment__environment"):
        _fill(team, experiment, variant, units)
    Experiment.objects.filter(pk=experiment.pk).update(started_at=timezone.now() - timedelta(hours=HOURS))
    return Experiment.objects.get(pk=experiment.pk)


def _fill(team: Team, experiment: Experiment, variant: Variant, units: int) -> None:
    now = timezone.now()
    message = make_message(variant.version, experiment.environment, variant=variant, rolled_up_at=now, unit_id="first")
    numbers = f"generate_series(1, {units})"
    made = {"uid": "gen_random_uuid()", "unit_id": f"'{variant.key}-' || s"}
    copies(Message, message.pk, numbers, **made)
    rating = Feedback.objects.create(team=team, message=message, value=1, counted_value=1, rolled_up_at=now)
    answers = (
        f"(SELECT m.id, r FROM {Message._meta.db_table} m, generate_series(1, {EACH}) r"
        f" WHERE m.served_variant_id = {variant.pk} AND m.id <> {message.pk})"
    )
    copies(Feedback, rating.pk, answers, uid="gen_random_uuid()", message_id="s.id", rater="'r' || s.r")
    unit = ExperimentUnit.objects.create(
        experiment=experiment, phase=1, unit_id=f"{variant.key}-0", variant=variant, first_exposed_at=now, requests=1,
        ratings=EACH, ups=8, priced=1, cost=0.001, cost_events=1e-6, waits=1, ln_ms=6.0, ln_ms_events=36.0,
    )  # fmt: skip
    copies(ExperimentUnit, unit.pk, numbers, unit_id=f"'{variant.key}-' || s", cost="0.001 * (1 + mod(s, 97))")
    HourRollup.objects.bulk_create(_hours(experiment, variant, units))


def _hours(experiment: Experiment, variant: Variant, units: int) -> Iterator[HourRollup]:
    """Yield the sums of each hour, as if people had come evenly."""
    end = timezone.now().replace(minute=0, second=0, microsecond=0)
    for number in range(HOURS):
        n = units // HOURS + (number < units % HOURS)
        yield HourRollup(
            prompt=experiment.prompt, environment=experiment.environment, version=variant.version, experiment=experiment,
            phase=1, variant=variant, hour=end - timedelta(hours=number), requests=n, shown=n, units=n, ratings=EACH * n,
            ups=8 * n, latency_ms=400 * n, raters=n, unit_ratings=EACH * n, unit_ups=8 * n, ratings_sq=EACH**2 * n,
            ups_sq=64 * n, ratings_ups=8 * EACH * n, users=n, unit_requests=n, requests_sq=n, requests_ratings=EACH * n,
            waiters=n, waits=n, waits_sq=n, ln_ms=6.0 * n, ln_ms_sq=36.5 * n, waits_ln_ms=6.0 * n, ln_ms_events=36.5 * n,
            payers=n, priced=n, priced_sq=n, unit_cost=0.049 * n, cost_sq=0.0032 * n, priced_cost=0.049 * n,
            cost_events=0.0032 * n, wait_counts={str(bucket): n // 40 for bucket in range(20, 60) if n // 40},
        )  # fmt: skip


def timed(asks: dict[str, Ask], rounds: int) -> dict[str, float]:
    """Return the median time of each in ms, asked in turns."""
    took: dict[str, list[float]] = {name: [] for name in asks}
    for _ in range(rounds):
        for name, ask in asks.items():
            began = time.perf_counter()
            ask()
            took[name].append(1000 * (time.perf_counter() - began))
    return {name: statistics.median(times) for name, times in took.items()}


def read(ask: Ask) -> tuple[int, set[str], int]:
    """Return how many statements it takes, which tables they scan, and how many rows of hourly sums they read."""
    with CaptureQueriesContext(connection) as queries:
        ask()
    tables, hours = set(), 0
    for query in queries.captured_queries:
        if not query["sql"].startswith("SELECT"):
            continue
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query['sql']}")
            waiting = [json.loads(row) if isinstance(row, str) else row for row in cursor.fetchone()]
        while waiting:
            node = waiting.pop()
            waiting += node if isinstance(node, list) else [node["Plan"]] if "Plan" in node else node.get("Plans", [])
            if isinstance(node, dict) and "Relation Name" in node:
                tables.add(node["Relation Name"])
                if node["Relation Name"] == HourRollup._meta.db_table:
                    hours += round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
    return len(queries.captured_queries), tables, hours


def analysed(experiment: Experiment) -> None:
    """Do what a worker does, whatever was said before, without the daily look at the units' bills."""
    last = AnalysisSnapshot.objects.newest_of(experiment.pk, 1)[0]
    with patch.object(extremes, "costs", lambda *_: last.inputs["costs"]):
        analysis.computed(analysis._inputs(experiment, timezone.now(), last, None))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ratings", type=int, nargs=2, default=[10_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    if connection.vendor != "postgresql":
        sys.exit("Set DATABASE_URL, or run it by tests/stores.py: ten million rows are for PostgreSQL.")
    settings.ALLOWED_HOSTS = ["*"]
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("SET session_replication_role = replica")  # No check of each row's references.
    team = accounts.create_team(SYSTEM, "Bench")
    _, secret = accounts.issue_key(SYSTEM, team, name="bench", scopes=[Scope.READ], calls_per_hour=1_000_000)
    client = Client(headers={"X-API-Key": secret})
    experiments = {}
    for number in options.ratings:
        began = time.monotonic()
        experiments[f"{number:,}"] = ran(team, f"with-{number}", number)
        print(f"{number:,} ratings written in {time.monotonic() - began:.0f} s", flush=True)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        for table in sorted(EVENTS):
            cursor.execute(f"SELECT count(*) FROM {table}")
            print(f"  {cursor.fetchone()[0]:>12,} rows in {table}")
    for name, experiment in experiments.items():
        began = time.monotonic()
        analysis.analyse(experiment, timezone.now())
        print(
            f"{name}: the first analysis of a day, with the units' bills: {time.monotonic() - began:.2f} s", flush=True
        )

    def fetch(experiment: Experiment) -> None:
        answer = client.get(f"/experiments/{experiment.key}/results")
        assert answer.status_code == 200 and answer.json()["analysis"], answer.content

    wrong = False
    for what, act in (("results over REST", fetch), ("a worker's analysis", analysed)):
        asks: dict[str, Ask] = {name: lambda one=one, act=act: act(one) for name, one in experiments.items()}  # type: ignore[misc]
        timed(asks, 5)
        took = timed(asks, options.rounds)
        few, many = took.values()
        print(f"{what}: " + ", ".join(f"{name} {ms:.1f} ms" for name, ms in took.items()) + f", ratio {many / few:.2f}")
        for name, ask in asks.items():
            statements, tables, hours = read(ask)
            print(
                f"  {name}: {statements} statements, {hours} hourly rows read, of {2 * HOURS}; scanned: {', '.join(sorted(tables))}"
            )
            wrong |= bool(tables & EVENTS) or (act is fetch and hours > 2 * HOURS)
        # Hours with few answers hold few lengths of waits, which is less for a worker to add up.
        wrong |= act is fetch and many / few > AT_MOST
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
