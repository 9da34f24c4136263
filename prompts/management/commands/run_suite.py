"""`manage.py run_suite`: a test suite on a version, compared with what is live, for pipelines."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError

from promptlab.accounts.access import SYSTEM
from promptlab.lib.errors import DomainError
from prompts import comparing, resolve
from prompts.comparing import Comparison
from prompts.errors import NotDeployed
from prompts.management.junit import report
from prompts.management.teams import team_named
from prompts.models import Environment, Prompt, Suite, SuiteRun, Version
from prompts.services import testing
from prompts.services.environments import named
from prompts.services.suite_runs import Wanted, request_run

CONDITIONS = ("flips", "required", "drop", "failures", "never")
NOT_RUN = 2
LOOK_S = 0.5


class Command(BaseCommand):
    """Exit code 1: worse than what is live, as `--fail-on` says. 2: it could not be run."""

    help = "Run a test suite on a version, compare it with what is live, and write JUnit XML."
    requires_system_checks = [Tags.security]

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """Return the parser: here `--version` is a prompt's, not Django's."""
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("suite", help="the suite's short name")
        parser.add_argument("--team", required=True, help="the team's name")
        parser.add_argument("--prompt", help="the prompt's short name, for a suite of all prompts")
        parser.add_argument("--version", default="latest", help="number, name or latest")
        parser.add_argument("--model", action="append", default=[], help="a model; several times for several")
        parser.add_argument("--environment", default="production", help="what is live there is compared with")
        parser.add_argument("--budget", help="the most that each run may cost, in dollars")
        parser.add_argument("--fail-on", choices=CONDITIONS, default="flips", help="when to end with exit code 1")
        parser.add_argument("--junit", help="where to write JUnit XML")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            is_worse = self._handle(options)
        except DomainError as error:
            raise CommandError(error.detail, returncode=NOT_RUN) from error
        if is_worse:
            raise CommandError(f"Worse, by --fail-on {options['fail_on']}.", returncode=1)

    def _handle(self, options: dict[str, Any]) -> bool:
        suite, version = self._chosen(options)
        where = named(suite.team_id, options["environment"])
        run = self._run(suite, version, where, options, "")
        if options["junit"]:
            Path(options["junit"]).write_text(report(run), encoding="utf-8")
        found = comparing.tallies(run)
        failing = [one.case for one in found if not one.is_passed]
        self.stdout.write(f"{len(found) - len(failing)} of {len(found)} cases passed; {run.spent_usd:f} dollars.")
        condition = options["fail_on"]
        if condition == "never":
            return False
        if condition == "failures":
            self._name("Failed", failing)
            return bool(failing)
        return self._is_worse(run, self._live_run(suite, version, where, options), condition)

    def _is_worse(self, run: SuiteRun, before: SuiteRun | None, condition: str) -> bool:
        if before is None:
            self.stdout.write("Nothing else is live there to compare with.")
            return False
        comparison: Comparison = comparing.compare(before, run)
        flips = comparison.flips("pass_to_fail", required=condition == "required")
        self._name("Passed until now", [f"{one.case} ({one.model})" for one in flips])
        self._name("Passes now", [f"{one.case} ({one.model})" for one in comparison.flips("fail_to_pass")])
        self.stdout.write(f"Chance alone makes such a drop in {comparison.p_of_drop:.1%} of runs.")
        return comparison.is_drop if condition == "drop" else bool(flips)

    def _chosen(self, options: dict[str, Any]) -> tuple[Suite, Version]:
        team = team_named(options["team"])
        suite = Suite.objects.active().filter(team=team, name=options["suite"]).select_related("prompt").first()
        if suite is None:
            raise CommandError(f"There is no test suite {options['suite']!r} in {team}.", returncode=NOT_RUN)
        prompt: Prompt | None = suite.prompt
        if options["prompt"]:
            prompt = resolve.prompt_named(team.pk, options["prompt"])
        if prompt is None:
            raise CommandError("The suite is for all prompts. Name one with --prompt.", returncode=NOT_RUN)
        return suite, resolve.version_of(prompt, options["version"])

    def _live_run(self, suite: Suite, version: Version, where: Environment, options: Any) -> SuiteRun | None:
        """Return a run of what is live there, made now; None when that is nothing else."""
        try:
            live = resolve.live_version(suite.team_id, version.prompt.name, where.name).version
        except NotDeployed:
            return None
        if live is None or live.pk == version.pk:
            return None
        return self._run(suite, live, where, options, "To compare with.")

    def _run(self, suite: Suite, version: Version, where: Environment, options: Any, note: str) -> SuiteRun:
        """Return a finished run. Whoever works on it: this process, or a worker that was quicker."""
        wanted = Wanted(version, options["model"], where, _money(options["budget"]), note)
        run = request_run(SYSTEM, suite, wanted)
        self.stdout.write(f"Run {run.pk}: {suite.name} on {version}, {', '.join(run.asked_models)}.")
        while run.is_open:
            testing.work_on(run.pk)
            run.refresh_from_db(fields=["state", "reason", "spent_nanousd"])
            if run.is_open:
                time.sleep(LOOK_S)
        if run.state != SuiteRun.State.FINISHED:
            raise CommandError(f"Run {run.pk}: {run.get_state_display()}. {run.reason}", returncode=NOT_RUN)
        return run

    def _name(self, lead: str, names: list[str]) -> None:
        if names:
            self.stdout.write(f"{lead}: {', '.join(names)}")


def _money(text: str | None) -> Decimal | None:
    try:
        return None if text is None else Decimal(text)
    except InvalidOperation:
        raise CommandError("--budget is a number of dollars.", returncode=NOT_RUN) from None
