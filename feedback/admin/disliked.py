"""What users disliked, beside the results of an experiment: their words, and the answers they are about."""

from __future__ import annotations

from django.db.models import F, OuterRef, Subquery, Window
from django.db.models.functions import RowNumber, Substr
from django.urls import reverse

from experiments.dashboards import answers
from experiments.dashboards.answers import Disliked
from experiments.models import Experiment
from feedback.models import Feedback, Privacy
from feedback.services.batch import oldest_waiting_s
from feedback.services.privacy import Keeping
from promptlab.accounts.access import Principal

LOOKED_AT = 500
"""So many comments of the team, the newest, are looked through, however many there are."""
SHOWN_EACH = 5
EXCERPT = 300
NEEDED = ("feedback.read", "chat.read")


def disliked(principal: Principal, experiment: Experiment) -> list[Disliked]:
    """Return the newest thumbs-down with words of each text: one query that reads `LOOKED_AT` rows at most."""
    if not all(principal.may(capability, experiment.team_id) for capability in NEEDED):
        return []
    said = Feedback.objects.filter(team=experiment.team_id, value=-1).exclude(comment="")
    newest = said.order_by("-id").values("pk")[:LOOKED_AT]
    kept = Privacy.objects.filter(team=OuterRef("team"))
    rows = Feedback.objects.filter(pk__in=newest, message__experiment=experiment)
    shown = (
        rows.annotate(place=Window(RowNumber(), partition_by=F("message__served_variant"), order_by="-id"))
        .filter(place__lte=SHOWN_EACH)
        .order_by("-id")
        .select_related("message")
        .defer("message__content", "message__variables")
        .annotate(
            excerpt=Substr("message__content", 1, EXCERPT),
            masked=Subquery(kept.values("masked")[:1]),
            keeps_text=Subquery(kept.values("keeps_text")[:1]),
        )
    )
    return [_shown(row) for row in shown]


def _shown(row: Feedback) -> Disliked:
    """Return an answer as far as its team keeps texts: what came a moment ago is not masked in the database yet."""
    keeping = Keeping(tuple((row.masked or "").split()), row.keeps_text is not False)  # type: ignore[attr-defined]
    talk = reverse("admin:chat_conversation_change", args=[row.message.conversation_id])
    return Disliked(
        variant_id=row.message.served_variant_id,
        at=row.created_at,
        comment=keeping.stored(row.comment),
        answer=keeping.stored(row.excerpt),  # type: ignore[attr-defined]
        url=f"{talk}#message-{row.message_id}",
    )


answers.disliked.append(disliked)
answers.waiting.append(oldest_waiting_s)
