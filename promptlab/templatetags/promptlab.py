"""What templates need beyond Django's own: times and numbers as `lib.formats` writes them, and badges."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import template
from django.utils.html import format_html

from promptlab.lib import formats

register = template.Library()


@register.filter
def when(moment: datetime | str | None) -> str:
    """Show how long ago `moment` was, with the full local time as its title; text stays as it is."""
    if moment is None or isinstance(moment, str):
        return moment or formats.DASH
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(),
        formats.fmt_datetime(moment),
        formats.fmt_when(moment),
    )


@register.filter
def number(value: formats.Number | str | None) -> str:
    """Show a count with its thousands apart; text that is already written stays as it is."""
    return value if isinstance(value, str) else formats.fmt_int(value)


@register.filter
def pct(ratio: formats.Number | str | None) -> str:
    """Show a ratio as a percentage; text that is already written stays as it is."""
    return ratio if isinstance(ratio, str) else formats.fmt_pct(ratio)


@register.filter
def wait(stretch: timedelta | formats.Number) -> str:
    """Show a stretch of time (seconds, if a number): `15 minutes`."""
    return formats.fmt_wait(stretch.total_seconds() if isinstance(stretch, timedelta) else stretch)


@register.filter
def current(tabs: list[dict[str, Any]]) -> str:
    """Return what the tab is called that one is on; empty on a page below them."""
    return next((tab["label"] for tab in tabs if tab["is_current"]), "")


@register.inclusion_tag("components/badge.html")
def badge(label: str, kind: str = "neutral") -> dict[str, str]:
    """Show a status in words on its ground; `kind` is ok, info, warn, bad or neutral."""
    return {"label": label, "kind": kind}
