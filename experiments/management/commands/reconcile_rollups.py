"""`manage.py reconcile_rollups`: do the sums that pages read say what the units' rows say?"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand

from experiments.services.reconciling import reconcile_all


class Command(BaseCommand):
    """Safe to repeat and to run beside the servers. The workers do the same every night, and repair."""

    help = "Compare hourly sums of experiments with the rows of their units; exit code 1 when something differed."
    requires_system_checks = [Tags.security]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--repair", action="store_true", help="add what is lacking; else only report")

    def handle(self, *args: Any, **options: Any) -> None:
        found = reconcile_all(repair=options["repair"])
        for experiment, differences in found.items():
            for one in differences:
                self.stdout.write(f"{experiment.key}: {one}")
        if not found:
            self.stdout.write("Every sum is what the units say.")
        elif options["repair"]:
            self.stdout.write("Repaired.")
        else:
            self.stdout.write("Nothing was changed. Repeat with --repair to add what is lacking.")
        if found:
            sys.exit(1)
