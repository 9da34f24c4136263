"""Writing: prompts and their versions. A version is made once and never changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from promptlab_sdk.kernel.spec import Content

from promptlab.accounts.access import Principal, require
from promptlab.accounts.models import Team
from promptlab.audit.recorder import record
from promptlab.hooks.services.outbox import emit
from promptlab.lib.errors import Invalid, NotFound, Stale
from prompts.errors import NameTaken, PromptArchived
from prompts.models import Collection, Prompt, Version
from prompts.services import fields, standing
from prompts.services.collecting import lock_collection
from prompts.services.environments import ensure_defaults
from prompts.services.indexing import index
from prompts.services.naming import checked_name, free_name
from prompts.services.policies import refuse_archiving
from prompts.services.tagging import tags_named
from prompts.services.versioning import about, add_version, newest_of, point_to_newest, told, write_version


@dataclass(frozen=True, slots=True)
class PromptChanges:
    """What to change of a prompt; None leaves a field as it is. `has_collection`: set `collection`, even to None.

    `metadata` holds values by the team's fields' keys; those it does not name stay.
    """

    title: str | None = None
    description: str | None = None
    model_type: str | None = None
    tags: tuple[str, ...] | None = None
    collection: Collection | None = None
    has_collection: bool = False
    metadata: Mapping[str, Any] | None = None
    content: Content | None = None
    message: str = ""
    version_string: str = ""
    allow_secret: str = ""


def create_prompt(
    actor: Principal,
    team_id: int,
    *,
    title: str,
    content: Content,
    name: str = "",
    description: str = "",
    collection: Collection | None = None,
    tags: Iterable[str] = (),
    metadata: Mapping[str, Any] | None = None,
    model_type: str = "",
    version_string: str = "",
    message: str = "",
    forked_from: Version | None = None,
    with_others: bool = False,
    allow_secret: str = "",
) -> Prompt:
    """Make a prompt with its version 1. Nothing goes live.

    Without a `name` one is made of the title, with a number behind it when it is taken. With `with_others`, the caller
    has checked the includes and notes them (`including`) once everything it makes at once is there.
    `allow_secret` is why an administrator lets through what looks like a key.
    Raises NameTaken for a given name that exists, SecretInText, Invalid naming the field.
    """
    require(actor, "prompt.write", team_id)
    if not title.strip():
        raise Invalid.field("title", "Give the prompt a title.", code="required")
    _check_collection(team_id, collection)
    try:
        with transaction.atomic():
            # Names are made one after the other.
            Team.objects.select_for_update(no_key=True).get(pk=team_id)
            ensure_defaults(team_id)
            if collection is not None:
                lock_collection(collection)
            prompt = Prompt.objects.create(
                team_id=team_id,
                name=checked_name(team_id, name) if name else free_name(team_id, title),
                title=title.strip(),
                description=description,
                type=content.type,
                model_type=model_type,
                collection=collection,
                owner_id=actor.user_id,
                forked_from=forked_from,
            )
            standing.begin(prompt.pk)
            prompt.tags.set(tags_named(team_id, tags))
            fields.set_values(prompt, metadata or {})
            names = {"version_string": version_string, "message": message, "allow_secret": allow_secret}
            version = write_version(actor, prompt, content, number=1, with_others=with_others, **names)
            point_to_newest(prompt, version)
            index(prompt.pk)
            after = {"name": prompt.name, "title": title, **({"forked_from": str(forked_from)} if forked_from else {})}
            record(actor, "prompt.created", prompt, team_id=team_id, after=after)
            emit(team_id, "prompt.created", told(actor, prompt, version=1), **about(prompt))
    except IntegrityError as error:
        raise NameTaken(name=name or title) from error
    return prompt


def update_prompt(
    actor: Principal, prompt: Prompt, changes: PromptChanges, *, if_match: str = ""
) -> tuple[Prompt, Version | None]:
    """Change a prompt and return it with the new version, if its content changed.

    `if_match` is the ETag the caller read. Raises Stale when the prompt changed since, PromptArchived.
    """
    require(actor, "prompt.write", prompt.team_id)
    if changes.has_collection:
        _check_collection(prompt.team_id, changes.collection)
    with transaction.atomic():
        if changes.collection is not None and changes.collection.pk != prompt.collection_id:
            lock_collection(changes.collection)
        locked = _locked(prompt)
        if if_match and if_match not in ("*", locked.etag):
            raise _stale(locked, changes)
        before = _apply(locked, changes)
        version = None
        if changes.content is not None:
            names = {name: getattr(changes, name) for name in ("version_string", "message", "allow_secret")}
            version = add_version(actor, locked, changes.content, **names)
        if before:
            after = {field: _plain(getattr(locked, field)) for field in before if field not in ("tags", "metadata")}
            record(actor, "prompt.changed", locked, team_id=locked.team_id, before=before, after=after)
            facts = told(actor, locked, changed=" ".join(sorted(before)))
            emit(locked.team_id, "prompt.updated", facts, **about(locked))
        if before or version:
            locked.row_version += 1
            locked.save()
            index(locked.pk)
    return locked, version


def create_version(
    actor: Principal,
    prompt: Prompt,
    content: Content,
    *,
    version_string: str = "",
    message: str = "",
    with_others: bool = False,
    allow_secret: str = "",
) -> tuple[Version, bool]:
    """Save content as the next version and return it with True; the same content as the newest is not saved again.

    Numbers have no gap and no duplicate whatever runs at once: the prompt's row is locked. `with_others` and
    `allow_secret` as of `create_prompt`. Raises PromptArchived, VersionStringTaken, SecretInText, Invalid when the type
    differs.
    """
    require(actor, "prompt.write", prompt.team_id)
    with transaction.atomic():
        locked = _locked(prompt)
        names = {"version_string": version_string, "message": message, "allow_secret": allow_secret}
        version = add_version(actor, locked, content, with_others=with_others, **names)
        if version is None:
            newest = newest_of(locked)
            return newest, False
        locked.row_version += 1
        locked.save(update_fields=["row_version", "updated_at"])
        index(locked.pk)
    return version, True


def revert_version(actor: Principal, version: Version) -> tuple[Version, bool]:
    """Save an older version's content as a new version. What is live does not change."""
    message = f"Back to version {version.number}"
    return create_version(actor, version.prompt, version.content, message=message)


