"""Pages that belong to nobody else: the way in, and what is shown when something is not found or breaks."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from promptlab.lib.errors import DomainError, Forbidden, Invalid, NotFound
from promptlab.lib.middleware import is_page, problem_response
from promptlab.lib.problem import Unexpected


def home(request: HttpRequest) -> HttpResponse:
    """`/` leads people to the editors' site."""
    return redirect("admin:index")


def _answer(request: HttpRequest, error: DomainError, template: str) -> HttpResponse:
    if is_page(request.path):
        return render(request, template, status=error.status)
    return problem_response(error)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, Invalid(), "400.html")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, Forbidden(), "403.html")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, NotFound("There is nothing at this address."), "404.html")


def server_error(request: HttpRequest) -> HttpResponse:
    return _answer(request, Unexpected(), "500.html")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form that was opened before signing in, or came from elsewhere."""
    error = Forbidden("This form is too old or came from another page. Go back, reload, and send it again.")
    return _answer(request, error, "403.html")
