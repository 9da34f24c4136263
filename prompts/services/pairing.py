"""Trying both: one question to the text as it is and to a suggested one, as somebody may have edited it, side by side.

Nothing is saved of the text, and nothing counts in results; both answers are paid for as any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from promptlab_sdk.kernel.spec import Content

from promptlab import llm
from promptlab.accounts.access import Principal, require
from promptlab.lib.errors import Invalid
from prompts import snippets
from prompts.checks.cases import Case
from prompts.models import OptimiserCall, OptimiserRun, Suggestion
from prompts.services import optimising, suggesting
from prompts.services.environments import named
from prompts.services.optimiser_desk import Desk
from prompts.services.suite_calls import Asking
from prompts.services.suite_runs import USUAL_ENVIRONMENT

SIDES: Final = ("own", "suggested")
MAX_SAID: Final = 20_000


@dataclass(frozen=True, slots=True)
class PairWanted:
    """What both are asked. `text` or `messages`: the suggested text as somebody edited it. Without a model: the version's."""

    suggestion: Suggestion
    variables: Mapping[str, Any] = field(default_factory=dict)
    said: str = ""
    text: str | None = None
    messages: Sequence[Mapping[str, Any]] | None = None
    model: str = ""
    budget_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class PairAnswer:
    """What one side said. No `text` and a `problem`: no answer came; neither: it is on its way."""

    side: str
    text: str = ""
    problem: str = ""
    latency_ms: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: Decimal | None = None


def request_pair(actor: Principal, wanted: PairWanted) -> OptimiserRun:
    """Have the text as it is and the suggested one answer the same.

    Raises Invalid naming the field, what cannot be filled in, TooManyRuns, ModelOff, ProviderNotReady.
    """
    suggestion = wanted.suggestion
    version = suggestion.run.version
    team_id = version.prompt.team_id
    require(actor, "prompt.write", team_id)
    if len(wanted.said) > MAX_SAID:
        raise Invalid.field("said", f"Say it in at most {MAX_SAID} characters.")
    content = suggesting.edited(suggestion, wanted.text, wanted.messages)
    resolved = snippets.resolve(version, named(team_id, USUAL_ENVIRONMENT))
    run = OptimiserRun(
        kind=OptimiserRun.Kind.PAIR,
        version=version,
        model=llm.resolve(wanted.model or version.model).name[:100],
        total=len(SIDES),
        max_calls=len(SIDES),
        plan={
            "suggestion": suggestion.pk,
            "parts": suggesting.parts_of(content),
            "variables": dict(wanted.variables),
            "said": wanted.said,
            "snippets": resolved.ids,
        },
    )
    # What cannot be filled in is said now, and not by a worker.
    _questions(run)
    return optimising.begin(run, actor, budget_usd=wanted.budget_usd)


def work(desk: Desk) -> None:
    """Ask both at once."""
    desk.ask_all(_questions(desk.run))
    desk.progress(len(SIDES))


def pair_answers(run: OptimiserRun) -> list[PairAnswer]:
    """Return what both said so far, the text as it is first: one query."""
    calls = {row.key: row for row in OptimiserCall.objects.filter(run=run).exclude(key="")}
    return [_answer(side, calls.get(side)) for side in SIDES]


def pairs_of(suggestion: Suggestion) -> list[OptimiserRun]:
    """Return when both were tried, newest first: one query."""
    tried = OptimiserRun.objects.filter(version=suggestion.run.version_id, kind=OptimiserRun.Kind.PAIR)
    return list(tried.filter(plan__suggestion=suggestion.pk)[:5])


def pair_content(run: OptimiserRun) -> Content:
    """Return the suggested text that was tried."""
    return suggesting.with_parts(run.version.content, run.plan["parts"])


def _questions(run: OptimiserRun) -> list[tuple[str, llm.CompletionRequest]]:
    said = [{"role": "user", "content": run.plan["said"]}] if run.plan["said"] else []
    case = Case("both", run.plan["variables"], said)
    texts = zip(SIDES, (run.version.content, pair_content(run)), strict=True)
    return [(side, _asking(run, content).answer(case, run.model)) for side, content in texts]


def _asking(run: OptimiserRun, content: Content) -> Asking:
    """Return what makes the question for a text, with the included texts of then in their places."""
    filled = snippets.resolve_pinned(suggesting.as_version(run.version, content), run.plan["snippets"]).content
    return Asking(run.version.prompt.team_id, filled, {})


def _answer(side: str, call: OptimiserCall | None) -> PairAnswer:
    if call is None or call.state == OptimiserCall.State.ASKED:
        return PairAnswer(side)
    problem = "" if call.state == OptimiserCall.State.ANSWERED else call.problem or call.get_state_display()
    return PairAnswer(side, call.text, problem, call.latency_ms, call.input_tokens, call.output_tokens, call.cost_usd)
