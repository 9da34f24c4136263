"""`manage.py seed_demo`: believable, repeatable, through the services."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from experiments.models import Experiment, HourRollup, Ramp, RampDecision
from experiments.results import Status, results
from feedback.models import Feedback
from promptlab.accounts.models import ApiKey, Membership, User
from promptlab.audit.models import AuditEntry
from promptlab.chat.models import Budget, BudgetPeriod, Conversation, Message
from promptlab.management.demo import demo_team
from promptlab.management.demo.clock import clock_at
from prompts import resolve
from prompts.models import (
    Collection,
    Comment,
    Deployment,
    DeploymentEvent,
    Environment,
    FreezeWindow,
    MetadataField,
    Prompt,
    Rating,
    ReviewRequest,
    ScheduledDeployment,
    SuiteRun,
    Tag,
    Version,
)

TABLES = (
    AuditEntry, Collection, Conversation, Deployment, DeploymentEvent, Environment, Experiment, Feedback, HourRollup,
    Membership, Message, Prompt, Tag, User, Version,
)  # fmt: skip


def seeded(**options: object) -> str:
    out = StringIO()
    call_command("seed_demo", stdout=out, **options)
    return out.getvalue()


def counts() -> dict[str, int]:
    return {model.__name__: model.objects.count() for model in TABLES}


def test_the_demo_is_there_once_and_a_second_run_changes_nothing(db: None) -> None:
    before = timezone.now()
    said = seeded()
    assert "person ana (writer)" in said and "prompt support-reply v1" in said
    first = counts()
    assert "was there already" in seeded()
    assert counts() == first

    assert (first["Prompt"], first["Collection"], first["Experiment"], first["Environment"]) == (12, 3, 4, 3)
    assert first["Version"] > 20 and first["Tag"] > 5
    assert 400 <= Message.objects.answers().count() <= 600
    assert 230 <= first["Feedback"] <= 420
    assert set(DeploymentEvent.objects.values_list("kind", flat=True)) >= {"deploy", "rollback"}
    assert set(Prompt.objects.values_list("type", flat=True)) == {"text", "chat"}
    assert not Prompt.objects.filter(deployments=None).exclude(name="landing-page-headline").exists()
    for environment in ("development", "staging", "production"):
        assert Deployment.objects.live().filter(environment__name=environment).count() >= 5, environment

    running = Experiment.objects.get(key="short-steps")
    assert (running.state, running.prompt.name, running.environment.name) == ("running", "support-reply", "production")
    assert results(running).status == Status.COMPARABLE
    assert Experiment.objects.get(key="greeting-with-name").state == "stopped"

    launches = {ramp.experiment.prompt.name: ramp for ramp in Ramp.objects.with_names()}
    assert launches["product-blurb"].state == Ramp.State.ROLLED_BACK
    assert RampDecision.objects.get(ramp=launches["product-blurb"], kind="rolled_back").numbers
    assert launches["contract-summary"].state == Ramp.State.RUNNING
    assert resolve.live_version(demo_team().pk, "product-blurb", "production").version.number == 2
    assert set(ReviewRequest.objects.values_list("state", flat=True)) == {"open", "approved"}
    assert Comment.objects.count() == 3 and Rating.objects.count() == 3 and MetadataField.objects.count() == 2
    assert ScheduledDeployment.objects.get().due_at > timezone.now() and FreezeWindow.objects.exists()
    assert SuiteRun.objects.get().results.count() == 3
    assert Budget.objects.in_force().count() == 2 and BudgetPeriod.objects.filter(spent_nanousd__gt=0).exists()

    assert not Message.objects.answers().filter(rolled_up_at=None).exists()
    assert not Feedback.objects.filter(rolled_up_at=None).exists()
    assert set(Message.objects.answers().values_list("state", flat=True)) >= {"completed", "failed"}
    assert Message.objects.answers().filter(state="completed", cost_usd=None).exists()

    now = timezone.now()
    for rows, column in (
        (Message, "created_at"),
        (Feedback, "created_at"),
        (DeploymentEvent, "at"),
        (AuditEntry, "at"),
    ):
        times = list(rows.objects.order_by("pk").values_list(column, flat=True))
        assert min(times) < before and max(times) <= now, rows
    moves = list(DeploymentEvent.objects.order_by("pk").values_list("at", flat=True))
    assert moves == sorted(moves)
    assert not any(user.has_usable_password() for user in User.objects.all())
    assert not ApiKey.objects.exists()


def test_quiet_says_nothing_and_a_password_lets_them_in(db: None) -> None:
    stranger = User.objects.create_user("ana", password="her own")
    assert seeded(verbosity=0) == ""
    seeded(password="open sesame now")
    for username in ("demo-ana", "ben", "chloe", "vic"):
        assert User.objects.get(username=username).check_password("open sesame now"), username
    stranger.refresh_from_db()
    assert stranger.check_password("her own") and not stranger.memberships.exists()


def test_the_team_is_there_for_whoever_needs_it_first(db: None) -> None:
    team = demo_team()
    assert team.name == "Demo" and demo_team() == team
    assert Environment.objects.filter(team=team).count() == 3


def test_the_clock_is_right_again_even_after_an_error() -> None:
    real = timezone.now()
    past = real.replace(year=2020)
    with pytest.raises(RuntimeError), clock_at(past):
        assert timezone.now() == past
        raise RuntimeError
    assert timezone.now() >= real
