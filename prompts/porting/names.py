"""From what a file calls a prompt to the short name and the title it gets here."""

from __future__ import annotations

import re

from django.utils.text import slugify

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}\Z")


def named(told: str, fallback: str) -> tuple[str, str | None]:
    """Return the short name, and the title when the file says one; ("", None) when nothing names the prompt.

    `told` is the name in the file ("Text Summarizer" is a title), `fallback` the name of the file.
    """
    if NAME.match(told) and not told.isdigit():
        return told, None
    if told.strip() and (short := slugify(told)[:200].strip("-_")) and not short.isdigit():
        return short, told.strip()[:200]
    return fallback, told.strip()[:200] or None
