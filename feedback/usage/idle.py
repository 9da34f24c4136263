"""What is live although nobody has asked for it in a long time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from promptlab.accounts.access import Principal
from prompts.models import Deployment, Prompt, SnippetUse

DAYS = 30


def live_but_unused(principal: Principal, team_id: int | None = None) -> QuerySet[Any]:
    """Return the pointers that stand still for so long, of prompts without a fetch or an answer in it; the oldest first.

    What a live version includes is used with it. Fetching everything in one bundle counts for no prompt.
    """
    idle = Prompt.objects.visible_to(principal).active().unused_for(DAYS)
    including = Deployment.objects.live().filter(version=OuterRef("version"))
    included = SnippetUse.objects.filter(Exists(including), snippet=OuterRef("prompt"))
    rows = (
        Deployment.objects.visible_to(principal)
        .live()
        .filter(~Exists(included), prompt__in=idle.values("pk"), event__at__lte=timezone.now() - timedelta(days=DAYS))
    )
    if team_id is not None:
        rows = rows.filter(prompt__team=team_id)
    return rows.select_related("prompt", "environment", "version", "event").order_by("event__at", "pk")
