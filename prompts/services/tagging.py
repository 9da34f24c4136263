"""Tags: words on prompts, whatever letters are big or small. The first spelling stays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext_noop

from promptlab.accounts.access import Principal, require
from promptlab.accounts.models import Team
from promptlab.audit.recorder import record
from promptlab.lib.errors import Invalid
from prompts.errors import TagNotFound, TagTaken
from prompts.models import Prompt, Tag

LONGEST = 50


def tags_named(team_id: int, names: Iterable[str]) -> list[Tag]:
    """Return the team's tags of these names, making the ones that are new. To be called inside a transaction."""
    wanted: dict[str, str] = {}
    for name in names:
        if name.strip():
            wanted.setdefault(name.strip().lower(), _checked(name, "tags"))
    found = _known(team_id, wanted)
    new = [Tag(team_id=team_id, name=name) for folded, name in wanted.items() if folded not in found]
    if new:
        Tag.objects.bulk_create(new, ignore_conflicts=True)
        found = _known(team_id, wanted)
    return [found[folded] for folded in wanted]


def rename_tag(actor: Principal, tag: Tag, name: str) -> Tag:
    """Give a tag another name on all its prompts. The same name again changes nothing. Raises TagTaken, Invalid."""
    require(actor, "prompt.write", tag.team_id)
    name = _checked(name, "name")
    with transaction.atomic():
        locked = _locked(tag)
        if locked.name == name:
            return locked
        other = _known(tag.team_id, {name.lower(): name}).get(name.lower())
        if other is not None and other.pk != locked.pk:
            raise TagTaken(tag=other.name)
        before, locked.name = locked.name, name
        locked.save(update_fields=["name"])
        _touch(locked)
        record(actor, "tag.renamed", locked, team_id=tag.team_id, before={"name": before}, after={"name": name})
    return locked


def merge_tags(actor: Principal, tag: Tag, into: Tag) -> int:
    """Put `into` on every prompt that carries `tag`, which ends; return how many prompts carried it. Raises Invalid."""
    require(actor, "prompt.write", tag.team_id)
    if into.team_id != tag.team_id or into.pk == tag.pk:
        raise Invalid.field("into", gettext_noop("Choose another tag of the same team."))
    with transaction.atomic():
        _locked(tag)
        carried = Prompt.tags.through.objects
        ids = list(carried.filter(tag_id=tag.pk).values_list("prompt_id", flat=True))
        _touch(tag)
        carried.bulk_create([carried.model(prompt_id=pk, tag_id=into.pk) for pk in ids], ignore_conflicts=True)
        after = {"into": into.name, "prompts": len(ids)}
        record(actor, "tag.merged", tag, team_id=tag.team_id, before={"name": tag.name}, after=after)
        tag.delete()
    return len(ids)


def delete_tag(actor: Principal, tag: Tag) -> int:
    """Take a tag off its prompts and end it; return how many prompts carried it."""
    require(actor, "prompt.write", tag.team_id)
    with transaction.atomic():
        _locked(tag)
        count = _touch(tag)
        after = {"prompts": count}
        record(actor, "tag.deleted", tag, team_id=tag.team_id, before={"name": tag.name}, after=after)
        tag.delete()
    return count


def prompts_with(tag: Tag) -> int:
    """Return how many prompts carry a tag, whoever sees them."""
    return int(Prompt.objects.filter(tags=tag).count())


def _checked(name: str, field: str) -> str:
    name = name.strip()
    if not name:
        raise Invalid.field(field, "Give the tag a name.", code="required")
    if len(name) > LONGEST:
        raise Invalid.field(field, f"A tag has at most {LONGEST} characters.", code="too_long")
    return name


def _known(team_id: int, wanted: Mapping[str, str]) -> dict[str, Tag]:
    """Return the tags there are, by their folded names. Databases fold less than we do, so other letters take all rows."""
    rows = Tag.objects.filter(team_id=team_id)
    if all(name.isascii() for name in wanted):
        rows = rows.called(*wanted)
    found = {tag.name.lower(): tag for tag in rows.order_by("-pk")}
    return {folded: found[folded] for folded in wanted if folded in found}


def _locked(tag: Tag) -> Tag:
    """Return the tag as it is now. Tags are changed one after the other: the team's row is held. Raises TagNotFound."""
    Team.objects.select_for_update(no_key=True).get(pk=tag.team_id)
    found: Tag | None = Tag.objects.filter(pk=tag.pk).first()
    if found is None:
        raise TagNotFound
    return found


def _touch(tag: Tag) -> int:
    """Let the prompts that carry the tag be other states than those that were read; return how many they are."""
    return int(Prompt.objects.filter(tags=tag).update(row_version=F("row_version") + 1))
