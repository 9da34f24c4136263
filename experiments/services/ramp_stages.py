"""The steps of a gradual launch: the usual ones, and which may be asked for."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.errors import StagesInvalid
from experiments.models import Stage

HOUR = 3600
DEFAULT_STAGES = (
    Stage(100, HOUR, 24 * HOUR),
    Stage(1000, 24 * HOUR, 72 * HOUR),
    Stage(5000, 48 * HOUR, 168 * HOUR),
)
"""1 %, 10 % and 50 % of all users get the new text, as many others are compared with them."""
MOST_STAGES = 10
LARGEST_SHARE_BP = 5000
LONGEST_DWELL_S = 90 * 24 * HOUR


def check_stages(stages: Sequence[Stage]) -> None:
    """Raise StagesInvalid naming the step and the field."""
    if not 1 <= len(stages) <= MOST_STAGES:
        raise StagesInvalid.field("ramp.stages", f"A gradual launch has 1 to {MOST_STAGES} steps before everyone.")
    before = 0
    for index, stage in enumerate(stages):
        if not before < stage.share_bp <= LARGEST_SHARE_BP:
            detail = "Shares grow, from above 0 to 5000 (50 %): as many others are compared with them."
            raise StagesInvalid.field(f"ramp.stages.{index}.share_bp", detail)
        if not 0 <= stage.min_dwell_s < stage.max_dwell_s <= LONGEST_DWELL_S:
            detail = "The least time is shorter than the longest, which is at most 90 days."
            raise StagesInvalid.field(f"ramp.stages.{index}.min_dwell_s", detail)
        before = stage.share_bp
