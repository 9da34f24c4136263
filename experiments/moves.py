"""The revision log: which prompts each revision of an environment was about. Read from rows that are never changed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from experiments.models import Experiment
from promptlab.audit.models import AuditEntry
from promptlab.lib.threads import SingleFlight
from prompts.models import DeploymentEvent, Environment, SnippetUse

MOST = 1000
"""Who missed more than so many revisions asks for everything."""
Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """One revision and the prompts it was about; no names: ask for everything."""

    revision: int
    names: Names


_recent: dict[int, deque[Move]] = {}
"""By environment id the last moves that somebody here asked for, without a gap."""
_reads = SingleFlight()


async def amoves(environment: Environment, after: int, until: int) -> list[Move]:
    """Return the moves after one revision up to another, which has been committed; oldest first.

    One read serves all who want to know the same. Too many, and revisions that never were, become one without names.
    """
    if not 0 < until - after <= MOST:
        return [Move(until, ())]
    kept = _recent.setdefault(environment.pk, deque(maxlen=MOST))
    if not kept or kept[0].revision > after + 1 or kept[-1].revision < until:
        read = await _reads.ado((environment.pk, after, until), lambda: moves(environment, after, until))
        if not kept or kept[-1].revision + 1 < read[0].revision:
            kept.clear()
        kept.extend(move for move in read if not kept or move.revision == kept[-1].revision + 1)
        return read
    return [move for move in kept if after < move.revision <= until]


def forget() -> None:
    """Forget what was read: for tests."""
    _recent.clear()


def moves(environment: Environment, after: int, until: int) -> list[Move]:
    """Read the moves after one revision up to another, oldest first: two queries, four with experiments among them."""
    names = _deployed(environment, after, until)
    wanted = range(after + 1, until + 1)
    if any(revision not in names for revision in wanted):
        names |= _tested(environment, after, until)
    # Whatever else takes a revision, such as a prompt's new name, concerns who knows which prompts.
    return [Move(revision, names.get(revision, ())) for revision in wanted]


def _deployed(environment: Environment, after: int, until: int) -> dict[int, Names]:
    """Return the names by revision where a pointer moved; none for a snippet, whose text is in other prompts."""
    events = DeploymentEvent.objects.filter(environment=environment, revision__gt=after, revision__lte=until)
    rows = list(events.values_list("revision", "prompt_id", "prompt__name"))
    snippets = _snippets({prompt_id for _, prompt_id, _ in rows})
    return {revision: () if prompt_id in snippets else (name,) for revision, prompt_id, name in rows}


def _tested(environment: Environment, after: int, until: int) -> dict[int, Names]:
    """Return the names by revision where an experiment changed, out of the activity log."""
    entries = AuditEntry.objects.filter(
        team_id=environment.team_id,
        target_type=Experiment._meta.label_lower,
        after__revision__gt=after,
        after__revision__lte=until,
    ).values_list("target_id", "after")
    changed = [(int(target_id), after["revision"]) for target_id, after in entries]
    found = Experiment.objects.filter(pk__in={experiment_id for experiment_id, _ in changed}, environment=environment)
    named = dict(found.values_list("pk", "prompt__name"))
    return {revision: (named[number],) for number, revision in changed if number in named}


def _snippets(prompt_ids: Iterable[int]) -> set[int]:
    """Return which of these prompts others include."""
    return set(SnippetUse.objects.filter(snippet_id__in=prompt_ids).values_list("snippet_id", flat=True))
