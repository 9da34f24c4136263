"""The demo's team and people."""

from __future__ import annotations

from dataclasses import dataclass

from promptlab.accounts import services
from promptlab.accounts.access import OF_SCOPE, SYSTEM, Principal, Role, Scope
from promptlab.accounts.auth import principal_of_user
from promptlab.accounts.models import Team, User
from prompts.services.environments import ensure_defaults

TEAM = "Demo"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to sign in as."""

    username: str
    first_name: str
    last_name: str
    role: Role


PEOPLE = (
    Person("ana", "Ana", "Torres", Role.WRITER),
    Person("ben", "Ben", "Okafor", Role.REVIEWER),
    Person("chloe", "Chloe", "Martin", Role.PUBLISHER),
    Person("vic", "Vic", "Lindqvist", Role.VIEWER),
)


def demo_team() -> Team:
    """Return the team "Demo" with its three environments; make them if they are missing."""
    team: Team | None = Team.objects.filter(name=TEAM).first()
    if team is None:
        team = services.create_team(SYSTEM, TEAM)
    ensure_defaults(team.pk)
    return team


def make_person(team: Team, person: Person) -> User:
    """Make somebody who cannot sign in before they get a password. A user name that is taken gets `demo-` before it."""
    is_taken = User.objects.filter(username=person.username).exists()
    username = f"demo-{person.username}" if is_taken else person.username
    account = User(
        username=username,
        first_name=person.first_name,
        last_name=person.last_name,
    )
    return services.save_person(SYSTEM, account, {team: {person.role}})


def people_of(team: Team) -> dict[str, User]:
    """Return the demo's people by the name they have in the demo: only members of the demo team."""
    names = {name: person.username for person in PEOPLE for name in (person.username, f"demo-{person.username}")}
    found = User.objects.filter(username__in=names, memberships__team=team).distinct()
    return {names[account.username]: account for account in found}


def set_password(team: Team, password: str) -> list[User]:
    """Give the demo's people this password, and nobody else."""
    people = list(people_of(team).values())
    for person in people:
        person.set_password(password)
        person.save(update_fields=["password"])
    return people


def acting_as(team: Team, name: str) -> Principal:
    """Return the principal of one of the demo's people."""
    return principal_of_user(people_of(team)[name])


def shop(team: Team) -> Principal:
    """Return who asks and rates in the demo: an application of the team, without a key that somebody could use."""
    return Principal(
        kind="key",
        id=None,
        label="Demo shop (application)",
        grants={team.pk: OF_SCOPE[Scope.CHAT] | OF_SCOPE[Scope.FEEDBACK]},
    )
