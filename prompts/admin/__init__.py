"""Editors' pages about prompts. One file per noun; importing registers."""

from prompts.admin import (
    collection,
    deployment,
    drift,
    field,
    optimising,
    planning,
    prompt,
    reviewing,
    suite_runs,
    suites,
    tag,
    version,
)

__all__ = [
    "collection",
    "deployment",
    "drift",
    "field",
    "optimising",
    "planning",
    "prompt",
    "reviewing",
    "suite_runs",
    "suites",
    "tag",
    "version",
]
