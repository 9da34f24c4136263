"""What is tried on a page: which prompt, which text of it, who answers; and the turn that comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest

from promptlab.accounts.modeladmin import acting
from promptlab.chat.admin.try_forms import SayForm, chosen_model
from promptlab.chat.models import Conversation, Message
from promptlab.chat.services.choosing import of_tier
from promptlab.chat.services.turn import TurnInput
from promptlab.lib.errors import Invalid
from promptlab.lib.ratelimit import Limit
from prompts import resolve
from prompts.errors import NotDeployed, VersionNotFound
from prompts.models import Prompt, Version

CAPABILITY = "chat.use"
Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried: the prompt, which text of it (`choice`), that text, who answers; `talk` None: it is to begin."""

    prompt: Prompt | None = None
    choice: str = ""
    version: Version | None = None
    model: str = ""
    talk: Conversation | None = None
    problem: str = ""
    last: Message | None = None
    """The last answer of the talk, with the version it came of."""


def trial_of(prompt: Prompt, asked: Query, talk: Conversation | None) -> Trial:
    """Return what is tried of a prompt: what was asked for, else what is live in Production, else the newest version."""
    choice = asked.get("text", "")
    try:
        if choice:
            return Trial(prompt, choice, _version_of(prompt, choice), asked.get("model", ""), talk)
        choice = "production"
        return Trial(prompt, choice, _version_of(prompt, choice), asked.get("model", ""), talk)
    except (NotDeployed, VersionNotFound) as error:
        if asked.get("text"):
            return Trial(prompt, choice, None, asked.get("model", ""), talk, error.told)
    newest = resolve.version_of(prompt, "latest")
    return Trial(prompt, str(newest.number), newest, asked.get("model", ""), talk)


def _version_of(prompt: Prompt, choice: str) -> Version:
    """Return the version of a number, or that is live in an environment. Raises VersionNotFound, NotDeployed."""
    if choice.isdecimal():
        return resolve.version_of(prompt, choice)
    for pointer in getattr(prompt, "live", ()):
        if pointer.environment.name == choice:
            pointer.version.prompt = prompt
            return cast("Version", pointer.version)
    return resolve.live_version(prompt.team_id, prompt.name, choice).version


def turn_of(trial: Trial, form: SayForm) -> TurnInput:
    assert trial.prompt is not None
    return TurnInput(
        message=form.cleaned_data["message"],
        prompt=f"{trial.prompt.name}@{trial.choice}",
        variables=form.variables(trial.version),
        conversation_id=str(trial.talk.uid) if trial.talk else "",
        team_id=trial.prompt.team_id,
        purpose=Message.Purpose.TRY,
        metadata={"text": trial.choice, "model": trial.model},
        **chosen_model(trial.model),
    )


def last_answer(talk: Conversation) -> Message | None:
    """Return the last answer of a talk, with all that what was sent for it is put together from."""
    rows = Message.objects.answers().filter(conversation=talk).select_related("version__prompt", "conversation")
    found: Message | None = rows.order_by("-pk").first()
    return found


def own_text_for(trial: Trial) -> str:
    """Return the model that is asked first where the text that is tried has one of its own for it; empty for all others."""
    if trial.version is None or not trial.version.model_texts or trial.prompt is None:
        return ""
    named = chosen_model(trial.model)
    try:
        tiered = of_tier(trial.prompt.team_id, named.get("tier", ""))
    except Invalid:
        return ""
    model = named.get("model") or tiered or trial.version.model or settings.LLM_DEFAULT_MODEL
    return model if model in trial.version.model_texts else ""


def who_tries(request: HttpRequest) -> str:
    return f"user:{acting(request).user_id}"


def tries() -> Limit:
    """Return how often a person may try something: nobody else limits what they ask of models."""
    return Limit("tries", settings.RATE_LIMIT_TRIES_PER_HOUR, of="tries")


def address_of(page: str, trial: Trial) -> str:
    """Return a page's address with what is tried on it."""
    asked = {"prompt": trial.prompt.pk if trial.prompt and not trial.talk else "", "text": trial.choice}
    asked["model"] = trial.model
    query = urlencode({name: value for name, value in asked.items() if value})
    return f"{page}?{query}" if query else page
