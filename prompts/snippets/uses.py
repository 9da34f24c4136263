"""Who includes whom: now, in each environment, and what a version was served with at any time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from django.db.models import Q

from promptlab.lib.errors import DomainError
from prompts.errors import SnippetNotFound
from prompts.models import Deployment, DeploymentEvent, Environment, Prompt, PromptAlias, SnippetUse, Version
from prompts.querysets import PromptQuerySet
from prompts.snippets.weaving import MAX_DEPTH, Resolved, Weaver, gather

NEWEST = ""
"""Where a version stands that is the newest of its prompt; other places are names of environments."""


@dataclass(frozen=True, slots=True)
class Use:
    """A prompt that includes another: `is_direct`, or through others. `live`: which version does, by environment.

    `newest` is the number of its newest version if that one does, else None.
    """

    prompt: Prompt
    is_direct: bool
    newest: int | None
    live: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Served:
    """The versions that a version's includes meant, from a revision of an environment until before another one.

    `until_revision` None: still. `snippets` are numbers by name.
    """

    environment: str
    from_revision: int
    until_revision: int | None
    snippets: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Edge:
    """A version includes a snippet."""

    snippet_id: int
    version_id: int
    prompt_id: int


def live_includers(prompt_id: int, environment: Environment) -> list[Version]:
    """Return the versions live there that include the prompt, directly or through others: one query for each level."""
    found: dict[int, Version] = {}
    wanted = {prompt_id}
    while wanted:
        using = SnippetUse.objects.filter(snippet__in=wanted).values("version")
        pointers = Deployment.objects.filter(environment=environment, version__in=using)
        rows = [row for row in pointers.select_related("prompt", "version") if row.prompt_id not in found]
        for row in rows:
            assert row.version is not None
            row.version.prompt = row.prompt
            found[row.prompt_id] = row.version
        wanted = {row.prompt_id for row in rows}
    return list(found.values())


def where_used(prompt: Prompt, among: PromptQuerySet) -> list[Use]:
    """Return the prompts, of those in `among`, whose newest or live versions include the prompt, by name.

    A use through others counts where all of them are: the newest of each, or what is live in one environment.
    Three queries, and one for each two further levels of includes.
    """
    edges = list(_edges_up(prompt.pk))
    places = _places({edge.version_id for edge in edges})
    seen: dict[int, dict[str, int]] = defaultdict(dict)
    for place in {place for found in places.values() for place in found}:
        here = [edge for edge in edges if place in places[edge.version_id]]
        for edge in _reached(prompt.pk, here):
            seen[edge.prompt_id][place] = places[edge.version_id][place]
    direct = {edge.prompt_id for edge in edges if edge.snippet_id == prompt.pk and places[edge.version_id]}
    prompts = among.in_bulk(list(seen.keys() - {prompt.pk}))
    uses = [_use(prompts[pk], found, pk in direct) for pk, found in seen.items() if pk in prompts]
    return sorted(uses, key=lambda use: use.prompt.name)


def _use(prompt: Prompt, places: Mapping[str, int], is_direct: bool) -> Use:
    live = {name: number for name, number in sorted(places.items()) if name != NEWEST}
    return Use(prompt, is_direct, places.get(NEWEST), live)


def _edges_up(prompt_id: int) -> Iterator[_Edge]:
    """Yield which versions ever included the prompt, and which ever included their prompts, and so on."""
    wanted, seen = {prompt_id}, {prompt_id}
    for _two_levels in range(0, MAX_DEPTH, 2):
        if not wanted:
            return
        above = SnippetUse.objects.filter(snippet__in=wanted).values("version__prompt")
        rows = SnippetUse.objects.filter(Q(snippet__in=wanted) | Q(snippet__in=above))
        edges = [_Edge(*row) for row in rows.values_list("snippet_id", "version_id", "version__prompt_id")]
        yield from edges
        seen |= {edge.prompt_id for edge in edges if edge.snippet_id in wanted}
        wanted = {edge.prompt_id for edge in edges} - seen
        seen |= wanted


def _places(version_ids: Collection[int]) -> dict[int, dict[str, int]]:
    """Return where each version stands, with its number: newest of its prompt, live in environments, or nowhere."""
    found: dict[int, dict[str, int]] = {pk: {} for pk in version_ids}
    newest = Prompt.objects.filter(newest__in=version_ids).values_list("newest_id", "newest__number")
    for pk, number in newest:
        found[pk][NEWEST] = number
    live = Deployment.objects.filter(version__in=version_ids)
    for pk, name, number in live.values_list("version_id", "environment__name", "version__number"):
        found[pk][name] = number
    return found


def _reached(prompt_id: int, edges: Iterable[_Edge]) -> Iterator[_Edge]:
    """Yield the edges that lead to the prompt, walking up."""
    by_snippet: dict[int, list[_Edge]] = defaultdict(list)
    for edge in edges:
        by_snippet[edge.snippet_id].append(edge)
    wanted, seen = [prompt_id], {prompt_id}
    while wanted:
        for edge in by_snippet[wanted.pop()]:
            yield edge
            if edge.prompt_id not in seen:
                seen.add(edge.prompt_id)
                wanted.append(edge.prompt_id)


def served_with(version: Version) -> list[Served]:
    """Return with which versions of its snippets the version was live, where and when: oldest first in each environment.

    As many queries whatever happened: the prompts it may have meant, their names, their moves, and the versions moved.
    """
    prompt_ids = _ever_meant(version)
    moves = DeploymentEvent.objects.filter(prompt__in=prompt_ids).order_by("environment__position", "revision")
    rows = list(moves.values_list("environment__name", "revision", "prompt_id", "to_version_id"))
    versions = Version.objects.select_related("prompt").in_bulk({row[3] for row in rows if row[3]})
    names = _names(prompt_ids)
    found: list[Served] = []
    for place in dict.fromkeys(row[0] for row in rows):
        here = [row[1:] for row in rows if row[0] == place]
        found += _periods(version, place, here, versions, names)
    return found


def _ever_meant(version: Version) -> set[int]:
    """Return the ids of the version's prompt and of all that it, and any version of those, ever included."""
    seen = {version.prompt_id}
    wanted = set(SnippetUse.objects.filter(version=version).values_list("snippet_id", flat=True))
    for _level in range(MAX_DEPTH - 1):
        seen |= wanted
        rows = SnippetUse.objects.filter(version__prompt__in=wanted) if wanted else SnippetUse.objects.none()
        wanted = set(rows.values_list("snippet_id", flat=True)) - seen
    return seen | wanted


