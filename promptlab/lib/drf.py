"""DRF in the house's manners: our JSON reader, and every error as problem+json with a code and the field's name."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.parsers import BaseParser
from rest_framework.response import Response

from promptlab.lib import jsonbody, logs, problem
from promptlab.lib.errors import DomainError, FieldProblem, Forbidden, Invalid, NotFound, TooLarge, Unavailable

log = logs.get_logger(__name__)


class SafeJSONParser(BaseParser):
    """JSON that is safe to store and to send back; see `lib.jsonbody`.

    Whatever content type the caller names: `curl -d '{...}'` says it sends a form.
    """

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        limit = settings.MAX_BODY_BYTES
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise TooLarge(f"The body is larger than {limit} bytes.", limit=limit)
        if not body.strip():
            return {}
        value = jsonbody.loads(body)
        if not isinstance(value, dict | list):
            raise Invalid("The body must be a JSON object.", code="invalid_json")
        return value


def _problems(detail: Any, path: str = "") -> list[FieldProblem]:
    if isinstance(detail, dict):
        nested = [_problems(value, f"{path}.{key}" if path else str(key)) for key, value in detail.items()]
        return [found for part in nested for found in part]
    if isinstance(detail, list):
        nested = [
            _problems(value, f"{path}.{index}" if isinstance(value, dict | list) else path)
            for index, value in enumerate(detail)
        ]
        return [found for part in nested for found in part]
    field = path.removesuffix(".non_field_errors")
    return [FieldProblem(field if field != "non_field_errors" else "", str(detail), getattr(detail, "code", "invalid"))]


def _summary(problems: list[FieldProblem]) -> str:
    first = problems[0]
    return f"{first.field}: {first.detail}" if first.field else first.detail


def translate(error: Exception) -> DomainError | None:
    """Return our error for one of Django's, DRF's or the database driver's; None for what nobody expected."""
    if isinstance(error, DomainError):
        return error
    if isinstance(error, Http404):
        return NotFound()
    if isinstance(error, PermissionDenied):
        return Forbidden()
    if isinstance(error, OperationalError | InterfaceError):
        log.warning("database_away", error=type(error).__name__)
        return Unavailable("The database does not answer. Try again shortly.", retry_after_s=2)
    if isinstance(error, exceptions.ValidationError):
        problems = _problems(error.detail)
        return Invalid(_summary(problems), problems=problems)
    if isinstance(error, exceptions.APIException):
        return _Plain(error)
    return None


class _Plain(DomainError):
    """One of DRF's own errors: method not allowed, unsupported media type, not acceptable."""

    def __init__(self, error: exceptions.APIException) -> None:
        self.status = error.status_code
        wait = getattr(error, "wait", None)
        super().__init__(str(error.detail), code=error.default_code, retry_after_s=int(wait) if wait else None)


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the problem document for an error of a DRF view; None lets Django log it and answer 500."""
    ours = translate(error)
    if ours is None:
        return None
    headers = problem.headers(ours)
    if isinstance(error, exceptions.MethodNotAllowed):
        headers["Allow"] = ", ".join(context["view"].allowed_methods)
    kind = headers.pop("Content-Type")
    return Response(problem.body(ours), ours.status, headers=headers, content_type=None if _is_page(context) else kind)


def _is_page(context: dict[str, Any]) -> bool:
    """Tell whether the answer is shown as a page: then it says so, and the problem stands in it."""
    renderer = getattr(context.get("request"), "accepted_renderer", None)
    return renderer is not None and renderer.media_type == "text/html"
