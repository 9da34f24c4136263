"""Cells that are safe to open in a spreadsheet."""

from __future__ import annotations

FORMULAS = ("=", "+", "-", "@")


def harmless(value: object) -> object:
    """Return a cell that no spreadsheet runs as a formula: what people type comes with a quote before it."""
    if isinstance(value, str) and value.lstrip()[:1] in FORMULAS:
        return f"'{value}"
    return value
