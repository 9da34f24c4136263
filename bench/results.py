#!/usr/bin/env python
"""Do results of an experiment with 10 million ratings cost what those of one with 10,000 cost, and the pages about it?

`python tests/stores.py -- python bench/results.py` on PostgreSQL. Both experiments ran for as many hours, each in a team of
its own in one database, and are asked for in turns, through the views. The database itself writes the rows. See
bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
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

from experiments.models import AnalysisSnapshot, DayRollup, Experiment, ExperimentUnit, HourRollup, Ramp, Variant  # noqa: E402
from experiments.services import analysis, extremes  # noqa: E402
from experiments.services.ramp_stages import DEFAULT_STAGES  # noqa: E402
from feedback.models import Feedback  # noqa: E402
from promptlab.accounts import services as accounts  # noqa: E402
from promptlab.accounts.access import SYSTEM, Role, Scope  # noqa: E402
from promptlab.accounts.models import Team, User  # noqa: E402
from promptlab.chat.models import Message  # noqa: E402
from tests.support.make import make_experiment, make_message, make_prompt, make_user  # noqa: E402

HOURS = 168
EACH = 10
"""Ratings of one answer, which is one unit's."""
AT_MOST = 1.2
MOST_STATEMENTS = 12
MOST_EVENTS = 3_000
"""Rows of events that a page may read through an index: the newest 500 comments, with what each is about."""
EVENTS = tuple(model._meta.db_table for model in (Feedback, Message, ExperimentUnit))
"""The tables of events. PostgreSQL keeps two of them by months, in tables that have longer names."""
Ask = Callable[[], object]


@dataclass(slots=True)
class Read:
    """What some statements read. `scanned`: tables of events that were read from one end to the other."""

    statements: int = 0
    hours: int = 0
    events: int = 0
    scanned: set[str] = field(default_factory=set)


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
    began = timezone.now() - timedelta(hours=HOURS)
    Experiment.objects.filter(pk=experiment.pk).update(started_at=began)
    stages = [stage.as_json() for stage in DEFAULT_STAGES]
    Ramp.objects.create(experiment=experiment, stages=stages, entered_at=began, traffic_at=began, started_at=began)
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
    thumb = "CASE WHEN s.r > 8 THEN -1 ELSE 1 END"
    comment = "CASE WHEN s.r = 10 THEN 'It does not answer my question.' ELSE '' END"
    said = {"rater": "'r' || s.r", "value": thumb, "counted_value": thumb, "comment": comment}
    copies(Feedback, rating.pk, answers, uid="gen_random_uuid()", message_id="s.id", **said)
    unit = ExperimentUnit.objects.create(
        experiment=experiment, phase=1, unit_id=f"{variant.key}-0", variant=variant, first_exposed_at=now, requests=1,
        ratings=EACH, ups=8, priced=1, cost=0.001, cost_events=1e-6, waits=1, ln_ms=6.0, ln_ms_events=36.0,
    )  # fmt: skip
    copies(ExperimentUnit, unit.pk, numbers, unit_id=f"'{variant.key}-' || s", cost="0.001 * (1 + mod(s, 97))")
    HourRollup.objects.bulk_create(_hours(experiment, variant, units))
    DayRollup.objects.bulk_create(_days(experiment, variant, units))


