"""Suggestions: a model rewrites a prompt towards a goal, and a person takes the text, as it is or edited, or leaves it.

Placeholders are the same set, or the suggestion is rejected: it is asked for once more, and never repaired.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from promptlab_sdk.kernel import template
from promptlab_sdk.kernel.spec import Content, messages_from

from promptlab import llm
from promptlab.accounts.access import Principal, require
from promptlab.audit.recorder import record
from promptlab.lib.errors import DomainError, Invalid
from promptlab.llm.ceiling import worst_case
from promptlab.llm.routes import masks_of, routes_for
from prompts import diff, meta_prompts, rendering
from prompts.errors import NoSuggestion, NothingToSave, PlaceholdersDiffer, PromptArchived, SuggestionDecided
from prompts.models import Draft, OptimiserCall, OptimiserRun, Suggestion, Version
from prompts.models.optimising import ALL
from prompts.models.running import NANO
from prompts.services import authoring, drafting, goals, optimising
from prompts.services.contents import content_of
from prompts.services.optimiser_desk import Desk

PURPOSE: Final = "optimise"
ATTEMPTS: Final = 2
MAX_SAID: Final = 4000
LOST: Final = "A worker ended while the model was answering. What that can have cost is counted. Go on to ask again."
State, CallState = Suggestion.State, OptimiserCall.State


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to suggest. `said` is what the goal asks a person for, such as the language. Without a model: the version's.

    `budget_usd` is the most that the run may cost; None: `settings.OPTIMISER_BUDGET_USD`.
    """

    version: Version
    goal: str
    said: str = ""
    model: str = ""
    budget_usd: Decimal | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a suggestion would be: so many calls at most, and what they can cost at most. None: the model has no price."""

    calls: int
    most_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Difference:
    """By which placeholders a text differs from another: as they are written, without their braces."""

    missing: tuple[str, ...] = ()
    invented: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.invented)

    @property
    def sentence(self) -> str:
        """What is said of it to a model, and to people in the log."""
        said = []
        if self.missing:
            said.append(f"{', '.join(map(braced, self.missing))} is missing.")
        if self.invented:
            said.append(f"{', '.join(map(braced, self.invented))} is new.")
        return " ".join(said)


def request_suggestion(actor: Principal, wanted: Wanted) -> OptimiserRun:
    """Have a model rewrite a version. Nothing is saved of what it suggests until somebody takes it.

    Raises UnknownGoal, GoalNotReady, Invalid naming the field, TooManyRuns, PromptArchived, ModelOff, ProviderNotReady.
    """
    require(actor, "prompt.write", wanted.version.prompt.team_id)
    run = _prepared(wanted)
    return optimising.begin(run, actor, budget_usd=wanted.budget_usd)


def estimate_suggestion(actor: Principal, wanted: Wanted) -> Estimate:
    """Return what a suggestion would be, without asking for it. Raises as `request_suggestion`.

    The second call is made only when the first answer cannot be used; it is then shown that answer.
    """
    team_id = wanted.version.prompt.team_id
    require(actor, "prompt.write", team_id)
    run = _prepared(wanted)
    first = _question(run, ())
    longest = "x" * int(str(first.parameters["max_tokens"]))
    second = _question(run, [(longest, "")])
    most = [worst_case(one, team_id) for one in (first, second)]
    known = [one for one in most if one is not None]
    return Estimate(ATTEMPTS, Decimal(sum(known)) / NANO if len(known) == len(most) else None)


def accept_suggestion(
    actor: Principal,
    suggestion: Suggestion,
    *,
    text: str | None = None,
    messages: Sequence[Mapping[str, Any]] | None = None,
    message: str = "",
    with_other_placeholders: bool = False,
    allow_secret: str = "",
) -> Version:
    """Save a suggestion, or what a person made of it, as the next version. Nothing goes live.

    Raises SuggestionDecided, PlaceholdersDiffer unless it is said that they may, NothingToSave when the newest version
    says the same, and what `authoring.create_version` raises.
    """
    require(actor, "prompt.write", suggestion.run.version.prompt.team_id)
    with transaction.atomic():
        locked = _undecided(suggestion)
        run = locked.run
        source, suggested = run.version.content, content_from(locked)
        content = edited(locked, text, messages)
        differs = difference(source, content)
        if differs and not with_other_placeholders:
            raise PlaceholdersDiffer(problem=differs.sentence)
        share = diff.share_changed(readable(suggested), readable(content))
        said = message or _provenance(locked, share)
        prompt = run.version.prompt
        version, is_new = authoring.create_version(
            actor, prompt, checked(content), message=said[:500], allow_secret=allow_secret
        )
        if not is_new:
            raise NothingToSave(number=version.number)
        locked.state, locked.saved_version, locked.edited_bp = State.ACCEPTED, version, round(share * ALL)
        _decide(actor, locked)
        after = {"version": version.number, "model": locked.model, "edited": f"{share:.0%}"}
        record(actor, "suggestion.accepted", locked, team_id=prompt.team_id, after=after)
    return version


def discard_suggestion(actor: Principal, suggestion: Suggestion) -> Suggestion:
    """Leave a suggestion. It stays to be read. Again changes nothing. Raises SuggestionDecided for one that was taken."""
    team_id = suggestion.run.version.prompt.team_id
    require(actor, "prompt.write", team_id)
    with transaction.atomic():
        if Suggestion.objects.filter(pk=suggestion.pk, state=State.DISCARDED).exists():
            return suggestion
        locked = _undecided(suggestion)
        locked.state = State.DISCARDED
        _decide(actor, locked)
        record(actor, "suggestion.discarded", locked, team_id=team_id)
    return locked


def origin_of(version: Version) -> Suggestion | None:
    """Return the suggestion that a version was saved from, with its run; None for what a person wrote: one query."""
    found: Suggestion | None = Suggestion.objects.with_names().filter(saved_version=version).first()
    return found


def work(desk: Desk) -> None:
    """Ask for a suggestion, once more if what comes cannot be used, and write down what came."""
    run = desk.run
    before: list[tuple[str, str]] = []
    for attempt in range(1, ATTEMPTS + 1):
        call = desk.ask(f"attempt {attempt}", _question(run, before))
        if call.state != CallState.ANSWERED:
            raise NoSuggestion(problem=call.problem or LOST)
        made = judged(run, call)
        Suggestion.objects.get_or_create(run=run, place=attempt, defaults=made)
        desk.progress(attempt, ATTEMPTS if made["state"] == State.REJECTED else attempt)
        if made["state"] != State.REJECTED:
            return
        before.append((call.text, made["problem"]))


def judged(run: OptimiserRun, call: OptimiserCall) -> dict[str, Any]:
    """Return what an answer comes to: the values of its suggestion's row."""
    source = run.version.content
    parts = parts_of(source)
    row: dict[str, Any] = {"model": call.model, "state": State.REJECTED}
    if call.is_cut_off:
        return {**row, "problem": "The answer was cut off: it was longer than the model may answer."}
    answer = meta_prompts.read(call.text, meta_prompts.tag_for(parts), len(parts))
    if answer is None:
        return {**row, "problem": "The answer does not have the form that was asked for."}
    content = with_parts(source, answer.parts)
    row |= {"text": content.text, "messages": [part.to_dict() for part in content.messages]}
    row["changes"] = list(answer.changes)
    if [one.strip() for one in answer.parts] == [one.strip() for one in parts]:
        return {**row, "state": State.IDENTICAL, "problem": "The model had nothing better to offer."}
    try:
        checked(content)
        differs = difference(source, content)
    except DomainError as error:
        return {**row, "problem": f"The text cannot be read: {error.detail}"[:300]}
    if differs:
        named = {"missing": list(differs.missing), "invented": list(differs.invented)}
        return {**row, **named, "problem": differs.sentence[:300]}
    return {**row, "state": State.PROPOSED}


