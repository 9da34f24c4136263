"""Gradual launches through the editors' pages: beginning one in two pages, and who may."""

from __future__ import annotations

import pytest
from django.test import Client

from experiments.models import Ramp
from prompts.models import Prompt
from tests.support.cast import Cast
from tests.support.make import make_live, make_prompt, make_user, make_version, newest
from tests.support.ramps import make_ramp

pytestmark = pytest.mark.django_db
LIST = "/admin/experiments/ramp/"
ADD = f"{LIST}add/"


def signed_in(user: object) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def prompt(cast: Cast) -> Prompt:
    """Version 1 is live in Production; version 2 asks for the same, version 3 for another blank."""
    made = make_prompt(cast.team, "Hello {{name}}.", title="Greeting")
    make_live(newest(made))
    make_version(made, "Good day, {{name}}.")
    make_version(made, "Good day, {{name}} of {{town}}.")
    return made


def where(prompt: Prompt, environment: str = "production") -> str:
    return f"{ADD}?prompt={prompt.pk}&environment={environment}"


def test_it_asks_where_then_which_version_and_begins(cast: Cast, prompt: Prompt) -> None:
    client = signed_in(cast.cleo)
    assert "New gradual launch" in client.get(LIST).content.decode()
    assert "Greeting" in client.get(ADD).content.decode()
    page = client.get(where(prompt)).content.decode()
    assert "v1 stays live" in page and not Ramp.objects.exists()
    done = client.post(where(prompt), {"version": "2", "note": "Shorter"}, follow=True)
    assert "has begun" in done.content.decode()
    ramp = Ramp.objects.with_names().get()
    assert (ramp.state, ramp.experiment.prompt, ramp.starter_label) == (Ramp.State.RUNNING, prompt, "Cleo")


def test_other_blanks_take_a_tick(cast: Cast, prompt: Prompt) -> None:
    client = signed_in(cast.cleo)
    refused = client.post(where(prompt), {"version": "3", "note": "Town"})
    assert "town" in refused.content.decode() and not Ramp.objects.exists()
    client.post(where(prompt), {"version": "3", "note": "Town", "apps_know": "on"})
    assert Ramp.objects.exists()


@pytest.mark.parametrize(
    "wrong", [{"version": ""}, {"version": "1"}, {"version": "99"}, {"version": "x"}, {"note": ""}]
)
def test_what_is_wrong_is_said_and_nothing_begins(cast: Cast, prompt: Prompt, wrong: dict[str, str]) -> None:
    answer = signed_in(cast.cleo).post(where(prompt), {"version": "2", "note": "Why", **wrong})
    assert answer.status_code == 200 and not Ramp.objects.exists()


def test_where_nothing_is_live_there_is_nothing_to_replace(cast: Cast, prompt: Prompt) -> None:
    page = signed_in(cast.cleo).get(where(prompt, "staging")).content.decode()
    assert "Staging" in page and "v1 stays live" not in page


def test_a_second_one_is_refused_by_name(cast: Cast, prompt: Prompt) -> None:
    client = signed_in(cast.cleo)
    for number in ("2", "2"):
        answer = client.post(where(prompt), {"version": number, "note": "Why"})
    assert answer.status_code == 200 and "Greeting" in answer.content.decode()
    assert Ramp.objects.count() == 1


def test_only_who_puts_live_may_begin(cast: Cast, prompt: Prompt) -> None:
    stranger = make_user("other")
    for user in (cast.vic, cast.ann, stranger):
        client = signed_in(user)
        assert client.get(ADD).status_code in (302, 403), user
        assert client.post(where(prompt), {"version": "2", "note": "Why"}).status_code in (302, 403), user
    assert not Ramp.objects.exists()


def test_a_viewer_still_sees_them(cast: Cast) -> None:
    ramp = make_ramp(cast.team)
    client = signed_in(cast.vic)
    page = client.get(f"{LIST}{ramp.pk}/change/").content.decode()
    assert ramp.experiment.title in page and "Send everyone back" not in page
    assert "New gradual launch" not in client.get(LIST).content.decode()
