"""Pages that belong to nobody else: the way in, and what is shown when something is not found or breaks."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext, gettext_noop
from django.views import i18n
from django.views.decorators.http import require_POST

from promptlab.accounts import services
from promptlab.accounts.auth import principal_of_user
from promptlab.accounts.models import User
from promptlab.lib.errors import DomainError, Forbidden, Invalid, NotFound
from promptlab.lib.middleware import is_page, problem_response
from promptlab.lib.problem import Unexpected


def home(request: HttpRequest) -> HttpResponse:
    """`/` leads people to the editors' site."""
    return redirect("admin:index")


def _answer(request: HttpRequest, error: DomainError, template: str, **context: object) -> HttpResponse:
    if is_page(request.path):
        return render(request, template, context, status=error.status)
    return problem_response(error)


@require_POST
def set_language(request: HttpRequest) -> HttpResponse:
    """Keep the language that somebody chose: in a cookie for what they read, with their account for what they are sent."""
    chosen = request.POST.get("language", "")
    if isinstance(request.user, User) and chosen in dict(settings.LANGUAGES):
        services.choose_language(principal_of_user(request.user), chosen)
    return i18n.set_language(request)


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
    told = gettext_noop("This form is too old or came from another page. Go back, reload, and send it again.")
    return _answer(
        request, Forbidden(told), "403.html", heading=gettext("This form was not taken"), reason=gettext(told)
    )
