"""Tokens a minute: held before a call by an estimate, counted after it by what it took."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from promptlab.llm.providers import scripted
from promptlab.llm.types import Usage
from tests.chat.openai_desk import Desk

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_limits")]
HELLO = [{"role": "user", "content": "Hello"}]
USAGE = Usage(40, 60)


@pytest.fixture(autouse=True)
def thousand(settings: Any) -> None:
    settings.RATE_LIMIT_TOKENS_PER_MINUTE = 1000


def left(desk: Desk, model: str = "scripted") -> tuple[int, int]:
    """Ask once; return the status and the tokens that were left then."""
    body = {"model": model, "message": "Hello"}
    answer = desk.send("POST", "/api/v1/chat", json=body)
    told = answer.headers["ratelimit"].partition('"tokens";r=')[2]
    return answer.status_code, int(told.partition(";")[0])


def test_an_answer_counts_what_it_took(desk: Desk) -> None:
    with scripted.use(scripted.Reply(("Hi",), usage=USAGE), repeats=True):
        first, second = left(desk), left(desk)
    assert first[0] == second[0] == 200
    assert first[1] < 500
    assert second[1] == first[1] - 100


def test_a_call_that_finds_no_room_is_told_when_there_is_some(desk: Desk) -> None:
    with scripted.use(scripted.Reply(("Hi",), usage=Usage(400, 500)), repeats=True):
        assert left(desk)[0] == 200
        answer = desk.send("POST", "/api/v1/generate", json={"model": "scripted", "prompt": "Hello"})
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert 1 <= int(answer.headers["retry-after"]) <= 120
    assert "tokens" in answer.json()["detail"]


def test_what_never_asked_a_model_took_nothing(desk: Desk) -> None:
    assert desk.send("POST", "/api/v1/chat", json={"message": ""}).status_code == 400
    assert desk.send("POST", "/api/v1/generate", json={"prompt_name": "nobody"}).status_code == 404
    assert desk.send("POST", "/v1/chat/completions", json={"model": "scripted"}).status_code == 400
    with scripted.use(scripted.Reply(("Hi",), usage=USAGE)):
        status, after = left(desk)
    assert (status, after > 450) == (200, True)


def test_openai_s_client_is_told_as_openai_tells_it(desk: Desk) -> None:
    with scripted.use(scripted.Reply(("Hi",), usage=Usage(400, 500)), repeats=True):
        raw = desk.client.chat.completions.with_raw_response.create(model="scripted", messages=HELLO)  # type: ignore[arg-type]
        with pytest.raises(openai.RateLimitError) as refused:
            desk.client.chat.completions.create(model="scripted", messages=HELLO)  # type: ignore[arg-type]
    assert raw.headers["x-ratelimit-limit-tokens"] == "1000"
    assert raw.headers["x-ratelimit-remaining-tokens"].isdigit()
    assert raw.headers["x-ratelimit-limit-requests"].isdigit()
    assert (refused.value.type, refused.value.code) == ("tokens", "rate_limit_exceeded")


def test_lists_of_models_take_no_tokens(desk: Desk) -> None:
    raw = desk.client.models.with_raw_response.list()
    assert "x-ratelimit-limit-tokens" not in raw.headers
