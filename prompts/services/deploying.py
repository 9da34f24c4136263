"""Moving the pointer: put a version live, go back, stop serving. Each move takes the environment's next revision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db import transaction
from django.utils.translation import gettext_noop

from promptlab.accounts.access import Principal, require, require_environment
from promptlab.audit.recorder import record
from promptlab.hooks.services.outbox import emit
from promptlab.lib.errors import Invalid, NotFound
from prompts import diff, snippets
from prompts.errors import (
    LiveAlready,
    NeverLive,
    NotDeployed,
    NothingToGoBackTo,
    PromptArchived,
    SnippetInUse,
    VariablesChanged,
)
from prompts.models import Deployment, DeploymentEvent, Environment, Prompt, Version
from prompts.services import policies, telling
from prompts.services.environments import lock, next_revision
from prompts.services.indexing import index

Kind = DeploymentEvent.Kind
EVENTS = {
    Kind.DEPLOY: "deployment.created",
    Kind.ROLLBACK: "deployment.rolled_back",
    Kind.UNDEPLOY: "deployment.created",
}
"""What webhooks hear of a move; of the end of serving as a deployment of no version."""


def deploy(
    actor: Principal,
    version: Version,
    environment: Environment,
    *,
    note: str = "",
    confirm: bool = False,
    break_glass: str = "",
    approved_for: Principal | None = None,
) -> tuple[DeploymentEvent, bool]:
    """Make `version` live in `environment`; return the move with True, or the last one with False if it was live already.

    Served everywhere within 1 s of commit; SDK callers see it when their own TTL ends. A `break_glass` reason passes
    what the environment asks for; `approved_for` is whose own approval may count, if not the actor's. What it includes
    has to be live there, and those that include it go on.
    Raises Forbidden, PromptArchived, VariablesChanged unless `confirm`, what `policies.check` raises, and what
    `snippets.resolve` raises.
    """
    require_move(version.prompt, environment, by=actor)
    with transaction.atomic():
        locked = lock(environment)
        require_active(version.prompt)
        pointer = _pointer(version.prompt, environment)
        if pointer and pointer.version_id == version.pk:
            return pointer.event, False
        live, allowed = pointer.version if pointer else None, approved_for or actor
        check_deploy(version, locked, live, by=allowed, confirm=confirm, break_glass=break_glass)
        event = _move(actor, version.prompt, environment, pointer, Kind.DEPLOY, to=version, note=note)
    return event, True


def promote(
    actor: Principal,
    prompt: Prompt,
    from_environment: Environment,
    to_environment: Environment,
    *,
    note: str = "",
    confirm: bool = False,
    break_glass: str = "",
) -> tuple[DeploymentEvent, bool]:
    """Make live in one environment what is live in another; as `deploy`. Raises NotDeployed when nothing is live there."""
    require_move(prompt, to_environment, by=actor)
    if from_environment.pk == to_environment.pk:
        raise Invalid.field("to_environment", gettext_noop("Choose another environment than the one it comes from."))
    pointer = _pointer(prompt, from_environment)
    if pointer is None or pointer.version is None:
        raise NotDeployed(prompt=prompt.name, environment=from_environment.name)
    version = Version.objects.select_related("prompt").get(pk=pointer.version_id)
    return deploy(actor, version, to_environment, note=note, confirm=confirm, break_glass=break_glass)


def rollback(
    actor: Principal,
    prompt: Prompt,
    environment: Environment,
    *,
    note: str = "",
    to: DeploymentEvent | int | None = None,
) -> DeploymentEvent:
    """Make live what was live before the current version; again, and it goes one step further back.

    `to` is an earlier move, or the number of a version that was live: it is restored in one step. Neither a missing
    review nor a freeze is in the way of going back.
    Raises NotDeployed when nothing ever was, NothingToGoBackTo at the first version, NeverLive, LiveAlready, and what
    `snippets.resolve` raises when the texts of today and of then cannot stand together.
    """
    require_move(prompt, environment, by=actor)
    with transaction.atomic():
        locked = lock(environment)
        pointer = _pointer(prompt, environment)
        if pointer is None:
            raise NotDeployed(prompt=prompt.name, environment=environment.name)
        earlier = _in_force(pointer.event).before if to is None else _earlier(pointer, to)
        if earlier is None or earlier.to_version is None:
            raise NothingToGoBackTo(prompt=prompt.title, environment=environment.name)
        changed_variables(earlier.to_version, locked, pointer.version)
        return _move(
            actor, prompt, environment, pointer, Kind.ROLLBACK, to=earlier.to_version, restores=earlier, note=note
        )


def undeploy(actor: Principal, prompt: Prompt, environment: Environment, *, note: str = "") -> DeploymentEvent:
    """Stop serving the prompt there: callers without a copy get an error. Raises NotDeployed, SnippetInUse."""
    require_move(prompt, environment, by=actor)
    with transaction.atomic():
        lock(environment)
        pointer = _pointer(prompt, environment)
        if pointer is None or pointer.version is None:
            raise NotDeployed(prompt=prompt.name, environment=environment.name)
        users = sorted(version.prompt.name for version in snippets.live_includers(prompt.pk, environment))
        if users:
            where = environment.name
            raise SnippetInUse(prompt=prompt.name, environment=where, users=", ".join(users), names=users)
        return _move(actor, prompt, environment, pointer, Kind.UNDEPLOY, to=None, note=note)


def previous_version(deployment: Deployment) -> Version | None:
    """Return the version a rollback would make live; None when there is none. For buttons that name it."""
    earlier = _in_force(deployment.event).before
    return earlier.to_version if earlier else None


def check_deploy(
    version: Version,
    environment: Environment,
    live: Version | None,
    *,
    by: Principal,
    confirm: bool = False,
    break_glass: str = "",
) -> None:
    """Raise what forbids putting `version` live now instead of `live`. The caller holds the environment's row."""
    policies.check(by, version, environment, break_glass=break_glass)
    refusal = refusal_of_variables(version, environment, live)
    if refusal is not None and not confirm:
        raise refusal


