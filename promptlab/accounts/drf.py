"""DRF's hooks into accounts: who is calling, and how often they may. Everything is decided in `auth` and `lib.ratelimit`."""

from __future__ import annotations

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from promptlab.accounts import auth
from promptlab.accounts.access import Principal
from promptlab.accounts.models import User
from promptlab.lib.errors import Unauthenticated
from promptlab.lib.ratelimit import Limit, Verdict, check


def calls(principal: Principal) -> Limit:
    """Return the hourly budget of a key for everything but fetching prompts and sending feedback."""
    return Limit("calls", principal.calls_per_hour or settings.RATE_LIMIT_PER_HOUR)


class KeyAuthentication(BaseAuthentication):
    """An API key, in any of its three spellings. `request.auth` becomes the principal."""

    def authenticate(self, request: Request) -> tuple[None, Principal] | None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        if not auth.credential(headers):
            return None
        return None, auth.authenticate(headers)

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="promptlab"'


class PersonAuthentication(SessionAuthentication):
    """A signed-in person, with CSRF enforced. `request.auth` becomes the principal."""

    def authenticate(self, request: Request) -> tuple[User, Principal] | None:
        found = super().authenticate(request)
        return (found[0], auth.principal_of_user(found[0])) if found else None


class KeyScheme(OpenApiAuthenticationExtension):
    """How the API's description shows a key: in one header or the other."""

    target_class = KeyAuthentication
    name = ["key", "bearer"]

    def get_security_requirement(self, auto_schema: object) -> list[dict[str, list[str]]]:
        return [{"key": []}, {"bearer": []}]

    def get_security_definition(self, auto_schema: object) -> list[dict[str, str]]:
        return [{"type": "apiKey", "in": "header", "name": "X-API-Key"}, {"type": "http", "scheme": "bearer"}]


class PersonScheme(OpenApiAuthenticationExtension):
    """How it shows a signed-in person."""

    target_class = PersonAuthentication
    name = "session"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}


class IsSomebody(BasePermission):
    """Deny without a principal; what it may do is decided by querysets and services."""

    def has_permission(self, request: Request, view: object) -> bool:
        if not isinstance(request.auth, Principal):
            raise Unauthenticated
        return True


class CallLimit(BaseThrottle):
    """The hourly budget of a key. People in a browser are not counted."""

    def allow_request(self, request: Request, view: object) -> bool:
        principal = request.auth
        if not isinstance(principal, Principal) or principal.kind != "key":
            return True
        verdict = check(calls(principal), f"key:{principal.id}")
        _remember(request, verdict)
        verdict.enforce()
        return True


def _remember(request: Request, verdict: Verdict) -> None:
    request._request.rate_verdict = verdict  # type: ignore[attr-defined]
