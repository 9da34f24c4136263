"""How checks decide on the server: as the kernel says, and JSON schemas by a library that the kernel does without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptlab_sdk.kernel.checking import Answer, Outcome, decide, decide_schema

__all__ = ["Answer", "Outcome", "decide_here"]


def decide_here(kind: str, options: Mapping[str, Any], answer: Answer) -> Outcome:
    """Return what a check says of an answer, in this process and without a limit of time."""
    if kind == "json_schema":
        # Here, because it takes a tenth of a second to load and most checks need it never.
        from jsonschema import Draft202012Validator

        return decide_schema(Draft202012Validator(options["schema"]), answer)
    return decide(kind, options, answer)
