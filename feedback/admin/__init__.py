"""The pages of what people say of answers."""

from feedback.admin import disliked
from feedback.admin.annotating import RoundAdmin
from feedback.admin.inbox import CommentAdmin
from feedback.admin.judges import JudgeAdmin
from feedback.admin.metrics import MetricAdmin
from feedback.admin.privacy import PrivacyAdmin
from feedback.admin.ratings import FeedbackAdmin
from feedback.admin.replays import ReplayAdmin
from feedback.admin.searches import SearchAdmin

__all__ = [
    "CommentAdmin",
    "FeedbackAdmin",
    "JudgeAdmin",
    "MetricAdmin",
    "PrivacyAdmin",
    "ReplayAdmin",
    "RoundAdmin",
    "SearchAdmin",
    "disliked",
]
