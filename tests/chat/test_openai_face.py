"""What holds for every address under `/v1`: credentials, errors as the right exceptions, models, other addresses."""

from __future__ import annotations

import threading
from typing import Any

import openai
import pytest

from promptlab.chat.models import Message
from promptlab.lib.asgi import HotRoutes
from promptlab.lib.errors import DomainError
from promptlab.llm import errors as llm_errors
from promptlab.llm.providers import scripted
from tests.chat.openai_desk import Desk, answers
from tests.support.asgi import call
from tests.support.make import make_key, make_live, make_model, make_prompt, make_provider, make_team, make_version

HELLO: Any = [{"role": "user", "content": "Hello"}]


def ask(client: openai.OpenAI, **said: Any) -> Any:
    return client.chat.completions.create(**{"model": "echo", "messages": HELLO, **said})


# Who asks


def test_a_key_counts_in_both_headers_and_cookies_never(desk: Desk) -> None:
    for headers in ({"Authorization": f"Bearer {desk.key}"}, {"x-api-key": desk.key, "Authorization": ""}):
        assert desk.send("GET", "/v1/models", headers=headers).status_code == 200
    answer = desk.send("GET", "/v1/models", headers={"Authorization": "", "Cookie": "sessionid=x"})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["error"]["code"] == "invalid_api_key"


def test_a_wrong_key_is_an_authentication_error(desk: Desk) -> None:
    with desk.client_with("pl_wrong") as client, pytest.raises(openai.AuthenticationError) as caught:
        ask(client)
    assert (caught.value.code, caught.value.type) == ("invalid_api_key", "invalid_request_error")
    assert caught.value.request_id


def test_a_key_without_the_scope_or_the_environment_is_denied(desk: Desk) -> None:
    for key, said in (
        (make_key(desk.team, "read")[1], {}),
        (make_key(desk.team, "chat", environments=("staging",))[1], {"model": "prompt:greeting@production"}),
    ):
        with desk.client_with(key) as client, pytest.raises(openai.PermissionDeniedError) as caught:
            ask(client, **said)
        assert caught.value.code == "insufficient_permissions"


def test_a_used_up_budget_is_a_rate_limit_error_with_the_wait(desk: Desk) -> None:
    key = make_key(desk.team, "chat", calls_per_hour=1)[1]
    with desk.client_with(key) as client:
        ask(client)
        with pytest.raises(openai.RateLimitError) as caught:
            ask(client)
    headers = caught.value.response.headers
    assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "requests")
    assert int(headers["retry-after"]) >= 1
    assert headers["x-ratelimit-remaining-requests"] == "0"


# What is asked

WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"messages": None}, "messages", "missing_required_parameter"),
    ({"messages": []}, "messages", "missing_required_parameter"),
    ({"messages": "Hello"}, "messages", "invalid_value"),
    ({"messages": [{"content": "x"}]}, "messages.0.role", "missing_required_parameter"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role", "invalid_value"),
    ({"messages": [{"role": "user"}]}, "messages.0.content", "missing_required_parameter"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.tool_call_id", "missing_required_parameter"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        "messages.0.content.0",
        "unsupported_parameter",
    ),
    ({"messages": [{"role": "user", "content": "x" * 200_001}]}, "messages.0.content", "invalid_value"),
    ({"model": None}, "model", "missing_required_parameter"),
    ({"model": "prompt:"}, "model", "invalid_value"),
    ({"model": "x" * 101}, "model", "invalid_value"),
    ({"temperature": "hot"}, "temperature", "invalid_value"),
    ({"max_tokens": 0}, "max_tokens", "invalid_value"),
    ({"n": 2}, "n", "unsupported_parameter"),
    ({"logprobs": True}, "logprobs", "unsupported_parameter"),
    ({"functions": [{"name": "x"}]}, "functions", "unsupported_parameter"),
    ({"modalities": ["audio"]}, "modalities", "unsupported_parameter"),
    ({"tools": [{"type": "custom"}]}, "tools.0", "unsupported_parameter"),
    ({"stop": [1]}, "stop", "invalid_value"),
    ({"metadata": {"a": 1}}, "metadata.a", "invalid_value"),
    ({"metadata": {"a": "x" * 513}}, "metadata", "invalid_value"),
    ({"prompt": {"version": "1"}}, "prompt.id", "missing_required_parameter"),
    ({"prompt": {"id": "greeting@1", "version": "2"}}, "prompt.version", "invalid_value"),
    ({"prompt": {"id": "greeting"}}, "prompt.variables.name", "missing_variable"),
    ({"prompt": {"id": "greeting", "variables": {"name": ["x"]}}}, "prompt.variables.name", "invalid_value"),
    ({"user": "x" * 201}, "user", "invalid_value"),
]


@pytest.mark.parametrize(("said", "param", "code"), WRONG, ids=[f"{param}-{code}" for _, param, code in WRONG])
def test_a_wrong_parameter_is_named(desk: Desk, said: dict[str, Any], param: str, code: str) -> None:
    body = {"model": "echo", "messages": HELLO, **said}
    with pytest.raises(openai.BadRequestError) as caught:
        desk.client.post("/chat/completions", body=body, cast_to=object)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert caught.value.type == "invalid_request_error"
    assert Message.objects.count() == 0


