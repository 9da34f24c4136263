"""What a judge answered, read strictly: whoever is not clear has not judged."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from prompts.checks.deciding import Outcome

JUDGE: Final = "judge"
BLANKS: Final = ("answer", "rubric", "expected", "input")
"""What a judging prompt may ask for. It has to ask for the answer."""
MAX_REASON: Final = 500
_FENCE: Final = re.compile(r"\A```(?:json)?\s*\n(.*)\n```\Z", re.S)


def read_verdict(text: str, least: float) -> Outcome:
    """Return the outcome for a judge's answer: one object with a `score` from 0 to 1, and perhaps a `reason`.

    Anything else is undecided: words around the object, a score in words, a scale of one's own.
    """
    said = object_in(text)
    score = said.get("score") if said is not None else None
    if said is None or not isinstance(score, int | float) or isinstance(score, bool) or not 0 <= score <= 1:
        return Outcome(None, 'The judge did not answer {"score": 0 to 1, "reason": "..."}.')
    return Outcome(score >= least, _reason(said), float(score))


def object_in(text: str) -> dict[str, Any] | None:
    """Return the object of JSON that a text is, perhaps in a fence; None for anything else."""
    fenced = _FENCE.match(text.strip())
    try:
        said = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _reason(said: dict[str, Any]) -> str:
    reason = said.get("reason", "")
    return reason[:MAX_REASON] if isinstance(reason, str) else ""
