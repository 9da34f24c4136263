"""`manage.py seed_demo`: the demo team with people, prompts, experiments and believable traffic."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand

from promptlab.management.demo import seed


class Command(BaseCommand):
    """Repeatable: what is there stays as it is, so a second run changes nothing."""

    help = (
        "Write the demo data: the team Demo, its people, prompts, live versions, experiments, conversations, ratings."
    )
    requires_system_checks = [Tags.security]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--password", default="", help="give ana, ben, chloe and vic this password; without it they cannot sign in"
        )

    def handle(self, *args: Any, password: str, verbosity: int, **options: Any) -> None:
        def say(line: str) -> None:
            if verbosity:
                self.stdout.write(line)

        is_new = seed(say, password)
        say("The demo data is written." if is_new else "The demo data was there already.")
