"""What pages show of questions and answers. Floors above add what they know to `answer_facts`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import badge, link
from promptlab.chat.models import Message
from promptlab.lib.formats import fmt_int, fmt_money, fmt_ms

State = Message.State
Fact = tuple[Any, Any]
"""(what it is, finished text)"""
KINDS = {
    State.STREAMING: "info",
    State.COMPLETED: "ok",
    State.FAILED: "bad",
    State.CANCELLED: "warn",
    State.ABANDONED: "bad",
}

answer_facts: list[Callable[[Sequence[Message]], Mapping[int, list[Fact]]]] = []
"""Functions that give more facts per answer's id. Feedback lives above chat and adds its ratings here."""


def turn_shown(message: Message, facts: list[Fact]) -> dict[str, Any]:
    """Return what a page shows of a message."""
    is_answer = message.is_answer
    return {
        "id": f"message-{message.pk}",
        "is_answer": is_answer,
        "who": message.get_role_display(),
        "text": message.content,
        "at": message.created_at,
        "state": badge(message.get_state_display(), KINDS[State(message.state)]) if is_answer else "",
        "facts": facts,
    }


def facts_of(answers: Sequence[Message]) -> dict[int, list[Fact]]:
    """Return what answers were made with and took, and what floors above know of them, by their ids."""
    more = [facts(answers) for facts in answer_facts]
    return {one.pk: _own_facts(one) + [fact for found in more for fact in found.get(one.pk, [])] for one in answers}


def _own_facts(answer: Any) -> list[Fact]:
    """Return what an answer was made with and what it took. What is not known says so; it is never 0."""
    facts: list[Fact] = []
    if answer.version is not None and not answer.is_hidden:
        url = reverse("admin:prompts_version_change", args=[answer.version_id])
        facts.append((_("Version"), link(url, f"v{answer.version.number}")))
    if answer.served_variant is not None and answer.experiment is not None and not answer.is_hidden:
        url = reverse("admin:experiments_experiment_change", args=[answer.experiment_id])
        facts.append((_("Experiment"), link(url, answer.experiment.title)))
        facts.append((_("Text shown"), answer.served_variant))
        if answer.assigned_variant_id != answer.served_variant_id:
            facts.append((_("Text assigned"), answer.assigned_variant))
    facts.append((_("Model"), answer.model or "–"))
    if answer.text_for and not answer.is_hidden:
        facts.append((_("Text sent"), gettext("the one for %(model)s") % {"model": answer.text_for}))
    facts.append((_("Tokens in and out"), _tokens(answer)))
    facts.append((_("Cost"), fmt_money(answer.cost_usd) if answer.cost_usd is not None else gettext("unknown")))
    if answer.latency_ms is not None:
        facts.append((_("Wait"), fmt_ms(answer.latency_ms)))
    if answer.first_token_ms is not None:
        facts.append((_("First word after"), fmt_ms(answer.first_token_ms)))
    if answer.error_code:
        facts.append((_("Error"), answer.error_code))
    return facts


def _tokens(answer: Message) -> str:
    if answer.input_tokens is None and answer.output_tokens is None:
        return gettext("unknown")
    shown = f"{fmt_int(answer.input_tokens)} → {fmt_int(answer.output_tokens)}"
    return gettext("about %(tokens)s") % {"tokens": shown} if answer.is_usage_estimated else shown
