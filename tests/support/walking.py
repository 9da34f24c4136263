"""Which pages there are: where to begin, and where the links of a page lead."""

from __future__ import annotations

import re
from html import unescape

from django.contrib import admin
from django.urls import resolve, reverse

LEFT_OUT = ("/admin/logout/", "/admin/jsi18n/", "/admin/language/", "/admin/password_change/")
OURS = ("/admin/", "/dashboards/")
LINK = re.compile(r'(?:href|action)="([^"]*)"')


def registered_pages() -> list[str]:
    """Return the list of everything that is registered, whether a link leads there or not."""
    found = []
    for model in admin.site._registry:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        found.append(reverse(f"admin:{name}_changelist"))
    return found


def kind_of(url: str) -> str:
    """Return what pages of one kind share: the name of their view, and whether something was asked for."""
    return resolve(url.partition("?")[0]).view_name + ("?" if "?" in url else "")


def links_on(url: str, html: str) -> list[str]:
    """Return the addresses of our own pages that this page leads to."""
    path = url.partition("?")[0]
    found = []
    for raw in LINK.findall(html):
        target = unescape(raw).partition("#")[0]
        if target.startswith("?"):
            target = path + target
        if target.startswith(OURS) and not target.startswith(LEFT_OUT):
            found.append(target)
    return found
