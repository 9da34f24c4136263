"""GET /feedback: ratings, newest first."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from experiments.models import Experiment
from feedback.models import Feedback
from feedback.services.ingest import NewRating, accept
from promptlab.accounts.access import SYSTEM
from promptlab.chat.models import Message
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_key, make_live, make_message, make_prompt, newest


@pytest.fixture
def experiment(cast: Cast) -> Experiment:
    return make_experiment(make_prompt(cast.team, name="support"), running=True, key="tone")


def rated(experiment: Experiment, value: int = 1, **more: Any) -> Message:
    variant = experiment.variants.get(is_control=False)
    message = make_message(variant.version, experiment.environment, variant=variant, unit_id="customer-7")
    accept(SYSTEM, NewRating(str(message.uid), value, **more))
    return message


def ids(key: str, query: str = "") -> list[str]:
    found = Api(key).get(f"/api/v1/feedback{query}")
    assert found.status_code == 200, found.json()
    return [row["message_id"] for row in found.json()["results"]]


def test_a_rating_says_what_it_is_about(cast: Cast, experiment: Experiment) -> None:
    message = rated(experiment, -1, comment="Too long.")
    row = Api(cast.read_key).get("/feedback").json()["results"][0]
    kept = Feedback.objects.get()
    assert (row["id"], row["feedback_id"], row["message_id"]) == (str(kept.uid), str(kept.uid), str(message.uid))
    assert (row["metric"], row["rating"], row["comment"], row["user"]) == ("rating", -1, "Too long.", "customer-7")
    assert (row["prompt"], row["version"], row["environment"]) == ("support", 2, "production")
    assert (row["experiment"], row["variant"]) == ("tone", "variant-1")


def test_a_rating_of_plain_chat_is_listed_too(cast: Cast) -> None:
    message = make_message(None, team=cast.team)
    accept(SYSTEM, NewRating(str(message.uid), 1))
    row = Api(cast.read_key).get("/feedback").json()["results"][0]
    assert (row["prompt"], row["version"], row["experiment"]) == (None, None, None)


def test_newest_come_first_in_pages(cast: Cast, experiment: Experiment) -> None:
    uids = [str(rated(experiment).uid) for _ in range(3)]
    page = Api(cast.read_key).get("/feedback?page_size=2").json()
    assert (page["count"], [row["message_id"] for row in page["results"]]) == (3, [uids[2], uids[1]])
    assert ids(cast.read_key, "?page_size=2&page=2") == [uids[0]]


def test_it_narrows(cast: Cast, experiment: Experiment) -> None:
    good, bad = str(rated(experiment, 1).uid), str(rated(experiment, -1).uid)
    version = newest(make_prompt(cast.team, name="billing"))
    other = make_message(version, make_live(version))
    accept(SYSTEM, NewRating(str(other.uid), 1))
    assert ids(cast.read_key, f"?message_id={good}") == [good]
    assert ids(cast.read_key, "?rating=-1") == [bad]
    assert ids(cast.read_key, "?prompt=billing") == [str(other.uid)]
    assert ids(cast.read_key, f"?prompt={experiment.prompt_id}&rating=1") == [good]
    assert ids(cast.read_key, "?prompt=nothing") == []


@pytest.mark.parametrize(
    ("query", "field"), [("rating=5", "rating"), ("message_id=x", "message_id"), ("prompt=%00", "prompt")]
)
def test_a_filter_that_cannot_be_read_is_a_400(cast: Cast, query: str, field: str) -> None:
    refused = Api(cast.read_key).get(f"/feedback?{query}")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, field)


def test_without_a_key_nobody_reads(cast: Cast) -> None:
    assert Api().get("/feedback").status_code == 401


def test_a_stranger_sees_an_empty_list(cast: Cast, experiment: Experiment) -> None:
    rated(experiment)
    assert ids(cast.stranger_key) == []


def test_a_key_without_the_scope_is_told_which_one_it_needs(cast: Cast) -> None:
    refused = Api(make_key(cast.team, "feedback")[1]).get("/feedback")
    assert (refused.status_code, "read" in refused.json()["detail"]) == (403, True)


def test_a_viewer_reads_in_the_browser(cast: Cast, experiment: Experiment) -> None:
    rated(experiment)
    client = Client()
    client.force_login(cast.vic, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/feedback/").json()["count"] == 1


def test_a_page_costs_the_same_however_long(
    cast: Cast, experiment: Experiment, django_assert_max_num_queries: Any
) -> None:
    for _ in range(5):
        rated(experiment)
    Api(cast.read_key).get("/feedback")
    with django_assert_max_num_queries(2):  # count, page
        Api(cast.read_key).get("/feedback")
