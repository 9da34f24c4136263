"""Makers: the shortest way to a believable row. They go through the services, as everybody does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from django.utils import timezone

from experiments.models import Experiment, Variant
from experiments.services import lifecycle
from experiments.services.lifecycle import NewVariant
from promptlab.accounts import services as accounts
from promptlab.accounts.access import SYSTEM, Role, Scope
from promptlab.accounts.models import ApiKey, Team, User
from promptlab.chat.models import Conversation, Message
from promptlab.hooks.models import Delivery
from promptlab.hooks.services import endpoints
from promptlab.llm.models import LanguageModel, Provider
from promptlab.llm.services import modelling, providing
from prompts.models import Environment, Prompt, Version
from prompts.services import authoring, deploying
from prompts.services.contents import content_of
from prompts.services.drafting import SETTINGS
from prompts.services.environments import named

_numbers = count(1)
ALL_SCOPES = tuple(Scope)


def make_team(name: str = "") -> Team:
    """Return a team."""
    return accounts.create_team(SYSTEM, name or f"Team {next(_numbers)}")


def make_user(username: str = "", team: Team | None = None, *roles: str, **fields: Any) -> User:
    """Return a person, with roles in a team."""
    user = User.objects.create_user(username or f"user{next(_numbers)}", password="secret", **fields)
    for role in roles:
        assert team is not None
        accounts.add_member(SYSTEM, team, user, role)
    return user


def make_admin(team: Team) -> User:
    """Return an administrator of the team."""
    return make_user("", team, Role.ADMINISTRATOR)


def make_key(team: Team, *scopes: str, calls_per_hour: int | None = 1_000_000, **fields: Any) -> tuple[ApiKey, str]:
    """Return a key and its secret; with all scopes when none are named."""
    return accounts.issue_key(
        SYSTEM,
        team,
        name=fields.pop("name", "tests"),
        scopes=scopes or ALL_SCOPES,
        calls_per_hour=calls_per_hour,
        **fields,
    )


def make_prompt(
    team: Team, text: str = "Hello {{name}}.", *, title: str = "", messages: Any = (), **fields: Any
) -> Prompt:
    """Return a prompt with version 1."""
    said = {name: fields.pop(name) for name in SETTINGS if name in fields}
    content = content_of(text="" if messages else text, messages=messages, **said)
    return authoring.create_prompt(
        SYSTEM, team.pk, title=title or f"Prompt {next(_numbers)}", content=content, **fields
    )


def make_version(prompt: Prompt, text: str = "", **fields: Any) -> Version:
    """Return the next version of a prompt."""
    said = {name: fields.pop(name) for name in SETTINGS if name in fields}
    content = content_of(text=text or f"Hello {{{{name}}}}, take {next(_numbers)}.", **said)
    version, _ = authoring.create_version(SYSTEM, prompt, content, **fields)
    return version


def newest(prompt: Prompt) -> Version:
    """Return the newest version of a prompt."""
    return Version.objects.select_related("prompt").filter(prompt=prompt).order_by("-number")[0]


def make_live(version: Version, environment: str = "production") -> Environment:
    """Put a version live and return where."""
    where = named(version.prompt.team_id, environment)
    deploying.deploy(SYSTEM, version, where, confirm=True)
    return Environment.objects.get(pk=where.pk)


def make_experiment(
    prompt: Prompt,
    *,
    environment: str = "production",
    weights: Sequence[int] = (5000, 5000),
    running: bool = False,
    **fields: Any,
) -> Experiment:
    """Return an experiment: version 1 (made live) is the control, the next versions are the variants."""
    versions = list(Version.objects.select_related("prompt").filter(prompt=prompt).order_by("number"))
    while len(versions) < len(weights):
        versions.append(make_version(prompt))
    where = make_live(versions[0], environment)
    variants = [
        NewVariant("control" if index == 0 else f"variant-{index}", versions[index], weight)
        for index, weight in enumerate(weights)
    ]
    title = fields.pop("title", f"Experiment {next(_numbers)}")
    experiment = lifecycle.create_experiment(SYSTEM, prompt, where, title=title, variants=variants, **fields)
    return lifecycle.start(SYSTEM, experiment) if running else experiment


def make_message(
    version: Version | None,
    environment: Environment | None = None,
    *,
    variant: Variant | None = None,
    unit_id: str = "",
    state: str = Message.State.COMPLETED,
    team: Team | None = None,
    **fields: Any,
) -> Message:
    """Return an answer as a finished turn leaves it."""
    prompt = version.prompt if version else None
    owner = prompt.team if prompt else team
    assert owner is not None
    conversation = Conversation.objects.create(team=owner, prompt=prompt, unit_id=unit_id)
    ended = state != Message.State.STREAMING
    now = timezone.now()
    defaults: dict[str, Any] = {
        "content": "An answer.",
        "version": version,
        "environment": environment,
        "unit_id": unit_id,
        "model": "echo",
        "provider": "echo",
        "ended_at": now if ended else None,
        "lease_until": None if ended else now + timedelta(seconds=30),
    }
    if state == Message.State.COMPLETED:
        defaults |= {
            "input_tokens": 10,
            "output_tokens": 5,
            "cost_usd": Decimal("0.001"),
            "latency_ms": 120,
            "first_token_ms": 40,
        }
    if variant is not None:
        defaults |= {
            "experiment": variant.experiment,
            "phase": variant.experiment.phase,
            "assigned_variant": variant,
            "served_variant": variant,
        }
    return Message.objects.create(
        conversation=conversation, role=Message.Role.ASSISTANT, state=state, **{**defaults, **fields}
    )


def make_delivery(team: Team) -> Delivery:
    """Return a delivery to a webhook of the team."""
    endpoint, _ = endpoints.create_endpoint(SYSTEM, team.pk, url="https://hooks.example.com/in")
    return endpoints.send_test(SYSTEM, endpoint)


def make_provider(team: Team, **fields: Any) -> Provider:
    """Return a provider: OpenAI with a key, unless told otherwise."""
    named = {"name": f"Provider {next(_numbers)}", "kind": "openai", "key": "sk-canary-0123456789-7f3a", **fields}
    if named["kind"] in ("server", "echo") or named.get("key_variable"):
        named.pop("key" if "key" not in fields else "", None)
    return providing.create_provider(SYSTEM, team.pk, named)  # type: ignore[arg-type]


def make_model(provider: Provider, name: str = "", **fields: Any) -> LanguageModel:
    """Return a model of a provider."""
    named: Any = {"name": name or f"model-{next(_numbers)}", **fields}
    return modelling.create_model(SYSTEM, provider, named)
