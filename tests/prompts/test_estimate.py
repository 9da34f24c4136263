"""How many tokens something takes, before it is sent."""

from __future__ import annotations

from typing import Any

import pytest

from promptlab import llm
from promptlab.accounts.models import Team
from tests.support.api import Api
from tests.support.make import make_key, make_model, make_prompt, make_provider, make_team, make_version

pytestmark = pytest.mark.django_db
TEXT = "Hello, how are you today?"


def test_a_text_is_counted_as_the_model_counts(api: Api, team: Team) -> None:
    make_model(make_provider(team), "support", upstream_name="gpt-4o")
    exact = llm.estimate(TEXT, "gpt-4o").tokens
    for model in ("gpt-4o", "support"):
        answer = api.post("/estimate", {"text": TEXT, "model": model})
        assert (answer.status_code, answer.json()) == (200, {"tokens": exact, "is_estimated": False}), model
    assert api.post("/estimate", {"text": TEXT, "model": "echo"}).json() == {"tokens": 5, "is_estimated": False}
    assert api.post("/estimate", {"text": TEXT, "model": "gpt-99"}).json()["is_estimated"]


def test_a_prompt_is_counted_filled_and_half_filled(api: Api, team: Team) -> None:
    prompt = make_prompt(team, "one two {{name}}", title="Greeting")
    make_version(prompt, "one {{name}}")
    said = {"prompt": "greeting", "model": "echo"}
    assert api.post("/estimate", {**said, "version": "1", "variables": {"name": "a b c"}}).json()["tokens"] == 5
    assert api.post("/estimate", {**said, "variables": {"name": "a b c"}}).json()["tokens"] == 4
    assert api.post("/estimate", said).json()["tokens"] == 2


def test_messages_are_counted_near_enough(api: Api, team: Team) -> None:
    make_prompt(team, messages=[{"role": "system", "content": "Be kind to {{name}}."}], title="Kind")
    answer = api.post("/estimate", {"prompt": "kind", "variables": {"name": "Ann"}, "model": "gpt-4o"}).json()
    assert answer["tokens"] > 5 and answer["is_estimated"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "text"),
        ({"text": "x", "prompt": "greeting"}, "text"),
        ({"text": {}}, "text"),
        ({"text": "x", "variables": "y"}, "variables"),
        ({"text": "x" * 1_000_001}, "text"),
    ],
)
def test_a_wrong_field_is_named(api: Api, body: dict[str, Any], field: str) -> None:
    answer = api.post("/estimate", body)
    assert answer.status_code == 400 and field in {error["field"] for error in answer.json()["errors"]}


def test_what_is_not_there_is_not_counted(api: Api, team: Team) -> None:
    make_prompt(make_team(), title="Theirs")
    assert api.post("/estimate", {"prompt": "theirs"}).status_code == 404
    assert api.post("/estimate", {"text": "x", "model": "echo-nonsense"}).json()["code"] == "model_not_found"
    assert Api().post("/estimate", {"text": "x"}).status_code == 401
    assert Api(make_key(team, "chat")[1]).post("/estimate", {"text": "x"}).status_code == 403
