"""Setting an experiment up in four pages: kept page by page, gone on with by whoever comes back, started at the end."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from experiments.models import Experiment, HourRollup
from experiments.services import lifecycle
from promptlab.accounts.access import SYSTEM
from prompts.models import Environment, Prompt
from tests.experiments.test_admin import page_of, signed_in, two_versions
from tests.support.cast import Cast
from tests.support.make import (
    make_experiment,
    make_live,
    make_model,
    make_prompt,
    make_provider,
    make_version,
    newest,
)

pytestmark = pytest.mark.django_db
ADD = "/admin/experiments/experiment/add/"
State = Experiment.State
QUESTION = {
    "environment": "production", "title": "Formal greeting", "hypothesis": "More thumbs-up because it is polite.",
    "primary_metric": "approval", "guardrails": ["latency"],
}  # fmt: skip
TEXTS = {"compared_with": 1, "version_1": 2, "name_1": "Formal"}
PEOPLE = {"split": "equal", "coverage": "20", "planned_size": "400"}


def begun(cast: Cast, prompt: Prompt | None = None, **fields: Any) -> Experiment:
    prompt = prompt or two_versions(cast)
    answer = signed_in(cast.ann).post(ADD, {"prompt": prompt.pk, **QUESTION, **fields})
    assert answer.status_code == 302, answer.content.decode()
    return Experiment.objects.get()


def test_four_pages_lead_from_the_prompt_to_a_running_experiment(cast: Cast) -> None:
    prompt = two_versions(cast)
    client = signed_in(cast.cleo)
    clicks = 1  # the link on the prompt's page
    page = client.get(reverse("admin:prompts_prompt_change", args=[prompt.pk])).content.decode()
    assert f"{ADD}?prompt={prompt.pk}" in page
    first = client.get(f"{ADD}?prompt={prompt.pk}").content.decode()
    assert f'value="{prompt.pk}" selected' in first
    answer = client.post(ADD, {"prompt": prompt.pk, **QUESTION})
    clicks += 1
    draft = Experiment.objects.get()
    assert (draft.state, draft.key, draft.owner, draft.guardrails) == (
        State.DRAFT,
        "formal-greeting",
        cast.cleo,
        ["latency"],
    )
    assert answer["Location"] == page_of(draft, "texts")
    texts = client.get(answer["Location"]).content.decode()
    assert "The current text, v1, is always one of them" in texts and "v2 – Formal" in texts
    answer = client.post(answer["Location"], TEXTS)
    clicks += 2  # a version is chosen
    assert answer["Location"] == page_of(draft, "people")
    answer = client.post(answer["Location"], PEOPLE)
    clicks += 1
    assert answer["Location"] == page_of(draft, "act", "start")
    last = client.get(answer["Location"]).content.decode()
    assert "for 20 % of all users" in last.replace("\xa0", " ") and "Nothing stands" not in last
    answer = client.post(answer["Location"], {"note": "Agreed", "compared": "on"}, follow=True)
    clicks += 2  # a tick, and the button
    assert "Formal greeting is running." in answer.content.decode()
    draft.refresh_from_db()
    rows = [(one.key, one.version.number, one.weight_bp, str(one)) for one in draft.variants.all()]
    assert rows == [("control", 1, 5000, "Current text"), ("formal", 2, 5000, "Formal")]
    assert (draft.state, draft.coverage_bp, draft.planned_size) == (State.RUNNING, 2000, 400)
    assert clicks <= 8


def test_what_was_kept_is_there_after_signing_out(cast: Cast) -> None:
    draft = begun(cast)
    signed_in(cast.ann).post(page_of(draft, "texts"), {**TEXTS, "act": "later"})
    client = signed_in(cast.ann)
    assert "Go on setting it up" in client.get(page_of(draft)).content.decode()
    question = client.get(page_of(draft, "question")).content.decode()
    assert "because it is polite" in question and "Formal greeting" in question
    texts = client.get(page_of(draft, "texts")).content.decode()
    assert '<option value="2" selected>' in texts and 'value="Formal"' in texts
    client.post(page_of(draft, "people"), {**PEOPLE, "split": "own", "share_0": "90", "share_1": "10"})
    people = client.get(page_of(draft, "people")).content.decode()
    assert 'value="20' in people and 'value="careful" selected' in people
    client.post(page_of(draft, "texts"), TEXTS)
    assert [one.weight_bp for one in draft.variants.all()] == [9000, 1000], "the same texts keep their shares"


def test_an_alternative_may_be_the_same_text_with_another_model(cast: Cast) -> None:
    draft = begun(cast)
    make_model(make_provider(cast.team), "other")
    client = signed_in(cast.ann)
    twice = {**TEXTS, "version_1": 1, "name_1": ""}
    refused = client.post(page_of(draft, "texts"), twice).content.decode()
    assert 'href="#id_version_1"' in refused
    client.post(page_of(draft, "texts"), {**twice, "model_1": "other", "creativity_1": "0.5", "version_2": 2})
    rows = [(one.key, one.version.number, one.model, one.parameters) for one in draft.variants.all()]
    assert rows == [("control", 1, "", {}), ("v1", 1, "other", {"temperature": 0.5}), ("v2", 2, "", {})]
    assert sum(one.weight_bp for one in draft.variants.all()) == 10_000


@pytest.mark.parametrize(
    ("page", "wrong", "field"),
    [
        ("question", {**QUESTION, "title": ""}, "title"),
        ("question", {**QUESTION, "environment": "staging"}, "environment"),
        ("texts", {**TEXTS, "version_1": ""}, "version_1"),
        ("texts", {**TEXTS, "version_2": 2}, "version_2"),
        ("texts", {**TEXTS, "creativity_1": "3"}, "creativity_1"),
        ("people", {**PEOPLE, "coverage": "0"}, "coverage"),
        ("people", {**PEOPLE, "split": "own", "share_0": "90"}, "split"),
        ("people", {**PEOPLE, "planned_size": "0"}, "planned_size"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(cast: Cast, page: str, wrong: dict[str, Any], field: str) -> None:
    draft = begun(cast)
    client = signed_in(cast.ann)
    client.post(page_of(draft, "texts"), TEXTS)
    html = client.post(page_of(draft, page), wrong).content.decode()
    assert f'href="#id_{field}"' in html
    draft.refresh_from_db()
    assert (draft.title, draft.coverage_bp, draft.variants.count()) == ("Formal greeting", 10_000, 2)


def test_without_a_live_version_there_is_nothing_to_compare_with(cast: Cast) -> None:
    prompt = two_versions(cast)
    client = signed_in(cast.ann)
    html = client.post(ADD, {"prompt": prompt.pk, **QUESTION, "environment": "staging"}).content.decode()
    assert "No version of Greeting is live in Staging." in html
    bare = make_prompt(cast.team, title="Never live")
    assert 'href="#id_prompt"' in client.post(ADD, {"prompt": bare.pk, **QUESTION}).content.decode()
    assert not Experiment.objects.exists()


def test_a_version_that_went_live_meanwhile_is_noticed(cast: Cast) -> None:
    prompt = two_versions(cast)
    draft = begun(cast, prompt)
    make_live(newest(prompt))
    html = signed_in(cast.ann).post(page_of(draft, "texts"), {**TEXTS, "version_1": 1}).content.decode()
    assert "v2 went live meanwhile" in html
    assert draft.variants.count() == 1


def test_the_last_page_says_what_stands_in_the_way_and_what_may_disappoint(cast: Cast) -> None:
    prompt = two_versions(cast)
    draft = begun(cast, prompt, hypothesis="")
    client, url = signed_in(cast.cleo), page_of(draft, "act", "start")
    html = client.get(url).content.decode()
    assert "An experiment has two to five variants." in html and "Start anyway" not in html
    client.post(page_of(draft, "texts"), TEXTS)
    running = make_experiment(prompt, title="Another", running=True)
    html = client.get(url).content.decode()
    assert "Another already runs on this prompt" in html and "What you set up is kept" in html
    client.post(url, {"note": "Go", "compared": "on"})
    draft.refresh_from_db()
    assert draft.state == State.DRAFT
    lifecycle.stop(SYSTEM, running)
    html = client.get(url).content.decode()
    assert "Nothing says what is expected" in html and "Start anyway" in html and "Nobody knows how long" in html
    client.post(url, {"note": "Go", "compared": "on"})
    draft.refresh_from_db()
    assert draft.state == State.RUNNING


def test_other_blanks_take_a_tick(cast: Cast) -> None:
    prompt = two_versions(cast)
    draft = begun(cast, prompt)
    make_version(prompt, "Good day, {{name}}.")
    client, url = signed_in(cast.cleo), page_of(draft, "act", "start")
    client.post(page_of(draft, "texts"), {**TEXTS, "version_1": 3})
    assert "The applications send what all texts need" in client.get(url).content.decode()
    sent = {"note": "Agreed", "compared": "on"}
    assert 'href="#id_confirm"' in client.post(url, sent).content.decode()
    client.post(url, {**sent, "confirm": "on"})
    draft.refresh_from_db()
    assert draft.state == State.RUNNING


def test_what_can_be_seen_by_when_follows_from_the_ratings_before(cast: Cast, django_assert_max_num_queries) -> None:
    draft = begun(cast)
    signed_in(cast.ann).post(page_of(draft, "texts"), TEXTS)
    url = page_of(draft, "people")
    assert "fewer than 100 ratings" in signed_in(cast.ann).get(url).content.decode()
    rated(draft, 5320, 4256)
    client = signed_in(cast.ann)
    with django_assert_max_num_queries(20):
        html = client.get(url).content.decode().replace("\xa0", " ")
    assert "About 380 ratings a day" in html and "80.0 % of the ratings" in html
    assert html.count("points</td>") == 3
    client.post(url, {**PEOPLE, "coverage": "100", "planned_size": "4000"})
    assert "after about 11 days" in client.get(url).content.decode()
    assert "It can be decided within 60 days." in client.get(page_of(draft, "act", "start")).content.decode()


def rated(draft: Experiment, ratings: int, ups: int) -> None:
    version = draft.variants.get(key="control").version
    HourRollup.objects.create(
        prompt=draft.prompt,
        environment=draft.environment,
        version=version,
        hour=timezone.now(),
        ratings=ratings,
        ups=ups,
    )


def test_what_was_started_is_not_set_up_any_more(cast: Cast) -> None:
    running = make_experiment(two_versions(cast), title="Formal or not", running=True)
    client = signed_in(cast.cleo)
    for page in ("question", "texts", "people", "who"):
        answer = client.get(page_of(running, page), follow=True)
        assert answer.redirect_chain == [(page_of(running), 302)], page
        assert "was started already" in answer.content.decode()
    assert "is running" in client.post(page_of(running, "people"), PEOPLE).content.decode()


def test_setting_up_is_for_writers_of_the_team_and_starting_for_publishers(cast: Cast) -> None:
    prompt = two_versions(cast)
    assert Client().get(ADD).status_code == 302
    assert signed_in(cast.vic).post(ADD, {"prompt": prompt.pk, **QUESTION}).status_code == 403
    strangers = signed_in(cast.zoe).post(ADD, {"prompt": prompt.pk, **QUESTION}).content.decode()
    assert 'href="#id_prompt"' in strangers and "Greeting" not in strangers
    draft = begun(cast, prompt)
    for page in ("question", "texts", "people", "who", "testers"):
        assert Client().get(page_of(draft, page)).status_code == 302
        assert signed_in(cast.zoe).get(page_of(draft, page)).status_code == 404
        assert signed_in(cast.vic).get(page_of(draft, page)).status_code == 403
    signed_in(cast.ann).post(page_of(draft, "texts"), TEXTS)
    publishers = signed_in(cast.ben).get(page_of(draft)).content.decode()
    assert "Check and start" in publishers and "Go on setting it up" not in publishers
    html = signed_in(cast.ann).get(page_of(draft, "act", "start")).content.decode()
    assert "Only publishers start, pause and end experiments." in html
    assert signed_in(cast.ann).post(page_of(draft, "act", "start"), {}).status_code == 403


def test_a_get_writes_nothing(cast: Cast) -> None:
    draft = begun(cast)
    before = Experiment.objects.values().get()
    for page in ("question", "texts", "people", "who", "testers"):
        assert signed_in(cast.cleo).get(page_of(draft, page)).status_code == 200
    assert Experiment.objects.values().get() == before
    assert Environment.objects.get(pk=draft.environment_id).revision == draft.environment.revision