def refusal_of_variables(version: Version, environment: Environment, live: Version | None) -> VariablesChanged | None:
    """Return what is to be confirmed before `version` is served instead of `live`; None when callers meet the same.

    Raises what `changed_variables` raises.
    """
    changes = changed_variables(version, environment, live)
    return _variables_changed(changes, version.prompt.name) if changes else None


def require_move(prompt: Prompt, environment: Environment, *, by: Principal) -> None:
    """Raise unless `by` may move this prompt's pointer there. For a prompt, other teams' environments do not exist."""
    if prompt.team_id != environment.team_id:
        raise NotFound
    is_development = environment.name == "development"
    require(by, "prompt.deploy_development" if is_development else "prompt.deploy", environment.team_id)
    require_environment(by, environment.name)


def require_active(prompt: Prompt) -> None:
    """Raise PromptArchived for a prompt that was put away."""
    if not Prompt.objects.active().filter(pk=prompt.pk).exists():
        raise PromptArchived(prompt=prompt.title)


def _pointer(prompt: Prompt, environment: Environment) -> Deployment | None:
    return (
        Deployment.objects.select_related("version", "event__restores", "prompt", "environment")
        .filter(prompt=prompt, environment=environment)
        .first()
    )


def _in_force(event: DeploymentEvent) -> DeploymentEvent:
    """Return the move whose place in the history counts: of a rollback, the one it restored."""
    return event.restores or event


def _earlier(pointer: Deployment, to: DeploymentEvent | int) -> DeploymentEvent:
    """Return the move of this pointer that put `to` live, the latest one. Raises NeverLive, LiveAlready."""
    prompt, environment = pointer.prompt.title, pointer.environment.name
    past = DeploymentEvent.objects.filter(
        prompt=pointer.prompt, environment=pointer.environment, to_version__isnull=False
    )
    chosen = past.filter(pk=to.pk) if isinstance(to, DeploymentEvent) else past.filter(to_version__number=to)
    found = chosen.select_related("to_version", "restores__to_version").newest_first().first()
    if found is None or found.to_version is None:
        target = f"by move {to.pk}" if isinstance(to, DeploymentEvent) else f"v{to}"
        raise NeverLive(prompt=prompt, target=target, environment=environment)
    if found.to_version_id == pointer.version_id:
        raise LiveAlready(prompt=prompt, version=found.to_version.number, environment=environment)
    return _in_force(found)


def changed_variables(
    version: Version, environment: Environment, live: Version | None, users: Sequence[Version] | None = None
) -> dict[str, diff.VariableChange]:
    """Return, by name, the prompts whose callers meet other variables when `version` goes live instead of `live`.

    The prompt itself, and those live there that include it: `users`, if they are known already. Raises what
    `snippets.resolve` raises when any of them could not be put together any more.
    """
    if users is None:
        users = snippets.live_includers(version.prompt_id, environment)
    then = snippets.resolve_all([version, *users], environment, instead=[version])
    now = snippets.resolve_all([live or version, *users], environment, instead=[] if live else [version])
    changes = {
        new.version.prompt.name: diff.variables_of(old.content, new.content) for old, new in zip(now, then, strict=True)
    }
    return {name: change for name, change in changes.items() if change}


def _variables_changed(changes: Mapping[str, diff.VariableChange], own: str) -> VariablesChanged:
    """Return the refusal; for the prompts that include this one it says which."""
    told = [str(change) if name == own else f"in {name} {change}" for name, change in changes.items()]
    added, removed = (
        tuple(sorted({variable for change in changes.values() for variable in getattr(change, side)}))
        for side in ("added", "removed")
    )
    names = sorted(changes.keys() - {own})
    return VariablesChanged(changes="; ".join(told), added=added, removed=removed, prompts=names)


def _move(
    actor: Principal,
    prompt: Prompt,
    environment: Environment,
    pointer: Deployment | None,
    kind: Kind,
    *,
    to: Version | None,
    note: str,
    restores: DeploymentEvent | None = None,
) -> DeploymentEvent:
    """Write the move, point to it, record it. The environment's row is locked by the caller."""
    was = pointer.version if pointer else None
    event: DeploymentEvent = DeploymentEvent.objects.create(
        prompt=prompt,
        environment=environment,
        kind=kind,
        from_version=was,
        to_version=to,
        before=_in_force(pointer.event) if pointer else None,
        restores=restores,
        revision=next_revision(environment),
        note=note,
        actor_id=actor.user_id,
        actor_label=actor.label,
    )
    Deployment.objects.update_or_create(
        prompt=prompt, environment=environment, defaults={"version": to, "event": event}
    )
    index(prompt.pk)
    before = {"version": was.number if was else None}
    after = {"version": to.number if to else None, "environment": environment.name, "revision": event.revision}
    record(actor, f"deployment.{kind.value}", prompt, team_id=prompt.team_id, before=before, after=after, note=note)
    told = {"prompt": prompt.name, "kind": kind.value, **after, "previous_version": before["version"]}
    told = {**told, "actor": actor.label}
    emit(prompt.team_id, EVENTS[kind], told, about=f"prompts/{prompt.name}", is_private=prompt.is_private)
    telling.of_move(actor, event)
    return event
