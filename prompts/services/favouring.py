"""What people keep at hand, and what they think of a prompt. Both are theirs alone: a key has neither."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext_noop

from promptlab.accounts.access import Principal, require
from promptlab.audit.recorder import record
from promptlab.lib.errors import Invalid, NotFound
from prompts.errors import PersonNeeded
from prompts.models import Favourite, Prompt, Rating
from prompts.services import standing

LONGEST_NOTE = 1000


def add_favourite(actor: Principal, prompt: Prompt) -> None:
    """Keep a prompt at hand, one of the library too. Doing it again changes nothing. Raises PersonNeeded."""
    person = _person(actor)
    if not Prompt.objects.readable_by(actor).filter(pk=prompt.pk).exists():
        raise NotFound
    with transaction.atomic():
        _made, is_new = Favourite.objects.get_or_create(user_id=person, prompt=prompt)
        if is_new:
            record(actor, "favourite.added", prompt, team_id=_log_of(actor, prompt))


def remove_favourite(actor: Principal, prompt: Prompt) -> None:
    """Keep a prompt at hand no longer. Doing it again changes nothing. Raises PersonNeeded."""
    person = _person(actor)
    with transaction.atomic():
        gone, _ = Favourite.objects.filter(user_id=person, prompt=prompt).delete()
        if gone:
            record(actor, "favourite.removed", prompt, team_id=_log_of(actor, prompt))


def rate(actor: Principal, prompt: Prompt, stars: int, *, note: str = "") -> tuple[Rating, bool]:
    """Give a prompt of one's team one to five stars; return the rating with True if it is the first.

    Again, and it replaces the one before; the same again changes nothing. Raises PersonNeeded, Invalid.
    """
    require(actor, "prompt.read", prompt.team_id)
    person = _person(actor)
    if not 1 <= stars <= 5:
        raise Invalid.field("stars", gettext_noop("One to five stars."))
    if len(note) > LONGEST_NOTE:
        raise Invalid.field("note", f"At most {LONGEST_NOTE} characters.", code="too_long")
    with transaction.atomic():
        standing.lock(prompt.pk)
        rating, is_new = Rating.objects.select_for_update(no_key=True, of=("self",)).get_or_create(
            user_id=person, prompt=prompt, defaults={"stars": stars, "note": note}
        )
        before = {} if is_new else {"stars": rating.stars, "note": rating.note}
        after = {"stars": stars, "note": note}
        if before != after:
            rating.stars, rating.note = stars, note
            rating.save()
            standing.add_up_stars(prompt.pk)
            record(actor, "rating.given", prompt, team_id=prompt.team_id, before=before, after=after)
    return rating, is_new


def take_back_rating(actor: Principal, prompt: Prompt) -> None:
    """Take one's stars back. Doing it again changes nothing. Raises PersonNeeded."""
    require(actor, "prompt.read", prompt.team_id)
    person = _person(actor)
    with transaction.atomic():
        standing.lock(prompt.pk)
        rating = Rating.objects.filter(user_id=person, prompt=prompt).first()
        if rating is not None:
            rating.delete()
            standing.add_up_stars(prompt.pk)
            before = {"stars": rating.stars, "note": rating.note}
            record(actor, "rating.taken_back", prompt, team_id=prompt.team_id, before=before)


def _log_of(actor: Principal, prompt: Prompt) -> int | None:
    """Return the team whose log says it; none's when the prompt is another team's, which need not know."""
    return prompt.team_id if actor.may("prompt.read", prompt.team_id) else None


def _person(actor: Principal) -> int:
    if actor.user_id is None:
        raise PersonNeeded
    return actor.user_id