def test_a_body_that_is_no_json_object_is_a_bad_request(desk: Desk) -> None:
    for content in (b"{", b"[]", b'{"model": NaN}'):
        answer = desk.send("POST", "/v1/chat/completions", content=content)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


def test_a_body_that_is_too_large_is_said_to_be(desk: Desk) -> None:
    content = b'{"model": "' + b"x" * 4_000_001 + b'"}'
    answer = desk.send("POST", "/v1/chat/completions", content=content)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    with pytest.raises(openai.APIStatusError) as caught:
        ask(desk.client, model="x" * 4_000_001)
    assert (caught.value.status_code, caught.value.code) == (413, "request_too_large")


MISSING = {
    "prompt:nobody": "prompt_not_found",
    "prompt:greeting@staging": "prompt_not_found",
    "prompt:greeting@9": "prompt_not_found",
    "prompt:nobody@9": "prompt_not_found",
    "echo-nobody": "model_not_found",
}


@pytest.mark.parametrize("model", MISSING)
def test_what_is_not_there_is_not_found(desk: Desk, model: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask(desk.client, model=model)
    assert caught.value.code == MISSING[model]
    assert caught.value.param in ("model", "prompt")


# What goes wrong behind us

BEHIND: list[tuple[llm_errors.LLMError, type[openai.APIStatusError], str, str, str | None]] = [
    (llm_errors.BadRequest(), openai.BadRequestError, "invalid_request_error", "upstream_bad_request", "false"),
    (llm_errors.ContextTooLong(), openai.BadRequestError, "invalid_request_error", "context_length_exceeded", "false"),
    (llm_errors.ProviderRefusedKey(), openai.InternalServerError, "server_error", "upstream_auth_error", "false"),
    (llm_errors.ProviderUnavailable(), openai.InternalServerError, "server_error", "upstream_unavailable", "false"),
    (llm_errors.ProviderTimeout(), openai.InternalServerError, "server_error", "upstream_timeout", "false"),
    (llm_errors.MalformedAnswer(), openai.InternalServerError, "server_error", "upstream_error", "false"),
    (
        llm_errors.ProviderRateLimited(retry_after_s=77),
        openai.RateLimitError,
        "requests",
        "upstream_rate_limited",
        None,
    ),
]


@pytest.mark.parametrize(("error", "exception", "kind", "code", "retry"), BEHIND, ids=[row[3] for row in BEHIND])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_what_the_provider_does_wrong_is_the_right_exception(
    desk: Desk,
    error: llm_errors.LLMError,
    exception: type[openai.APIStatusError],
    kind: str,
    code: str,
    retry: str | None,
    stream: bool,
) -> None:
    with scripted.use(error, repeats=True) as model, desk.client_with(desk.key, max_retries=0) as client:
        with pytest.raises(exception) as caught:
            ask(client, model="scripted", stream=stream)
        asked = len(model.requests)
    assert (caught.value.type, caught.value.code) == (kind, code)
    assert caught.value.response.headers.get("x-should-retry") == retry
    assert caught.value.response.headers["x-promptlab-inference-id"] == str(answers()[0].uid)
    if error.status == 429:
        assert caught.value.response.headers["retry-after"] == "77"
    assert len(answers()) == 1
    assert answers()[0].state == "failed"
    assert asked >= 1


def test_clients_do_not_multiply_our_own_retries(desk: Desk) -> None:
    with (
        scripted.use(llm_errors.ProviderUnavailable(), repeats=True),
        desk.client_with(desk.key, max_retries=3) as client,
        pytest.raises(openai.InternalServerError),
    ):
        ask(client, model="scripted")
    assert len(answers()) == 1


def test_a_crash_says_nothing_of_itself(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: Any) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("promptlab.chat.api.openai_face.draft_turn", crash)
    with pytest.raises(openai.InternalServerError) as caught:
        ask(desk.client)
    assert (caught.value.code, caught.value.type) == ("internal_error", "server_error")
    assert "secret" not in caught.value.response.text


def test_statuses_that_clients_take_otherwise_are_not_sent() -> None:
    from promptlab.chat.api.openai_wire import failure
    from promptlab.lib.errors import Conflict

    class Unprocessable(DomainError):
        status = 422

    assert (failure(Conflict()).status, failure(Unprocessable()).status) == (503, 400)
    out_of_money = failure(DomainError(code="insufficient_quota"))
    assert out_of_money.body["error"]["type"] == "insufficient_quota"
    assert out_of_money.headers["x-should-retry"] == "false"


def test_who_hangs_up_ends_the_call_and_the_row(desk: Desk, application: HotRoutes) -> None:
    body = {"model": "scripted", "messages": HELLO, "stream": True}
    with scripted.use(scripted.Reply(("a", "b", "c"), gap_s=20)) as model:
        call(application, "POST", "/v1/chat/completions", key=desk.key, body=body, gone_after=2)
        assert model.abandoned == 1
    assert (answers()[0].state, answers()[0].content) == ("cancelled", "a")


# Models


def test_models_are_what_is_live_and_what_providers_have(desk: Desk) -> None:
    make_live(desk.prompt.newest, "staging")  # type: ignore[arg-type]
    make_prompt(desk.team, "Not live.", title="Unseen")
    make_live(make_prompt(make_team(), "Foreign.", title="Foreign").newest)  # type: ignore[arg-type]
    found = {one.id: one for one in desk.client.models.list()}
    assert set(found) == {"prompt:greeting@staging", "prompt:greeting@production", "echo"}
    one = found["prompt:greeting@production"]
    assert (one.object, one.owned_by) == ("model", "promptlab")
    assert one.created == int(desk.prompt.newest.created_at.timestamp())  # type: ignore[union-attr]
    assert found["echo"].owned_by == "echo"
    limited = make_key(desk.team, "chat", environments=("staging",))[1]
    with desk.client_with(limited) as client:
        assert {one.id for one in client.models.list()} == {"prompt:greeting@staging", "echo"}
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("prompt:greeting@production")


def test_a_team_s_own_models_are_offered_and_those_switched_off_are_refused(desk: Desk) -> None:
    lab = make_provider(desk.team, name="Lab", kind="echo")
    make_model(lab, "support")
    make_model(lab, "old", is_on=False)
    found = {one.id: one.owned_by for one in desk.client.models.list()}
    assert (found["support"], found["echo"]) == ("Lab", "echo")
    assert "old" not in found
    with pytest.raises(openai.NotFoundError):
        desk.client.models.retrieve("old")
    with pytest.raises(openai.PermissionDeniedError) as refused:
        desk.client.chat.completions.create(model="old", messages=HELLO)  # type: ignore[arg-type]
    assert (refused.value.code, refused.value.type) == ("model_not_allowed", "invalid_request_error")
    assert desk.send("POST", "/api/v1/chat", json={"model": "old", "message": "Hi"}).status_code == 403
    assert answers() == []


def test_one_model_is_found_by_any_of_its_names(desk: Desk) -> None:
    make_version(desk.prompt, "Two {{name}}.", version_string="v1.1.0")
    for name in (
        "prompt:greeting",
        "prompt:greeting@production",
        "prompt:greeting@2",
        "prompt:greeting@v1.1.0",
        "echo",
    ):
        assert desk.client.models.retrieve(name).id == name
    for name in ("prompt:greeting@staging", "prompt:greeting@9", "prompt:team/sub/x@production", "prompt:", "nobody"):
        with pytest.raises(openai.NotFoundError) as caught:
            desk.client.models.retrieve(name)
        assert caught.value.code == "model_not_found"


def test_an_archived_prompt_says_that_it_ends(desk: Desk) -> None:
    from promptlab.accounts.access import SYSTEM
    from prompts.services import authoring

    authoring.archive_prompt(SYSTEM, desk.prompt)
    desk.prompt.refresh_from_db()
    answer = desk.send("GET", "/v1/models/prompt:greeting").json()
    assert desk.prompt.archived_at is not None
    assert answer["shutdown_date"] == desk.prompt.archived_at.date().isoformat()


def test_the_list_is_one_query_however_many_are_live(desk: Desk, statements: list[str]) -> None:
    desk.send("GET", "/v1/models")
    for _ in range(3):
        make_live(make_prompt(desk.team).newest)  # type: ignore[arg-type]
    statements.clear()
    assert len(desk.send("GET", "/v1/models").json()["data"]) == 5
    assert len([one for one in statements if "prompts_deployment" in one]) == 1


# Everything else


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/v1/chat/completions", 405, "POST"),
        ("POST", "/v1/models", 405, "GET"),
        ("DELETE", "/v1/models/echo", 405, "GET"),
        ("POST", "/v1/embeddings", 404, None),
        ("GET", "/v1/", 404, None),
        ("GET", "/v1/files/a%0Ab", 404, None),
    ],
)
def test_other_addresses_are_answered_in_json(
    desk: Desk, method: str, path: str, status: int, allow: str | None
) -> None:
    answer = desk.send(method, path)
    assert (answer.status_code, answer.headers.get("allow")) == (status, allow)
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.headers["x-request-id"]


def test_a_slash_at_the_end_makes_no_difference(desk: Desk) -> None:
    assert desk.send("POST", "/v1/chat/completions/", json={"model": "echo", "messages": HELLO}).status_code == 200


def test_fifty_at_once_are_fifty_rows_and_answers(desk: Desk) -> None:
    seen: list[str] = []

    def one(number: int) -> None:
        said = ask(desk.client, messages=[{"role": "user", "content": f"Number {number}"}])
        seen.append(said.choices[0].message.content)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(seen) == sorted(f"You said: Number {number}" for number in range(50))
    assert {row.state for row in answers()} == {"completed"}
    assert len(answers()) == 50
