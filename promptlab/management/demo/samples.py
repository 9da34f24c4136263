"""How the demo's prompts are written down. Days are counted back from today."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BACK = "back"
Part = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Draft:
    """One version: when it was saved, by whom, and why."""

    days_ago: float
    note: str
    text: str = ""
    messages: Sequence[Part] = ()
    by: str = "ana"
    version_string: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    model_texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Move:
    """One move of what is live. `to` is a version's number, or `BACK`."""

    days_ago: float
    environment: str
    to: int | str
    note: str
    by: str = "chloe"


@dataclass(frozen=True, slots=True)
class Sample:
    """One prompt with its life."""

    name: str
    title: str
    collection: str
    tags: tuple[str, ...]
    description: str
    drafts: tuple[Draft, ...]
    moves: tuple[Move, ...] = ()


def system(content: str) -> Part:
    return {"role": "system", "content": content}


def user(content: str) -> Part:
    return {"role": "user", "content": content}


def assistant(content: str) -> Part:
    return {"role": "assistant", "content": content}


HISTORY: Part = {"placeholder": "history"}
