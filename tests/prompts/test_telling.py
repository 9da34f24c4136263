"""Who is written to when something happens to a prompt, and that the mail leads to a page they can open."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.db import transaction
from django.test import Client
from django.utils import timezone

from experiments.services import lifecycle
from promptlab.accounts.access import SYSTEM, Role
from promptlab.accounts.models import User
from promptlab.hooks.models import Mail
from promptlab.hooks.tasks import send_mails
from prompts.models import Comment, Prompt, Version
from prompts.services import authoring, commenting, deploying, reviewing, scheduling
from prompts.services.contents import content_of
from prompts.services.environments import Rules, change_environment, named
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_live, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast(cast: Cast) -> Cast:
    """Everybody has an address."""
    for one in (cast.ann, cast.ben, cast.vic, cast.cleo, cast.zoe):
        User.objects.filter(pk=one.pk).update(email=f"{one.username}@example.com")
    return cast


@pytest.fixture
def prompt(cast: Cast) -> Prompt:
    """Ann's."""
    content = content_of(text="Never tell {{name}} this.")
    return authoring.create_prompt(cast.principal(cast.ann), cast.team.pk, title="Greeting", content=content)


def first(prompt: Prompt) -> Version:
    found: Version = Version.objects.select_related("prompt").get(prompt=prompt, number=1)
    return found


def sent() -> dict[str, str]:
    """Send what waits; return the subjects by who got them, after looking at each mail."""
    send_mails()
    found = {}
    for one in mail.outbox:
        [address] = one.recipients()
        found[address.partition("@")[0]] = one.subject
        assert "Never tell" not in one.subject + one.body, "the text of a prompt"
        [link] = [word for word in one.body.split() if word.startswith("http")]
        reader = Client()
        reader.force_login(User.objects.get(email=address))
        assert reader.get("/" + link.split("/", 3)[3]).status_code == 200, link
    mail.outbox.clear()
    return found


def protect(cast: Cast, name: str = "production") -> Any:
    where = named(cast.team.pk, name)
    change_environment(cast.principal(cast.cleo), where, Rules(is_protected=True))
    where.refresh_from_db()
    return where


def test_who_is_named_in_a_comment_hears_of_it_and_once(cast: Cast, prompt: Prompt) -> None:
    ben = cast.principal(cast.ben)
    comment = commenting.add_comment(ben, prompt, "Why, @vic and @ben and @zoe?")
    assert sent() == {"vic": "Ben mentioned you on Greeting", "ann": "Ben commented on Greeting"}
    commenting.edit_comment(ben, comment, "Why, @vic and @cleo?")
    assert sent() == {"cleo": "Ben mentioned you on Greeting"}


def test_a_named_owner_gets_one_mail_not_two(cast: Cast, prompt: Prompt) -> None:
    commenting.add_comment(cast.principal(cast.ben), prompt, "Why, @ann?", version=first(prompt), line=1)
    assert sent() == {"ann": "Ben mentioned you on Greeting"}


def test_an_answer_is_told_to_all_of_the_thread_but_who_wrote_it(cast: Cast, prompt: Prompt) -> None:
    root = commenting.add_comment(cast.principal(cast.ben), prompt, "Why?")
    commenting.reply(cast.principal(cast.cleo), root, "Because.")
    sent()
    commenting.reply(cast.principal(cast.ann), Comment.objects.select_related("prompt").get(pk=root.pk), "I see.")
    assert sent() == dict.fromkeys(("ben", "cleo"), "Ann commented on Greeting")


def test_settling_a_comment_is_told_to_nobody(cast: Cast, prompt: Prompt) -> None:
    comment = commenting.add_comment(cast.principal(cast.ann), prompt, "Why?")
    commenting.resolve_comment(cast.principal(cast.ben), comment)
    assert sent() == {}


def test_reviewers_are_asked_once_and_whoever_asked_hears_the_answer(cast: Cast, prompt: Prompt) -> None:
    ann, ben, version = cast.principal(cast.ann), cast.principal(cast.ben), first(prompt)
    reviewing.submit_for_review(ann, version, note="The second line")
    reviewing.submit_for_review(ann, version)
    assert sent() == dict.fromkeys(("ben", "cleo"), "Ann asks for a review of Greeting, version 1")
    reviewing.approve(ben, version)
    reviewing.approve(ben, version)
    assert sent() == {"ann": "Ben approved Greeting, version 1"}
    reviewing.request_changes(cast.principal(cast.cleo), version, comment="Too long by far.")
    assert sent() == {"ann": "Cleo asks for changes in Greeting, version 1"}


