"""What the goals of suggestions ask for: prompts of the team, in a collection of their own, reviewed and put live as all are.

What counts is what is live in Production. Where nothing is, the text that we ship counts, which is each prompt's version 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction

from promptlab.accounts.access import Principal, require
from promptlab.accounts.models import Team
from prompts import rendering, resolve, snippets
from prompts.errors import GoalNotReady, NotDeployed, UnknownGoal
from prompts.meta_prompts import COLLECTION, GOALS, Goal
from prompts.models import Collection, Prompt, Version
from prompts.services import authoring, collecting
from prompts.services.contents import content_of

WHERE: Final = "production"
RESTORED: Final = "Back to the shipped text"


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a goal asks for, filled in. `version` is the one that says so; None for the shipped text."""

    text: str
    version: Version | None = None


def goal_of(key: str) -> Goal:
    """Return a goal. Raises UnknownGoal."""
    if key not in GOALS:
        raise UnknownGoal(goal=key[:40], known=", ".join(GOALS))
    return GOALS[key]


@dataclass(frozen=True, slots=True)
class Known:
    """A goal as it stands in a team: the text that counts, and which live version says so; None for the shipped one."""

    key: str
    title: Any
    asks: str
    prompt: str
    text: str
    live_version: int | None


def goals_of(team_id: int) -> list[Known]:
    """Return all goals with what is asked of models for each, as it is written: one query."""
    names = [goal.name for goal in GOALS.values()]
    live = {one.version.prompt.name: one.version for one in resolve.live_versions(team_id, WHERE, names) if one.version}
    found = [(goal, live.get(goal.name)) for goal in GOALS.values()]
    return [
        Known(goal.key, goal.title, goal.asks, goal.name, one.text if one else goal.text, one.number if one else None)
        for goal, one in found
    ]


def prompts_of(team_id: int) -> dict[str, int]:
    """Return the ids of the goals' prompts by name, as far as they were made."""
    names = [goal.name for goal in GOALS.values()]
    return dict(Prompt.objects.filter(team_id=team_id, name__in=names).values_list("name", "pk"))


def instruction_of(team_id: int, goal: Goal, said: Mapping[str, str]) -> Instruction:
    """Return what a goal asks for in a team, with what a person said filled in. Raises GoalNotReady."""
    try:
        pointer = resolve.live_version(team_id, goal.name, WHERE)
    except NotDeployed:
        return Instruction(str(rendering.render(content_of(text=goal.text), said)))
    version = pointer.version
    assert version is not None
    content = snippets.resolve(version, pointer.environment).content
    asked = set(rendering.blanks_of(content))
    if content.type != Prompt.Type.TEXT or asked - set(said):
        allowed = f"{{{{{goal.asks}}}}}" if goal.asks else "none"
        raise GoalNotReady(prompt=goal.name, allowed=allowed)
    return Instruction(str(rendering.render(content, {name: said[name] for name in asked})), version)


def bring_goals(actor: Principal, team_id: int) -> Collection:
    """Make prompts of the goals that the team has none of, and return the collection they are in. Again changes nothing."""
    require(actor, "prompt.write", team_id)
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(pk=team_id)
        names = [goal.name for goal in GOALS.values()]
        known = {one.name: one for one in Prompt.objects.filter(team_id=team_id, name__in=names)}
        absent = [goal for goal in GOALS.values() if goal.name not in known and not _is_former(team_id, goal.name)]
        collection = _collection(actor, team_id, list(known.values()))
        for goal in absent:
            authoring.create_prompt(
                actor,
                team_id,
                title=f"{COLLECTION}: {goal.key}",
                name=goal.name,
                content=content_of(text=goal.text),
                description="What is asked of a model that suggests a better text.",
                collection=collection,
            )
    return collection


def restore_goal(actor: Principal, team_id: int, key: str) -> tuple[Version, bool]:
    """Save the text that we ship as the newest version of a goal's prompt; False when it is that already.

    What is live does not change by it: it is put live as every version. Raises UnknownGoal, PromptArchived.
    """
    require(actor, "prompt.write", team_id)
    goal = goal_of(key)
    bring_goals(actor, team_id)
    prompt = resolve.prompt_named(team_id, goal.name)
    return authoring.create_version(actor, prompt, content_of(text=goal.text), message=RESTORED)


def _is_former(team_id: int, name: str) -> bool:
    return bool(resolve.once_called([team_id], name))


def _collection(actor: Principal, team_id: int, known: list[Prompt]) -> Collection:
    """Return the collection that the goals are in, made if there is none."""
    pk = next((one.collection_id for one in known if one.collection_id), None)
    rows = Collection.objects.filter(team_id=team_id, archived_at=None)
    found: Collection | None = (rows.filter(pk=pk) if pk else rows.filter(name=COLLECTION, owner=None)).first()
    if found is not None:
        return found
    place = collecting.Place(has_owner=True, visibility=Collection.Visibility.TEAM)
    told = "What is asked of models that suggest better texts."
    return collecting.create_collection(actor, team_id, name=COLLECTION, description=told, place=place)
