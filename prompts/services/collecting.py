"""Collections: a tree of them, who sees each, archiving a whole and bringing back exactly that whole."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_noop

from promptlab.accounts.access import Principal, require
from promptlab.accounts.models import Membership, Team
from promptlab.audit.recorder import record
from promptlab.lib.errors import Invalid
from prompts.errors import (
    CollectionArchived,
    HoldsPrivate,
    InItself,
    NotYourCollection,
    OwnerNeeded,
    TooDeep,
    WiderThanParent,
)
from prompts.models import Collection, Prompt
from prompts.querysets import DEEPEST, closed_to
from prompts.services.policies import refuse_archiving

Visibility = Collection.Visibility
WIDTHS = {Visibility.PRIVATE: 0, Visibility.TEAM: 1, Visibility.EVERYONE: 2}
"""The wider, the more people see it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a collection stands, whose it is and who sees it; None leaves a field as it is.

    `has_parent`, `has_owner`: set them, even to None (at the root; nobody's).
    """

    parent: Collection | None = None
    has_parent: bool = False
    owner_id: int | None = None
    has_owner: bool = False
    visibility: str | None = None


def create_collection(
    actor: Principal, team_id: int, *, name: str, description: str = "", place: Place = Place()
) -> Collection:
    """Make a collection, the actor's own unless `place` says otherwise, and as wide as what it is in, at most its team.

    Raises TooDeep, WiderThanParent, OwnerNeeded, CollectionArchived, Invalid naming the field.
    """
    require(actor, "prompt.write", team_id)
    collection = Collection(team_id=team_id, name=_checked_name(name), description=description)
    collection.owner_id = place.owner_id if place.has_owner else actor.user_id
    with transaction.atomic():
        _lock_tree(team_id)
        _put(collection, place)
        collection.save()
        record(actor, "collection.created", collection, team_id=team_id, after=_told(collection))
    return collection


def update_collection(
    actor: Principal,
    collection: Collection,
    *,
    name: str | None = None,
    description: str | None = None,
    place: Place = Place(),
) -> Collection:
    """Change or move a collection; None leaves a field as it is.

    What is inside of it is never wider: a narrower collection narrows everything below, in the same transaction.
    Raises InItself, TooDeep, WiderThanParent, OwnerNeeded, NotYourCollection, CollectionArchived, Invalid.
    """
    require(actor, "prompt.write", collection.team_id)
    with transaction.atomic():
        _lock_tree(collection.team_id)
        locked: Collection = Collection.objects.select_related("parent").get(pk=collection.pk)
        if locked.archived_at is not None:
            raise CollectionArchived(collection=locked.name)
        before = _told(locked)
        locked.name = _checked_name(name) if name is not None else locked.name
        locked.description = description if description is not None else locked.description
        locked.owner_id = place.owner_id if place.has_owner else locked.owner_id
        _put(locked, place)
        changed = {field: value for field, value in _told(locked).items() if value != before[field]}
        if not changed:
            return locked
        if changed.keys() & {"owner", "visibility"}:
            _require_owner(actor, locked, before["owner"])
        locked.save()
        narrowed = _narrow_below(locked)
        after = {**changed, **({"narrowed": narrowed} if narrowed else {})}
        before = {field: before[field] for field in changed}
        record(actor, "collection.changed", locked, team_id=locked.team_id, before=before, after=after)
    return locked


def archive_collection(actor: Principal, collection: Collection, *, note: str = "") -> None:
    """Put a collection, all that is inside of it and the prompts away; what is live stays live.

    Archiving again changes nothing. Raises LiveInProtected and what floors above have against it, naming the prompts;
    HoldsPrivate when part of it is private to somebody else.
    """
    require(actor, "prompt.write", collection.team_id)
    with transaction.atomic():
        _lock_tree(collection.team_id)
        groups = Collection.objects.below(collection.pk).active()
        ids = list(groups.values_list("pk", flat=True))
        if collection.pk not in ids:
            return
        closed = closed_to(actor)
        if closed is not None and groups.filter(closed).exists():
            raise HoldsPrivate(collection=collection.name)
        prompts = Prompt.objects.active().filter(collection__in=ids)
        refuse_archiving(collection.team_id, prompts)
        names = list(prompts.values_list("name", flat=True))
        moment = _free_moment(collection.team_id)
        prompts.update(archived_at=moment)
        Collection.objects.filter(pk__in=ids).update(archived_at=moment)
        after = {"prompts": names, "collections": len(ids)}
        record(actor, "collection.archived", collection, team_id=collection.team_id, after=after, note=note)


def restore_collection(actor: Principal, collection: Collection) -> Collection:
    """Bring a collection back with exactly what was archived along with it. Doing it again changes nothing.

    What had been archived before stays so. Raises CollectionArchived when what it is inside of is archived.
    """
    require(actor, "prompt.write", collection.team_id)
    with transaction.atomic():
        _lock_tree(collection.team_id)
        locked: Collection = Collection.objects.select_related("parent").get(pk=collection.pk)
        moment = locked.archived_at
        if moment is None:
            return locked
        if locked.parent is not None and locked.parent.archived_at is not None:
            raise CollectionArchived(collection=locked.parent.name)
        groups = Collection.objects.below(locked.pk).filter(archived_at=moment)
        ids = list(groups.values_list("pk", flat=True))
        prompts = Prompt.objects.filter(collection__in=ids, archived_at=moment)
        names = list(prompts.values_list("name", flat=True))
        prompts.update(archived_at=None)
        Collection.objects.filter(pk__in=ids).update(archived_at=None)
        locked.archived_at = None
        after = {"prompts": names, "collections": len(ids)}
        record(actor, "collection.restored", locked, team_id=locked.team_id, after=after)
    return locked


def lock_collection(collection: Collection) -> None:
    """Hold a team's tree until the transaction ends; for putting a prompt in. Raises CollectionArchived."""
    _lock_tree(collection.team_id)
    if not Collection.objects.active().filter(pk=collection.pk).exists():
        raise CollectionArchived(collection=collection.name)


def _lock_tree(team_id: int) -> None:
    """Let a team's collections change one after the other."""
    Team.objects.select_for_update(no_key=True).get(pk=team_id)


def _checked_name(name: str) -> str:
    if not name.strip():
        raise Invalid.field("name", "Give the collection a name.", code="required")
    return name.strip()


def _told(collection: Collection) -> dict[str, Any]:
    """Return the fields that are recorded."""
    return {
        "name": collection.name,
        "description": collection.description,
        "parent": collection.parent_id,
        "owner": collection.owner_id,
        "visibility": str(collection.visibility),
    }


def _put(collection: Collection, place: Place) -> None:
    """Set the parent, the width and, where it takes one, the owner, and check that they fit together."""
    parent = place.parent if place.has_parent else collection.parent
    if place.has_parent and parent is not None:
        parent = _checked_parent(collection, parent)
    collection.parent = parent
    widest = Visibility(parent.visibility) if parent is not None else Visibility.EVERYONE
    wanted = Visibility(place.visibility or collection.visibility)
    if WIDTHS[wanted] > WIDTHS[widest]:
        if place.visibility is not None:
            assert parent is not None, "nothing is wider than everyone"
            problem = WiderThanParent(collection=collection.name, parent=parent.name)
            raise WiderThanParent.field("visibility", problem.detail, code=problem.code)
        wanted = widest
    collection.visibility = wanted
    if wanted == Visibility.PRIVATE and collection.owner_id is None:
        collection.owner_id = parent.owner_id if parent is not None and not place.has_owner else None
        if collection.owner_id is None:
            raise OwnerNeeded.field("owner_id", OwnerNeeded.detail, code=OwnerNeeded.code)
    if place.has_owner and collection.owner_id is not None:
        _check_owner(collection)


def _checked_parent(collection: Collection, parent: Collection) -> Collection:
    """Return the parent as it is now. Raises InItself, TooDeep, CollectionArchived, Invalid."""
    found: Collection | None = Collection.objects.with_path().filter(pk=parent.pk, team_id=collection.team_id).first()
    if found is None:
        raise Invalid.field("parent_id", "Collection not found", code="collection_not_found")
    if found.archived_at is not None:
        raise CollectionArchived(collection=found.name)
    above = [one.pk for one in found.way()]
    if collection.pk in above:
        raise InItself.field("parent_id", InItself(collection=collection.name).detail, code=InItself.code)
    if len(above) + _height(collection) > DEEPEST:
        raise TooDeep.field("parent_id", TooDeep(deepest=DEEPEST).detail, code=TooDeep.code)
    return found


def _height(collection: Collection) -> int:
    """Return how many collections the longest way down has, with this one."""
    if collection.pk is None:
        return 1
    below = Collection.objects.below(collection.pk).values_list("pk", "parent_id")
    parents = dict(below)

    def depth(pk: int) -> int:
        return 1 if pk == collection.pk else 1 + depth(parents[pk])

    return max(map(depth, parents))


def _check_owner(collection: Collection) -> None:
    assert collection.owner_id is not None, "asked of an owner only"
    member = Membership.objects.filter(team_id=collection.team_id, user_id=collection.owner_id, user__is_active=True)
    if not member.exists():
        raise Invalid.field("owner_id", gettext_noop("The owner is somebody of the team."), code="not_a_member")


def _require_owner(actor: Principal, collection: Collection, owner_id: int | None) -> None:
    """Raise NotYourCollection unless it is the actor's, nobody's, or the actor administers the team."""
    if owner_id in (None, actor.user_id) or actor.may("team.admin", collection.team_id):
        return
    raise NotYourCollection(collection=collection.name)


def _narrow_below(collection: Collection) -> list[str]:
    """Make everything inside of a collection as narrow as it is, and return the names of what changed."""
    wider = [one for one, width in WIDTHS.items() if width > WIDTHS[Visibility(collection.visibility)]]
    below: QuerySet[Collection] = Collection.objects.below(collection.pk).filter(visibility__in=wider)
    rows = list(below.values_list("pk", "name"))
    ids = [pk for pk, _ in rows]
    changed = Collection.objects.filter(pk__in=ids)
    changed.update(visibility=collection.visibility, updated_at=timezone.now())
    if collection.visibility == Visibility.PRIVATE:
        changed.filter(owner=None).update(owner=collection.owner_id)
    return sorted(name for _, name in rows)


def _free_moment(team_id: int) -> datetime:
    """Return now, or the next microsecond at which nothing of the team was archived: the moment tells what belongs together."""
    moment = timezone.now()
    taken = [Collection.objects.filter(team_id=team_id), Prompt.objects.filter(team_id=team_id)]
    while any(rows.filter(archived_at=moment).exists() for rows in taken):
        moment += timedelta(microseconds=1)
    return moment
