"""What every Django request gets: an id in and out, one log line, CORS for the API, 503 instead of 500 without a database."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.middleware.locale import LocaleMiddleware
from django.shortcuts import render
from django.utils import translation

from promptlab.lib import cors, logs, problem
from promptlab.lib.errors import DomainError, Unavailable
from promptlab.lib.problem import address_problem

log = logs.get_logger(__name__)
Next = Callable[[HttpRequest], HttpResponse]
PAGES = ("/admin/", "/dashboards/", "/mail/", "/static/")
QUIET = ("/livez", "/readyz", "/health", "/static/")


def is_page(path: str) -> bool:
    """Tell whether people (not programs) read what this path answers."""
    return path == "/" or path.startswith(PAGES)


def problem_response(error: DomainError) -> HttpResponse:
    """Return an error as problem+json."""
    return HttpResponse(problem.encode(error), status=error.status, headers=problem.headers(error))


class ReadersLanguage(LocaleMiddleware):
    """The reader's language where people read; programs are answered in English, whatever they accept."""

    def process_request(self, request: HttpRequest) -> None:
        if is_page(request.path) or "text/html" in request.headers.get("Accept", ""):
            super().process_request(request)
        else:
            translation.activate(settings.LANGUAGE_CODE)
            request.LANGUAGE_CODE = translation.get_language()


class RequestContext:
    """Outermost: request id, log line, and the answer when the database is away."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        address = request.META.get("REMOTE_ADDR", "")
        request_id = logs.begin(request.headers.get("X-Request-ID", ""), address=address)
        started = time.perf_counter()
        response = self._refused(request) or self.get_response(request)
        response["X-Request-ID"] = request_id
        if not request.path.startswith(QUIET):
            ms = round((time.perf_counter() - started) * 1000, 1)
            log.info("request", method=request.method, path=request.path, status=response.status_code, ms=ms)
        return response

    @staticmethod
    def _refused(request: HttpRequest) -> HttpResponse | None:
        """Return the answer to an address with a NUL in it, which PostgreSQL would take as an error of ours."""
        problem = address_problem(request.path, request.META.get("QUERY_STRING", ""))
        if problem is None:
            return None
        return render(request, "404.html", status=404) if is_page(request.path) else problem_response(problem)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer for what a view let through. Returns None for what Django shall report as a 500."""
        if isinstance(exception, OperationalError | InterfaceError):
            log.warning("database_away", error=type(exception).__name__)
            exception = Unavailable("The database does not answer. Try again shortly.", retry_after_s=2)
        if not isinstance(exception, DomainError):
            return None
        if not is_page(request.path):
            return problem_response(exception)
        page = render(request, "error.html", {"title": problem.title(exception.status), "error": exception})
        page.status_code = exception.status
        if exception.retry_after_s is not None:
            page["Retry-After"] = str(exception.retry_after_s)
        return page


class Cors:
    """The API for browsers of allowed origins. Pages are never shared."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        origin = request.headers.get("Origin", "")
        if not origin or is_page(request.path) or not settings.CORS_ALLOWED_ORIGINS:
            return self.get_response(request)
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return HttpResponse(status=204, headers=cors.preflight(origin))
        response = self.get_response(request)
        for name, value in cors.headers(origin).items():
            response[name] = f"{response[name]}, {value}" if name == "Vary" and response.has_header("Vary") else value
        return response