def fork_prompt(actor: Principal, version: Version, title: str, name: str = "", team_id: int | None = None) -> Prompt:
    """Make a prompt whose version 1 says what `version` says, and which remembers where it came from.

    Description, kind of model and tags come along; inside of its team the collection and the fields' values, too.
    `team_id` is where the copy goes: of what is in the library, into any team. What is live does not come along.
    Raises NotFound for what the actor may not read, and as `create_prompt`.
    """
    source = version.prompt
    if not Prompt.objects.readable_by(actor).filter(pk=source.pk).exists():
        raise NotFound
    team_id = team_id or source.team_id
    is_inside = team_id == source.team_id
    collection = source.collection if is_inside else None
    values = source.metadata.select_related("field") if is_inside else ()
    return create_prompt(
        actor,
        team_id,
        title=title,
        name=name,
        content=version.content,
        description=source.description,
        collection=collection if collection and collection.archived_at is None else None,
        tags=list(source.tags.values_list("name", flat=True)),
        metadata={one.field.key: one.value for one in values},
        model_type=source.model_type,
        message=f"Copied from {source.name} version {version.number}",
        forked_from=version,
    )


def archive_prompt(actor: Principal, prompt: Prompt, *, note: str = "") -> None:
    """Put a prompt away: out of lists, no more changes. What is live stays live. Doing it again changes nothing.

    Raises LiveInProtected, and what floors above have against it.
    """
    require(actor, "prompt.write", prompt.team_id)
    with transaction.atomic():
        refuse_archiving(prompt.team_id, Prompt.objects.active().filter(pk=prompt.pk))
        if Prompt.objects.filter(pk=prompt.pk, archived_at=None).update(archived_at=timezone.now()):
            record(actor, "prompt.archived", prompt, team_id=prompt.team_id, note=note)
            emit(prompt.team_id, "prompt.archived", told(actor, prompt), **about(prompt))


def restore_prompt(actor: Principal, prompt: Prompt) -> None:
    """Bring an archived prompt back. Doing it again changes nothing."""
    require(actor, "prompt.write", prompt.team_id)
    with transaction.atomic():
        if Prompt.objects.filter(pk=prompt.pk, archived_at__isnull=False).update(archived_at=None):
            record(actor, "prompt.restored", prompt, team_id=prompt.team_id)


def said(content: Content) -> dict[str, Any]:
    """Return what a content says, under the names that REST has for it; for answers with two texts."""
    words = content.to_dict()
    unset = {"syntax": content.syntax, "output_schema": {}, "stop": [], "tools": [], "model_texts": {}}
    return {"content": words.pop("text"), **unset, **words}


def _stale(prompt: Prompt, changes: PromptChanges) -> Stale:
    """Return the refusal of a change to what is not the newest state any more, with both texts."""
    newest = newest_of(prompt)
    yours = said(changes.content) if changes.content else None
    return Stale(yours=yours, newest=said(newest.content), etag=prompt.etag, version=newest.number)


def _locked(prompt: Prompt) -> Prompt:
    locked: Prompt = Prompt.objects.select_for_update(no_key=True).get(pk=prompt.pk)
    if locked.archived_at is not None:
        raise PromptArchived(prompt=locked.title)
    return locked


def _apply(prompt: Prompt, changes: PromptChanges) -> dict[str, Any]:
    """Set the changed fields and return what they were before."""
    wanted: dict[str, Any] = {
        "title": changes.title.strip() if changes.title is not None else None,
        "description": changes.description,
        "model_type": changes.model_type,
    }
    if wanted["title"] == "":
        raise Invalid.field("title", "Give the prompt a title.", code="required")
    changed = {field: value for field, value in wanted.items() if value not in (None, getattr(prompt, field))}
    if changes.has_collection and changes.collection != prompt.collection:
        changed["collection"] = changes.collection
    before = {field: _plain(getattr(prompt, field)) for field in changed}
    for field, value in changed.items():
        setattr(prompt, field, value)
    if changes.tags is not None:
        had, wanted_tags = list(prompt.tags.all()), tags_named(prompt.team_id, changes.tags)
        if set(had) != set(wanted_tags):
            before["tags"] = sorted(tag.name for tag in had)
            prompt.tags.set(wanted_tags)
    if changes.metadata and (values_before := fields.set_values(prompt, changes.metadata)):
        before["metadata"] = values_before
    return before


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Collection) else value


def _check_collection(team_id: int, collection: Collection | None) -> None:
    if collection is not None and collection.team_id != team_id:
        raise Invalid.field("collection_id", "Collection not found", code="collection_not_found")
