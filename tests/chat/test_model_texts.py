"""Texts for certain models in real answers: who is sent which one, and that the row rebuilds it byte for byte."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from promptlab.accounts.access import SYSTEM
from promptlab.chat.models import Message
from promptlab.chat.transcripts import sent_messages
from promptlab.llm import ChatMessage, CompletionRequest, estimate, keeping
from promptlab.llm.ceiling import worst_case
from promptlab.llm.errors import ProviderTimeout, ProviderUnavailable
from promptlab.llm.providers import scripted
from promptlab.llm.providers.scripted import Reply, ScriptedProvider
from promptlab.llm.services import hiding
from prompts.models import Version
from tests.chat.conftest import Counter, answers
from tests.support.api import Api
from tests.support.asgi import call
from tests.support.make import make_admin, make_live, make_model, make_provider, make_version

OWN, OTHER = "Greet {{name}}.", "Be brief. Greet {{name}}."
WINDOW = 3000


def has_fallback(counter: Counter, *, window: int | None = None, **said: Any) -> Version:
    """Have the live prompt ask `large`, which falls back to `small`; texts for certain models are in `said`."""
    provider = make_provider(counter.team)
    make_model(provider, "small", tier="economy")
    make_model(provider, "large", fallbacks=["small"], context_window=window)
    keeping.forget()
    said = {"model": "large", "model_texts": {"small": OTHER}, **said}
    version = make_version(counter.prompt, said.pop("text", OWN), **said)
    make_live(version)
    return version


def sent(provider: ScriptedProvider, number: int = -1) -> list[str]:
    return [message.content for message in provider.requests[number].messages]


def is_rebuilt(row: Message, provider: ScriptedProvider) -> bool:
    return sent_messages(row) == list(provider.requests[-1].messages)


def test_a_fallback_is_sent_its_own_text_and_the_row_rebuilds_it(counter: Counter) -> None:
    has_fallback(counter)
    with scripted.use(ProviderTimeout(), "Hi", name="openai") as provider:
        assert counter.say().status == 200
    assert [sent(provider, number) for number in (0, 1)] == [["Greet Ann.", "Hello"], ["Be brief. Greet Ann.", "Hello"]]
    assert [request.model for request in provider.requests] == ["large", "small"]
    (row,) = answers()
    assert (row.asked_model, row.text_for, row.state) == ("large", "small", "completed")
    assert is_rebuilt(row, provider)
    shown = Api(counter.key).get(f"/api/v1/messages/{row.uid}").json()
    assert (shown["text_for"], shown["upstream"][0]["content"]) == ("small", "Be brief. Greet Ann.")


def test_who_needs_no_fallback_is_sent_the_text_of_the_version(counter: Counter) -> None:
    has_fallback(counter)
    with scripted.use("Hi", name="openai") as provider:
        counter.say()
    (row,) = answers()
    assert (sent(provider)[0], row.text_for, is_rebuilt(row, provider)) == ("Greet Ann.", "", True)


@pytest.mark.parametrize("asked", [{"model": "small"}, {"tier": "economy"}])
def test_a_model_that_is_asked_by_name_or_tier_is_sent_its_own_text(counter: Counter, asked: dict[str, str]) -> None:
    has_fallback(counter)
    with scripted.use("Hi", name="openai") as provider:
        counter.say(**asked)
    (row,) = answers()
    assert (sent(provider)[0], row.text_for, is_rebuilt(row, provider)) == ("Be brief. Greet Ann.", "small", True)


def test_a_fallback_without_a_text_of_its_own_is_sent_that_of_the_version(counter: Counter) -> None:
    has_fallback(counter, model_texts={"large": "At length. {{name}}"})
    with scripted.use(ProviderTimeout(), "Hi", name="openai") as provider:
        counter.say()
    assert [sent(provider, number)[0] for number in (0, 1)] == ["At length. Ann", "Greet Ann."]
    (row,) = answers()
    assert (row.text_for, is_rebuilt(row, provider)) == ("", True)


def test_what_is_sent_instead_is_masked_as_well(counter: Counter) -> None:
    hiding.set_masking(SYSTEM, counter.team.pk, kinds=["email"], patterns={})
    has_fallback(counter, model_texts={"small": "Copy bo@example.com. Greet {{name}}."})
    with scripted.use(ProviderTimeout(), "Hi [EMAIL_2]", name="openai") as provider:
        answer = counter.say("I am ann@example.com.")
    assert sent(provider) == ["Copy [EMAIL_1]. Greet Ann.", "I am [EMAIL_2]."]
    assert answer.events()[0]["token"] == "Hi ann@example.com"
    (row,) = answers()
    assert is_rebuilt(row, provider)


def test_the_row_of_an_answer_that_breaks_off_says_which_text_was_sent(counter: Counter) -> None:
    has_fallback(counter)
    broken = Reply(("Hi",), error=ProviderUnavailable())
    with scripted.use(ProviderTimeout(), broken, name="openai") as provider:
        counter.say()
    (row,) = answers()
    assert (row.state, row.text_for, is_rebuilt(row, provider)) == ("failed", "small", True)


def test_a_talk_goes_on_with_whichever_text_the_model_has(counter: Counter) -> None:
    has_fallback(counter)
    with scripted.use("One", ProviderTimeout(), "Two", name="openai") as provider:
        talk = counter.say("First").events()[-1]["conversation_id"]
        counter.say("Second", conversation_id=talk)
    assert sent(provider) == ["Be brief. Greet Ann.", "First", "One", "Second"]
    assert [row.text_for for row in answers()] == ["", "small"]
    assert is_rebuilt(answers()[-1], provider)


def test_generate_and_the_openai_face_send_it_too(counter: Counter) -> None:
    has_fallback(counter)
    asked: dict[str, Any] = {"prompt_name": "greeting", "variables": {"name": "Ann"}}
    said = {"model": "prompt:greeting", "messages": [{"role": "user", "content": "Hello"}]}
    by_face = {**said, "prompt": {"id": "greeting", "variables": {"name": "Ann"}}}
    for path, body in (("/api/v1/generate", asked), ("/v1/chat/completions", by_face)):
        with scripted.use(ProviderTimeout(), "Hi", name="openai") as provider:
            answer = call(counter.application, "POST", path, key=counter.key, body=body)
        assert answer.status == 200, answer.body
        assert sent(provider)[0] == "Be brief. Greet Ann."
        row = answers()[-1]
        assert (row.text_for, is_rebuilt(row, provider)) == ("small", True)


def test_the_longest_text_decides_how_much_of_a_talk_goes_along(counter: Counter) -> None:
    has_fallback(counter, window=WINDOW, model_texts={"small": "word " * 1200 + "{{name}}"})
    with scripted.use("Yes", "Yes", "Yes", ProviderTimeout(), "Yes", name="openai") as provider:
        talk = ""
        for number in range(4):
            answer = counter.say(f"{number} " + "long " * 300, conversation_id=talk)
            talk = answer.events()[-1]["conversation_id"]
    tokens = estimate(list(provider.requests[-1].messages), "large").tokens
    assert tokens <= WINDOW - WINDOW // 4
    assert len(sent(provider)) < len(sent(provider, 2)) + 2
    (*_, row) = answers()
    assert row.history_from is not None and is_rebuilt(row, provider)
    assert sent(provider, -1)[1:] == sent(provider, -2)[1:]


def test_a_text_that_never_fits_does_not_keep_the_others_from_answering(counter: Counter) -> None:
    has_fallback(counter, window=WINDOW, model_texts={"small": "word " * 9000 + "{{name}}"})
    with scripted.use("One", "Two", name="openai") as provider:
        talk = counter.say("First").events()[-1]["conversation_id"]
        assert counter.say("Second", conversation_id=talk).status == 200
    assert sent(provider) == ["Greet Ann.", "First", "One", "Second"]


def test_a_budget_keeps_ready_what_the_longest_text_may_cost(counter: Counter) -> None:
    short = CompletionRequest([ChatMessage("user", "Hi")], model="gpt-4o", parameters={"max_tokens": 10})
    more = CompletionRequest(
        short.messages,
        model="gpt-4o",
        parameters=short.parameters,
        other_messages={"small": [ChatMessage("user", "Hi" * 1000)]},
    )
    least, most = worst_case(short, counter.team.pk), worst_case(more, counter.team.pk)
    assert least is not None and most is not None and most > least


def test_a_page_says_whose_text_is_tried_and_was_sent(counter: Counter) -> None:
    has_fallback(counter)
    client = Client()
    client.force_login(make_admin(counter.team))
    address = f"/admin/chat/conversation/try/?prompt={counter.prompt.pk}"
    said = "small has a text of its own in this version and is sent that one."
    assert said not in client.get(address).content.decode()
    for who in ("model:small", "tier:economy"):
        assert said in client.get(f"{address}&model={who}").content.decode()
    with scripted.use("Hi", name="openai"):
        done = client.post(f"{address}&model=model:small", {"message": "Hello", "blank_name": "Ann"}, follow=True)
    page = done.content.decode()
    assert "This is the text for small." in page and "Be brief. Greet Ann.</pre>" in page
    assert "the one for small" in page
