"""How one prompt is used, version by version."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time

from feedback.usage.asking import Asked
from feedback.usage.sums import Used, summed, used, waits
from promptlab.accounts.access import Principal
from prompts.models import Prompt


@dataclass(frozen=True, slots=True)
class VersionUse:
    """How one version was used."""

    number: int
    version_string: str
    used: Used


@dataclass(frozen=True, slots=True)
class PromptUsage:
    """How a prompt was used since the beginning of a day: altogether, and by version, the newest first."""

    since: datetime
    totals: Used
    versions: tuple[VersionUse, ...]


def prompt_usage(principal: Principal, prompt: Prompt, *, days: int = 30, environment: str = "") -> PromptUsage:
    """Return how a prompt was used in the last days. Two queries.

    What workers have not added to the sums yet is not in it: some seconds, as a rule.
    """
    asked = Asked(days=days, environment=environment, prompt_id=prompt.pk)
    rows = asked.rows(principal)
    sums = summed(rows, "version__number", "version__version_string")
    counts = waits(rows, "version__number")
    versions = [
        VersionUse(number, one["version__version_string"], used([one], [counts.get((number,), {})]))
        for one in sums
        for number in [one["version__number"]]
    ]
    versions.sort(key=lambda one: -one.number)
    since = datetime.combine(asked.since, time(), UTC)
    return PromptUsage(since, used(sums, counts.values()), tuple(versions))
