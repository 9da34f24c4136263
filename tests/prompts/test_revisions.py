"""What a process knows of an environment's revision, and how it hears of the next one."""

from __future__ import annotations

import time
from typing import Any

import pytest

from promptlab.accounts.access import SYSTEM
from prompts import revisions
from prompts.models import Environment
from prompts.services import deploying
from tests.support.make import make_live, make_prompt, make_team, make_version, newest

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def production() -> Environment:
    return make_live(newest(make_prompt(make_team(), title="Greeting")))


def is_newest(environment: Environment, revision: int) -> bool:
    return revisions.known(environment.pk).is_newest(revision, time.monotonic())


def test_a_read_is_good_for_the_time_promised_from_its_beginning(production: Environment, settings: Any) -> None:
    settings.REVISION_CHECK_S = 3600
    began = time.monotonic() - 3000
    revisions.seen(production.pk, 1, began)
    assert revisions.known(production.pk).good_until == began + 3600
    assert is_newest(production, 1)
    assert not is_newest(production, 2)


def test_a_newer_revision_ends_what_was_good_at_once(production: Environment, settings: Any) -> None:
    settings.REVISION_CHECK_S = 3600
    revisions.check(production.pk)
    assert is_newest(production, 1)
    revisions.touch(production.pk, 2)
    assert not is_newest(production, 1)


def test_a_read_that_is_late_makes_nothing_good(production: Environment, settings: Any) -> None:
    settings.REVISION_CHECK_S = 3600
    revisions.touch(production.pk, 5)
    revisions.seen(production.pk, 4, time.monotonic())
    assert (revisions.known(production.pk).revision, is_newest(production, 5)) == (5, False)


def test_all_environments_in_use_are_confirmed_with_one_read(
    production: Environment, settings: Any, statements: list[str]
) -> None:
    settings.REVISION_CHECK_S = 3600
    others = [make_live(newest(make_prompt(make_team()))) for _ in range(5)]
    for environment in (production, *others):
        revisions.known(environment.pk).used_at = time.monotonic()
    Environment.objects.filter(pk=production.pk).update(revision=7)
    statements.clear()
    assert revisions.confirm() is True
    assert len(statements) == 1
    assert is_newest(production, 7)
    assert all(is_newest(environment, 1) for environment in others)


def test_what_nobody_asks_for_is_not_confirmed(production: Environment, statements: list[str]) -> None:
    here = revisions.known(production.pk)
    here.used_at = time.monotonic() - revisions.IN_USE_S - 1
    statements.clear()
    assert revisions.confirm() is False
    assert statements == []
    here.holds = 1
    assert revisions.confirm() is True


def test_a_word_is_taken_for_environments_known_here_and_nonsense_is_not(production: Environment) -> None:
    here = revisions.known(production.pk)
    here.revision = 1
    for subject, value in (("999999", "3"), ("x", "3"), (str(production.pk), "-1"), (str(production.pk), "")):
        revisions._heard(subject, value)
    assert here.revision == 1
    assert 999999 not in revisions._known
    revisions._heard(str(production.pk), "3")
    assert here.revision == 3


def test_listeners_hear_of_each_newer_revision_once(production: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[int, int]] = []
    monkeypatch.setattr(revisions, "_listeners", [lambda *move: heard.append(move)])
    for revision in (2, 2, 1, 3):
        revisions.touch(production.pk, revision)
    assert heard == [(production.pk, 2), (production.pk, 3)]


def test_a_move_that_is_rolled_back_is_never_told(production: Environment) -> None:
    from django.db import transaction

    from prompts.models import Version

    version = make_version(Version.objects.select_related("prompt").get().prompt)
    before = revisions.known(production.pk).revision
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        deploying.deploy(SYSTEM, version, production)
        raise ZeroDivisionError
    assert revisions.known(production.pk).revision == before
