"""`manage.py recount_usage`: do the daily sums that pages of use read say what the answers and ratings say?"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from datetime import UTC, timedelta
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand
from django.utils import timezone

from feedback.services.recounting import fill, reconcile_days


class Command(BaseCommand):
    """Safe to repeat and to run beside the servers. The workers do the same every night for the last days, and repair."""

    help = "Compare the daily sums of use with the answers and ratings; exit code 1 when something differed."
    requires_system_checks = [Tags.security]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, default=90, help="how many days back (90)")
        parser.add_argument("--repair", action="store_true", help="add what is lacking; else only report")

    def handle(self, *args: Any, **options: Any) -> None:
        while options["repair"] and fill():
            continue
        since = timezone.now().astimezone(UTC).date() - timedelta(days=options["days"])
        found = reconcile_days(since, repair=options["repair"])
        for one in found[:100]:
            self.stdout.write(str(one))
        if not found:
            self.stdout.write("Every sum is what the answers say.")
        elif options["repair"]:
            self.stdout.write("Repaired.")
        else:
            self.stdout.write("Nothing was changed. Repeat with --repair to add what is lacking.")
        if found:
            sys.exit(1)
