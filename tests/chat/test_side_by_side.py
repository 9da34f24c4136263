"""Two texts or two models asked the same on one page, and what was tried kept as an example."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from promptlab.accounts.models import User
from promptlab.chat.models import Conversation, Message
from promptlab.llm.errors import ProviderUnavailable
from promptlab.llm.providers import scripted
from prompts.models import Prompt, Suite, SuiteCase
from tests.chat.test_trying import TRY, last_answer, page_of, say, talk_of
from tests.support.cast import Cast, make_cast
from tests.support.make import make_live, make_prompt, make_version, newest

SIDE = "/admin/chat/conversation/try/side/"


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return make_cast()


@pytest.fixture
def prompt(cast: Cast) -> Prompt:
    found = make_prompt(cast.team, "Greet {{name}}.", title="Greeting")
    make_live(newest(found))
    make_version(found, "Greet {{name}} of {{city}}.")
    return found


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def asked(client: Client, prompt: Prompt, message: str = "Hello", query: str = "", **said: Any) -> Any:
    fields = {"message": message, "blank_name": "Ann", "blank_city": "Bonn", **said}
    return client.post(f"{SIDE}?prompt={prompt.pk}{query}", fields)


def test_both_are_asked_the_same_and_stand_side_by_side(cast: Cast, prompt: Prompt) -> None:
    client = signed_in(cast.vic)
    shown = client.get(f"{SIDE}?prompt={prompt.pk}").content.decode()
    assert 'name="blank_name"' in shown and 'name="blank_city"' in shown and "Live in Production: v1" in shown
    done = asked(client, prompt)
    assert done.status_code == 302, done.content.decode()
    html = client.get(done.headers["Location"]).content.decode()
    assert html.count("You said: Hello") == 2 and ">v1<" in html and ">v2<" in html
    # The question and the blanks are there to be changed and asked again.
    assert ">\nHello</textarea>" in html and ">\nBonn</textarea>" in html
    rows = list(Message.objects.answers().order_by("version__number"))
    assert [row.variables for row in rows] == [{"name": "Ann"}, {"name": "Ann", "city": "Bonn"}]
    assert {row.purpose for row in rows} == {"try"} and Conversation.objects.count() == 2
    assert "You said: Hello" not in signed_in(cast.ann).get(done.headers["Location"]).content.decode()


def test_two_models_are_asked_by_one_text(cast: Cast, prompt: Prompt) -> None:
    query = "&text=1&model=model:echo&other_text=1&other_model=model:scripted"
    with scripted.use("From the other."):
        done = asked(signed_in(cast.vic), prompt, query=query)
    html = signed_in(cast.vic).get(done.headers["Location"]).content.decode()
    assert "From the other." in html and "You said: Hello" in html


def test_what_is_wrong_is_said_and_what_was_typed_stays(cast: Cast, prompt: Prompt) -> None:
    client = signed_in(cast.vic)
    html = asked(client, prompt, "", blank_city="Kept").content.decode()
    assert 'href="#id_message"' in html and "Kept" in html and not Message.objects.exists()
    query = "&text=1&model=model:scripted&other_text=1&other_model=model:scripted"
    with scripted.use(ProviderUnavailable(provider="scripted"), ProviderUnavailable(provider="scripted")):
        html = asked(client, prompt, "Words to keep", query).content.decode()
    assert "Words to keep" in html and "note problems" in html


def test_one_that_fails_does_not_take_the_other_along(cast: Cast, prompt: Prompt) -> None:
    query = "&text=1&model=model:scripted&other_text=1&other_model=model:echo"
    with scripted.use(ProviderUnavailable(provider="scripted")):
        done = asked(signed_in(cast.vic), prompt, query=query)
    html = signed_in(cast.vic).get(done.headers["Location"]).content.decode()
    assert "No answer came." in html and "You said: Hello" in html


def test_side_by_side_is_closed_to_strangers(cast: Cast, prompt: Prompt, django_assert_max_num_queries) -> None:
    assert Client().get(f"{SIDE}?prompt={prompt.pk}").status_code == 302
    for odd in (prompt.pk, "x", "999999"):
        assert signed_in(cast.zoe).get(f"{SIDE}?prompt={odd}").status_code == 404
    client = signed_in(cast.vic)
    assert client.get(f"{SIDE}?prompt={prompt.pk}&text=99&a=x&b=1").status_code == 200
    with django_assert_max_num_queries(20):
        client.get(f"{SIDE}?prompt={prompt.pk}")


def test_what_was_tried_is_kept_as_an_example_and_tried_again(cast: Cast, prompt: Prompt) -> None:
    ann = signed_in(cast.ann)
    say(ann, prompt, "Where is my parcel?")
    keep = reverse("admin:chat_conversation_example", args=[last_answer().pk])
    talk = ann.get(page_of(talk_of(cast.ann))).content.decode()
    assert f'href="{keep}"' in talk and "What the model received" in talk and "Greet Ann." in talk
    assert 'href="#id_name"' in ann.post(keep, {"name": ""}).content.decode()
    done = ann.post(keep, {"name": "Parcel", "suite": "", "is_expected": "on"}, follow=True).content.decode()
    assert "It is kept as an example in" in done
    case, suite = SuiteCase.objects.get(), Suite.objects.get()
    assert (suite.name, suite.prompt, case.variables) == ("greeting-examples", prompt, {"name": "Ann"})
    assert case.messages == [{"role": "user", "content": "Where is my parcel?"}] and case.expected
    assert "Parcel" in ann.post(keep, {"name": "Parcel", "suite": suite.pk}).content.decode()
    assert SuiteCase.objects.count() == 1
    page = ann.get(f"{TRY}?prompt={prompt.pk}").content.decode()
    assert f"example={case.pk}" in page and reverse("admin:prompts_suite_run", args=[suite.pk]) in page
    filled = ann.get(f"{TRY}?prompt={prompt.pk}&example={case.pk}").content.decode()
    assert ">\nWhere is my parcel?</textarea>" in filled and ">\nAnn</textarea>" in filled
    assert ann.get(f"{TRY}?prompt={prompt.pk}&example=x").status_code == 200


def test_examples_are_kept_by_writers_of_their_own_tries(cast: Cast, prompt: Prompt) -> None:
    say(signed_in(cast.vic), prompt)
    keep = reverse("admin:chat_conversation_example", args=[last_answer().pk])
    assert keep not in signed_in(cast.vic).get(page_of(talk_of(cast.vic))).content.decode()
    assert signed_in(cast.vic).post(keep, {"name": "Mine"}).status_code == 403
    assert signed_in(cast.ann).post(keep, {"name": "Mine"}).status_code == 404
    assert Client().post(keep, {"name": "Mine"}).status_code == 302
    assert not SuiteCase.objects.exists()
