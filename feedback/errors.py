"""What feedback refuses."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from promptlab.lib.errors import Conflict, DomainError, NotFound


class SubjectNotFound(NotFound):
    code = "message_not_found"
    detail = _("There is no message {message} to rate.")


class FeedbackNotFound(NotFound):
    code = "feedback_not_found"
    detail = _("There is no rating {feedback}.")


class KeyReused(DomainError):
    """The same idempotency key came with another body."""

    code = "idempotency_key_reused"
    status = 422
    detail = _("This idempotency key was already used for another rating.")


class UnknownMetric(DomainError):
    """Nobody declared the metric; `known` are those that are."""

    code = "unknown_metric"
    detail = _("There is no metric {metric}. Known: {known}.")


class MetricNotFound(NotFound):
    code = "metric_not_found"
    detail = _("There is no metric {metric}.")


class ReplayNotFound(NotFound):
    code = "replay_not_found"
    detail = _("There is no such replay.")


class NothingToReplay(Conflict):
    code = "nothing_to_replay"
    detail = _(
        "No rated answer of {prompt} can be asked again. {unfit} do not fit this version; of others no text is kept."
    )


class MetricTaken(Conflict):
    code = "metric_taken"
    detail = _("There is a metric {metric} already.")


class RoundNotFound(NotFound):
    code = "annotation_not_found"
    detail = _("There is no such round of annotation.")


class AnswerNotDrawn(NotFound):
    code = "annotation_answer_not_found"
    detail = _("There is no such answer in this round.")


class JudgeNotFound(NotFound):
    code = "judge_not_found"
    detail = _("There is no such judge.")
