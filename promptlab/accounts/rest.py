"""The base of every REST view: somebody calls, and each answer says how much of their budget is left."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder
from rest_framework.views import APIView

from promptlab.accounts import idempotency
from promptlab.accounts.access import Principal
from promptlab.lib.idempotency import HEADER, REPLAYED


class RateHeaders:
    """Mixed into views: says in every answer how much of the budget is left."""

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        verdict = getattr(request, "_request", request).__dict__.get("rate_verdict")
        for name, value in (verdict.headers() if verdict else {}).items():
            response[name] = value
        return response


def principal_of(request: Request) -> Principal:
    """Return who calls. Only for views behind `IsSomebody`."""
    assert isinstance(request.auth, Principal)
    return request.auth


def id_in(reference: str) -> int:
    """Return the id that a part of an address names; 0, which no row has, when it cannot be one."""
    return int(reference) if reference.isdecimal() and len(reference) < 19 else 0


class HouseView(RateHeaders, APIView):
    """What every view of the API is: somebody calls, their team's rows are seen, their budget is told."""

    @property
    def principal(self) -> Principal:
        """Who calls."""
        return principal_of(self.request)

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        """Say in `Allow` what can be done here; the description of everything is at `/schema`."""
        return Response(status=status.HTTP_204_NO_CONTENT)


Method = Callable[..., Response]
KEY_PARAMETER = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="The same call again within a day is answered the same.",
)


def idempotent(method: Method) -> Method:
    """Let callers send an `Idempotency-Key`: the same call again within a day changes nothing and is answered the same.

    For methods of a HouseView. What is refused is not kept: the same key may try again.
    """

    @wraps(method)
    def once(view: HouseView, request: Request, *args: Any, **kwargs: Any) -> Response:
        header = request.headers.get(HEADER, "")
        call = idempotency.call_of(view.principal, str(request.method), request.path, header, request.data)
        if call is None:
            return method(view, request, *args, **kwargs)
        with transaction.atomic():
            row, is_new = idempotency.claim(call)
            if not is_new:
                return Response(json.loads(row.body), row.status, headers={**row.headers, **REPLAYED})
            answer = method(view, request, *args, **kwargs)
            row.status, row.headers = answer.status_code, dict(answer.headers)
            row.body = json.dumps(answer.data, cls=JSONEncoder)
            row.save(update_fields=["status", "headers", "body"])
        return answer

    described: Method = extend_schema(parameters=[KEY_PARAMETER])(once)
    return described
