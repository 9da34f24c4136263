"""Many live prompts at once, written as rows: through the services a hundred thousand of them take hours.

Run inside PromptLab: `manage.py shell -c "import catalogue; catalogue.fill(1000)"` with bench/ on the path.
"""

from __future__ import annotations

from servers import TEXT

from promptlab.accounts.models import Team
from prompts.models import Deployment, DeploymentEvent, Environment, Prompt, Standing, Version
from prompts.services.contents import content_of
from prompts.services.environments import named

BATCH = 1000


def fill(size: int) -> None:
    """Let `bench-0` to `bench-{size - 1}` be live in production, in the one team there is."""
    team = Team.objects.get()
    where = named(team.pk, "production")
    have = Prompt.objects.filter(team=team, name__startswith="bench-").count()
    for start in range(have, size, BATCH):
        _batch(team, where, range(start, min(start + BATCH, size)))


def _batch(team: Team, where: Environment, numbers: range) -> None:
    content = content_of(text=TEXT)
    prompts = Prompt.objects.bulk_create(Prompt(team=team, name=f"bench-{n}", title=f"Bench {n}") for n in numbers)
    Standing.objects.bulk_create(Standing(prompt=prompt) for prompt in prompts)
    versions = Version.objects.bulk_create(
        Version(prompt=prompt, number=1, text=TEXT, variables=dict(content.variables), checksum=content.checksum())
        for prompt in prompts
    )
    revision = Environment.objects.get(pk=where.pk).revision
    events = DeploymentEvent.objects.bulk_create(
        DeploymentEvent(
            prompt=version.prompt, environment=where, kind="deploy", to_version=version,
            revision=revision + number, actor_label="bench",
        )
        for number, version in enumerate(versions, 1)
    )  # fmt: skip
    Deployment.objects.bulk_create(
        Deployment(prompt=event.prompt, environment=where, version=event.to_version, event=event) for event in events
    )
    Environment.objects.filter(pk=where.pk).update(revision=revision + len(events))
