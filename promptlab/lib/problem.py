"""One error body for people and programs: RFC 9457 `application/problem+json`, with our code and the request's id."""

from __future__ import annotations

import http
import json
from typing import Any
from urllib.parse import parse_qsl

from django.utils.translation import gettext_noop as _

from promptlab.lib.errors import DomainError, Invalid
from promptlab.lib.logs import request_id

CONTENT_TYPE = "application/problem+json"


def title(status: int) -> str:
    """Return the standard name of an HTTP status."""
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def body(error: DomainError) -> dict[str, Any]:
    """Return the problem document of an error. `errors` lists the fields; `data` holds the named facts."""
    document: dict[str, Any] = {
        "type": f"urn:promptlab:error:{error.code}",
        "title": title(error.status),
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "errors": [
            {"field": p.field, "pointer": "/" + p.field.replace(".", "/"), "detail": p.detail, "code": p.code}
            for p in error.problems
        ],
        "request_id": request_id(),
    }
    if error.data:
        document["data"] = dict(error.data)
    return document


def encode(error: DomainError) -> bytes:
    """Return the problem document as bytes."""
    return json.dumps(body(error), default=str).encode()


def headers(error: DomainError) -> dict[str, str]:
    """Return the headers an error brings along."""
    result = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}
    if error.retry_after_s is not None:
        result["Retry-After"] = str(max(1, error.retry_after_s))
    if error.status == http.HTTPStatus.UNAUTHORIZED:
        result["WWW-Authenticate"] = 'Bearer realm="promptlab"'
    return result


def address_problem(path: str, query: str) -> Invalid | None:
    """Return what is wrong with an address that holds a NUL, naming the parameter; None for every other address."""
    if "\x00" not in path and "%00" not in query:
        return None
    named = [name for name, value in parse_qsl(query, keep_blank_values=True) if "\x00" in value]
    detail = "The address contains a NUL character."
    return Invalid.field(named[0], detail, code="invalid_text") if named else Invalid(detail, code="invalid_text")


class Unexpected(DomainError):
    """Something broke on our side. Says nothing of what; the log has it under the request's id."""

    code = "internal_error"
    status = 500
    detail = _("Something broke on our side. Nothing you sent was lost silently; quote the request id when you ask.")
