"""Who is acting and what they may do. Services begin with `require`; doors fetch through `visible_to(principal)`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from promptlab.accounts.errors import UnknownScope
from promptlab.lib.errors import Forbidden, NotFound


class Role(StrEnum):
    """What a person does in a team; a person may hold several."""

    VIEWER = "viewer"
    WRITER = "writer"
    REVIEWER = "reviewer"
    PUBLISHER = "publisher"
    ADMINISTRATOR = "administrator"


class Scope(StrEnum):
    """What a key may be used for."""

    READ = "read"
    WRITE = "write"
    DEPLOY = "deploy"
    CHAT = "chat"
    FEEDBACK = "feedback"
    ADMIN = "admin"


VIEW = frozenset({"prompt.read", "experiment.read", "feedback.read", "chat.read", "chat.use"})
WRITE = VIEW | {"prompt.write", "prompt.deploy_development", "experiment.write", "chat.write"}
PUBLISH = frozenset({"prompt.deploy", "prompt.deploy_development", "experiment.run"})
ADMINISTER = frozenset(
    {"team.admin", "key.admin", "audit.read", "webhook.admin", "provider.admin", "prompt.break_glass"}
)
COMMENT = frozenset({"prompt.comment"})

OF_ROLE: Mapping[str, frozenset[str]] = {
    Role.VIEWER: VIEW,
    Role.WRITER: WRITE | COMMENT | {"audit.read"},
    Role.REVIEWER: VIEW | COMMENT | {"prompt.review"},
    Role.PUBLISHER: VIEW | PUBLISH | COMMENT | {"audit.read"},
    Role.ADMINISTRATOR: WRITE | PUBLISH | ADMINISTER | COMMENT | {"prompt.review", "feedback.write"},
}
OF_SCOPE: Mapping[str, frozenset[str]] = {
    Scope.READ: frozenset({"prompt.read", "experiment.read", "feedback.read", "chat.read"}),
    Scope.WRITE: COMMENT | {"prompt.read", "prompt.write", "experiment.read", "experiment.write"},
    Scope.DEPLOY: PUBLISH | {"prompt.read", "experiment.read"},
    Scope.CHAT: frozenset({"chat.use", "chat.write"}),
    Scope.FEEDBACK: frozenset({"feedback.write"}),
    Scope.ADMIN: WRITE | PUBLISH | ADMINISTER | COMMENT | {"feedback.write"},
}


@dataclass(frozen=True, slots=True)
class Principal:
    """A person, a key or the system, acting. `grants` maps team ids to capabilities.

    `environments` limits a key to some environments (empty: all); `default_environment` answers when none is named.
    """

    kind: str
    id: int | None
    label: str
    grants: Mapping[int, frozenset[str]] = field(default_factory=dict)
    environments: frozenset[str] = frozenset()
    default_environment: str = "production"
    calls_per_hour: int | None = None

    @property
    def is_system(self) -> bool:
        return self.kind == "system"

    @property
    def user_id(self) -> int | None:
        """The person's id; None for keys and the system."""
        return self.id if self.kind == "user" else None

    def may(self, capability: str, team_id: int) -> bool:
        """Tell whether `capability` is granted in the team."""
        return self.is_system or capability in self.grants.get(team_id, frozenset())

    def may_anywhere(self, capability: str) -> bool:
        """Tell whether `capability` is granted in any team."""
        return self.is_system or any(capability in granted for granted in self.grants.values())

    def teams_with(self, capability: str, only: int | None = None) -> list[int]:
        """Return the ids of the teams in which `capability` is granted; of team `only` at most, if one is named."""
        return [
            team_id for team_id, granted in self.grants.items() if capability in granted and only in (None, team_id)
        ]

    def team_for(self, capability: str, team_id: int | None = None) -> int:
        """Return the team to act in: the one asked for, or the only one there is.

        Raises NotFound for a team out of sight, Forbidden when the capability is missing, or when several teams fit.
        """
        if team_id is not None:
            require(self, capability, team_id)
            return team_id
        teams = self.teams_with(capability)
        if not teams:
            raise Forbidden(_missing(self, capability), needs=capability)
        if len(teams) > 1:
            raise Forbidden("You are in several teams. Say which one with `team_id`.", code="team_needed")
        return teams[0]


SYSTEM = Principal(kind="system", id=None, label="PromptLab")


def _missing(actor: Principal, capability: str) -> str:
    if actor.kind == "key":
        scopes = [scope for scope, granted in OF_SCOPE.items() if capability in granted and scope != Scope.ADMIN]
        return f"This key may not do this. It needs the scope {' or '.join(scopes) or Scope.ADMIN}."
    roles = [role for role, granted in OF_ROLE.items() if capability in granted]
    return f"Your roles do not allow this. It takes the role {' or '.join(roles)}. Ask an administrator of your team."


def require(actor: Principal, capability: str, team_id: int) -> None:
    """Raise unless `actor` holds `capability` in the team: NotFound for a stranger, Forbidden for a member."""
    if actor.may(capability, team_id):
        return
    if team_id not in actor.grants:
        raise NotFound
    raise Forbidden(_missing(actor, capability), needs=capability)


def require_environment(actor: Principal, environment: str) -> None:
    """Raise Forbidden when a key is limited to other environments."""
    if actor.environments and environment not in actor.environments:
        allowed = ", ".join(sorted(actor.environments))
        raise Forbidden(f"This key is limited to {allowed}.", code="environment_not_allowed", environment=environment)


def check_scopes(scopes: Iterable[str]) -> list[str]:
    """Return the scopes in the house's order, without repeats. Raises UnknownScope."""
    wanted = set(scopes)
    known = [scope.value for scope in Scope]
    for scope in wanted - set(known):
        raise UnknownScope(scope=scope, known=", ".join(known))
    return [scope for scope in known if scope in wanted]
