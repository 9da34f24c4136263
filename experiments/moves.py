"""The revision log: which prompts each revision of an environment was about. Read from rows that are never changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

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


_recent: dict[int, dict[int, Move]] = {}
"""By environment id and revision the last moves that somebody here asked for."""
_reads = SingleFlight()


async def amoves(environment: Environment, after: int, until: int) -> list[Move]:
    """Return the moves after one revision up to another, which has been committed; oldest first.

    One read serves all who want to know the same. Too many, and revisions that never were, become one without names.
    """
    known = kept(environment.pk, after, until)
    if known is not None:
        return known
    return await _reads.ado((environment.pk, after, until), lambda: _read(environment, after, until))


def between(environment: Environment, after: int, until: int) -> list[Move]:
    """The same for threads. Of the environment only the ids are needed."""
    known = kept(environment.pk, after, until)
    if known is not None:
        return known
    return _reads.do((environment.pk, after, until), lambda: _read(environment, after, until))


def kept(environment_id: int, after: int, until: int) -> list[Move] | None:
    """Return the moves if none of them has to be read; None if one has."""
    if not 0 < until - after <= MOST:
        return [Move(until, ())]
    recent = _recent.get(environment_id, {})
    found = [recent.get(revision) for revision in range(after + 1, until + 1)]
    return None if None in found else cast(list[Move], found)


def forget() -> None:
    """Forget what was read: for tests."""
    _recent.clear()


def _read(environment: Environment, after: int, until: int) -> list[Move]:
    """Read the moves, and keep the newest."""
    read = moves(environment, after, until)
    recent = _recent.setdefault(environment.pk, {})
    recent.update((move.revision, move) for move in read)
    for revision in sorted(recent)[:-MOST]:
        recent.pop(revision, None)
    return read


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
