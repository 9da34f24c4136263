"""Prompts out into files: with their versions, and what is live where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection as Names
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from typing import Literal

from promptlab.accounts.access import Principal
from prompts.errors import PromptNotFound
from prompts.models import Deployment, Prompt, Version
from prompts.porting.bundle import Bundle, BundledPrompt, BundledVersion
from prompts.querysets import PromptQuerySet
from prompts.services import fields

Which = Literal["all", "live", "newest"]


def export_prompts(
    actor: Principal, prompts: PromptQuerySet | Names[str], *, versions: Which = "all", team_id: int | None = None
) -> Bundle:
    """Return prompts with their versions, and what is live where: a few queries, however many prompts.

    `prompts` are rows, or short names in the team `team_id`. With "live", prompts that are live nowhere are left out.
    Raises PromptNotFound for a name nobody has.
    """
    rows = prompts if isinstance(prompts, PromptQuerySet) else _called(actor, prompts, team_id)
    visible = (
        rows.visible_to(actor).select_related("collection").prefetch_related("tags", "metadata__field").order_by("name")
    )
    found: list[Prompt] = list(visible)
    ids = [prompt.pk for prompt in found]
    live: dict[int, dict[str, int]] = defaultdict(dict)
    pointers = Deployment.objects.live().filter(prompt__in=ids)
    for prompt_id, where, number in pointers.values_list("prompt_id", "environment__name", "version__number"):
        live[prompt_id][where] = number
    written: dict[int, list[BundledVersion]] = defaultdict(list)
    by_id = {prompt.pk: prompt for prompt in found}
    for version in Version.objects.filter(prompt__in=ids).order_by("prompt_id", "number"):
        prompt = by_id[version.prompt_id]
        is_newest = version.pk == prompt.newest_id
        if versions == "all" or (versions == "newest" and is_newest) or version.number in live[prompt.pk].values():
            version.prompt = prompt
            written[prompt.pk].append(_bundled(version))
    bundled = [_exported(prompt, written[prompt.pk], live[prompt.pk]) for prompt in found if written[prompt.pk]]
    return Bundle(tuple(bundled))


def _called(actor: Principal, names: Iterable[str], team_id: int | None) -> PromptQuerySet:
    wanted = list(names)
    rows = Prompt.objects.visible_to(actor).filter(name__in=wanted)
    if team_id is not None:
        rows = rows.filter(team_id=team_id)
    there = set(rows.values_list("name", flat=True))
    for name in wanted:
        if name not in there:
            raise PromptNotFound(name=name[:100])
    return rows


def _bundled(version: Version) -> BundledVersion:
    at = version.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return BundledVersion(version.content, version.number, version.version_string, version.message, at)


def _exported(prompt: Prompt, versions: Sequence[BundledVersion], live: Mapping[str, int]) -> BundledPrompt:
    return BundledPrompt(
        name=prompt.name,
        type=prompt.type,
        versions=tuple(versions),
        title=prompt.title,
        description=prompt.description,
        model_type=prompt.model_type,
        tags=tuple(sorted(tag.name for tag in prompt.tags.all())),
        metadata={one.field.key: fields.said(one.value) for one in prompt.metadata.all()},
        collection=prompt.collection.name if prompt.collection else "",
        deployments=dict(live),
    )
