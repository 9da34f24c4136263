"""The errors that services raise. A door turns them into its own shape; none of them knows HTTP beyond a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing wrong with the input. `field` is a path such as `variables.name` or `messages.0.role`."""

    field: str
    detail: str
    code: str = "invalid"


class DomainError(Exception):
    """Base of everything a caller may have done wrong or has to know.

    `code` is for programs, `detail` for people (one sentence with the next step), `data` names the facts.
    Programs get `detail` in English; pages show `told`.
    """

    code = "error"
    status = 400
    detail = _("The request could not be carried out.")

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
        self._is_own = bool(detail)
        self.code = code or self.code
        self.problems = tuple(problems)
        self.retry_after_s = retry_after_s
        self.data: Mapping[str, Any] = data
        super().__init__(self.detail)

    @property
    def told(self) -> str:
        """Return `detail` in the reader's language; in English where it was put together in place."""
        return gettext(self.detail) if self._is_own else gettext(type(self).detail).format(**self.data)

    def told_of(self, problem: FieldProblem) -> str:
        """Return what is wrong with one field in the reader's language, as far as it is known there."""
        return self.told if problem.detail == self.detail else gettext(problem.detail)


class Invalid(DomainError):
    """The input is wrong; `problems` names the fields."""

    code = "invalid"
    status = 400
    detail = _("The request is not valid.")

    @classmethod
    def field(cls, field: str, detail: str, *, code: str = "invalid") -> Invalid:
        """Return the error for one wrong field."""
        return cls(detail, code=code, problems=[FieldProblem(field, detail, code)])


class Unauthenticated(DomainError):
    code = "unauthenticated"
    status = 401
    detail = _("Send an API key: X-API-Key, Authorization: Bearer, or Basic with the key as password.")


class Forbidden(DomainError):
    code = "forbidden"
    status = 403
    detail = _("You may not do this.")


class NotFound(DomainError):
    code = "not_found"
    status = 404
    detail = _("Not found.")


class Conflict(DomainError):
    code = "conflict"
    status = 409
    detail = _("Somebody changed this meanwhile. Look again and repeat.")


class Stale(DomainError):
    """If-Match named another state of the thing."""

    code = "precondition_failed"
    status = 412
    detail = _("This changed since you read it. Read it again, then repeat your change.")


class TooLarge(DomainError):
    code = "too_large"
    status = 413
    detail = _("The request body is too large.")


class RateLimited(DomainError):
    code = "rate_limited"
    status = 429
    detail = _("Too many requests. Wait and try again.")


class Unavailable(DomainError):
    code = "unavailable"
    status = 503
    detail = _("The service cannot answer right now. Try again shortly.")
