"""What is asked of models in a run of a test suite: the prompt with a case filled in, and judges with its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Self

from django.conf import settings
from promptlab_sdk.kernel.spec import Content, Message

from promptlab import llm
from promptlab.lib.errors import DomainError
from promptlab.llm.routes import masks_of, routes_for
from prompts import rendering, snippets
from prompts.checks import PREFERRED, preferring
from prompts.checks.cases import Case, Check
from prompts.models import SuiteRun, Version

PURPOSE: Final = "suite"
JUDGING: Final = "judge"
HISTORY: Final = ("history", "messages")
"""Placeholders that stand for what is said in a case."""


class Asking:
    """Makes the requests for one text, with its snippets in their places, and for the prompts that judge."""

    def __init__(self, team_id: int, content: Content, judges: Mapping[str, Content]) -> None:
        self._team_id, self._content, self._judges = team_id, content, judges

    @classmethod
    def of(cls, run: SuiteRun) -> Self:
        """Return what makes the requests of a run."""
        content = snippets.resolve_pinned(run.version, run.snippets).content
        return cls(run.suite.team_id, content, judging(run.judges))

    def answer(self, case: Case, model: str) -> llm.CompletionRequest:
        """Return the request for a case. Raises what `rendering.render` raises, ModelOff, ProviderNotReady."""
        content = self._content
        messages = messages_of(content.for_model(model or llm.resolve("").name), case)
        request = _request(self._team_id, messages, model, content, PURPOSE)
        if not content.model_texts:
            return request
        others = {route.name: messages_of(content.for_model(route.name), case) for route in request.routes}
        return replace(request, other_messages=others)

    def verdict(self, check: Check, case: Case, answer: str, order: int = 0) -> llm.CompletionRequest:
        """Return the request to the judge of a check about an answer. Raises as `answer`."""
        if check.kind == PREFERRED:
            return _preference(self._team_id, check, case, answer, order)
        content = self._judges[check.options["prompt"]]
        said = {
            "answer": answer,
            "rubric": check.options["rubric"],
            "expected": case.expected,
            "input": input_of(case),
        }
        return verdict_request(self._team_id, content, said, check.options["model"])


def judging(ids: Mapping[str, int]) -> dict[str, Content]:
    """Return the texts of the prompts that judge, by name; `ids` are those of their versions."""
    judges = Version.objects.select_related("prompt").in_bulk(list(ids.values()))
    return {name: judges[pk].content for name, pk in ids.items()}


def verdict_request(team_id: int, content: Content, said: Mapping[str, str], model: str = "") -> llm.CompletionRequest:
    """Return the request to a prompt that judges, with those of the texts that it asks for. Raises as `Asking.answer`."""
    asked = {name: value for name, value in said.items() if name in rendering.blanks_of(content)}
    model = model or content.model
    return _request(team_id, messages_of(content.for_model(model), Case("judge", asked)), model, content, JUDGING)


def input_of(case: Case) -> str:
    """Return what was asked, as those who judge are told it."""
    return json.dumps([dict(case.variables), list(case.messages)], ensure_ascii=False)


def _preference(team_id: int, check: Check, case: Case, answer: str, order: int) -> llm.CompletionRequest:
    said = {"input": input_of(case), "criteria": check.options["rubric"]}
    asked = preferring.question(said, answer, case.expected, order=order)
    messages = [llm.ChatMessage("system", preferring.INSTRUCTION), llm.ChatMessage("user", asked)]
    return _request(team_id, messages, check.options["model"], Content(), JUDGING)


def provider_of(team_id: int, model: str) -> str:
    """Return who answers for a model, by whom calls at once are counted; of one that cannot be called, its own name."""
    try:
        routes = routes_for(team_id, model)
        return routes[0].provider if routes else llm.resolve(model).provider
    except llm.LLMError:
        return model


def messages_of(content: Content, case: Case) -> list[llm.ChatMessage]:
    """Return what a model is sent for a case: as `/generate` sends a prompt alone, as `/chat` one that somebody talks to.

    Raises VariablesInvalid, TemplateTooCostly, TemplateFailed.
    """
    said = tuple(Message(one["role"], one["content"]) for one in case.messages)
    filled = rendering.render(content, case.variables, placeholders=dict.fromkeys(HISTORY, said))
    if isinstance(filled, str):
        parts = [Message("system" if said else "user", filled), *said]
    elif any(part.placeholder in HISTORY for part in content.messages):
        parts = list(filled)
    else:
        parts = [*filled, *said]
    return [llm.ChatMessage(part.role, part.content) for part in parts]


def problem_of(content: Content, case: Case) -> str:
    """Return why a case cannot be asked of a prompt; empty when it can."""
    try:
        messages_of(content, case)
    except DomainError as error:
        return error.detail
    return ""


def _request(
    team_id: int, messages: list[llm.ChatMessage], model: str, content: Content, purpose: str
) -> llm.CompletionRequest:
    name = model or llm.resolve("").name
    parameters: Mapping[str, Any] = {
        # A limit in any case: without one nobody knows what an answer may cost.
        "max_tokens": settings.BUDGET_MAX_TOKENS,
        **rendering.parameters_of(content),
        **content.parameters,
    }
    return llm.CompletionRequest(
        messages=messages,
        model=name,
        parameters=parameters,
        purpose=purpose,
        routes=routes_for(team_id, name),
        masks=masks_of(team_id),
    )
