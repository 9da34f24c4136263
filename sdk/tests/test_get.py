"""Getting a filled prompt from a running server."""

from __future__ import annotations

import logging

import pytest
from cast import Connect
from fake_server import PromptServer
from promptlab_sdk import MissingVariable, PromptNotFound, Prompts
from promptlab_sdk.kernel.spec import Content, Message
from promptlab_sdk.prompt import Messages


@pytest.mark.parametrize("slash", ["", "/", "//"])
def test_the_documented_call_works_with_and_without_a_trailing_slash(server: PromptServer, slash: str) -> None:
    server.deploy("test", "Hello {{customer_name}}, {{my_new_var}}!")
    with Prompts.connect(service_url=server.url + slash) as prompts:
        text = prompts.get("test", env="production", customer_name="Alex", my_new_var=3, surplus="x")
    assert text == "Hello Alex, 3!"
    assert isinstance(text, str)
    assert server.requests[0].path == "/api/v1/prompts/test/deployed/"
    assert server.requests[0].query == {"environment": "production"}


def test_env_is_the_second_positional_argument(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "staged", environment="staging", revision=9)
    text = prompts.get("test", "staging")
    assert (text, text.environment, text.revision) == ("staged", "staging", 9)


def test_without_env_the_server_decides(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "live")
    assert prompts.get("test").environment == "production"
    assert server.requests[0].query == {}


def test_the_client_may_have_an_environment_of_its_own(server: PromptServer, connect: Connect) -> None:
    server.deploy("test", "staged", environment="staging")
    assert connect(env="staging").get("test") == "staged"


