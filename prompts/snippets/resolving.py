"""Which version of a snippet is meant: the one live in an environment, now or at a revision, the newest, or a named one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from django.db.models import Max, Q

from prompts.errors import SnippetNotFound, SnippetNotLive
from prompts.models import Deployment, DeploymentEvent, Environment, Prompt, PromptAlias, Version
from prompts.snippets.weaving import Absent, LookUp, Resolved, Weaver, gather


def resolve(version: Version, environment: Environment) -> Resolved:
    """Return what the version says in the environment, at the revision that the row was read with.

    One query for each level of includes, one more where a former name or a move since is met; none without includes.
    Raises SnippetNotLive naming every include that is not live there, SnippetCycle, SnippetTooDeep, SnippetOtherSyntax,
    SnippetsTooLong.
    """
    return resolve_at(version, environment, environment.revision)


def resolve_all(
    versions: Sequence[Version], environment: Environment, *, instead: Sequence[Version] = ()
) -> list[Resolved]:
    """Return the same for several versions of the team, for the price of one.

    `instead` are versions that count as live there, whatever is.
    """
    return _resolved(versions, environment, environment.revision, instead)


def resolve_at(version: Version, environment: Environment, revision: int) -> Resolved:
    """Return what the version said in the environment at a revision, from the history of moves: the same for ever."""
    return _resolved([version], environment, revision)[0]


def resolve_pinned(version: Version, ids: Mapping[str, int]) -> Resolved:
    """Return what the version says with these versions (ids, by name) put in: one query, none without includes."""
    if not ids:
        return Weaver({}, SnippetNotFound.of).weave(version)
    rows = Version.objects.select_related("prompt").in_bulk(list(ids.values()))
    return Weaver({name: rows[pk] for name, pk in ids.items()}, SnippetNotFound.of).weave(version)


class Newest:
    """The look-up of newest versions in a team. `instead` count as the newest of their prompts, saved or not."""

    def __init__(self, team_id: int, instead: Sequence[Version] = ()) -> None:
        self._team_id = team_id
        self._instead = instead

    def __call__(self, names: Collection[str]) -> dict[str, Version]:
        found = {one.prompt.name: one for one in self._instead if one.prompt.name in names}
        by_id = {one.prompt_id: one for one in self._instead if one.prompt_id}
        rest = called(self._team_id, set(names) - found.keys())
        return found | {name: by_id.get(prompt.pk) or newest_of(prompt) for name, prompt in rest.items()}

    def weaver(self, version: Version) -> Weaver:
        """Return what puts the newest versions into `version`, which refuses with SnippetNotFound."""
        return Weaver(gather([version], self), SnippetNotFound.of)


def called(team_id: int, names: Collection[str]) -> dict[str, Prompt]:
    """Return the team's prompts that have or had these names, with their newest versions, by name."""
    if not names:
        return {}
    prompts = Prompt.objects.filter(team_id=team_id).select_related("newest")
    found = {prompt.name: prompt for prompt in prompts.filter(name__in=names)}
    former = _once_called(team_id, set(names) - found.keys())
    by_id = prompts.in_bulk(list(former.values())) if former else {}
    return found | {name: by_id[pk] for name, pk in former.items()}


def newest_of(prompt: Prompt) -> Version:
    """Return a prompt's newest version, which knows its prompt."""
    assert prompt.newest is not None, "every prompt has a version 1"
    prompt.newest.prompt = prompt
    return prompt.newest


def _resolved(
    versions: Sequence[Version], environment: Environment, revision: int, instead: Sequence[Version] = ()
) -> list[Resolved]:
    def refuse(absent: Sequence[Absent]) -> SnippetNotLive:
        return SnippetNotLive.of(absent, environment.name)

    weaver = Weaver(gather(versions, _live(environment, revision, instead)), refuse)
    return [weaver.weave(version) for version in versions]


def _live(environment: Environment, revision: int, instead: Sequence[Version]) -> LookUp:
    """Return the look-up of what was live there at a revision."""

    def look_up(names: Collection[str]) -> dict[str, Version]:
        found = {version.prompt.name: version for version in instead if version.prompt.name in names}
        rest = set(names) - found.keys()
        found |= {one.prompt.name: one for one in _pointed(environment, revision, Q(prompt__name__in=rest))}
        former = _once_called(environment.team_id, set(names) - found.keys())
        if former:
            meant = _pointed(environment, revision, Q(prompt__in=former.values()))
            by_id = {one.prompt_id: one for one in (*meant, *instead)}
            found |= {name: by_id[pk] for name, pk in former.items() if pk in by_id}
        return found

    return look_up


def _pointed(environment: Environment, revision: int, prompts: Q) -> list[Version]:
    """Return what was live of some prompts: their pointers, and the history of those that moved since."""
    pointers = Deployment.objects.filter(prompts, environment=environment)
    rows = list(pointers.select_related("prompt", "version", "event"))
    found = [_of(row.prompt, row.version) for row in rows if row.version and row.event.revision <= revision]
    moved = [row.prompt_id for row in rows if row.event.revision > revision]
    return found + (_pointed_then(environment, revision, moved) if moved else [])


def _pointed_then(environment: Environment, revision: int, prompt_ids: Sequence[int]) -> list[Version]:
    past = DeploymentEvent.objects.filter(environment=environment, prompt__in=prompt_ids, revision__lte=revision)
    last = past.order_by().values("prompt").annotate(last=Max("revision")).values("last")
    events = DeploymentEvent.objects.filter(environment=environment, revision__in=last, to_version__isnull=False)
    return [_of(event.prompt, event.to_version) for event in events.select_related("prompt", "to_version")]


def _of(prompt: Prompt, version: Version) -> Version:
    version.prompt = prompt
    return version


def _once_called(team_id: int, names: Collection[str]) -> dict[str, int]:
    """Return the ids of the prompts that had these names before, by name; no query for no names."""
    if not names:
        return {}
    return dict(PromptAlias.objects.filter(team_id=team_id, name__in=names).values_list("name", "prompt_id"))