def _names(prompt_ids: Collection[int]) -> dict[str, int]:
    """Return every name the prompts have or had. A name that was ever included means one prompt for ever."""
    former = dict(PromptAlias.objects.filter(prompt__in=prompt_ids).values_list("name", "prompt_id"))
    return former | dict(Prompt.objects.filter(pk__in=prompt_ids).values_list("name", "pk"))


def _periods(
    version: Version,
    place: str,
    moves: Iterable[tuple[int, int, int | None]],
    versions: Mapping[int, Version],
    names: Mapping[str, int],
) -> list[Served]:
    """Return the periods of one environment; neighbours with the same snippets are one."""
    live: dict[int, Version] = {}
    found: list[Served] = []
    for revision, prompt_id, version_id in moves:
        if version_id is None:
            live.pop(prompt_id, None)
        else:
            live[prompt_id] = versions[version_id]
        served = _said(version, live, names)
        if found and found[-1].until_revision is None:
            if served is not None and served.numbers == found[-1].snippets:
                continue
            found[-1] = replace(found[-1], until_revision=revision)
        if served is not None:
            found.append(Served(place, revision, None, served.numbers))
    return found


def _said(version: Version, live: Mapping[int, Version], names: Mapping[str, int]) -> Resolved | None:
    """Return what the version said while this was live; None while it was not, or could not say anything."""
    if version.prompt_id not in live or live[version.prompt_id].pk != version.pk:
        return None

    def look_up(wanted: Collection[str]) -> dict[str, Version]:
        return {name: live[names[name]] for name in wanted if names.get(name) in live}

    try:
        return Weaver(gather([version], look_up), SnippetNotFound.of).weave(version)
    except DomainError:
        return None
