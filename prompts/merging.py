"""Two people changed one text: both changes put together, line by line. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

Edit = tuple[int, int, int, int]
"""Lines [0] to [1] of the text both began with became lines [2] to [3]."""


@dataclass(frozen=True, slots=True)
class Merged:
    """Both changes in one text. At `clashes` places both changed the same lines: there mine stands before theirs."""

    text: str
    clashes: int


def merge(base: str, mine: str, theirs: str) -> Merged:
    """Return what `base` is after both changes. Lines that only one of the two touched are as that one left them."""
    begun, texts = base.splitlines(), (mine.splitlines(), theirs.splitlines())
    waiting = tuple(_edits(begun, text) for text in texts)
    found: list[str] = []
    clashes = at = 0
    while any(waiting):
        start, end, taken = _next_place(waiting)
        sides = [_as_changed(begun, text, edits, start, end) for text, edits in zip(texts, taken, strict=True)]
        found += begun[at:start]
        if not taken[1] or sides[0] == sides[1]:
            found += sides[0]
        elif not taken[0]:
            found += sides[1]
        else:
            clashes += 1
            found += sides[0] + sides[1]
        at = end
    text = "\n".join(found + begun[at:])
    return Merged(text + "\n" if mine.endswith("\n") and text else text, clashes)


def _edits(old: Sequence[str], new: Sequence[str]) -> list[Edit]:
    codes = SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes()
    return [(a_from, a_to, b_from, b_to) for tag, a_from, a_to, b_from, b_to in codes if tag != "equal"]


def _next_place(waiting: tuple[list[Edit], ...]) -> tuple[int, int, tuple[list[Edit], ...]]:
    """Take the first edits that touch each other; return from where to where they reach, and whose they are."""
    start = end = min(edits[0][0] for edits in waiting if edits)
    taken: tuple[list[Edit], ...] = tuple([] for _ in waiting)
    grew = True
    while grew:
        grew = False
        for edits, mine in zip(waiting, taken, strict=True):
            while edits and edits[0][0] <= end:
                mine.append(edits.pop(0))
                end = max(end, mine[-1][1])
                grew = True
    return start, end, taken


def _as_changed(begun: list[str], text: list[str], edits: list[Edit], start: int, end: int) -> list[str]:
    """Return the lines from `start` to `end` as one side has them."""
    found, at = [], start
    for a_from, a_to, b_from, b_to in edits:
        found += begun[at:a_from] + text[b_from:b_to]
        at = a_to
    return found + begun[at:end]