def test_settings_come_from_the_environment(server: PromptServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.deploy("test", "staged", environment="staging")
    monkeypatch.setenv("PROMPTLAB_URL", server.url)
    monkeypatch.setenv("PROMPTLAB_API_KEY", "pl_from_env")
    monkeypatch.setenv("PROMPTLAB_ENV", "staging")
    with Prompts.connect() as prompts:
        assert prompts.get("test") == "staged"
    assert server.requests[0].headers["x-api-key"] == "pl_from_env"


def test_arguments_win_over_the_environment(server: PromptServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.deploy("test", "live")
    monkeypatch.setenv("PROMPTLAB_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("PROMPTLAB_API_KEY", "pl_from_env")
    with Prompts.connect(server.url, api_key="pl_given", env="production") as prompts:
        assert prompts.get("test") == "live"
    assert server.requests[0].headers["x-api-key"] == "pl_given"


def test_connecting_sends_nothing(server: PromptServer) -> None:
    Prompts.connect(server.url).close()
    assert server.requests == []


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://", "http://host:port", "//host"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="service_url"):
        Prompts.connect(url)


def test_no_address_at_all_names_the_variable() -> None:
    with pytest.raises(ValueError, match="PROMPTLAB_URL"):
        Prompts.connect()


@pytest.mark.parametrize("options", [{"ttl": -1}, {"timeout": 0}, {"retries": -1}])
def test_impossible_options_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="ttl and retries"):
        Prompts.connect("http://127.0.0.1:1", **options)  # type: ignore[arg-type]


def test_variables_named_like_parameters_go_through_variables(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "{{env}} {{version}} {{name}} {{self}} {{more}}")
    text = prompts.get("test", variables={"env": "a", "version": "b"}, name="c", self="d", more="e")
    assert text == "a b c d e"


def test_a_keyword_wins_over_the_mapping(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "{{a}} {{b}}")
    assert prompts.get("test", variables={"a": "1", "b": "2"}, b="3") == "1 3"


def test_missing_variables_are_named_together_with_the_prompt(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "{{a}} {{b}} {{c}}")
    with pytest.raises(MissingVariable) as caught:
        prompts.get("test", b="x")
    assert caught.value.names == ("a", "c")
    assert str(caught.value) == "test: No value for {{a}}, {{c}}."
    assert isinstance(caught.value, KeyError)


def test_missing_variables_may_be_kept_or_left_empty(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "[{{ a }}]")
    assert prompts.get("test", missing="keep") == "[{{ a }}]"
    assert prompts.get("test", missing="empty") == "[]"


def test_an_unknown_prompt_says_what_the_server_says(prompts: Prompts) -> None:
    with pytest.raises(PromptNotFound, match="Nothing is deployed at") as caught:
        prompts.get("test")
    assert isinstance(caught.value, LookupError)
    assert (caught.value.status, caught.value.code) == (404, "not_found")


@pytest.mark.parametrize("name", ["", "..", "a b", "a?b", "a\nb", "-a", "x" * 256])
def test_what_can_be_no_name_is_not_asked_for(server: PromptServer, prompts: Prompts, name: str) -> None:
    with pytest.raises(PromptNotFound, match="not a name"):
        prompts.get(name)
    assert server.requests == []


def test_a_name_with_a_folder_is_quoted(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("team/greeting", "Hi")
    assert prompts.get("team/greeting") == "Hi"
    assert server.requests[0].path == "/api/v1/prompts/team%2Fgreeting/deployed/"


def test_a_version_can_be_pinned_by_number(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "three {{a}}", version=3)
    text = prompts.get("test", version=3, a="x")
    assert (text, text.prompt.version, text.prompt.version_string) == ("three x", 3, "v1.3.0")
    assert (text.environment, text.revision, text.variant) == (None, None, None)
    assert server.requests[0].path == "/api/v1/prompts/test/versions/3"


def test_a_pinned_version_comes_with_what_it_includes(server: PromptServer, prompts: Prompts) -> None:
    """The server puts it in, as it is live in the environment: each has its own."""
    server.deploy("test", "Be kind. Hi {{a}}", version=3)
    assert prompts.get("test", version=3, a="x") == "Be kind. Hi x"
    assert prompts.get("test", "staging", version=3, a="x") == "Be kind. Hi x"
    assert prompts.get("test", "staging", version=3, a="y") == "Be kind. Hi y"
    assert [request.query for request in server.requests] == [
        {"resolved": "1"},
        {"resolved": "1", "environment": "staging"},
    ]


def test_a_version_can_be_pinned_by_string(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", "three", version=3)
    assert prompts.get("test", version="v1.3.0").prompt.version == 3


def test_fetch_returns_the_prompt_unfilled(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("test", Content(text="Hi {{b}} {{a}}", model="gpt-x", parameters={"temperature": 0}))
    prompt = prompts.fetch("test")
    assert prompt.variables == ("b", "a")
    assert (prompt.name, prompt.content.model, prompt.source) == ("test", "gpt-x", "network")
    assert prompt.render({"a": "1"}, b="2") == "Hi 2 1"


def test_a_chat_prompt_reads_as_blocks_and_keeps_its_messages(server: PromptServer, prompts: Prompts) -> None:
    parts = (Message("system", "Be {{mood}}."), Message(placeholder="history"), Message("user", "{{q}}"))
    server.deploy("chat", Content(type="chat", messages=parts))
    history: Messages = [{"role": "user", "content": "1"}, Message("assistant", "{{2}}")]
    text = prompts.get("chat", mood="kind", q="Why?", placeholders={"history": history})
    assert text == "system: Be kind.\n\nuser: 1\n\nassistant: {{2}}\n\nuser: Why?"
    assert [message.content for message in text.messages] == ["Be kind.", "1", "{{2}}", "Why?"]


def test_prefetch_loads_and_later_calls_do_not(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("a", "A")
    server.deploy("b", "B")
    prompts.prefetch("a", "b")
    assert (prompts.get("a").source, prompts.get("b").source) == ("cache", "cache")
    assert len(server.requests) == 2


def test_prefetch_tries_all_and_raises_the_first_error(server: PromptServer, prompts: Prompts) -> None:
    server.deploy("b", "B")
    with pytest.raises(PromptNotFound, match="/a/"):
        prompts.prefetch("a", "b", "c")
    assert prompts.get("b").source == "cache"


def test_values_of_variables_never_reach_the_log(
    server: PromptServer, prompts: Prompts, caplog: pytest.LogCaptureFixture
) -> None:
    server.deploy("test", "{{a}} {{b}}")
    with caplog.at_level(logging.DEBUG, logger="promptlab"):
        prompts.get("test", a="secret-1", b="secret-2")
        with pytest.raises(MissingVariable):
            prompts.get("test", a="secret-1")
        with pytest.raises(PromptNotFound):
            prompts.get("absent", a="secret-1")
    assert "absent" in caplog.text
    assert "secret" not in caplog.text
