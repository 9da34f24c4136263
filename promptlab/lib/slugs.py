"""Short names for programs, made of what people typed."""

from __future__ import annotations

from collections.abc import Callable, Collection

from django.utils.text import slugify


def free_slug(title: str, kind: str, taken: Callable[[str], Collection[str]], *, longest: int) -> str:
    """Return a short name made of `title` that nobody has, with a number behind it where that is needed.

    `kind` ("prompt") stands in where a title has no letters of ours, and before digits alone, which would read as an id.
    `taken` returns the names that begin with a stem.
    """
    stem = slugify(title)[: longest - 10].rstrip("-_") or kind
    if stem.isdigit():
        stem = f"{kind}-{stem}"
    found = set(taken(stem))
    if stem not in found:
        return stem
    return next(f"{stem}-{number}" for number in range(2, len(found) + 3) if f"{stem}-{number}" not in found)
