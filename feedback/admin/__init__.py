"""The pages of what people say of answers."""

from feedback.admin.metrics import MetricAdmin
from feedback.admin.ratings import FeedbackAdmin

__all__ = ["FeedbackAdmin", "MetricAdmin"]
