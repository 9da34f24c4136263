"""What a rating adds to the sums, and to whose: what its answer was served, never what would be assigned today."""

from __future__ import annotations

from experiments.services.rollups import Observation
from feedback.models import Feedback
from promptlab.chat.services.metering import served_by


def change_of(rating: Feedback) -> tuple[int, int]:
    """Return by how much ratings and thumbs-up grow when what is counted of this row becomes what it says now.

    A rating that was taken back is worth nothing, so its share goes.
    """
    ratings = int(rating.value is not None) - int(rating.counted_value is not None)
    return ratings, int(rating.value == 1) - int(rating.counted_value == 1)


def observation_of(rating: Feedback) -> Observation | None:
    """Return what a rating adds, in the hour it arrived; None when nothing changes or its answer is counted nowhere."""
    ratings, ups = change_of(rating)
    served = served_by(rating.message)
    if served is None or not (ratings or ups):
        return None
    return Observation(served, rating.message.unit_id, rating.updated_at, ratings=ratings, ups=ups)
