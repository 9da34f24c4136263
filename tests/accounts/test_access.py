"""From scopes and roles to what may be done."""

from __future__ import annotations

import pytest

from promptlab.accounts.access import OF_ROLE, OF_SCOPE, SYSTEM, Principal, Role, Scope, check_scopes, require
from promptlab.accounts.auth import principal_of_key, principal_of_user
from promptlab.accounts.models import Membership, Team, User
from promptlab.lib.errors import DomainError, Forbidden, NotFound
from tests.support.make import make_key, make_team, make_user

EVERYTHING = frozenset().union(*OF_ROLE.values())


def test_no_role_and_no_scope_grants_what_nobody_asks_for() -> None:
    """A capability that no administrator has, or that is misspelt in one place, would show up here."""
    assert frozenset().union(*OF_SCOPE.values()) <= EVERYTHING
    assert OF_ROLE[Role.ADMINISTRATOR] == EVERYTHING


def test_a_viewer_changes_nothing() -> None:
    changing = {"prompt.write", "prompt.deploy", "prompt.deploy_development", "experiment.write", "experiment.run"}
    assert not OF_ROLE[Role.VIEWER] & (changing | {"team.admin", "key.admin", "prompt.review"})
    assert not OF_SCOPE[Scope.READ] & (changing | {"chat.use", "feedback.write"})


def test_a_writer_puts_live_in_development_only() -> None:
    assert "prompt.deploy_development" in OF_ROLE[Role.WRITER]
    assert not OF_ROLE[Role.WRITER] & {"prompt.deploy", "experiment.run", "prompt.review", "team.admin"}


def test_the_scope_write_moves_no_pointer_and_deploy_writes_no_text() -> None:
    assert not OF_SCOPE[Scope.WRITE] & {"prompt.deploy", "prompt.deploy_development", "experiment.run"}
    assert not OF_SCOPE[Scope.DEPLOY] & {"prompt.write", "experiment.write"}


def test_chat_and_feedback_read_no_prompt_texts() -> None:
    assert OF_SCOPE[Scope.CHAT] == {"chat.use", "chat.write"}
    assert OF_SCOPE[Scope.FEEDBACK] == {"feedback.write"}


def test_roles_in_the_models_and_in_the_code_are_the_same() -> None:
    assert {role.value for role in Role} == set(Membership.Role.values) == set(OF_ROLE)


def test_scopes_come_in_the_house_s_order_once_each() -> None:
    assert check_scopes(["chat", "read", "chat"]) == ["read", "chat"]


@pytest.mark.django_db
def test_several_roles_add_up_and_stay_in_their_team() -> None:
    one, other = make_team(), make_team()
    user = make_user("", one, Role.WRITER, Role.REVIEWER)
    Membership.objects.create(team=other, user=user, role=Role.VIEWER)
    who = principal_of_user(user)
    assert who.may("prompt.write", one.pk)
    assert who.may("prompt.review", one.pk)
    assert not who.may("prompt.write", other.pk)
    assert who.teams_with("prompt.read") == [one.pk, other.pk]


@pytest.mark.django_db
def test_a_superuser_may_do_everything_in_every_team() -> None:
    make_team()
    who = principal_of_user(User.objects.create_superuser("root"))
    for team in Team.objects.all():
        assert who.grants[team.pk] == EVERYTHING


@pytest.mark.django_db
def test_a_person_with_the_longest_of_names_can_act() -> None:
    team = make_team()
    user = make_user("x" * 150, team, Role.ADMINISTRATOR, first_name="f" * 150, last_name="l" * 150)
    assert len(principal_of_user(user).label) <= 200


@pytest.mark.django_db
def test_a_key_has_the_rights_of_its_scopes_in_its_team_alone() -> None:
    team = make_team()
    who = principal_of_key(make_key(team, "read", "deploy")[0])
    assert who.grants == {team.pk: OF_SCOPE[Scope.READ] | OF_SCOPE[Scope.DEPLOY]}


def test_a_stranger_finds_nothing_and_a_member_hears_what_is_missing() -> None:
    member = Principal("user", 1, "Vic", {7: OF_ROLE[Role.VIEWER]})
    with pytest.raises(NotFound):
        require(member, "prompt.write", 8)
    with pytest.raises(Forbidden, match="It takes the role writer or administrator"):
        require(member, "prompt.write", 7)
    require(SYSTEM, "prompt.write", 8)


def test_a_key_hears_which_scope_it_needs() -> None:
    key = Principal("key", 1, "app (key)", {7: OF_SCOPE[Scope.READ]})
    with pytest.raises(Forbidden, match="It needs the scope deploy"):
        require(key, "prompt.deploy", 7)


def test_the_team_to_act_in_is_the_only_one_or_the_one_named() -> None:
    both = Principal("user", 1, "Ann", {7: OF_ROLE[Role.WRITER], 8: OF_ROLE[Role.WRITER], 9: OF_ROLE[Role.VIEWER]})
    assert both.team_for("prompt.write", 8) == 8
    assert Principal("user", 1, "Ann", {7: OF_ROLE[Role.WRITER]}).team_for("prompt.write") == 7
    for team_id, code in ((None, "team_needed"), (9, "forbidden"), (10, "not_found")):
        with pytest.raises(DomainError) as refused:
            both.team_for("prompt.write", team_id)
        assert refused.value.code == code
