"""Every code an error class brings along stands in docs/errors.md, with its status."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from django.conf import settings

import promptlab.urls  # noqa: F401  (loads every app's errors)
from promptlab.lib.errors import DomainError


def ours(base: type[DomainError]) -> Iterator[type[DomainError]]:
    for one in base.__subclasses__():
        if one.__module__.split(".")[0] in ("promptlab", "prompts", "experiments", "feedback"):
            yield one
            yield from ours(one)


def test_every_code_is_documented_with_its_status() -> None:
    import_module("promptlab.llm.errors")
    text = (settings.BASE_DIR / "docs" / "errors.md").read_text()
    codes = {(one.code, one.status) for one in ours(DomainError) if "code" in vars(one)}
    assert len(codes) > 40
    missing = [f"{code} ({status})" for code, status in sorted(codes) if f"| `{code}` | {status} |" not in text]
    assert missing == []
