"""What of texts a team keeps: all, without addresses and numbers, or nothing but what can be counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Max

from feedback.models import Privacy
from promptlab import llm
from promptlab.accounts.access import Principal, require
from promptlab.accounts.models import Team
from promptlab.audit.recorder import record
from promptlab.chat.models import Message
from promptlab.lib.errors import Invalid
from promptlab.llm.keeping import Kept, forget_on_commit

ADMIN = "team.admin"


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is kept: kinds of values that are `masked`, and whether texts are kept at all."""

    masked: tuple[str, ...] = ()
    keeps_text: bool = True

    def stored(self, text: str) -> str:
        """Return what is kept of a text."""
        if not text or not self.keeps_text:
            return ""
        return llm.without_values(text, llm.Masks(self.masked)) if self.masked else text


def set_privacy(actor: Principal, team: Team, *, masked: Sequence[str], keeps_text: bool) -> Keeping:
    """Say what of texts a team keeps from now on. The same again changes nothing. Raises Invalid.

    Ratings are written so from the first; messages are gone through a minute after their answers ended, because a
    conversation that goes on needs them. What was kept before stays as it is: see `set_retention`.
    """
    require(actor, ADMIN, team.pk)
    if not set(masked) <= set(llm.KINDS):
        raise Invalid.field("masked", f"One of: {', '.join(llm.KINDS)}.", code="invalid_choice")
    words = " ".join(kind for kind in llm.KINDS if kind in masked)
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(pk=team.pk)
        row, _ = Privacy.objects.get_or_create(team=team)
        before = {"masked": row.masked, "keeps_text": row.keeps_text}
        after = {"masked": words, "keeps_text": keeps_text}
        if before != after:
            if not row.masked:
                newest = Message.objects.aggregate(newest=Max("pk"))["newest"]
                row.messages_to = max(row.messages_to, newest or 0)
            row.masked, row.keeps_text = words, keeps_text
            row.save(update_fields=["masked", "keeps_text", "messages_to"])
            record(actor, "privacy.changed", row, team_id=team.pk, before=before, after=after)
            forget_on_commit(team.pk)
    return read_privacy(team.pk)


def read_privacy(team_id: int) -> Keeping:
    """Return what a team keeps, as it stands in the database now."""
    row = Privacy.objects.filter(team_id=team_id).values_list("masked", "keeps_text").first()
    return Keeping(tuple(row[0].split()), row[1]) if row else Keeping()


kept = Kept(read_privacy)
"""The same, some seconds old at most."""
