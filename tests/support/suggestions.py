"""Suggestions in the fewest words, and answers in the form that models are asked for."""

from __future__ import annotations

from typing import Any

from promptlab.accounts.access import SYSTEM
from prompts.models import OptimiserRun, Suggestion, Version
from prompts.services import optimiser_work
from prompts.services.suggesting import Wanted, request_suggestion
from tests.support.suites import MODEL


def answered(*parts: str, changes: str = "- It is shorter.") -> str:
    """Return an answer that suggests these texts, one for each part of the prompt."""
    texts = "\n".join(f'<part number="{number}">\n{text}\n</part>' for number, text in enumerate(parts, 1))
    return f"<changes>\n{changes}\n</changes>\n{texts}"


def make_suggestion(version: Version, *, works: bool = True, **told: Any) -> OptimiserRun:
    """Return a run that asks for a clearer text, worked on to its end unless `works` is false."""
    run = request_suggestion(SYSTEM, Wanted(version, **{"goal": "clearer", "model": MODEL, **told}))
    if works:
        optimiser_work.work_on(run.pk)
        run.refresh_from_db()
    return run


def make_proposal(version: Version, text: str = "Hi {{name}}.", model: str = MODEL) -> Suggestion:
    """Return a suggestion that waits for somebody to decide."""
    run = make_suggestion(version, works=False, model=model)
    OptimiserRun.objects.filter(pk=run.pk).update(state=OptimiserRun.State.FINISHED)
    made: Suggestion = Suggestion.objects.create(run=run, model=model, text=text, changes=["It is shorter."])
    return made