def test_a_move_in_a_protected_environment_is_told_to_owner_and_authors(cast: Cast, prompt: Prompt) -> None:
    cleo, where = cast.principal(cast.cleo), protect(cast)
    changed = content_of(text="Never tell {{name}} more.")
    dora = make_user("dora", cast.team, Role.WRITER, email="dora@example.com")
    second, _ = authoring.create_version(cast.principal(dora), prompt, changed)
    for version in (first(prompt), second):
        deploying.deploy(cleo, version, where, break_glass="Tonight it has to be.")
    deploying.deploy(cleo, second, where)
    deploying.rollback(cleo, prompt, where, note="Complaints")
    deploying.undeploy(cleo, prompt, where)
    told = [(one.user.username, one.facts["move"], one.facts["version"]) for one in Mail.objects.order_by("id")]
    assert told == [
        ("ann", "deploy", 1),
        ("ann", "deploy", 2),
        ("dora", "deploy", 2),
        ("ann", "rollback", 1),
        ("dora", "rollback", 1),
        ("ann", "undeploy", None),
    ]
    assert sent() == {
        "ann": "Greeting is no longer live in production",
        "dora": "Greeting went back to version 1 in production",
    }


def test_a_move_elsewhere_is_told_to_nobody(cast: Cast, prompt: Prompt) -> None:
    protect(cast)
    deploying.deploy(cast.principal(cast.cleo), first(prompt), named(cast.team.pk, "staging"))
    assert sent() == {}


@pytest.mark.parametrize("planner", ["ben", None])
def test_a_plan_that_fails_is_told_to_who_planned_it_or_else_the_owner(
    cast: Cast, prompt: Prompt, planner: str | None
) -> None:
    where = named(cast.team.pk, "production")
    actor = cast.principal(cast.ben) if planner else SYSTEM
    scheduling.schedule(actor, first(prompt), where, timezone.now() + timedelta(minutes=5))
    authoring.archive_prompt(cast.principal(cast.ann), prompt)
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        scheduling.run_due()
        assert sent() == {planner or "ann": "Greeting, version 1, did not go live in production"}


@pytest.mark.parametrize("verb", ["stop", "kill"])
def test_the_end_of_an_experiment_is_told_to_its_owner_and_the_prompt_s(cast: Cast, prompt: Prompt, verb: str) -> None:
    experiment = make_experiment(prompt, title="Shorter", running=True)
    type(experiment).objects.filter(pk=experiment.pk).update(owner=cast.vic)
    experiment.refresh_from_db()
    ended = lifecycle.VERBS[verb](cast.principal(cast.ben), experiment, note="Too slow")
    if verb == "kill":
        lifecycle.kill(cast.principal(cast.ben), ended)
    assert sent() == dict.fromkeys(("ann", "vic"), "The experiment Shorter has ended")


ACTS: dict[str, Callable[[Cast, Prompt], object]] = {
    "comment": lambda cast, prompt: commenting.add_comment(SYSTEM, prompt, "Why, @ben?"),
    "review": lambda cast, prompt: reviewing.submit_for_review(SYSTEM, first(prompt)),
    "move": lambda cast, prompt: make_live(first(prompt)),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS.keys())
def test_what_is_taken_back_is_told_to_nobody(
    cast: Cast, prompt: Prompt, act: Callable[[Cast, Prompt], object]
) -> None:
    with transaction.atomic():
        act(cast, prompt)
        transaction.set_rollback(True)
    assert sent() == {}


def test_somebody_who_left_the_team_hears_no_more_of_their_prompt(cast: Cast, prompt: Prompt) -> None:
    make_user("dora", cast.team, Role.WRITER, email="dora@example.com")
    cast.ann.memberships.all().delete()
    commenting.add_comment(cast.principal(cast.ben), prompt, "Why, @dora?")
    assert sent() == {"dora": "Ben mentioned you on Greeting"}
