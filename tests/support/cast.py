"""The same people in every test: Ann writes, Ben publishes, Vic only looks, Cleo administers; Zoe is a stranger."""

from __future__ import annotations

from dataclasses import dataclass

from promptlab.accounts.access import Principal, Role
from promptlab.accounts.auth import principal_of_user
from promptlab.accounts.models import Team, User
from tests.support.make import make_key, make_team, make_user


@dataclass
class Cast:
    """Team Acme and a stranger's team. Keys are the secrets."""

    team: Team
    ann: User
    ben: User
    vic: User
    cleo: User
    zoe: User
    key: str
    read_key: str
    stranger_key: str

    def principal(self, user: User) -> Principal:
        return principal_of_user(user)


def make_cast() -> Cast:
    """Return everybody."""
    acme, other = make_team("Acme"), make_team("Elsewhere")
    return Cast(
        team=acme,
        ann=make_user("ann", acme, Role.WRITER, first_name="Ann"),
        ben=make_user("ben", acme, Role.PUBLISHER, Role.REVIEWER, first_name="Ben"),
        vic=make_user("vic", acme, Role.VIEWER, first_name="Vic"),
        cleo=make_user("cleo", acme, Role.ADMINISTRATOR, first_name="Cleo"),
        zoe=make_user("zoe", other, Role.ADMINISTRATOR, first_name="Zoe"),
        key=make_key(acme)[1],
        read_key=make_key(acme, "read")[1],
        stranger_key=make_key(other)[1],
    )
