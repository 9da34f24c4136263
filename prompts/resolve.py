"""Reads: which version is meant, and which one is live."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import cast

from promptlab.accounts.access import Principal
from promptlab.lib.errors import Invalid
from prompts.errors import EnvironmentNotFound, NotDeployed, PromptNotFound, VersionNotFound
from prompts.models import Deployment, DeploymentEvent, Environment, Prompt, PromptAlias, Version
from prompts.querysets import VersionQuerySet

NUMBER = re.compile(r"v?(\d{1,9})\Z")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}\Z")


def revision_of(environment_id: int) -> int:
    """Return the environment's revision: one cheap query."""
    return Environment.objects.values_list("revision", flat=True).get(pk=environment_id)


def live_version(team_id: int, name: str, environment: str) -> Deployment:
    """Return the pointer with its version, prompt and environment, in one query; a former name costs a second one.

    Raises NotDeployed.
    """
    pointers = (
        Deployment.objects.live()
        .select_related("version__prompt", "environment")
        .filter(environment__team_id=team_id, environment__name=environment)
    )
    found = pointers.filter(prompt__team_id=team_id, prompt__name=name).first()
    if found is None:
        found = pointers.filter(prompt__in=once_called([team_id], name)).first()
    if found is None:
        raise NotDeployed(prompt=name[:100], environment=environment[:50])
    return cast(Deployment, found)


def live_versions(team_id: int, environment: str, names: Sequence[str]) -> list[Deployment]:
    """Return the pointers of these prompts as `live_version` does, in one query; former names and others are left out."""
    live = Deployment.objects.live().select_related("version__prompt", "environment")
    return list(
        live.filter(environment__team_id=team_id, environment__name=environment).filter(
            prompt__team_id=team_id, prompt__name__in=names
        )
    )


def live_at(prompt: Prompt, environment: Environment, moment: datetime) -> DeploymentEvent:
    """Return the move that was in force at `moment`. Raises NotDeployed when nothing was live then."""
    moves = DeploymentEvent.objects.filter(prompt=prompt, environment=environment, at__lte=moment)
    found = moves.with_names().order_by("-revision").first()
    if found is None or found.to_version is None:
        raise NotDeployed(prompt=prompt.name, environment=environment.name)
    return cast(DeploymentEvent, found)


def prompt_named(team_id: int, name: str) -> Prompt:
    """Return a prompt of the team by its short name, or one it had before. Raises PromptNotFound."""
    found = Prompt.objects.filter(team_id=team_id, name=name).first() or next(
        iter(Prompt.objects.filter(pk__in=once_called([team_id], name))), None
    )
    if found is None:
        raise PromptNotFound(name=name[:100])
    return found


def once_called(team_ids: Sequence[int], name: str) -> list[int]:
    """Return the ids of the teams' prompts that had this name before."""
    return list(PromptAlias.objects.filter(team_id__in=team_ids, name=name).values_list("prompt_id", flat=True)[:2])


def renamed_at(team_id: int, name: str) -> int | None:
    """Return since when a name is a former one, as a Unix time; None for a name that is not."""
    moment = PromptAlias.objects.filter(team_id=team_id, name=name).values_list("created_at", flat=True).first()
    return int(moment.timestamp()) if moment else None


def prompt_for(principal: Principal, name: str, team_id: int | None = None) -> Prompt:
    """Return the prompt of that name, or that had it, that the principal sees in its teams, or in one of them.

    Raises PromptNotFound, and Invalid when several have it.
    """
    team_ids = principal.teams_with("prompt.read", team_id)
    rows = Prompt.objects.visible_to(principal).filter(team_id__in=team_ids)
    found = list(rows.filter(name=name)[:2]) or list(rows.filter(pk__in=once_called(team_ids, name))[:2])
    if not found:
        raise PromptNotFound(name=name[:100])
    if len(found) > 1:
        raise Invalid.field(
            "team_id", f"Several of your teams have a prompt {name}. Say which team.", code="team_needed"
        )
    return cast(Prompt, found[0])


def environment_named(team_id: int, name: str) -> Environment:
    """Return an environment of the team. Raises EnvironmentNotFound naming the ones there are."""
    found = Environment.objects.filter(team_id=team_id, name=name).first()
    if found is None:
        known = Environment.objects.filter(team_id=team_id).values_list("name", flat=True)
        raise EnvironmentNotFound(environment=name[:50], known=", ".join(known) or "none yet")
    return found


def version_of(prompt: Prompt, selector: str) -> Version:
    """Return the version a selector means: `latest`, an integer, a version string, or `v3` for 3. Raises VersionNotFound.

    A bare integer is always a number; a name that somebody gave counts before the short form `v3`.
    """
    versions = Version.objects.select_related("prompt").filter(prompt=prompt)
    if selector == "latest":
        found = versions.newest_first().first()
    elif selector.isdecimal():
        found = _numbered(versions, selector) or _called(versions, selector)
    else:
        found = _called(versions, selector) or _numbered(versions, selector)
    if found is None:
        raise VersionNotFound(prompt=prompt.name, selector=selector[:100])
    return found


def version_called(prompt: Prompt, version_string: str) -> Version:
    """Return the version of that name; where nobody has it, what it means as a selector. Raises VersionNotFound."""
    versions = Version.objects.select_related("prompt").filter(prompt=prompt)
    return _called(versions, version_string) or version_of(prompt, version_string)


def _called(versions: VersionQuerySet, version_string: str) -> Version | None:
    return versions.filter(version_string=version_string).first() if version_string else None


def _numbered(versions: VersionQuerySet, selector: str) -> Version | None:
    number = NUMBER.match(selector)
    return versions.filter(number=int(number[1])).first() if number else None


def split_reference(reference: str) -> tuple[str, str]:
    """Split `NAME[@SELECTOR]` into name and selector ("" when absent)."""
    name, _, selector = reference.partition("@")
    return name, selector


def is_version_selector(selector: str) -> bool:
    """Tell whether a selector pins a version by number (`3`, `v3`, `v1.2.0`), rather than naming an environment."""
    return bool(re.match(r"v?\d", selector)) or selector == "latest"
