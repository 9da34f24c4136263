"""Reviews, comments, rules, freezes and plans, through the editors' pages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from prompts.models import Deployment, Environment, FreezeWindow, ScheduledDeployment, Version
from prompts.services import authoring
from prompts.services.contents import content_of
from prompts.services.environments import Rules, change_environment, create_environment, named
from tests.support.cast import Cast
from tests.support.make import make_key, make_live, make_prompt

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(cast: Cast) -> Version:
    """Version 2, by Ann."""
    prompt = make_prompt(cast.team, title="Greeting")
    made, _ = authoring.create_version(cast.principal(cast.ann), prompt, content_of(text="Hi {{name}}."))
    return made


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page(name: str, *args: object) -> str:
    return reverse(f"admin:prompts_{name}", args=args)


def state(version: Version) -> str:
    return Version.objects.values_list("review_state", flat=True).get(pk=version.pk)


def test_a_review_from_asking_to_approving(cast: Cast, version: Version) -> None:
    ann, ben = signed_in(cast.ann), signed_in(cast.ben)
    ask = page("version_submit", version.pk)
    assert ask in ann.get(page("prompt_change", version.prompt_id)).content.decode()
    assert "Nothing goes live." in ann.get(ask).content.decode() and state(version) == "draft"
    ann.post(ask, {"note": "Friendlier"})
    assert "Greeting v2" in ben.get(page("reviewrequest_changelist"), follow=True).content.decode()
    shown = ben.get(page("version_change", version.pk)).content.decode()
    assert page("version_approve", version.pk) in shown and "In review" in shown
    assert page("version_approve", version.pk) not in ann.get(page("version_change", version.pk)).content.decode()
    ben.post(page("version_approve", version.pk), {"comment": ""})
    assert state(version) == "approved"


def test_asking_for_changes_and_taking_back(cast: Cast, version: Version) -> None:
    ann, ben = signed_in(cast.ann), signed_in(cast.ben)
    ann.post(page("version_submit", version.pk), {"note": ""})
    short = ben.post(page("version_changes", version.pk), {"comment": "no"}).content.decode()
    assert 'href="#id_comment"' in short and state(version) == "in_review"
    ben.post(page("version_changes", version.pk), {"comment": "The tone is too cold."})
    assert state(version) == "changes_requested"
    ann.post(page("version_submit", version.pk), {"note": ""})
    ann.post(page("version_withdraw", version.pk))
    assert state(version) == "draft"


def test_nobody_approves_what_is_their_own_or_not_theirs_to_approve(cast: Cast, version: Version) -> None:
    signed_in(cast.ann).post(page("version_submit", version.pk), {"note": ""})
    for user, status in ((cast.ann, 403), (cast.vic, 403), (cast.zoe, 404)):
        answer = signed_in(user).post(page("version_approve", version.pk), {"comment": ""})
        assert answer.status_code == status
    assert state(version) == "in_review"


def deploying(version: Version, **fields: Any) -> dict[str, Any]:
    return {"version": version.number, "seen": 0, "note": "Checked", "due_at": "", **fields}


def test_the_page_says_what_is_in_the_way_and_who_may_pass(cast: Cast, version: Version) -> None:
    change_environment(cast.principal(cast.cleo), named(cast.team.pk, "production"), Rules(is_protected=True))
    url = page("prompt_deploy", version.prompt_id, "production")
    ben, cleo = signed_in(cast.ben), signed_in(cast.cleo)
    shown = ben.get(url).content.decode()
    assert "needs 1 more approval" in shown and "id_break_glass" not in shown
    ben.post(url, deploying(version, break_glass="Customers see wrong prices."))
    assert not Deployment.objects.exists()
    assert "id_break_glass" in cleo.get(url).content.decode()
    cleo.post(url, deploying(version))
    assert not Deployment.objects.exists()
    cleo.post(url, deploying(version, break_glass="Customers see wrong prices."))
    assert Deployment.objects.get().version == version


def test_put_live_later_is_listed_and_cancelled(cast: Cast, version: Version) -> None:
    ben = signed_in(cast.ben)
    url = page("prompt_deploy", version.prompt_id, "production")
    due = timezone.localtime(timezone.now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    assert 'type="datetime-local"' in ben.get(url).content.decode()
    ben.post(url, deploying(version, due_at=due))
    plan = ScheduledDeployment.objects.get()
    assert timezone.localtime(plan.due_at).strftime("%Y-%m-%dT%H:%M") == due
    assert not Deployment.objects.exists()
    for address in (page("scheduleddeployment_changelist"), page("prompt_change", version.prompt_id)):
        assert page("scheduleddeployment_change", plan.pk) in ben.get(address).content.decode()
    cancel = page("scheduleddeployment_cancel", plan.pk)
    assert cancel in ben.get(page("scheduleddeployment_change", plan.pk)).content.decode()
    assert signed_in(cast.vic).post(cancel).status_code == 403
    ben.post(cancel)
    plan.refresh_from_db()
    assert plan.state == "cancelled"
    refused = ben.post(url, deploying(version, due_at="2001-01-01T09:00")).content.decode()
    assert 'href="#id_due_at"' in refused


def test_administrators_change_rules_and_freeze(cast: Cast) -> None:
    where = named(cast.team.pk, "production")
    cleo = signed_in(cast.cleo)
    url = page("environment_change", where.pk)
    cleo.post(url, {"is_protected": "on", "approvals_needed": "2", "position": "3"})
    where = Environment.objects.get(pk=where.pk)
    assert (where.is_protected, where.approvals_needed, where.four_eyes) == (True, 2, False)
    start = timezone.localtime(timezone.now()).strftime("%Y-%m-%dT%H:%M")
    sent = {"starts_at": start, "ends_at": "2099-01-01T09:00", "reason": "Holidays"}
    cleo.post(page("environment_freeze", where.pk), sent)
    window = FreezeWindow.objects.get()
    end = page("environment_thaw", where.pk, window.pk)
    shown = cleo.get(url).content.decode()
    assert end in shown and "Holidays" in shown
    assert signed_in(cast.ben).post(end).status_code == 404
    cleo.post(end)
    assert not FreezeWindow.objects.exists()


def test_the_empty_list_says_that_nothing_waits(cast: Cast, version: Version) -> None:
    ben, url = signed_in(cast.ben), page("reviewrequest_changelist")
    empty = ben.get(url).content.decode()
    assert "Nothing is to be reviewed" in empty and "Nothing matches" not in empty and "Clear filters" not in empty
    assert "Nothing matches" in ben.get(f"{url}?state=approved").content.decode()
    signed_in(cast.ann).post(page("version_submit", version.pk), {"note": ""})
    assert "Greeting v2" in ben.get(url).content.decode()
    ben.post(page("version_approve", version.pk), {"comment": ""})
    assert "Nothing is to be reviewed" in ben.get(url).content.decode()
    for state in ("approved", "all"):
        assert "Greeting v2" in ben.get(f"{url}?state={state}").content.decode()


def test_an_environment_is_renamed_until_applications_can_know_it(cast: Cast, version: Version) -> None:
    cleo = signed_in(cast.cleo)
    one = create_environment(cast.principal(cast.cleo), cast.team.pk, name="preview")
    url = page("environment_rename", one.pk)
    assert url in cleo.get(page("environment_change", one.pk)).content.decode()
    for _ in range(2):
        assert "is called trial." in cleo.post(url, {"name": "trial"}, follow=True).content.decode()
    assert "already" in cleo.post(url, {"name": "staging"}).content.decode()
    assert 'href="#id_name"' in cleo.post(url, {"name": "v2"}).content.decode()
    assert signed_in(cast.ben).post(url, {"name": "mine"}).status_code == 404
    assert signed_in(cast.zoe).post(url, {"name": "mine"}).status_code == 404
    make_key(cast.team, "read", name="Shop", environments=["trial"])
    assert "the key Shop is for it" in cleo.post(url, {"name": "other"}).content.decode()
    usual = named(cast.team.pk, "staging")
    assert "every team has it" in cleo.post(page("environment_rename", usual.pk), {"name": "x"}).content.decode()
    second = create_environment(cast.principal(cast.cleo), cast.team.pk, name="second")
    make_live(version, "second")
    said = cleo.post(page("environment_rename", second.pk), {"name": "other"}).content.decode()
    assert "something was live there" in said
    assert sorted(Environment.objects.filter(team=cast.team).values_list("name", flat=True))[-2:] == [
        "staging",
        "trial",
    ]
