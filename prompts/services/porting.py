"""Prompts out into files and in again. An import is whole or nothing, keeps the numbers of this house, and moves no pointer."""

from __future__ import annotations

from collections.abc import Collection as Names
from dataclasses import replace

from django.db import transaction

from promptlab.accounts.access import Principal, require
from promptlab.accounts.models import Team
from promptlab.audit.recorder import record
from prompts.errors import ImportRefused
from prompts.models import Collection, Prompt, Version
from prompts.porting.bundle import Bundle
from prompts.services import authoring, including
from prompts.services.authoring import PromptChanges
from prompts.services.exporting import Which, export_prompts
from prompts.services.import_plans import NewVersion, Plan, PlanItem, plan_import
from prompts.services.taking_back import Done, note_import, settings_before

__all__ = ["Plan", "PlanItem", "Which", "export_prompts", "plan_import", "run_import", "shown_all"]


def run_import(actor: Principal, bundle: Bundle, team_id: int, *, take: Names[str] | None = None) -> Plan:
    """Import a bundle, or of it the prompts in `take`, and return what was done. All of it, or an error and nothing.

    No pointer moves. Content that a prompt has already makes no version. Raises ImportRefused with every problem.
    """
    require(actor, "prompt.write", team_id)
    if take is not None:
        bundle = Bundle(tuple(one for one in bundle.prompts if one.name in take), bundle.notices)
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(pk=team_id)
        names = [one.name for one in bundle.prompts]
        # By id, as everybody who locks several: two imports wait for each other instead of standing still.
        list(Prompt.objects.select_for_update(no_key=True).filter(team_id=team_id, name__in=names).order_by("pk"))
        plan = plan_import(actor, bundle, team_id)
        if plan.problems:
            shown = plan.problems[0].detail
            raise ImportRefused(shown_all(shown, len(plan.problems)), problems=plan.problems)
        written: list[Version] = []
        done: list[Done] = []
        for item in plan.items:
            if item.outcome == "same":
                continue
            newest, before = item.prompt.newest_id if item.prompt else None, settings_before(item)
            prompt, versions = _carry_out(actor, item, team_id)
            written += versions
            done.append(Done(prompt, newest, before))
        # Only now is everything there that is included.
        for version in written:
            including.note_uses(version)
        return replace(plan, import_id=note_import(done, team_id, by=actor).pk if done else None)


def shown_all(first: str, count: int) -> str:
    """Return the sentence for a number of problems."""
    more = f" And {count - 1} more." if count > 1 else ""
    return f"Nothing was imported. {first}{more}"


def _carry_out(actor: Principal, item: PlanItem, team_id: int) -> tuple[Prompt, list[Version]]:
    """Do what the plan says of one prompt; its numbers are the ones the plan names, since the rows are locked."""
    rest = list(item.versions)
    prompt = item.prompt
    written: list[Version] = []
    if prompt is None:
        prompt = _made(actor, item, team_id, rest.pop(0))
        assert prompt.newest is not None
        written.append(prompt.newest)
    elif item.settings:
        has_collection = "collection" in item.settings
        changes = PromptChanges(**item.settings, has_collection=has_collection)
        prompt, _ = authoring.update_prompt(actor, prompt, changes)
    for version in rest:
        names = {"version_string": version.version_string, "message": version.message}
        saved, is_new = authoring.create_version(actor, prompt, version.content, with_others=True, **names)
        written += [saved] if is_new else []
    after = {"versions": [version.number for version in item.versions], "settings": sorted(item.settings)}
    record(actor, "prompt.imported", prompt, team_id=team_id, after=after)
    return prompt, written


def _made(actor: Principal, item: PlanItem, team_id: int, first: NewVersion) -> Prompt:
    one = item.source
    assert one is not None, "a plan keeps what it was made of"
    collection = None
    if one.collection:
        same = Collection.objects.filter(team_id=team_id, name=one.collection, archived_at=None)
        collection = same.order_by("pk").first()
    return authoring.create_prompt(
        actor,
        team_id,
        title=(one.title or "").strip() or one.name[:200],
        content=first.content,
        name=one.name,
        description=one.description or "",
        collection=collection,
        tags=one.tags or (),
        metadata=one.metadata,
        model_type=one.model_type or "",
        version_string=first.version_string,
        message=first.message,
        with_others=True,
    )
