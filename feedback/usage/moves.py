"""What went live in some days, for the marks on charts over time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from django.utils.translation import gettext

from feedback.usage.asking import Asked
from promptlab.accounts.access import Principal
from promptlab.lib.formats import fmt_name
from prompts.models import DeploymentEvent

MOST = 500
"""The newest, of those days."""


@dataclass(frozen=True, slots=True)
class Move:
    """Something that went live, or was taken off. `number` None: nothing is live any more."""

    day: date
    prompt_id: int
    prompt: str
    environment: str
    number: int | None
    is_rollback: bool
    who: str

    @property
    def sentence(self) -> str:
        """What happened, without whose prompt it is."""
        told = {"version": f"v{self.number}", "environment": fmt_name(self.environment), "who": self.who}
        if self.number is None:
            return gettext("nothing is live in %(environment)s any more (%(who)s)") % told
        if self.is_rollback:
            return gettext("back to %(version)s in %(environment)s (%(who)s)") % told
        return gettext("%(version)s went live in %(environment)s (%(who)s)") % told


def moves(principal: Principal, asked: Asked, since: date | None = None) -> list[Move]:
    """Return what went live, the first in front. One query."""
    begin = datetime.combine(since or asked.since, time(), UTC)
    rows = DeploymentEvent.objects.visible_to(principal).filter(at__gte=begin)
    wanted = {"environment__name": asked.environment, "prompt__team": asked.team_id, "prompt": asked.prompt_id}
    rows = rows.filter(**{name: value for name, value in wanted.items() if value not in ("", None)})
    told = rows.order_by("-id").values_list(
        "at", "prompt_id", "prompt__title", "environment__name", "to_version__number", "kind", "actor_label"
    )
    found = [
        Move(at.astimezone(UTC).date(), pk, title, where, number, kind == DeploymentEvent.Kind.ROLLBACK, who)
        for at, pk, title, where, number, kind, who in told[:MOST]
    ]
    return found[::-1]
