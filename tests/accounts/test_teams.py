"""Teams and who does what in them."""

from __future__ import annotations

import pytest

from promptlab.accounts import services
from promptlab.accounts.access import SYSTEM, Role
from promptlab.accounts.auth import principal_of_user
from promptlab.accounts.errors import LastAdministrator, TeamNameTaken
from promptlab.accounts.models import Membership, Team
from promptlab.audit.models import AuditEntry
from promptlab.lib.errors import Forbidden, NotFound
from tests.support.cast import Cast
from tests.support.make import make_admin, make_team, make_user

pytestmark = pytest.mark.django_db


def test_a_team_s_name_is_its_own() -> None:
    services.create_team(SYSTEM, "Acme")
    with pytest.raises(TeamNameTaken):
        services.create_team(SYSTEM, "Acme")
    assert Team.objects.count() == 1


def test_only_administrators_make_teams(cast: Cast) -> None:
    assert services.create_team(principal_of_user(cast.cleo), "New").name == "New"
    for user in (cast.ann, cast.ben, cast.vic):
        with pytest.raises(Forbidden):
            services.create_team(principal_of_user(user), "Another")


def test_an_account_is_changed_only_by_who_manages_all_its_teams(cast: Cast) -> None:
    cleo, other = principal_of_user(cast.cleo), make_team()
    services.add_member(SYSTEM, other, cast.ann, Role.VIEWER)
    cast.ann.email = "taken@over.example"
    with pytest.raises(Forbidden):
        services.save_person(cleo, cast.ann, {cast.team: {Role.WRITER}})
    with pytest.raises(Forbidden):
        services.change_password(cleo, cast.ann, "a long enough one")
    cast.ann.refresh_from_db()
    assert cast.ann.email == "" and cast.ann.check_password("secret")
    services.save_person(cleo, cast.ann, {cast.team: {Role.VIEWER}})
    roles = Membership.objects.filter(user=cast.ann, team=cast.team).values_list("role", flat=True)
    assert list(roles) == [Role.VIEWER]


def test_passwords_are_given_by_administrators_only(cast: Cast) -> None:
    nobody = make_user()
    for user in (cast.ann, cast.ben, cast.vic):
        with pytest.raises(Forbidden):
            services.change_password(principal_of_user(user), nobody, "a long enough one")


def test_a_role_given_twice_is_given_once(cast: Cast) -> None:
    admin, entries = principal_of_user(cast.cleo), AuditEntry.objects.count()
    first = services.add_member(admin, cast.team, cast.vic, Role.WRITER)
    assert services.add_member(admin, cast.team, cast.vic, Role.WRITER) == first
    assert AuditEntry.objects.count() == entries + 1


def test_a_writer_gives_no_roles_and_a_stranger_finds_no_team(cast: Cast) -> None:
    with pytest.raises(Forbidden):
        services.add_member(principal_of_user(cast.ann), cast.team, cast.ann, Role.ADMINISTRATOR)
    with pytest.raises(NotFound):
        services.add_member(principal_of_user(cast.zoe), cast.team, cast.zoe, Role.ADMINISTRATOR)


def test_the_last_administrator_stays() -> None:
    team = make_team()
    admin = make_admin(team)
    only = Membership.objects.get(user=admin)
    with pytest.raises(LastAdministrator, match=str(admin)):
        services.remove_role(SYSTEM, only)
    second = make_admin(team)
    services.remove_role(SYSTEM, only)
    assert list(Membership.objects.filter(team=team).values_list("user", flat=True)) == [second.pk]


def test_other_roles_can_always_be_taken() -> None:
    team = make_team()
    make_admin(team)
    writer = make_user("", team, Role.WRITER)
    services.remove_role(SYSTEM, Membership.objects.get(user=writer))
    assert not Membership.objects.filter(user=writer).exists()
