"""What pages about prompts show of rows: finished values, so that templates neither query nor decide."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import badge
from prompts import diff
from prompts.models import Deployment, DeploymentEvent, Environment, Prompt, Version
from prompts.search import Match
from prompts.services import deploying
from prompts.services.environments import ensure_defaults

KIND_OF = {"production": "ok", "staging": "info"}
KIND_OF_STATE = {"in_review": "info", "approved": "ok", "changes_requested": "warn"}
TECHNICAL = {
    "syntax": _("Syntax"),
    "stop": _("Stop at"),
    "tools": _("Tools"),
    "output_schema": _("Shape of the answer"),
}
DEVELOPMENT = "development"
PRODUCTION = "production"


def deploy_capability(environment: Environment) -> str:
    """Return what it takes to move what is live there."""
    return "prompt.deploy_development" if environment.name == DEVELOPMENT else "prompt.deploy"


def kind_of(environment: Environment) -> str:
    """Return the ground of an environment's badges."""
    return KIND_OF.get(environment.name, "neutral")


def live_badge(environment: Environment, version: Version | None) -> SafeString:
    """Return `Production v3` on the ground of its environment."""
    assert version is not None
    return badge(f"{environment} v{version.number}", kind_of(environment))


def live_badges(pointers: list[Deployment]) -> SafeString | str:
    """Return one badge per environment in which something is live."""
    if not pointers:
        return gettext("Nowhere yet")
    return format_html_join(" ", "{}", ((live_badge(one.environment, one.version),) for one in pointers))


def version_label(version: Version) -> str:
    """Return `v3`, with its own name behind it if it has one."""
    return f"v{version.number} ({version.version_string})" if version.version_string else f"v{version.number}"


def page_of(name: str, *args: object) -> str:
    """Return the address of a page about prompts."""
    return reverse(f"admin:prompts_{name}", args=args)


def crumbs(prompt: Prompt) -> list[dict[str, Any]]:
    """Return the way back from a page about one prompt."""
    return [
        {"label": _("Prompts"), "url": page_of("prompt_changelist")},
        {"label": prompt.title, "url": page_of("prompt_change", prompt.pk)},
    ]


def with_count(label: Any, count: int) -> Any:
    """Return a label with how many there are behind it, if there are any."""
    return f"{label} ({count})" if count else label


@dataclass(frozen=True, slots=True)
class Place:
    """One environment of a prompt's page: what is live there, and what the person may do about it."""

    environment: Environment
    live: Version | None
    event: DeploymentEvent | None
    back_to: Version | None
    may_move: bool
    deploy_url: str
    back_url: str
    stop_url: str
    version_url: str
    promote: tuple[tuple[Any, str], ...]
    """(label, address) of each later environment that could have the same."""

    @property
    def kind(self) -> str:
        return kind_of(self.environment)


def places_of(actor: Principal, prompt: Prompt) -> list[Place]:
    """Return every environment of the prompt's team with what is live there: two queries."""
    pointers = Deployment.objects.filter(prompt=prompt).select_related(
        "version", "event__before__to_version", "event__restores__before__to_version"
    )
    by_environment = {pointer.environment_id: pointer for pointer in pointers}
    environments = ensure_defaults(prompt.team_id)
    return [_place(actor, prompt, environment, by_environment, environments) for environment in environments]


def _place(
    actor: Principal,
    prompt: Prompt,
    environment: Environment,
    pointers: dict[int, Deployment],
    environments: list[Environment],
) -> Place:
    pointer = pointers.get(environment.pk)
    live = pointer.version if pointer else None
    where = (prompt.pk, environment.name)
    return Place(
        environment=environment,
        live=live,
        event=pointer.event if pointer else None,
        back_to=deploying.previous_version(pointer) if pointer else None,
        may_move=actor.may(deploy_capability(environment), environment.team_id),
        deploy_url=page_of("prompt_deploy", *where),
        back_url=page_of("prompt_rollback", *where),
        stop_url=page_of("prompt_undeploy", *where),
        version_url=page_of("version_change", live.pk) if live else "",
        promote=tuple(_promotions(actor, prompt, environment, live, pointers, environments)) if live else (),
    )


