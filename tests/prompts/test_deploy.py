"""Moving the pointer, as services do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.db import IntegrityError, transaction

from promptlab.accounts.access import SYSTEM, Principal
from promptlab.accounts.auth import principal_of_key, principal_of_user
from promptlab.accounts.models import Team
from promptlab.lib.errors import Conflict, DomainError, Forbidden, Invalid, NotFound
from prompts import resolve
from prompts.errors import NotDeployed, NothingToGoBackTo, PromptArchived, VariablesChanged
from prompts.models import Deployment, DeploymentEvent, Environment, Prompt, Version
from prompts.services import authoring, deploying
from prompts.services.environments import create_environment, ensure_defaults, named
from tests.support.cast import Cast
from tests.support.make import make_key, make_prompt, make_team, make_version

pytestmark = pytest.mark.django_db


@dataclass
class Desk:
    """Three versions with the same blanks, and Production."""

    prompt: Prompt
    versions: dict[int, Version]
    production: Environment

    def deploy(self, number: int, actor: Principal = SYSTEM) -> DeploymentEvent:
        return deploying.deploy(actor, self.versions[number], self.production)[0]

    def rollback(self) -> DeploymentEvent:
        return deploying.rollback(SYSTEM, self.prompt, self.production)

    @property
    def live(self) -> int | None:
        pointer = Deployment.objects.select_related("version").filter(prompt=self.prompt).first()
        return pointer.version.number if pointer and pointer.version else None

    @property
    def revision(self) -> int:
        return resolve.revision_of(self.production.pk)


@pytest.fixture
def desk(team: Team) -> Desk:
    return desk_of(team)


def desk_of(team: Team) -> Desk:
    prompt = make_prompt(team)
    for _ in range(2):
        make_version(prompt)
    versions = {version.number: version for version in Version.objects.select_related("prompt").filter(prompt=prompt)}
    return Desk(prompt, versions, named(team.pk, "production"))


def test_deploy_moves_the_pointer_and_takes_one_revision(desk: Desk) -> None:
    for place, number in enumerate((1, 2, 1), 1):
        event = desk.deploy(number)
        assert (desk.live, desk.revision, event.revision) == (number, place, place)
    assert (event.kind, event.from_version, event.to_version) == ("deploy", desk.versions[2], desk.versions[1])


def test_the_same_again_moves_nothing(desk: Desk) -> None:
    first = desk.deploy(1)
    event, is_new = deploying.deploy(SYSTEM, desk.versions[1], desk.production, note="again")
    assert (event, is_new, desk.revision) == (first, False, 1)
    assert DeploymentEvent.objects.count() == 1


def test_environments_have_pointers_and_revisions_of_their_own(desk: Desk) -> None:
    staging = named(desk.prompt.team_id, "staging")
    desk.deploy(1)
    deploying.deploy(SYSTEM, desk.versions[3], staging)
    assert (desk.revision, resolve.revision_of(staging.pk)) == (1, 1)
    assert resolve.live_version(desk.prompt.team_id, desk.prompt.name, "production").version == desk.versions[1]
    assert resolve.live_version(desk.prompt.team_id, desk.prompt.name, "staging").version == desk.versions[3]


def test_prompts_of_one_environment_share_its_revision(desk: Desk) -> None:
    other = desk_of(desk.prompt.team)
    desk.deploy(1)
    other.deploy(1)
    desk.deploy(2)
    assert desk.revision == 3
    assert list(DeploymentEvent.objects.order_by("id").values_list("revision", flat=True)) == [1, 2, 3]


def test_going_back_is_a_stack(desk: Desk) -> None:
    for number in (1, 2, 3):
        desk.deploy(number)
    assert desk.rollback().to_version == desk.versions[2]
    assert desk.rollback().to_version == desk.versions[1]
    with pytest.raises(NothingToGoBackTo):
        desk.rollback()
    desk.deploy(3)
    event = desk.rollback()
    assert (event.to_version, event.kind, desk.live) == (desk.versions[1], "rollback", 1)
    assert desk.revision == DeploymentEvent.objects.count() == 7


def test_going_back_and_forth_never_visits_what_was_taken_back(desk: Desk) -> None:
    for number in (1, 2):
        desk.deploy(number)
    desk.rollback()
    desk.deploy(3)
    desk.rollback()
    assert desk.live == 1


def test_what_was_stopped_can_be_brought_back(desk: Desk) -> None:
    desk.deploy(1)
    desk.deploy(2)
    event = deploying.undeploy(SYSTEM, desk.prompt, desk.production, note="legal asked")
    assert (desk.live, event.to_version, event.from_version, event.revision) == (None, None, desk.versions[2], 3)
    assert desk.rollback().to_version == desk.versions[2]
    assert desk.rollback().to_version == desk.versions[1]


def test_stopping_twice_says_that_nothing_is_live(desk: Desk) -> None:
    desk.deploy(1)
    deploying.undeploy(SYSTEM, desk.prompt, desk.production)
    with pytest.raises(NotDeployed):
        deploying.undeploy(SYSTEM, desk.prompt, desk.production)
    assert desk.revision == 2


def test_the_button_names_the_version_that_going_back_makes_live(desk: Desk) -> None:
    def offered() -> int | None:
        version = deploying.previous_version(Deployment.objects.get(prompt=desk.prompt))
        return version.number if version else None

    desk.deploy(1)
    assert offered() is None
    desk.deploy(2)
    desk.deploy(3)
    assert offered() == 2
    desk.rollback()
    assert offered() == 1


def test_other_variables_are_refused_with_the_list_until_confirmed(desk: Desk) -> None:
    other = make_version(desk.prompt, "Hello {{first}} {{last}}.")
    desk.deploy(1)
    with pytest.raises(VariablesChanged) as refused:
        deploying.deploy(SYSTEM, other, desk.production)
    assert refused.value.data["added"] == ("first", "last")
    assert refused.value.data["removed"] == ("name",)
    assert "new: first, new: last, gone: name" in refused.value.detail
    assert (desk.live, desk.revision) == (1, 1)
    deploying.deploy(SYSTEM, other, desk.production, confirm=True)
    assert desk.live == 4


def test_going_back_asks_nothing_about_variables(desk: Desk) -> None:
    other = make_version(desk.prompt, "Hello {{first}}.")
    desk.deploy(1)
    deploying.deploy(SYSTEM, other, desk.production, confirm=True)
    assert desk.rollback().to_version == desk.versions[1]


def test_nothing_live_means_no_variables_to_compare_with(desk: Desk) -> None:
    other = make_version(desk.prompt, "Hello {{first}}.")
    assert deploying.deploy(SYSTEM, other, desk.production)[1]


def test_a_move_that_fails_takes_no_revision(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.deploy(1)

    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(deploying, "record", fail)
    for act in (lambda: desk.deploy(2), lambda: deploying.undeploy(SYSTEM, desk.prompt, desk.production)):
        with pytest.raises(RuntimeError), transaction.atomic():
            act()
    monkeypatch.undo()
    assert (desk.live, desk.revision, DeploymentEvent.objects.count()) == (1, 1, 1)
    assert desk.deploy(2).revision == 2


def test_refused_moves_take_no_revision(desk: Desk) -> None:
    desk.deploy(1)
    viewer = principal_of_key(make_key(desk.prompt.team, "read")[0])
    for error, act in (
        (NothingToGoBackTo, desk.rollback),
        (Forbidden, lambda: desk.deploy(2, viewer)),
    ):
        with pytest.raises(error):
            act()
    assert desk.revision == 1


def test_going_back_where_nothing_ever_was_says_so(desk: Desk) -> None:
    with pytest.raises(NotDeployed, match=f"No version of {desk.prompt.name} is live in production"):
        desk.rollback()


def test_an_archived_prompt_is_not_put_live(desk: Desk) -> None:
    authoring.archive_prompt(SYSTEM, desk.prompt)
    version = Version.objects.select_related("prompt").get(pk=desk.versions[1].pk)
    with pytest.raises(PromptArchived):
        deploying.deploy(SYSTEM, version, desk.production)


WAYS: dict[str, Callable[[DeploymentEvent], object]] = {
    "save": lambda event: event.save(),
    "delete": lambda event: event.delete(),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_the_history_only_grows(desk: Desk, way: Callable[[DeploymentEvent], object]) -> None:
    event = desk.deploy(1)
    event.note = "changed"
    with pytest.raises(Conflict):
        way(event)
    assert DeploymentEvent.objects.get(pk=event.pk).note == ""


def test_the_database_itself_refuses_a_second_pointer_and_a_revision_twice(desk: Desk) -> None:
    event = desk.deploy(1)
    with pytest.raises(IntegrityError), transaction.atomic():
        Deployment.objects.create(prompt=desk.prompt, environment=desk.production, event=event)
    with pytest.raises(IntegrityError), transaction.atomic():
        DeploymentEvent.objects.create(
            prompt=desk.prompt, environment=desk.production, kind="deploy", revision=1, actor_label="x"
        )


# Who may


def test_a_writer_puts_live_in_development_and_a_publisher_everywhere(cast: Cast) -> None:
    desk = desk_of(cast.team)
    ann, ben, vic = (principal_of_user(user) for user in (cast.ann, cast.ben, cast.vic))
    development = named(cast.team.pk, "development")
    assert deploying.deploy(ann, desk.versions[1], development)[0].actor == cast.ann
    with pytest.raises(Forbidden, match="It takes the role publisher or administrator"):
        desk.deploy(1, ann)
    with pytest.raises(Forbidden):
        deploying.deploy(vic, desk.versions[1], development)
    assert desk.deploy(1, ben).actor_label == "Ben"
    for act in (deploying.rollback, deploying.undeploy):
        with pytest.raises(Forbidden):
            act(ann, desk.prompt, desk.production)


def test_a_stranger_finds_neither_version_nor_environment(cast: Cast) -> None:
    desk = desk_of(cast.team)
    zoe = principal_of_user(cast.zoe)
    for act in (
        lambda: desk.deploy(1, zoe),
        lambda: deploying.rollback(zoe, desk.prompt, desk.production),
        lambda: deploying.undeploy(zoe, desk.prompt, desk.production),
    ):
        with pytest.raises(NotFound):
            act()


def test_a_version_goes_live_in_its_own_team_s_environments_only(desk: Desk) -> None:
    """Whoever works in two teams may do both halves of it, but never the whole."""
    elsewhere = named(make_team().pk, "production")
    for act in (
        lambda: deploying.deploy(SYSTEM, desk.versions[1], elsewhere),
        lambda: deploying.rollback(SYSTEM, desk.prompt, elsewhere),
        lambda: deploying.undeploy(SYSTEM, desk.prompt, elsewhere),
    ):
        with pytest.raises(DomainError) as refused:
            act()
        assert refused.value.status == 404
    assert DeploymentEvent.objects.count() == 0


def test_a_key_limited_to_an_environment_moves_nothing_elsewhere(desk: Desk) -> None:
    key = principal_of_key(make_key(desk.prompt.team, "deploy", environments=["staging"])[0])
    assert deploying.deploy(key, desk.versions[1], named(desk.prompt.team_id, "staging"))[1]
    with pytest.raises(Forbidden, match="limited to staging"):
        desk.deploy(1, key)
    desk.deploy(1)
    for act in (deploying.rollback, deploying.undeploy):
        with pytest.raises(Forbidden):
            act(key, desk.prompt, desk.production)


# Environments


def test_a_new_team_has_the_three_usual_ones(team: Team) -> None:
    assert [one.name for one in ensure_defaults(team.pk)] == ["development", "staging", "production"]
    assert [one.name for one in ensure_defaults(team.pk)] == ["development", "staging", "production"]
    assert Environment.objects.filter(team=team).count() == 3


def test_an_environment_of_your_own_comes_beside_them(team: Team) -> None:
    assert create_environment(SYSTEM, team.pk, name="preview", position=2).name == "preview"
    assert Environment.objects.filter(team=team).count() == 4
    with pytest.raises(Conflict, match="preview already"):
        create_environment(SYSTEM, team.pk, name="preview")


@pytest.mark.parametrize(
    "name", ["", "Preview", "1st", "v2", "v2.1-x", "latest", "a b", "a/b", "a@b", "é", "x" * 37, "a\n", "-a"]
)
def test_names_that_could_be_mistaken_are_refused(team: Team, name: str) -> None:
    with pytest.raises(Invalid) as refused:
        create_environment(SYSTEM, team.pk, name=name)
    assert refused.value.problems[0].field == "name"


def test_an_unknown_environment_names_the_known(team: Team) -> None:
    with pytest.raises(NotFound, match=r"There is no environment prod\. Known: development, staging, production"):
        named(team.pk, "prod")
