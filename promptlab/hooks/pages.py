"""The page behind the link in each mail that stops its kind. It works without signing in: the link is signed."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import re_path
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from promptlab.hooks.services import choosing


@never_cache
@csrf_exempt  # a mail program posts here with one click, without a cookie (RFC 8058); the link itself is the proof
@require_http_methods(["GET", "HEAD", "POST"])
def mail_off(request: HttpRequest, token: str) -> HttpResponse:
    """Ask before stopping a kind of mail (GET: programs open links, too), and stop it (POST)."""
    if request.method == "POST":
        return render(request, "mail/off.html", {"kind": choosing.unsubscribe(token), "is_done": True})
    reader, kind = choosing.opened(token)
    return render(request, "mail/off.html", {"kind": kind, "reader": reader, "is_done": False})


urlpatterns = [re_path(r"^off/(?P<token>[^/]{1,300})/?$", mail_off, name="mail-off")]