def _promotions(
    actor: Principal,
    prompt: Prompt,
    environment: Environment,
    live: Version,
    pointers: dict[int, Deployment],
    environments: list[Environment],
) -> Iterator[tuple[Any, str]]:
    """Yield the later environments that have something else, and that the person may move."""
    for other in environments[environments.index(environment) + 1 :]:
        there = pointers.get(other.pk)
        has_it = there is not None and there.version_id == live.pk
        if not has_it and actor.may(deploy_capability(other), other.team_id):
            label = _("The same in %(environment)s…") % {"environment": other}
            yield label, page_of("prompt_promote", prompt.pk, environment.name, other.name)


MOVES: dict[str, Any] = {
    "deploy": _("%(who)s put %(prompt)s v%(version)s live in %(environment)s"),
    "rollback": _("%(who)s went back to %(prompt)s v%(version)s in %(environment)s"),
    "undeploy": _("%(who)s stopped serving %(prompt)s in %(environment)s"),
}


def move_sentence(event: DeploymentEvent) -> str:
    """Return who moved what where, as one sentence."""
    return str(MOVES[event.kind]) % {
        "who": event.actor_label,
        "prompt": event.prompt.title,
        "version": event.to_version.number if event.to_version else "",
        "environment": event.environment,
    }


def move_row(event: DeploymentEvent, places: list[Place]) -> dict[str, Any]:
    """Return one move with its sentence, its page, and the way back to it for those who may go there."""
    place = next((one for one in places if one.environment.pk == event.environment_id), None)
    is_live_now = place is not None and place.live is not None and place.live.pk == event.to_version_id
    may_return = place is not None and place.may_move and event.to_version is not None and not is_live_now
    return {
        "event": event,
        "sentence": move_sentence(event),
        "url": page_of("deploymentevent_change", event.pk),
        "return_url": page_of("prompt_return", event.prompt_id, event.pk) if may_return else "",
        "is_live_now": is_live_now,
    }


def difference(old: Version, new: Version) -> dict[str, Any]:
    """Return the context of a comparison: the lines, their heads, and what changed about blanks and settings."""
    return {
        "diff": diff.lines(diff.readable(old), diff.readable(new)),
        "old_label": version_label(old),
        "new_label": version_label(new),
        "variable_notes": variable_notes(old, new),
        "setting_changes": setting_changes(old, new),
        "model_text_changes": list(diff.model_texts(old, new).items()),
        "is_same_text": diff.readable(old) == diff.readable(new),
    }


def variable_notes(old: Version, new: Version) -> list[str]:
    """Return sentences about blanks that come or go, for amber boxes."""
    change = diff.variables(old, new)
    notes = []
    if change.added:
        names = ", ".join(f"{{{{{name}}}}}" for name in change.added)
        notes.append(gettext("New blanks: %(names)s. Apps have to send them first.") % {"names": names})
    if change.removed:
        names = ", ".join(f"{{{{{name}}}}}" for name in change.removed)
        notes.append(gettext("Blanks that are gone: %(names)s. Apps send them in vain.") % {"names": names})
    return notes


def setting_changes(old: Version, new: Version) -> list[tuple[Any, Any, Any]]:
    """Return (setting, before, after) of the settings that differ."""
    names = dict.fromkeys([*old.parameters, *new.parameters])
    rows: list[tuple[Any, Any, Any]] = [(_("Model"), old.model or _("The default"), new.model or _("The default"))]
    rows += [(name, old.parameters.get(name, "–"), new.parameters.get(name, "–")) for name in names]
    changes = diff.settings(old, new)
    rows += [
        (label, _written(changes[name].old), _written(changes[name].new))
        for name, label in TECHNICAL.items()
        if name in changes
    ]
    return [row for row in rows if row[1] != row[2]]


def _written(value: Any) -> str:
    """Return a setting as people read it; a dash for none."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def found_at(match: Match) -> SafeString:
    """Return where words of a search stand: the field, and its text with the words marked."""
    names = {
        "title": _("Title"),
        "name": _("Short name"),
        "description": _("What it is for"),
        "newest": _("Text of v%(version)s"),
        "live": _("Live text of v%(version)s"),
    }
    text = format_html_join(
        "", "{}", ((format_html("<mark>{}</mark>", piece) if is_hit else piece,) for piece, is_hit in match.pieces)
    )
    return format_html("<li>{}: {}</li>", names[match.field] % {"version": match.version}, text)
