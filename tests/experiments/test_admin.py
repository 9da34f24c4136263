"""Experiments through the editors' pages: setting up in two pages, then each act after its page."""

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
ADD = "/admin/experiments/experiment/add/"
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


def texts_page(prompt: Prompt) -> str:
    return f"{ADD}?prompt={prompt.pk}&environment=production"


def set_up(**fields: Any) -> dict[str, Any]:
    sent = {"title": "Formal greeting", "hypothesis": "We expect more thumbs-up because it is polite."}
    return {
        **sent,
        "compared_with": 1,
        "coverage": "100",
        "version_1": 2,
        "share_1": "50",
        "name_1": "Formal",
        **fields,
    }


def page_of(experiment: Experiment, name: str = "change", *args: str) -> str:
    return reverse(f"admin:experiments_experiment_{name}", args=[experiment.pk, *args])


def test_the_first_page_asks_where_and_the_second_which_texts(cast: Cast) -> None:
    prompt = two_versions(cast)
    client = signed_in(cast.ann)
    first = client.get(ADD).content.decode()
    assert "Greeting" in first and "Production" in first
    second = client.get(texts_page(prompt)).content.decode()
    assert "The current text is v1, live in Production." in second
    assert "v2 – Formal" in second and "v1 –" not in second


def test_setting_up_makes_a_draft_that_nobody_sees(cast: Cast) -> None:
    prompt = two_versions(cast)
    answer = signed_in(cast.ann).post(texts_page(prompt), set_up(coverage="20"), follow=True)
    made = Experiment.objects.get()
    assert answer.redirect_chain == [(page_of(made), 302)]
    assert "Nobody sees it until it is started." in answer.content.decode()
    assert (made.state, made.key, made.coverage_bp, made.owner) == (State.DRAFT, "formal-greeting", 2000, cast.ann)
    rows = [(one.key, one.version.number, one.weight_bp, str(one)) for one in made.variants.all()]
    assert rows == [("control", 1, 5000, "Current text"), ("formal", 2, 5000, "Formal")]


def test_the_current_text_gets_what_the_alternatives_leave(cast: Cast) -> None:
    prompt = two_versions(cast)
    make_version(prompt, "Hey.")
    sent = set_up(share_1="33.3", version_2=3, share_2="33.3", name_2="")
    signed_in(cast.ann).post(texts_page(prompt), sent)
    shares = [(one.key, one.weight_bp) for one in Experiment.objects.get().variants.all()]
    assert shares == [("control", 3340), ("formal", 3330), ("v3", 3330)]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"title": ""}, "title"),
        ({"version_1": ""}, "version_1"),
        ({"version_1": 1}, "version_1"),
        ({"share_1": ""}, "share_1"),
        ({"share_1": "100"}, "share_1"),
        ({"share_1": "-5"}, "share_1"),
        ({"version_2": 2, "share_2": "10"}, "version_2"),
        ({"coverage": "0"}, "coverage"),
        ({"key": "Not A Key"}, "key"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(cast: Cast, wrong: dict[str, Any], field: str) -> None:
    prompt = two_versions(cast)
    html = signed_in(cast.ann).post(texts_page(prompt), set_up(**wrong)).content.decode()
    assert f'href="#id_{field}"' in html
    assert "because it is polite" in html
    assert not Experiment.objects.exists()


def test_a_taken_name_is_said_at_the_short_name(cast: Cast) -> None:
    prompt = two_versions(cast)
    client = signed_in(cast.ann)
    client.post(texts_page(prompt), set_up(key="formal"))
    assert 'href="#id_key"' in client.post(texts_page(prompt), set_up(key="formal")).content.decode()
    assert Experiment.objects.count() == 1


def test_without_a_live_version_there_is_nothing_to_compare_with(cast: Cast) -> None:
    prompt = two_versions(cast)
    client = signed_in(cast.ann)
    html = client.get(f"{ADD}?prompt={prompt.pk}&environment=staging").content.decode()
    assert "No version of Greeting is live in Staging." in html
    bare = make_prompt(cast.team, title="Never live")
    assert 'href="#id_prompt"' in client.get(f"{ADD}?prompt={bare.pk}&environment=production").content.decode()


def test_a_version_that_went_live_meanwhile_is_noticed(cast: Cast) -> None:
    prompt = two_versions(cast)
    sent = set_up()
    make_live(newest(prompt))
    html = signed_in(cast.ann).post(texts_page(prompt), {**sent, "version_1": 1}).content.decode()
    assert "v2 went live meanwhile" in html
    assert not Experiment.objects.exists()


def test_setting_up_is_for_writers_of_the_team(cast: Cast) -> None:
    prompt = two_versions(cast)
    assert Client().get(ADD).status_code == 302
    refused = signed_in(cast.vic).get(ADD)
    assert refused.status_code == 403 and "writer" in refused.content.decode()
    assert signed_in(cast.vic).post(texts_page(prompt), set_up()).status_code == 403
    strangers = signed_in(cast.zoe).post(texts_page(prompt), set_up()).content.decode()
    assert 'href="#id_prompt"' in strangers and "Greeting" not in strangers
    assert not Experiment.objects.exists()


def test_the_page_before_a_start_says_what_is_in_its_way(cast: Cast) -> None:
    prompt = two_versions(cast)
    draft = make_experiment(prompt, title="Formal or not")
    draft.variants.filter(is_control=False).update(version=make_version(prompt, "Good day, {{name}}."))
    running = make_experiment(prompt, title="Another", running=True)
    client, url = signed_in(cast.ben), page_of(draft, "act", "start")
    html = client.get(url).content.decode()
    assert "Another already runs on this prompt" in html and "The applications send what all texts need" in html
    lifecycle.stop(SYSTEM, running)
    sent = {"note": "Agreed", "compared": "on"}
    assert 'href="#id_confirm"' in client.post(url, sent).content.decode()
    client.post(url, {**sent, "confirm": "on"})
    assert Experiment.objects.get(pk=draft.pk).state == State.RUNNING


def test_the_list_shows_state_and_shares(cast: Cast, django_assert_max_num_queries) -> None:
    make_experiment(two_versions(cast), title="Formal or not", running=True)
    client = signed_in(cast.vic)
    with django_assert_max_num_queries(10):
        html = client.get(LIST).content.decode()
    assert "Formal or not" in html and "Running" in html and "v2, 50" in html
    assert "Formal or not" not in signed_in(cast.zoe).get(LIST).content.decode()
    assert "Formal or not" not in client.get(f"{LIST}?state__exact=draft").content.decode()


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
    html = signed_in(cast.ann).get(page_of(experiment)).content.decode()
    assert "Only publishers start, pause and end experiments." in html
    assert page_of(experiment, "act", "start") not in html


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
