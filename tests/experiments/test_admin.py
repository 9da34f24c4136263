"""Experiments through the editors' pages: the list, the page of one, each act after its page."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from experiments.models import Experiment
from experiments.services import lifecycle
from promptlab.accounts.access import SYSTEM
from prompts.models import Prompt
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_live, make_prompt, make_version, newest

LIST = "/admin/experiments/experiment/"
State = Experiment.State


def signed_in(user: object) -> Client:
    client = Client()
    client.force_login(user)
    return client


def two_versions(cast: Cast) -> Prompt:
    """Return a prompt with version 1 live in Production and a version 2."""
    prompt = make_prompt(cast.team, "Hello.", title="Greeting")
    make_live(newest(prompt))
    make_version(prompt, "Good day.", message="Formal")
    return prompt


def page_of(experiment: Experiment, name: str = "change", *args: str) -> str:
    return reverse(f"admin:experiments_experiment_{name}", args=[experiment.pk, *args])


def test_the_list_shows_state_and_shares(cast: Cast, django_assert_max_num_queries) -> None:
    make_experiment(two_versions(cast), title="Formal or not", running=True)
    client = signed_in(cast.vic)
    with django_assert_max_num_queries(12):
        html = client.get(LIST).content.decode()
    assert "Formal or not" in html and "Running" in html and "v2, 50" in html
    assert "Formal or not" not in signed_in(cast.zoe).get(LIST).content.decode()
    assert "Formal or not" not in client.get(f"{LIST}?state__exact=draft").content.decode()
    other = make_experiment(make_prompt(cast.team, title="Farewell"), title="Another")
    shown = client.get(f"{LIST}?prompt_id={other.prompt_id}").content.decode()
    assert "Another</a>" in shown and "Formal or not</a>" not in shown
    assert "Farewell" not in signed_in(cast.zoe).get(LIST).content.decode(), "a filter names nothing of others"


def test_the_page_leads_to_the_results_and_to_each_act(cast: Cast, django_assert_max_num_queries) -> None:
    experiment = make_experiment(two_versions(cast), running=True)
    client = signed_in(cast.ben)
    with django_assert_max_num_queries(10):
        html = client.get(page_of(experiment)).content.decode()
    assert reverse("dashboards:experiment", args=[experiment.key]) in html
    for verb in ("pause", "stop", "kill"):
        assert page_of(experiment, "act", verb) in html
    assert page_of(experiment, "act", "start") not in html


def test_who_may_not_run_it_is_told_who_may(cast: Cast) -> None:
    experiment = make_experiment(two_versions(cast))
    client = signed_in(cast.ann)
    for url in (page_of(experiment), page_of(experiment, "act", "start")):
        html = client.get(url).content.decode()
        assert "Only publishers start, pause and end experiments." in html
        assert page_of(experiment, "act", "kill") not in html and "Start now" not in html


def test_a_get_changes_nothing(cast: Cast) -> None:
    experiment = make_experiment(two_versions(cast), running=True)
    for verb in ("pause", "stop", "kill", "start", "resume"):
        assert signed_in(cast.ben).get(page_of(experiment, "act", verb)).status_code == 200
    experiment.refresh_from_db()
    assert experiment.state == State.RUNNING


def test_starting_in_production_takes_a_reason_and_a_look(cast: Cast) -> None:
    experiment = make_experiment(two_versions(cast))
    client = signed_in(cast.ben)
    url = page_of(experiment, "act", "start")
    assert "users in Production get one of the texts" in client.get(url).content.decode()
    html = client.post(url, {"note": ""}).content.decode()
    assert 'href="#id_note"' in html and 'href="#id_compared"' in html
    html = client.post(url, {"note": "Go", "compared": "on"}, follow=True).content.decode()
    assert "is running." in html
    experiment.refresh_from_db()
    assert experiment.state == State.RUNNING


def test_pause_go_on_and_end(cast: Cast) -> None:
    experiment = make_experiment(two_versions(cast), environment="staging")
    client = signed_in(cast.ben)
    steps = [("start", State.RUNNING), ("pause", State.PAUSED), ("resume", State.RUNNING), ("stop", State.STOPPED)]
    for verb, state in steps:
        client.post(page_of(experiment, "act", verb), {"note": "As planned"})
        experiment.refresh_from_db()
        assert experiment.state == state
    assert "As planned" in client.get(page_of(experiment)).content.decode()


def test_stopping_now_takes_two_clicks_and_no_reason(cast: Cast) -> None:
    experiment = make_experiment(two_versions(cast), running=True)
    client = signed_in(cast.ben)
    url = page_of(experiment, "act", "kill")
    page = client.get(url).content.decode()
    assert "Everybody gets the version that is live again, at once." in page and "Too expensive" in page
    html = client.post(url, {"reason": "Complaints"}, follow=True).content.decode()
    assert "is stopped." in html
    experiment.refresh_from_db()
    assert (experiment.state, experiment.end_note) == (State.KILLED, "Complaints")
    assert client.post(url, {}).status_code == 302


@pytest.mark.parametrize("end", [lifecycle.stop, lifecycle.kill])
def test_what_has_ended_offers_no_page_to_stop_it(cast: Cast, end: Any) -> None:
    experiment = make_experiment(two_versions(cast), title="Formal or not", running=True)
    end(SYSTEM, experiment)
    client = signed_in(cast.ben)
    for verb in ("kill", "stop", "pause"):
        answer = client.get(page_of(experiment, "act", verb), follow=True)
        assert answer.redirect_chain == [(page_of(experiment), 302)]
        assert "Formal or not has ended already. Nothing was changed." in answer.content.decode()
    assert signed_in(cast.vic).get(page_of(experiment, "act", "kill")).status_code == 403


def test_what_cannot_be_done_is_said_on_the_page(cast: Cast) -> None:
    prompt = two_versions(cast)
    make_experiment(prompt, title="The first", running=True)
    second = make_experiment(prompt, title="The second")
    client = signed_in(cast.ben)
    html = client.post(page_of(second, "act", "start"), {"note": "Go", "compared": "on"}).content.decode()
    assert "The first already runs on this prompt in production." in html
    lifecycle.kill(SYSTEM, second)
    html = client.post(page_of(second, "act", "pause"), {"note": ""}).content.decode()
    assert "The experiment is stopped at once" in html


def test_acts_are_closed_to_strangers_writers_and_viewers(cast: Cast) -> None:
    experiment = make_experiment(two_versions(cast), running=True)
    url = page_of(experiment, "act", "kill")
    assert Client().post(url).status_code == 302
    assert signed_in(cast.zoe).post(url).status_code == 404
    for user in (cast.vic, cast.ann):
        answer = signed_in(user).post(url)
        assert answer.status_code == 403 and "publisher" in answer.content.decode()
    assert signed_in(cast.ben).post(page_of(experiment, "act", "explode")).status_code == 404
    experiment.refresh_from_db()
    assert experiment.state == State.RUNNING
