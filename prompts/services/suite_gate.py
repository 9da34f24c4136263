"""What an environment asks for by test suites: whether a version is as good there as what is live, beyond noise.

A verdict is about one content: it is void after an edit, a change of the suite, or of a text that is included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.db import transaction
from django.db.models import Q

from promptlab import llm
from promptlab.accounts.access import Principal, require
from promptlab.lib.errors import DomainError
from promptlab.lib.logs import get_logger
from prompts import snippets
from prompts.comparing import Comparison, Tally, of_tallies, tallies
from prompts.errors import SuiteNotGreen
from prompts.models import Deployment, Environment, Suite, SuiteRequirement, SuiteRun, Version
from prompts.services.suite_runs import Wanted, request_run

log = get_logger(__name__)
LOOKED_AT: Final = 20
"""Runs of a version that are looked through for one that counts."""
BASELINES: Final = 5
"""Runs of the live version that a required case has to have passed all, to count as one that flipped."""
MOST_NAMES: Final = 5
State = SuiteRun.State


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a suite says of a version. `problem` is empty when it is green, else what is wrong, and `step` what to do."""

    suite: Suite
    version: Version
    environment: Environment
    problem: str = ""
    step: str = ""
    run: SuiteRun | None = None
    live_run: SuiteRun | None = None
    comparison: Comparison | None = None

    @property
    def is_green(self) -> bool:
        return not self.problem

    @property
    def error(self) -> SuiteNotGreen:
        """What is raised when it is not."""
        return SuiteNotGreen(
            suite=self.suite.name,
            problem=self.problem,
            step=self.step,
            run=self.run.pk if self.run else None,
            live_run=self.live_run.pk if self.live_run else None,
        )


def obstacles(found: Iterable[Verdict]) -> list[SuiteNotGreen]:
    """Return what suites have against a version, by their verdicts."""
    return [one.error for one in found if not one.is_green]


def verdicts(version: Version, environment: Environment) -> list[Verdict]:
    """Return what every suite that the environment asks for says of the version, by name; one query where it asks for none."""
    suites = required(version, environment)
    live = _live(version, environment) if suites else None
    return [_verdict(suite, version, live, environment) for suite in suites]


def required(version: Version, environment: Environment) -> list[Suite]:
    """Return the suites that an environment asks for before versions of this prompt go live there."""
    fits = Q(suite__prompt=None) | Q(suite__prompt=version.prompt_id)
    rows = SuiteRequirement.objects.filter(fits, environment=environment)
    return [row.suite for row in rows.order_by("suite__name")]


def request_missing(actor: Principal, version: Version, environment: Environment) -> list[SuiteRun]:
    """Ask for the runs without which there is no verdict on the version there: its own, and the live version's."""
    require(actor, "prompt.write", version.prompt.team_id)
    made = []
    for suite in required(version, environment):
        for one in filter(None, (version, _live(version, environment))):
            if _counting(suite, one, environment) or _is_asked(suite, one):
                continue
            note = f"To go live in {environment.name}."
            wanted = Wanted(one, [model_of(one)], environment, note=note)
            made.append(request_run(actor, suite, wanted))
    return made


def queue_for_review(actor: Principal, version: Version) -> None:
    """Ask for the runs that any environment of the team will want. What cannot be asked is no reason to refuse a review."""
    rows = Environment.objects.filter(team_id=version.prompt.team_id, requirements__isnull=False).distinct()
    for environment in rows:
        try:
            with transaction.atomic():
                request_missing(actor, version, environment)
        except DomainError as error:
            # Whoever puts it live is told the same, with the way out.
            log.warning("suite_not_queued", version=version.pk, environment=environment.name, code=error.code)


def model_of(version: Version) -> str:
    """Return the model that answers for a version where nobody names another."""
    return llm.resolve(version.model).name