def difference(source: Content, content: Content) -> Difference:
    """Return by which placeholders a content differs: blanks and included prompts."""
    before, after = placeholders(source), placeholders(content)
    return Difference(
        tuple(one for one in before if one not in after), tuple(one for one in after if one not in before)
    )


def placeholders(content: Content) -> list[str]:
    """Return everything that is filled in later: blanks by name, included prompts behind a `>`."""
    return [*rendering.blanks_of(content), *(f"> {name}" for name in template.content_includes(content))]


def braced(name: str) -> str:
    """Return a placeholder as it is written in a text."""
    return f"{{{{{name}}}}}"


def content_from(suggestion: Suggestion) -> Content:
    """Return what a suggestion says, with everything else as its source has it."""
    source = suggestion.run.version.content
    return replace(source, text=suggestion.text, messages=messages_from(suggestion.messages))


def checked(content: Content) -> Content:
    """Return a content as it can be saved, its blanks declared. Raises what `content_of` raises."""
    said = content.to_dict()
    said.pop("type")
    return content_of(**said)


def readable(content: Content) -> str:
    """Return all texts of a content, one below the other."""
    return "\n\n".join(parts_of(content))


def _prepared(wanted: Wanted) -> OptimiserRun:
    version = wanted.version
    team_id = version.prompt.team_id
    if version.prompt.archived_at is not None:
        raise PromptArchived(prompt=version.prompt.title)
    goal = goals.goal_of(wanted.goal)
    said = wanted.said.strip()
    if goal.asks and not 0 < len(said) <= MAX_SAID:
        raise Invalid.field("said", f"Say it in 1 to {MAX_SAID} characters.", code="required")
    instruction = goals.instruction_of(team_id, goal, {goal.asks: said} if goal.asks else {})
    model = llm.resolve(wanted.model or version.model).name
    if len(model) > 100:
        raise Invalid.field("model", "A model's name has at most 100 characters.")
    routes_for(team_id, model)
    told = instruction.version
    plan = {
        "instruction": instruction.text,
        "instruction_prompt": goal.name,
        "instruction_version": told.number if told else None,
        "said": said if goal.asks else "",
    }
    return OptimiserRun(
        kind=OptimiserRun.Kind.SUGGESTION,
        version=version,
        goal=goal.key,
        model=model,
        plan=plan,
        total=1,
        max_calls=ATTEMPTS,
        note=wanted.note[:300],
    )


