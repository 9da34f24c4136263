"""Texts that include each other, in the fewest words."""

from __future__ import annotations

from dataclasses import dataclass, field

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from prompts.models import DeploymentEvent, Environment, Prompt, Version
from prompts.services import authoring, deploying
from prompts.services.contents import content_of
from prompts.services.environments import named
from tests.support.make import make_prompt, newest


@dataclass
class Shelf:
    """Prompts of a team by name, and an environment to put them live in."""

    team: Team
    where: str = "production"
    prompts: dict[str, Prompt] = field(default_factory=dict)

    def put(self, name: str, text: str, *, live: bool = False, **told: object) -> Version:
        """Save a text under a name, as a new prompt or as its next version; `live`: and put it live."""
        if name not in self.prompts:
            self.prompts[name] = make_prompt(self.team, text, name=name, title=name.capitalize(), **told)
            version = newest(self.prompts[name])
        else:
            content = content_of(text=text, **told)  # type: ignore[arg-type]
            version, _ = authoring.create_version(SYSTEM, self.prompts[name], content)
        if live:
            self.live(version)
        return version

    def live(self, version: Version, *, confirm: bool = True) -> DeploymentEvent:
        """Put a version live."""
        return deploying.deploy(SYSTEM, version, self.environment, confirm=confirm)[0]

    def undeploy(self, name: str) -> DeploymentEvent:
        return deploying.undeploy(SYSTEM, self.prompts[name], self.environment)

    @property
    def environment(self) -> Environment:
        """The environment as it is now, revision and all."""
        return named(self.team.pk, self.where)
