"""What the page before a version goes live says: its review, whether anybody tried it, what runs there, how much changes."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from prompts.models import Environment, Version
from prompts.services import authoring, reviewing
from prompts.services.contents import content_of
from prompts.services.environments import Rules, change_environment, named
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_live, make_message, make_prompt, newest

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(cast: Cast) -> Version:
    """Ann's second version; the first is live."""
    prompt = make_prompt(cast.team, "Hello.", title="Greeting")
    make_live(newest(prompt))
    text = content_of(text="Good day to you.")
    return authoring.create_version(cast.principal(cast.ann), prompt, text, message="Kinder")[0]


@pytest.fixture
def production(cast: Cast) -> Environment:
    where = named(cast.team.pk, "production")
    return change_environment(cast.principal(cast.cleo), where, Rules(is_protected=True, four_eyes=True))


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def shown(user: Any, version: Version, environment: str = "production") -> str:
    page = reverse("admin:prompts_prompt_deploy", args=[version.prompt_id, environment])
    answer = signed_in(user).get(f"{page}?version={version.number}")
    return " ".join(answer.content.decode().split())


def test_what_misses_its_review_is_said_with_the_way_to_it(
    cast: Cast, version: Version, production: Environment
) -> None:
    html = shown(cast.ben, version)
    assert f'<a href="{reverse("admin:prompts_version_submit", args=[version.pk])}">v2 is not approved yet.</a>' in html
    request, _is_new = reviewing.submit_for_review(cast.principal(cast.ann), version)
    assert reverse("admin:prompts_version_change", args=[version.pk]) in shown(cast.ben, version)
    reviewing.approve(cast.principal(cast.ben), request.version)
    assert "v2 is approved." in shown(cast.ben, version)
    assert "Development asks for no review." in shown(cast.ben, version, "development")


def test_versions_without_approval_can_be_chosen_only_by_who_may_pass(
    cast: Cast, version: Version, production: Environment
) -> None:
    closed = '<option value="1" disabled>v1 – not approved</option>'
    assert closed in shown(cast.ben, version)
    assert closed.replace(" disabled", "") in shown(cast.cleo, version)
    assert "not approved</option>" not in shown(cast.ben, version, "staging")


def test_a_version_that_never_answered_is_to_be_tried(cast: Cast, version: Version) -> None:
    page = f"{reverse('admin:chat_conversation_try')}?prompt={version.prompt_id}&amp;text=2"
    assert f'<a href="{page}">Nobody has tried v2 yet.</a>' in shown(cast.ben, version)
    make_message(version)
    assert "v2 was tried at least once." in shown(cast.ben, version)


def test_an_experiment_there_is_said_with_its_page(cast: Cast, version: Version) -> None:
    assert "No experiment runs in Production." in shown(cast.ben, version)
    experiment = make_experiment(version.prompt, running=True)
    html = shown(cast.ben, version)
    assert "An experiment runs in Production: whoever is in it keeps getting its texts." in html
    assert reverse("dashboards:experiment", args=[experiment.key]) in html
    assert "No experiment runs in Staging." in shown(cast.ben, version, "staging")


def test_the_size_of_the_change_and_the_slower_way_are_there(cast: Cast, version: Version) -> None:
    html = shown(cast.ben, version)
    assert "3 words more." in html
    slower = reverse("admin:experiments_ramp_add")
    assert f'href="{slower}?prompt={version.prompt_id}&amp;environment=production"' in html
    assert "words more" not in shown(cast.ben, version, "staging"), "nothing is live there"
