"""What feedback refuses."""

from __future__ import annotations

from promptlab.lib.errors import DomainError, NotFound


class SubjectNotFound(NotFound):
    code = "message_not_found"
    detail = "There is no message {message} to rate."


class FeedbackNotFound(NotFound):
    code = "feedback_not_found"
    detail = "There is no rating {feedback}."


class KeyReused(DomainError):
    """The same idempotency key came with another body."""

    code = "idempotency_key_reused"
    status = 422
    detail = "This idempotency key was already used for another rating."