def _verdict(suite: Suite, version: Version, live: Version | None, environment: Environment) -> Verdict:
    label = f"v{version.number}"
    runs = _counting(suite, version, environment)
    if not runs:
        if _is_asked(suite, version):
            return Verdict(suite, version, environment, f"{label} is being asked.", "Wait for the run to end.")
        step = f"Run it on {label} with {model_of(version)}."
        return Verdict(suite, version, environment, f"no finished run of revision {suite.revision} on {label}.", step)
    run, found = runs[0], tallies(runs[0], model_of(version))
    if problem := _incomplete(found, label):
        return Verdict(suite, version, environment, *problem, run=run)
    if live is None:
        return _first(suite, version, environment, run, found)
    before = _counting(suite, live, environment, judges=run.judges)
    if not before:
        missing = f"the live v{live.number} has no finished run of revision {suite.revision} with the same judges."
        step = f"Run it on v{live.number} with {model_of(live)} too."
        return Verdict(suite, version, environment, missing, step, run)
    was = [tallies(one, model_of(live)) for one in before[:BASELINES]]
    if problem := _incomplete(was[0], f"v{live.number}"):
        return Verdict(suite, version, environment, *problem, run=run, live_run=before[0])
    comparison = of_tallies(was[0], found)
    problem = _worse(comparison, was)
    return Verdict(suite, version, environment, *problem, run=run, live_run=before[0], comparison=comparison)


def _worse(comparison: Comparison, was: Sequence[Sequence[Tally]]) -> tuple[str, str]:
    """Return in which way it is worse than what is live, and what to do; two empty texts when it is not.

    A required case that the live version itself does not pass every time flips by chance: it counts in the rate only.
    """
    step = "Look at the answers, change the text, and run it again."
    unsteady = {one.case for found in was for one in found if not one.is_passed}
    flipped = [one.case for one in comparison.flips("pass_to_fail", required=True) if one.case not in unsteady]
    if flipped:
        return f"required and passed until now: {_named(flipped)}.", step
    if comparison.is_drop:
        before, after = comparison.rate_before or 0, comparison.rate_after or 0
        chance = f"chance alone makes such a drop in {comparison.p_of_drop:.1%} of runs"
        return f"{after:.0%} pass, of the live version {before:.0%}; {chance}.", step
    return "", ""


def _first(suite: Suite, version: Version, environment: Environment, run: SuiteRun, found: Sequence[Tally]) -> Verdict:
    """Return the verdict where nothing is live to compare with: what is required has to pass."""
    failing = [one.case for one in found if one.is_required and not one.is_passed]
    problem = (f"required and not passed: {_named(failing)}.", "Change the text, and run it again.")
    return Verdict(suite, version, environment, *(problem if failing else ("", "")), run=run)


def _incomplete(found: Sequence[Tally], label: str) -> tuple[str, str] | None:
    undecided = sum(one.undecided for one in found)
    if not undecided:
        return None
    return f"{undecided} answers of {label} are missing or could not be decided.", "Ask for them again."


def _counting(
    suite: Suite, version: Version, environment: Environment, *, judges: Mapping[str, int] | None = None
) -> list[SuiteRun]:
    """Return the finished runs, newest first, that asked exactly what would be served there, by the suite as it is."""
    rows = SuiteRun.objects.defer("plan").filter(
        suite=suite,
        suite_checksum=suite.checksum,
        version=version,
        version_checksum=version.checksum,
        state=State.FINISHED,
    )
    model = model_of(version)
    found = [one for one in rows.order_by("-pk")[:LOOKED_AT] if model in one.asked_models]
    if not found:
        return []
    try:
        pins = snippets.resolve(version, environment).ids
    except DomainError:
        return []  # It cannot be served there at all, and `deploying` says why.
    return [one for one in found if one.snippets == pins and judges in (None, one.judges)]


def _is_asked(suite: Suite, version: Version) -> bool:
    """Tell whether a run that would count is waiting or running."""
    rows = SuiteRun.objects.open().filter(
        suite=suite, suite_checksum=suite.checksum, version=version, version_checksum=version.checksum
    )
    return any(model_of(version) in one.asked_models for one in rows.defer("plan"))


def _live(version: Version, environment: Environment) -> Version | None:
    """Return what is live there, if that is another version."""
    pointers = Deployment.objects.live().filter(prompt=version.prompt_id, environment=environment)
    found: Deployment | None = pointers.select_related("version__prompt").first()
    return found.version if found and found.version_id != version.pk else None


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