def _days(experiment: Experiment, variant: Variant, units: int) -> Iterator[DayRollup]:
    """Yield the sums of each day."""
    today, days = timezone.now().date(), HOURS // 24
    for number in range(days):
        n = units // days + (number < units % days)
        yield DayRollup(
            prompt=experiment.prompt, environment=experiment.environment, version=variant.version, model="echo",
            day=today - timedelta(days=number), requests=n, shown=n, ratings=EACH * n, ups=8 * n, input_tokens=10 * n,
            output_tokens=5 * n, cost_nanousd=10**6 * n, priced=n,
            wait_counts={str(bucket): n // 40 for bucket in range(20, 60) if n // 40},
        )  # fmt: skip


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


def read(ask: Ask) -> Read:
    """Return what it reads, by the plans of its statements."""
    with CaptureQueriesContext(connection) as queries:
        ask()
    found = Read(statements=len(queries.captured_queries))
    for query in queries.captured_queries:
        if query["sql"].startswith("SELECT"):
            for node in nodes(query["sql"]):
                _add(found, node)
    return found


def nodes(sql: str) -> Iterator[dict[str, Any]]:
    """Yield each step of a statement's plan that read a table."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        (plan,) = cursor.fetchone()
    waiting = [one["Plan"] for one in (json.loads(plan) if isinstance(plan, str) else plan)]
    while waiting:
        node = waiting.pop()
        waiting += node.get("Plans", [])
        if "Relation Name" in node:
            yield node


def _add(found: Read, node: dict[str, Any]) -> None:
    table, rows = node["Relation Name"], node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    rows = round(rows * node["Actual Loops"])
    if table == HourRollup._meta.db_table:
        found.hours += rows
    if table.startswith(EVENTS):
        found.events += rows
        # A month in which nothing was said yet is read in no other way, for nothing.
        if node["Node Type"] == "Seq Scan" and rows:
            found.scanned.add(table)


def analysed(experiment: Experiment) -> None:
    """Do what a worker does, whatever was said before, without the daily look at the units' bills."""
    last = AnalysisSnapshot.objects.newest_of(experiment.pk, 1)[0]
    with patch.object(extremes, "costs", lambda *_: last.inputs["costs"]):
        analysis.computed(analysis._inputs(experiment, timezone.now(), last, None))


def fetched(client: Client, address: str) -> str:
    """Return what an address answers."""
    answer = client.get(address)
    assert answer.status_code == 200, (address, answer.status_code)
    return answer.content.decode()


def asks_of(experiment: Experiment) -> dict[str, Ask]:
    """Return all that is asked of an experiment, by a key and by a person of its team."""
    _, secret = accounts.issue_key(SYSTEM, experiment.team, name="bench", scopes=[Scope.READ], calls_per_hour=1_000_000)
    program, browser = Client(headers={"X-API-Key": secret}), Client()
    reader = f"reader-of-{experiment.key}"
    known = User.objects.filter(username=reader).first()
    browser.force_login(known or make_user(reader, experiment.team, Role.ADMINISTRATOR))
    ramp = Ramp.objects.get(experiment=experiment)
    pages = {
        "the experiment's page": f"/dashboards/experiments/{experiment.key}/",
        "its part that refreshes": f"/dashboards/experiments/{experiment.key}/live/",
        "the launch's page": f"/admin/experiments/ramp/{ramp.pk}/change/",
        "use of everything": "/dashboards/usage/",
        "use of the prompt": f"/dashboards/usage/prompts/{experiment.prompt_id}/",
        "what changed": "/dashboards/usage/changes/",
        "money": "/dashboards/usage/money/",
    }
    asks: dict[str, Ask] = {name: partial(fetched, browser, address) for name, address in pages.items()}
    results = partial(fetched, program, f"/experiments/{experiment.key}/results")
    return {"results over REST": results, "a worker's analysis": partial(analysed, experiment), **asks}


def compared(what: str, asks: dict[str, Ask], rounds: int) -> bool:
    """Ask in turns, tell what it took and read, and return whether it is as it should be."""
    timed(asks, 5)
    few, many = timed(asks, rounds).values()
    print(f"{what}: {few:.1f} and {many:.1f} ms, ratio {many / few:.2f}")
    # Hours with few answers hold few lengths of waits, which is less for a worker to add up.
    is_page = what != "a worker's analysis"
    is_right = not is_page or many / few <= AT_MOST
    for name, ask in asks.items():
        found = read(ask)
        scanned = ", ".join(sorted(found.scanned)) or "nothing"
        print(
            f"  {name}: {found.statements} statements, {found.hours} hourly rows (of {2 * HOURS}) and {found.events} rows"
            f" of events read; scanned: {scanned}",
            flush=True,
        )
        is_right &= not found.scanned and found.events <= MOST_EVENTS
        is_right &= not is_page or (found.statements <= MOST_STATEMENTS and found.hours <= 2 * HOURS)
    return is_right


def written(numbers: list[int]) -> dict[str, Experiment]:
    """Return an experiment with each number of ratings, analysed once."""
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("SET session_replication_role = replica")  # No check of each row's references.
    experiments = {}
    for number in numbers:
        began = time.monotonic()
        experiments[f"{number:,}"] = ran(accounts.create_team(SYSTEM, f"With {number}"), f"with-{number}", number)
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
    return experiments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ratings", type=int, nargs=2, default=[10_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    if connection.vendor != "postgresql":
        sys.exit("Set DATABASE_URL, or run it by tests/stores.py: ten million rows are for PostgreSQL.")
    settings.ALLOWED_HOSTS = ["*"]
    call_command("collectstatic", interactive=False, verbosity=0)
    call_command("migrate", verbosity=0)
    keys = {f"{number:,}": f"with-{number}" for number in options.ratings}
    known = {name: Experiment.objects.filter(key=key).first() for name, key in keys.items()}
    experiments = known if all(known.values()) else written(options.ratings)
    asks = {name: asks_of(experiment) for name, experiment in experiments.items() if experiment is not None}
    first = next(iter(asks.values()))
    is_right = [compared(what, {name: ask[what] for name, ask in asks.items()}, options.rounds) for what in first]
    sys.exit(0 if all(is_right) else 1)


if __name__ == "__main__":
    main()
