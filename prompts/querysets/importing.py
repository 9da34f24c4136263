"""Named questions about imports."""

from __future__ import annotations

from typing import Self

from django.db.models import Exists, OuterRef

from promptlab.accounts.access import Principal
from prompts.querysets.base import OfTeam, closed_to, model_named


class ImportRunQuerySet(OfTeam):
    def visible_to(self, principal: Principal, capability: str = "prompt.read") -> Self:
        """Return the imports of the principal's teams, without those that hold a prompt which is private to others."""
        rows = super().visible_to(principal, capability)
        closed = None if principal.is_system else closed_to(principal)
        if closed is None:
            return rows
        hidden = model_named("Collection").objects.filter(closed).values("pk")
        held = model_named("ImportedPrompt").objects.filter(run=OuterRef("pk"), prompt__collection__in=hidden)
        return rows.filter(~Exists(held))

    def with_prompts(self) -> Self:
        """Return imports with what they did to which prompts: four queries."""
        return self.prefetch_related("prompts__prompt", "prompts__version_before", "prompts__version_after")
