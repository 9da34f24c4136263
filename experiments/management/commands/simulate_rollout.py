"""`manage.py simulate_rollout`: the shipped rule over simulated feedback, so that anyone can check what we claim."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError

from experiments.services.rehearsal import Outcome, Scenario, Summary, rehearse, summary

CHUNK = 10
BAR = 40
HEADINGS = ("base", "drop", "rate/h", "paused", "median events", "p90 events", "median hours")


class Command(BaseCommand):
    """The table is all that standard output gets; progress goes to standard error. Touches no table."""

    help = "Rehearse gradual launches: how often the guard pauses, and after how many ratings. See docs/statistics.md."
    requires_system_checks = [Tags.security]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--rate", type=float, nargs="+", default=[20, 200, 2000], help="ratings an hour, of both")
        parser.add_argument("--base", type=float, nargs="+", default=[0.8], help="approval of the control, 0 to 1")
        parser.add_argument("--drop", type=float, nargs="+", default=[0.0], help="how much lower the new text's is")
        parser.add_argument("--icc", type=float, default=0.0, help="how alike the ratings of one user are, 0 to 1")
        parser.add_argument("--ratings-per-user", type=int, default=1)
        parser.add_argument("--runs", type=int, default=2000, help="for each line of the table")
        parser.add_argument("--days", type=float, default=7.0)
        parser.add_argument(
            "--look-minutes", type=float, default=5.0, help="time between two looks; 0: after each rating"
        )
        parser.add_argument("--looks", type=int, help="so many looks, instead of days")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--jobs", type=int, default=1, help="processes")

    def handle(self, *args: Any, **options: Any) -> None:
        scenarios = [
            _scenario(options, rate, base, drop)
            for drop, base, rate in product(options["drop"], options["base"], options["rate"])
        ]
        if min(options["runs"], options["jobs"]) < 1:
            raise CommandError("--runs and --jobs are at least 1.")
        self.stdout.write(_line(HEADINGS))
        with ProcessPoolExecutor(options["jobs"]) as pool:
            for scenario in scenarios:
                found = pool.map(partial(rehearse, scenario), range(options["runs"]), chunksize=CHUNK)
                said = summary(list(self._watched(found, options["runs"], shown=options["verbosity"] > 0)))
                self.stdout.write(_line(_cells(scenario, said)))

    def _watched(self, outcomes: Iterable[Outcome], runs: int, *, shown: bool) -> Iterator[Outcome]:
        """Pass outcomes on and draw how many there are, where somebody sits before a terminal."""
        shown = shown and self.stderr.isatty()
        for done, outcome in enumerate(outcomes, start=1):
            if shown and (done % CHUNK == 0 or done == runs):
                filled = "#" * (BAR * done // runs)
                self.stderr.write(f"\r[{filled:<{BAR}}] {done}/{runs}", ending="" if done < runs else "\r\033[K")
            yield outcome


def _scenario(options: dict[str, Any], rate: float, base: float, drop: float) -> Scenario:
    """Return one line's scenario. Raises CommandError for what cannot be simulated."""
    if not (0 < base < 1 and 0 < base - drop <= 1 and 0 <= options["icc"] < 1):
        raise CommandError("--base and --base minus --drop are between 0 and 1, --icc is at least 0 and below 1.")
    if min(rate, options["days"], options["ratings_per_user"], options["looks"] or 1) <= 0:
        raise CommandError("--rate, --days, --looks and --ratings-per-user are above 0.")
    if options["look_minutes"] < 0 or (options["looks"] and not options["look_minutes"]):
        raise CommandError("--look-minutes is at least 0, and above 0 with --looks.")
    days = options["looks"] * options["look_minutes"] / 1440 if options["looks"] else options["days"]
    return Scenario(
        rate=rate,
        base=base,
        drop=drop,
        icc=options["icc"],
        ratings_per_user=options["ratings_per_user"],
        days=days,
        look_minutes=options["look_minutes"],
        seed=options["seed"],
    )


def _cells(scenario: Scenario, said: Summary) -> tuple[str, ...]:
    hours = "-" if said.median_hours is None else f"{said.median_hours:.1f}"
    events = [("-" if number is None else f"{number:,}") for number in (said.median_events, said.p90_events)]
    return (f"{scenario.base:g}", f"{scenario.drop:g}", f"{scenario.rate:g}", f"{said.share:.2%}", *events, hours)


def _line(cells: Iterable[str]) -> str:
    return "".join(f"{cell:>15}" for cell in cells)
