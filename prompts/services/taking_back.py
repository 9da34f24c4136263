"""Imports: noted as they are carried out, and taken back as a whole while nobody built on them.

Versions stay. What an import made is archived, what it changed gets back its text as a new version, and its settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from promptlab.accounts.access import Principal, require
from promptlab.accounts.models import Team
from promptlab.audit.recorder import record
from prompts.errors import ImportTooOld, ImportTouched
from prompts.models import (
    Collection,
    DeploymentEvent,
    Environment,
    ImportedPrompt,
    ImportRun,
    Prompt,
    ScheduledDeployment,
    SnippetUse,
    Version,
)
from prompts.services import authoring, fields
from prompts.services.authoring import PromptChanges
from prompts.services.import_plans import PlanItem

HOURS: Final = 24
"""How long an import can be taken back."""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one prompt of a plan: `before` is how its changed settings were."""

    prompt: Prompt
    version_before: int | None
    before: Mapping[str, Any]


def settings_before(item: PlanItem) -> dict[str, Any]:
    """Return how the settings that an item changes are now, as JSON has them. The prompt's row is locked."""
    prompt = item.prompt
    if prompt is None:
        return {}
    said: dict[str, Any] = {}
    for name in item.settings:
        if name == "tags":
            said[name] = sorted(tag.name for tag in prompt.tags.all())
        elif name == "metadata":
            had = {one.field.key: fields.said(one.value) for one in prompt.metadata.all()}
            said[name] = {key: had.get(key) for key in item.settings[name]}
        else:
            said[name] = prompt.collection_id if name == "collection" else getattr(prompt, name)
    return said


def note_import(done: Sequence[Done], team_id: int, *, by: Principal) -> ImportRun:
    """Write down what an import did, in its transaction."""
    run: ImportRun = ImportRun.objects.create(team_id=team_id, user_id=by.user_id, actor_label=by.label)
    fresh = Prompt.objects.in_bulk([one.prompt.pk for one in done])
    rows = [
        ImportedPrompt(
            run=run,
            prompt_id=one.prompt.pk,
            version_before_id=one.version_before,
            version_after_id=_newest(fresh[one.prompt.pk]),
            before=dict(one.before),
            row_version=fresh[one.prompt.pk].row_version,
        )
        for one in done
    ]
    ImportedPrompt.objects.bulk_create(rows)
    return run


def _newest(prompt: Prompt) -> int:
    assert prompt.newest_id is not None, "what came in has a version"
    return int(prompt.newest_id)


def undo_import(actor: Principal, run: ImportRun) -> ImportRun:
    """Take an import back, all of it; doing it again changes nothing.

    Raises ImportTooOld, ImportTouched when something it wrote was put live, planned, reviewed, included or changed
    since; and what forbids archiving.
    """
    require(actor, "prompt.write", run.team_id)
    with transaction.atomic():
        # The environments first, as everybody who holds both; then the team, as every import.
        list(Environment.objects.select_for_update(no_key=True).filter(team_id=run.team_id).order_by("pk"))
        Team.objects.select_for_update(no_key=True).get(pk=run.team_id)
        locked: ImportRun = ImportRun.objects.select_for_update(no_key=True).get(pk=run.pk)
        if locked.undone_at is not None:
            return locked
        if not is_recent(locked):
            raise ImportTooOld(hours=HOURS)
        items = _items(locked)
        ids = [item.prompt_id for item in items]
        list(Prompt.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk"))
        if reasons := why_not(locked):
            raise ImportTouched(reasons="; ".join(f"{name} {reason}" for name, reason in reasons))
        for item in sorted(items, key=lambda one: one.is_new):
            _put_back(actor, item)
        locked.undone_at, locked.undone_label = timezone.now(), actor.label
        locked.save(update_fields=["undone_at", "undone_label"])
        after = {"archived": sum(item.is_new for item in items), "put_back": sum(not item.is_new for item in items)}
        record(actor, "import.undone", locked, team_id=locked.team_id, after=after)
    return locked


def is_recent(run: ImportRun) -> bool:
    """Tell whether it came in so lately that it may be taken back."""
    return timezone.now() - run.created_at < timedelta(hours=HOURS)


def why_not(run: ImportRun) -> list[tuple[str, str]]:
    """Return (short name, what happened since) of the prompts that are in the way; nothing when it can be taken back.

    Five queries and one for the rows, however many prompts.
    """
    items = _items(run)
    ids = [item.prompt_id for item in items]
    rows = Version.objects.filter(prompt__in=ids).values_list("prompt_id", "number", "pk", "review_state")
    first = {item.prompt_id: item.numbers[0] if item.numbers else None for item in items}
    states: dict[int, set[str]] = {}
    written: dict[int, int] = {}
    for prompt_id, number, pk, state in rows:
        begins = first[prompt_id]
        if begins is not None and number >= begins:
            written[pk] = prompt_id
            states.setdefault(prompt_id, set()).add(state)
    live = DeploymentEvent.objects.filter(to_version__in=written).values_list("prompt_id", flat=True)
    planned = ScheduledDeployment.objects.filter(version__in=written, state="waiting").values_list(
        "prompt_id", flat=True
    )
    made = [item.prompt_id for item in items if item.is_new]
    uses = SnippetUse.objects.filter(snippet__in=made).exclude(version__prompt__in=ids)
    facts = {"live": set(live), "planned": set(planned), "included": set(uses.values_list("snippet_id", flat=True))}
    return [(item.prompt.name, reason) for item in items for reason in _reasons(item, states, facts)]


def _reasons(item: ImportedPrompt, states: Mapping[int, set[str]], facts: Mapping[str, set[int]]) -> Iterator[str]:
    """Yield the first thing that is in the way of one prompt."""
    prompt, pk = item.prompt, item.prompt_id
    if pk in facts["live"]:
        yield _("was put live")
    elif pk in facts["planned"]:
        yield _("is planned to go live")
    elif prompt.archived_at is not None:
        yield _("is archived")
    elif prompt.row_version != item.row_version or prompt.newest_id != item.version_after_id:
        yield _("was changed")
    elif states.get(pk, set()) - {Version.ReviewState.DRAFT}:
        yield _("was sent to review")
    elif pk in facts["included"]:
        yield _("is included by another prompt")


def _items(run: ImportRun) -> list[ImportedPrompt]:
    rows = ImportedPrompt.objects.filter(run=run)
    return list(rows.select_related("prompt", "version_before__prompt", "version_after"))


def _put_back(actor: Principal, item: ImportedPrompt) -> None:
    """Archive what was made; give what was changed its text and its settings again."""
    if item.version_before is None:
        authoring.archive_prompt(actor, item.prompt, note=f"{item.run} was taken back")
        return
    if item.before:
        authoring.update_prompt(actor, item.prompt, _changes(item.before))
    if item.version_before_id != item.version_after_id:
        message = f"Back to version {item.version_before.number}: the import was taken back"
        authoring.create_version(actor, item.prompt, item.version_before.content, message=message)


def _changes(before: Mapping[str, Any]) -> PromptChanges:
    said = dict(before)
    if "tags" in said:
        said["tags"] = tuple(said["tags"])
    if "collection" in said:
        found = Collection.objects.filter(pk=said["collection"], archived_at=None).first()
        said |= {"collection": found, "has_collection": True}
    return PromptChanges(**said)