def _question(run: OptimiserRun, before: Sequence[tuple[str, str]]) -> llm.CompletionRequest:
    """Return what the model is asked; `before` are answers that could not be used, each with what was wrong."""
    content = run.version.content
    parts, team_id = parts_of(content), run.version.prompt.team_id
    tag = meta_prompts.tag_for(parts)
    asked = meta_prompts.framed(run.plan["instruction"], [braced(one) for one in placeholders(content)], tag)
    messages = [llm.ChatMessage("system", asked), llm.ChatMessage("user", meta_prompts.written(parts, tag))]
    for answer, problem in before:
        messages.append(llm.ChatMessage("assistant", answer))
        messages.append(llm.ChatMessage("user", meta_prompts.NOT_GOOD.format(problem=problem)))
    longest = max(settings.BUDGET_MAX_TOKENS, sum(map(len, parts)) // 2)
    return llm.CompletionRequest(
        messages=messages,
        model=run.model,
        parameters={"max_tokens": longest},
        purpose=PURPOSE,
        routes=routes_for(team_id, run.model),
        masks=masks_of(team_id),
    )


def parts_of(content: Content) -> list[str]:
    """Return the texts of a content that are rewritten, in their order."""
    if content.type != "chat":
        return [content.text]
    return [part.content for part in content.messages if not part.placeholder]


def with_parts(content: Content, parts: Sequence[str]) -> Content:
    """Return a content with other texts in the places of its own."""
    if content.type != "chat":
        return replace(content, text=parts[0])
    texts = iter(parts)
    messages = [part if part.placeholder else replace(part, content=next(texts)) for part in content.messages]
    return replace(content, messages=tuple(messages))


def as_version(version: Version, content: Content) -> Version:
    """Return a version, not saved, that says what a content says, to be filled in as one."""
    other = copy.copy(version)
    other.text, other.messages = content.text, [part.to_dict() for part in content.messages]
    return other


def edited(
    suggestion: Suggestion, text: str | None = None, messages: Sequence[Mapping[str, Any]] | None = None
) -> Content:
    """Return a suggestion as somebody edited it. Raises Invalid when it has not as many messages."""
    return with_parts(suggestion.run.version.content, _parts_said(content_from(suggestion), text, messages))


def keep_suggestion(
    actor: Principal,
    suggestion: Suggestion,
    *,
    text: str | None = None,
    messages: Sequence[Mapping[str, Any]] | None = None,
) -> Draft:
    """Keep a suggestion, or what a person made of it, as their draft of the prompt; it can be taken later all the same.

    Raises DraftStale when they have a draft already: it is never written over.
    """
    content = edited(suggestion, text, messages)
    share = diff.share_changed(readable(content_from(suggestion)), readable(content))
    said: dict[str, Any] = {"message": _provenance(suggestion, share)}
    if content.messages:
        said["messages"] = [part.to_dict() for part in content.messages]
    else:
        said["content"] = content.text
    version = suggestion.run.version
    return drafting.keep_draft(actor, version.prompt, said, row_version=0, started_from=version.number)


def _parts_said(suggested: Content, text: str | None, messages: Sequence[Mapping[str, Any]] | None) -> list[str]:
    """Return the texts that a person sent, else those that were suggested. Raises Invalid when they are not as many."""
    own = parts_of(suggested)
    if suggested.type != "chat":
        return own if text is None else [text]
    if messages is None:
        return own
    said = [str(one.get("content", "")) for one in messages if "placeholder" not in one]
    if len(said) != len(own):
        raise Invalid.field("messages", f"The suggestion has {len(own)} messages. Send as many.")
    return said


def _provenance(suggestion: Suggestion, share: float) -> str:
    run = suggestion.run
    edited = f", {share:.0%} edited by hand" if share else ""
    return f"Suggested by {suggestion.model} ({run.goal or run.kind}){edited}"


def _undecided(suggestion: Suggestion) -> Suggestion:
    """Return the suggestion, locked. Raises SuggestionDecided when there is nothing to decide."""
    rows = Suggestion.objects.select_related("run__version__prompt").select_for_update(of=("self",))
    locked: Suggestion = rows.get(pk=suggestion.pk)
    if locked.state != State.PROPOSED:
        raise SuggestionDecided(state=locked.get_state_display())
    return locked


def _decide(actor: Principal, suggestion: Suggestion) -> None:
    suggestion.decided_label, suggestion.decided_at = actor.label[:200], timezone.now()
    suggestion.save(update_fields=["state", "saved_version", "edited_bp", "decided_label", "decided_at"])
