"""Reads: what a caller may name as a model: prompts that are live, and the models of providers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from django.db.models import Q

from promptlab import llm
from promptlab.accounts.access import Principal
from promptlab.llm.routes import offered_models, switched_off
from prompts import resolve
from prompts.errors import NotDeployed, PromptNotFound, VersionNotFound
from prompts.models import Deployment, Version

PREFIX = "prompt:"
OURS = "promptlab"


@dataclass(frozen=True, slots=True)
class Offered:
    """Something to name as a model. `created` is a Unix time, 0 where nobody knows; `ends_on` is set for what is archived."""

    name: str
    owner: str
    created: int = 0
    ends_on: date | None = None


def offered(actor: Principal) -> list[Offered]:
    """Return the live prompts of the environments the actor may see, by name, then the models.

    Raises Forbidden for who may not ask a model.
    """
    return [*_live(actor), *_models(actor.team_for("chat.use"))]


def offered_as(actor: Principal, name: str) -> Offered | None:
    """Return what is offered under a name, `prompt:NAME[@SELECTOR]` or a model's; None when there is nothing.

    Without a selector the actor's default environment is meant. Raises Forbidden for who may not ask a model.
    """
    team_id = actor.team_for("chat.use")
    if not name.startswith(PREFIX):
        return next((one for one in _models(team_id) if one.name == name), None)
    prompt, selector = resolve.split_reference(name.removeprefix(PREFIX))
    try:
        version = _version(actor, team_id, prompt, selector)
    except (NotDeployed, PromptNotFound, VersionNotFound):
        return None
    return _of_version(name, version) if version else None


def _version(actor: Principal, team_id: int, prompt: str, selector: str) -> Version | None:
    """Return the version meant: pinned, or live in an environment the actor may see."""
    if resolve.is_version_selector(selector):
        return resolve.version_of(resolve.prompt_named(team_id, prompt), selector)
    environment = selector or actor.default_environment
    if actor.environments and environment not in actor.environments:
        return None
    return resolve.live_version(team_id, prompt, environment).version


def _live(actor: Principal) -> Iterator[Offered]:
    team_id = actor.team_for("chat.use")
    seen = Q(environment__name__in=actor.environments) if actor.environments else Q()
    live = Deployment.objects.live().filter(seen, prompt__team_id=team_id)
    rows = live.select_related("version__prompt", "environment").defer("version__text", "version__messages")
    for one in rows.order_by("prompt__name", "environment__position", "environment__name"):
        yield _of_version(f"{PREFIX}{one.version.prompt.name}@{one.environment.name}", one.version)


def _of_version(name: str, version: Version) -> Offered:
    archived = version.prompt.archived_at
    return Offered(name, OURS, int(version.created_at.timestamp()), archived.date() if archived else None)


def _models(team_id: int) -> list[Offered]:
    """Return the team's own models, then those of the settings that no row of the team speaks of."""
    own = [Offered(name, provider) for name, provider in offered_models(team_id)]
    hidden = {one.name for one in own} | switched_off(team_id)
    return [*own, *(Offered(name, llm.resolve(name).provider) for name in llm.model_names() if name not in hidden)]
