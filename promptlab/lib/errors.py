"""The errors that services raise. A door turns them into its own shape; none of them knows HTTP beyond a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing wrong with the input. `field` is a path such as `variables.name` or `messages.0.role`."""

    field: str
    detail: str
    code: str = "invalid"


class DomainError(Exception):
    """Base of everything a caller may have done wrong or has to know.

    `code` is for programs, `detail` for people (one sentence with the next step), `data` names the facts.
    """

    code = "error"
    status = 400
    detail = "The request could not be carried out."

    def __init__(
        self,
        detail: str = "",
        *,
        code: str = "",
        problems: Sequence[FieldProblem] = (),
        retry_after_s: int | None = None,
        **data: Any,
    ) -> None:
        self.detail = detail or type(self).detail.format(**data)
        self.code = code or self.code
        self.problems = tuple(problems)
        self.retry_after_s = retry_after_s
        self.data: Mapping[str, Any] = data
        super().__init__(self.detail)


class Invalid(DomainError):
    """The input is wrong; `problems` names the fields."""

    code = "invalid"
    status = 400
    detail = "The request is not valid."

    @classmethod
    def field(cls, field: str, detail: str, *, code: str = "invalid") -> Invalid:
        """Return the error for one wrong field."""
        return cls(detail, code=code, problems=[FieldProblem(field, detail, code)])


class Unauthenticated(DomainError):
    code = "unauthenticated"
    status = 401
    detail = "Send an API key: X-API-Key, Authorization: Bearer, or Basic with the key as password."


class Forbidden(DomainError):
    code = "forbidden"
    status = 403
    detail = "You may not do this."


class NotFound(DomainError):
    code = "not_found"
    status = 404
    detail = "Not found."


class Conflict(DomainError):
    code = "conflict"
    status = 409
    detail = "Somebody changed this meanwhile. Look again and repeat."


class Stale(DomainError):
    """If-Match named another state of the thing."""

    code = "precondition_failed"
    status = 412
    detail = "This changed since you read it. Read it again, then repeat your change."


class TooLarge(DomainError):
    code = "too_large"
    status = 413
    detail = "The request body is too large."


class RateLimited(DomainError):
    code = "rate_limited"
    status = 429
    detail = "Too many requests. Wait and try again."


class Unavailable(DomainError):
    code = "unavailable"
    status = 503
    detail = "The service cannot answer right now. Try again shortly."
