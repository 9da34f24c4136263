#!/usr/bin/env python
"""Is every figure of the pages what the events behind them say? 200,000 of them, counted by workers' own functions.

`python tests/stores.py -- python bench/recount.py` on PostgreSQL. Answers and ratings of ten days are written, day by day,
and added up and analysed as they come; then each number, range and sentence of the pages about the experiment, the launch,
use, what changed, money and budgets, and of `GET /usage` and `GET /experiments/{key}/results`, is compared with a count of
the raw rows. See bench/README.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "sdk"), str(ROOT)]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promptlab.settings")
os.environ.setdefault("SECRET_KEY", "bench " * 10)
os.environ |= {"LOG_LEVEL": "ERROR", "TASK_WAKE_UPS": "0"}

import django  # noqa: E402

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402

from feedback.models import Feedback, FeedbackChange  # noqa: E402
from promptlab.accounts import services as accounts  # noqa: E402
from promptlab.accounts.access import SYSTEM, Role  # noqa: E402
from promptlab.chat.models import Message  # noqa: E402
from tests.support.eventful import World, make_world  # noqa: E402
from tests.support.figures import Figures, changes_now, compare_experiment, compare_launch, compare_use  # noqa: E402
from tests.support.figures_of_change import compare_api, compare_budgets, compare_changes  # noqa: E402
from tests.support.make import make_user  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=10)
    options = parser.parse_args()
    if connection.vendor != "postgresql":
        sys.exit("Set DATABASE_URL, or run it by tests/stores.py.")
    settings.ALLOWED_HOSTS = ["*"]
    call_command("collectstatic", interactive=False, verbosity=0)
    call_command("migrate", verbosity=0)
    days: list[tuple[datetime, Any]] = []

    def each_day(world: World, end: datetime) -> None:
        days.append((end, changes_now(world)))
        print(f"  day {len(days)}: {world.events:,} events", flush=True)

    began = time.monotonic()
    team = accounts.create_team(SYSTEM, "Bench")
    world = make_world(team, options.events, days=options.days, each_day=each_day)
    rows = Message.objects.count(), Feedback.objects.count(), FeedbackChange.objects.count()
    print("{:,} answers, {:,} ratings, {:,} times changed or taken back".format(*rows))
    print(f"{world.events:,} events written and counted in {time.monotonic() - began:.0f} s", flush=True)
    began, found, client = time.monotonic(), Figures(), Client()
    client.force_login(make_user("", team, Role.ADMINISTRATOR))
    compare_experiment(world, client, days, found)
    compare_launch(world, client, found)
    compare_use(world, client, found)
    compare_changes(client, found)
    compare_api(world, found)
    compare_budgets(world, client, found)
    print(f"{found.compared:,} figures compared in {time.monotonic() - began:.0f} s, {len(found.differences)} differ")
    print(*found.differences[:20], sep="\n")
    sys.exit(1 if found.differences else 0)


if __name__ == "__main__":
    main()
