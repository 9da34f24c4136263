"""Which browser origins may call the API. One rule for DRF and for the hot routes; never for cookies."""

from __future__ import annotations

from django.conf import settings

ALLOWED_HEADERS = "authorization, content-type, idempotency-key, if-match, if-none-match, x-api-key, x-request-id"
EXPOSED_HEADERS = "etag, link, location, ratelimit, ratelimit-policy, retry-after, x-request-id"
METHODS = "GET, POST, PUT, PATCH, DELETE, OPTIONS"


PUBLIC_HEADERS = "content-type, idempotency-key"


def headers(origin: str, *, is_public: bool = False) -> dict[str, str]:
    """Return the headers that let `origin` read the answer; none when it is not allowed.

    `is_public`: of a route that pages of any origin may call without credentials; the star allows no others.
    """
    if not origin or origin not in settings.CORS_ALLOWED_ORIGINS:
        return {"Access-Control-Allow-Origin": "*"} if origin and is_public else {}
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": EXPOSED_HEADERS, "Vary": "Origin"}


def preflight(origin: str, *, is_public: bool = False) -> dict[str, str]:
    """Return the answer to a browser's question before the real request; empty when the origin is not allowed."""
    allowed = headers(origin)
    if not allowed and origin and is_public:
        return {
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Methods": "POST, OPTIONS",
            "Access-Control-Allow-Headers": PUBLIC_HEADERS,
            "Access-Control-Max-Age": "600",
        }
    if not allowed:
        return {}
    return {
        **allowed,
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": ALLOWED_HEADERS,
        "Access-Control-Max-Age": "600",
    }
