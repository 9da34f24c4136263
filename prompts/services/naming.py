"""Short names: changed freely until an application can know them, and by alias from then on."""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet

from promptlab.accounts.access import Principal, require
from promptlab.accounts.models import Team
from promptlab.audit.recorder import record
from promptlab.lib.errors import Invalid
from promptlab.lib.slugs import free_slug
from prompts.errors import NameTaken, PromptArchived
from prompts.models import Deployment, DeploymentEvent, Environment, Prompt, PromptAlias, SnippetUse
from prompts.resolve import NAME
from prompts.services.environments import lock, next_revision
from prompts.services.indexing import index


def rename_prompt(actor: Principal, prompt: Prompt, name: str) -> Prompt:
    """Give a prompt another short name. Once it was live anywhere or another text includes it, the old one stays an alias.

    A prompt can take back a name it had. The same name again changes nothing.
    Where it is live this takes a revision, for what is served changes: its name.
    Raises NameTaken for a name that a prompt of the team has or had, Invalid, PromptArchived.
    """
    require(actor, "prompt.write", prompt.team_id)
    with transaction.atomic():
        # The environments before the prompt, as when something is put live: two who wait for each other wait for ever.
        for environment in Environment.objects.filter(pk__in=_served_in(prompt)).order_by("pk"):
            lock(environment)
        # Names are made one after the other.
        Team.objects.select_for_update(no_key=True).get(pk=prompt.team_id)
        locked: Prompt = Prompt.objects.select_for_update(no_key=True).get(pk=prompt.pk)
        if locked.archived_at is not None:
            raise PromptArchived(prompt=locked.title)
        if locked.name != name:
            _rename(actor, locked, name)
    return locked


def _rename(actor: Principal, prompt: Prompt, name: str) -> None:
    team_id, before = prompt.team_id, prompt.name
    PromptAlias.objects.filter(team_id=team_id, name=name, prompt=prompt).delete()
    checked_name(team_id, name)
    if Prompt.objects.filter(team_id=team_id, name=name).exists():
        raise NameTaken(name=name)
    is_known = _is_known(prompt)
    if is_known:
        PromptAlias.objects.create(team_id=team_id, name=before, prompt=prompt)
    prompt.name = name
    prompt.row_version += 1
    prompt.save(update_fields=["name", "row_version", "updated_at"])
    index(prompt.pk)
    for environment in Environment.objects.filter(pk__in=_served_in(prompt)):
        next_revision(environment)
    after = {"name": name, "alias": before if is_known else ""}
    record(actor, "prompt.renamed", prompt, team_id=team_id, before={"name": before}, after=after)


def _is_known(prompt: Prompt) -> bool:
    """Tell whether somebody may ask for the prompt by its name: an application, or a text that includes it."""
    was_live = DeploymentEvent.objects.filter(prompt=prompt).exists()
    return was_live or SnippetUse.objects.filter(snippet=prompt).exists()


def _served_in(prompt: Prompt) -> QuerySet[Deployment, int]:
    """Return the ids of the environments where the prompt is live."""
    return Deployment.objects.live().filter(prompt=prompt).values_list("environment_id", flat=True)


def checked_name(team_id: int, name: str) -> str:
    """Return a short name that can be asked for and that no prompt of the team had before. Raises Invalid, NameTaken."""
    if not NAME.match(name) or name.isdigit():
        raise Invalid.field(
            "name", "A short name has letters, digits, dots, dashes and underscores, and is not a number alone."
        )
    if PromptAlias.objects.filter(team_id=team_id, name=name).exists():
        raise NameTaken(name=name)
    return name


def free_name(team_id: int, title: str) -> str:
    """Return a short name made of the title that nobody has."""

    def taken(stem: str) -> list[str]:
        like = {"team_id": team_id, "name__startswith": stem}
        return [
            *Prompt.objects.filter(**like).values_list("name", flat=True),
            *PromptAlias.objects.filter(**like).values_list("name", flat=True),
        ]

    return free_slug(title, "prompt", taken, longest=200)
