"""Naming conversations, putting them away, and how long they are kept."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from promptlab.accounts.access import Principal, require
from promptlab.accounts.models import Team
from promptlab.audit.recorder import record
from promptlab.chat.models import Conversation, Retention
from promptlab.lib.errors import Invalid

MAX_TITLE = 200
MOST_DAYS = 36_500


def rename_conversation(actor: Principal, conversation: Conversation, title: str) -> Conversation:
    """Give a conversation a title; "" shows its first question again. The same again changes nothing. Raises Invalid."""
    _require(actor, conversation)
    wanted = " ".join(title.split())
    if len(wanted) > MAX_TITLE:
        raise Invalid.field("title", f"At most {MAX_TITLE} characters.", code="too_long")
    with transaction.atomic():
        locked = _locked(conversation)
        if locked.title != wanted:
            before = {"title": locked.title}
            locked.title = wanted
            locked.save(update_fields=["title"])
            record(
                actor,
                "conversation.renamed",
                locked,
                team_id=locked.team_id,
                before=before,
                after={"title": wanted},
            )
    return locked


def archive_conversation(actor: Principal, conversation: Conversation) -> Conversation:
    """Put a conversation away: lists leave it out. Nothing is lost, and it can go on."""
    return _set_archived(actor, conversation, True)


def unarchive_conversation(actor: Principal, conversation: Conversation) -> Conversation:
    """Bring a conversation back."""
    return _set_archived(actor, conversation, False)


def set_retention(actor: Principal, team: Team, days: int | None) -> int | None:
    """Keep the team's conversations for so many days, None for ever, and return that. Raises Invalid."""
    require(actor, "team.admin", team.pk)
    if days is not None and not 1 <= days <= MOST_DAYS:
        raise Invalid.field("days", f"From 1 to {MOST_DAYS} days, or null to keep everything.", code="out_of_range")
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(pk=team.pk)
        before = retention_of(team.pk)
        if before != days:
            if days is None:
                Retention.objects.filter(team=team).delete()
            else:
                Retention.objects.update_or_create(team=team, defaults={"days": days})
            record(actor, "retention.changed", team, team_id=team.pk, before={"days": before}, after={"days": days})
    return days


def retention_of(team_id: int) -> int | None:
    """Return for how many days a team keeps what was said; None: for ever."""
    days: int | None = Retention.objects.filter(team_id=team_id).values_list("days", flat=True).first()
    return days


def _set_archived(actor: Principal, conversation: Conversation, is_archived: bool) -> Conversation:
    _require(actor, conversation)
    with transaction.atomic():
        locked = _locked(conversation)
        if (locked.archived_at is not None) != is_archived:
            locked.archived_at = timezone.now() if is_archived else None
            locked.save(update_fields=["archived_at"])
            verb = "conversation.archived" if is_archived else "conversation.unarchived"
            record(actor, verb, locked, team_id=locked.team_id)
    return locked


def _require(actor: Principal, conversation: Conversation) -> None:
    """Raise unless the actor may change it: whoever tries a prompt may, in a talk of their own."""
    is_own = conversation.author_id is not None and conversation.author_id == actor.user_id
    require(actor, "chat.use" if is_own else "chat.write", conversation.team_id)


def _locked(conversation: Conversation) -> Conversation:
    rows = Conversation.objects.select_related("prompt").select_for_update(of=("self",), no_key=True)
    found: Conversation = rows.get(pk=conversation.pk)
    return found
