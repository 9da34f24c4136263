"""Which model stands for a tier: callers ask for a price class, and operators say what that is."""

from __future__ import annotations

from django.conf import settings

from promptlab.lib.errors import Invalid

TIERS = ("premium", "standard", "economy")


def model_of_tier(team_id: int, tier: str) -> str:
    """Return the model of a tier. Raises Invalid for an unknown tier and for one that no model was chosen for."""
    if tier not in TIERS:
        raise Invalid.field("tier", f"There is no such tier. Tiers: {', '.join(TIERS)}.", code="unknown_tier")
    chosen = dict(one.split("=", 1) for one in settings.LLM_TIERS if "=" in one)
    if tier not in chosen:
        detail = f"No model was chosen for the tier {tier}. Name a model, or ask an administrator to choose one."
        raise Invalid.field("tier", detail, code="tier_without_model")
    return chosen[tier]
