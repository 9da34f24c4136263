"""What an environment asks for before something goes live there, and how to pass in an emergency."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.db.models import QuerySet
from django.utils import timezone

from promptlab.accounts.access import Principal, require
from promptlab.audit.recorder import record
from promptlab.lib.errors import Conflict, Invalid
from prompts.errors import EnvironmentFrozen, LiveInProtected, ReviewRequired
from prompts.models import Deployment, Environment, FreezeWindow, Prompt, Version
from prompts.services import reviewing, suite_gate
from prompts.services.suite_gate import Verdict

SHORTEST_REASON = 10
MOST_NAMES = 20
ArchiveCheck = Callable[[QuerySet[Prompt]], None]
archive_checks: list[ArchiveCheck] = []
"""What floors above have against archiving prompts: each raises a Conflict that names them. Their AppConfigs add to it."""


def check(actor: Principal, version: Version, environment: Environment, *, break_glass: str = "") -> None:
    """Raise what forbids putting the version live; with a `break_glass` reason record that it was passed, and return.

    To be called in the transaction that holds the environment's row, with that row.
    Raises EnvironmentFrozen, ReviewRequired, SuiteNotGreen; Forbidden or Invalid when the glass may not be broken.
    """
    found = obstacles(actor, version, environment)
    if not found:
        return
    if not break_glass:
        raise found[0]
    require(actor, "prompt.break_glass", environment.team_id)
    if len(break_glass.strip()) < SHORTEST_REASON:
        detail = f"Say why it cannot wait, in {SHORTEST_REASON} characters or more."
        raise Invalid.field("break_glass", detail, code="too_short")
    after = {
        "version": version.number,
        "environment": environment.name,
        "passed": [error.code for error in found],
    }
    record(
        actor,
        "deployment.break_glass",
        version.prompt,
        team_id=environment.team_id,
        after=after,
        note=break_glass.strip()[:500],
    )


def obstacles(
    actor: Principal, version: Version, environment: Environment, verdicts: Sequence[Verdict] | None = None
) -> list[Conflict]:
    """Return everything that forbids it now, the freeze first; nothing when it may go live.

    `verdicts` are what `suite_gate.verdicts` found, of a caller that shows them, too.
    """
    found: list[Conflict] = []
    window = current_freeze(environment)
    if window is not None:
        until = timezone.localtime(window.ends_at).isoformat(timespec="minutes")
        found.append(EnvironmentFrozen(environment=environment.name, until=until, reason=window.reason))
    missing = _missing(actor, version, environment)
    if missing > 0:
        found.append(_review_required(version, environment, missing))
    if verdicts is None:
        verdicts = suite_gate.verdicts(version, environment)
    return [*found, *suite_gate.obstacles(verdicts)]


def current_freeze(environment: Environment) -> FreezeWindow | None:
    """Return the freeze that holds now and ends last; None when there is none."""
    rows = FreezeWindow.objects.active(timezone.now()).filter(environment=environment)
    return rows.order_by("-ends_at").first()


def refuse_archiving(team_id: int, prompts: QuerySet[Prompt]) -> None:
    """Raise what forbids archiving, naming the prompts: LiveInProtected, or what a floor above has against it.

    Holds the rows of the team's environments, so that nothing goes live and no experiment starts meanwhile.
    """
    environments = Environment.objects.select_for_update(no_key=True).filter(team_id=team_id).order_by("pk")
    guarded = [environment.pk for environment in environments if environment.is_protected]
    live = Deployment.objects.live().filter(environment__in=guarded, prompt__in=prompts)
    if titles := sorted(set(live.values_list("prompt__title", flat=True))):
        raise LiveInProtected(prompts=some_of(titles))
    for check_above in archive_checks:
        check_above(prompts)


def some_of(titles: Sequence[str]) -> str:
    """Return the titles as one text, a long list cut short."""
    more = f" and {len(titles) - MOST_NAMES} more" if len(titles) > MOST_NAMES else ""
    return ", ".join(titles[:MOST_NAMES]) + more


def _missing(actor: Principal, version: Version, environment: Environment) -> int:
    """Return how many approvals are missing.

    With four eyes the author never counts. Without, whoever puts it live counts as one if they may review.
    """
    if not environment.is_protected:
        return 0
    counted = reviewing.approvals(version)
    if environment.four_eyes:
        counted.discard(version.author_id or 0)
    elif actor.user_id is not None and actor.may("prompt.review", environment.team_id):
        counted.add(actor.user_id)
    return environment.approvals_needed - len(counted)


def _review_required(version: Version, environment: Environment, missing: int) -> ReviewRequired:
    names = [str(person) for person in reviewing.reviewers(version)[:MOST_NAMES]]
    return ReviewRequired(
        prompt=version.prompt.title,
        version=version.number,
        environment=environment.name,
        missing=missing,
        needed=environment.approvals_needed,
        reviewers=", ".join(names) or "nobody yet",
    )
