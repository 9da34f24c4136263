"""The first start is repeated until its secrets were shown, and never happens to somebody else's database."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptlab.accounts.auth import authenticate
from promptlab.accounts.errors import BadKey
from promptlab.accounts.models import Team, User
from promptlab.management.demo import seeding
from promptlab.management.first_start import FirstStart
from tests.support.make import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _few_conversations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the demo be small: what matters here is who may sign in."""
    monkeypatch.setattr(seeding, "CONVERSATIONS", dict.fromkeys(seeding.CONVERSATIONS, 2))


def test_an_empty_database_is_due(tmp_path: Path) -> None:
    assert FirstStart(tmp_path).is_due()


def test_a_database_with_people_is_left_alone(tmp_path: Path) -> None:
    make_user("somebody")
    assert not FirstStart(tmp_path).is_due()


def test_it_makes_an_administrator_and_a_key_for_everything(tmp_path: Path) -> None:
    secrets = FirstStart(tmp_path).begin()
    admin, demo = User.objects.get(username="admin"), Team.objects.get(name="Demo")
    principal = authenticate({"x-api-key": secrets.key})
    assert admin.is_superuser and admin.check_password(secrets.password)
    assert principal.calls_per_hour == 10_000
    assert all(principal.may(what, demo.pk) for what in ("team.admin", "chat.use", "feedback.write", "prompt.deploy"))


def test_after_the_secrets_were_shown_it_is_over(tmp_path: Path) -> None:
    first = FirstStart(tmp_path)
    first.begin()
    first.finish()
    assert not FirstStart(tmp_path).is_due()


def test_interrupted_it_is_repeated_and_the_unseen_secrets_end(tmp_path: Path) -> None:
    unseen = FirstStart(tmp_path).begin()
    again = FirstStart(tmp_path)
    assert again.is_due()
    seen = again.begin()
    assert authenticate({"x-api-key": seen.key})
    assert User.objects.get(username="admin").check_password(seen.password)
    with pytest.raises(BadKey):
        authenticate({"x-api-key": unseen.key})


def test_demo_data_alone_does_not_count_as_a_first_start(tmp_path: Path) -> None:
    first = FirstStart(tmp_path)
    first.begin()
    User.objects.filter(username="admin").delete()
    first.finish()
    assert FirstStart(tmp_path).is_due()


def test_the_mark_of_another_database_is_ignored(tmp_path: Path) -> None:
    make_user("somebody")
    first = FirstStart(tmp_path)
    first.marker.write_text("of a database that this is not")
    assert not first.is_due()
