"""Trying a prompt on its page: as a user would, by the same verbs, kept for whoever tries, and in no sum."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from experiments.models import HourRollup
from feedback.models import Feedback
from feedback.services.batch import roll_up_feedback
from promptlab.accounts import services as accounts
from promptlab.accounts.access import SYSTEM, Role
from promptlab.accounts.models import User
from promptlab.chat.models import Conversation, Message
from promptlab.chat.services import streams
from promptlab.chat.services.metering import roll_up_messages
from promptlab.llm.errors import ProviderUnavailable
from promptlab.llm.providers import scripted
from prompts.models import Prompt, Version
from tests.support.cast import Cast, make_cast
from tests.support.make import make_live, make_prompt, make_team, make_version, newest

TRY = "/admin/chat/conversation/try/"


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    """Answers are ended in threads of their own, which see what is committed."""
    return make_cast()


@pytest.fixture
def prompt(cast: Cast) -> Prompt:
    found = make_prompt(cast.team, "Greet {{name}}.", title="Greeting")
    make_live(newest(found))
    return found


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def say(client: Client, prompt: Prompt, message: str = "Hello", *, at: str = "", **said: Any) -> Any:
    return client.post(at or f"{TRY}?prompt={prompt.pk}", {"message": message, "blank_name": "Ann", **said})


def talk_of(user: User) -> Conversation:
    found: Conversation | None = Conversation.objects.filter(author=user).order_by("-pk").first()
    assert found is not None
    return found


def page_of(talk: Conversation) -> str:
    return reverse("admin:chat_conversation_talk", args=[talk.pk])


def last_answer() -> Message:
    return Message.objects.answers().select_related("version").order_by("-pk")[0]


def test_what_somebody_says_is_answered_and_the_page_comes_back_with_all_of_it(cast: Cast, prompt: Prompt) -> None:
    client = signed_in(cast.vic)
    asked = client.get(f"{TRY}?prompt={prompt.pk}").content.decode()
    assert "Live in Production: v1" in asked and 'name="blank_name"' in asked and "Practice (echo)" in asked
    done = say(client, prompt)
    answer, talk = last_answer(), talk_of(cast.vic)
    assert done.headers["Location"] == f"{page_of(talk)}#message-{answer.pk}"
    html = client.get(page_of(talk)).content.decode()
    for fact in ("Hello", "You said: Hello", "Tokens in and out", "$0", "Wait", "Thumbs up", ">v1<"):
        assert fact in html, fact
    assert (answer.state, answer.purpose, answer.version.number) == ("completed", "try", 1)  # type: ignore[union-attr]
    say(client, prompt, "And then?", at=page_of(talk), blank_name="Bob")
    assert last_answer().conversation_id == talk.pk
    assert last_answer().variables == {"name": "Bob"}
    assert ">\nBob</textarea>" in client.get(page_of(talk)).content.decode()


def test_any_version_can_be_tried_and_any_model(cast: Cast, prompt: Prompt) -> None:
    make_version(prompt, "Say goodbye to {{name}}.")
    client = signed_in(cast.ann)
    with scripted.use("Bye.") as model:
        say(client, prompt, at=f"{TRY}?prompt={prompt.pk}&text=2&model=model:scripted")
    assert model.requests[0].messages[0].content == "Say goodbye to Ann."
    assert (last_answer().version.number, last_answer().model) == (2, "scripted")  # type: ignore[union-attr]
    # The talk goes on with what was chosen, whatever is live.
    html = client.get(page_of(talk_of(cast.ann))).content.decode()
    assert '<option value="2" selected>' in html


def test_a_text_that_is_live_nowhere_is_tried_by_its_newest_version(cast: Cast) -> None:
    fresh = make_prompt(cast.team, "Be brief.")
    html = signed_in(cast.ann).get(f"{TRY}?prompt={fresh.pk}").content.decode()
    assert '<option value="1" selected>' in html
    html = signed_in(cast.ann).get(f"{TRY}?prompt={fresh.pk}&text=production").content.decode()
    assert '<p class="note warn">' in html and 'name="message"' not in html


def test_with_javascript_the_answer_comes_in_pieces(cast: Cast, prompt: Prompt) -> None:
    client = signed_in(cast.vic)
    said = {"message": "Hello", "blank_name": "Ann"}
    reply: Any = client.post(f"{TRY}?prompt={prompt.pk}", said, headers={"Accept": "text/event-stream"})
    frames = [json.loads(part[6:]) for part in b"".join(reply.streaming_content).split(b"\n\n") if part]
    assert len(frames) > 2
    assert "".join(frame.get("token", "") for frame in frames) == last_answer().content
    assert frames[-1]["url"] == page_of(talk_of(cast.vic))
    assert last_answer().state == "completed"
    assert streams.count() == 0


def test_who_leaves_in_the_middle_leaves_a_row_that_ended(cast: Cast, prompt: Prompt) -> None:
    client = signed_in(cast.vic)
    said = {"message": "Hello", "blank_name": "Ann"}
    reply: Any = client.post(f"{TRY}?prompt={prompt.pk}", said, headers={"Accept": "text/event-stream"})
    next(iter(reply.streaming_content))
    reply.close()
    assert last_answer().state == "cancelled"
    assert streams.count() == 0


@pytest.mark.parametrize("accept", ["text/html", "text/event-stream"])
def test_a_model_that_does_not_answer_is_told_and_what_was_typed_stays(cast: Cast, prompt: Prompt, accept: str) -> None:
    client = signed_in(cast.vic)
    with scripted.use(ProviderUnavailable()):
        at = f"{TRY}?prompt={prompt.pk}&model=model:scripted"
        said = {"message": "Are you there?", "blank_name": "Ann"}
        reply: Any = client.post(at, said, headers={"Accept": accept})
        body = b"".join(reply.streaming_content if reply.streaming else [reply.content]).decode()
    assert ProviderUnavailable.detail in body
    assert last_answer().state == "failed"
    if accept == "text/html":
        assert '<div class="said">Are you there?' in body and ">\nAre you there?</textarea>" in body
        assert page_of(talk_of(cast.vic)) in body


def test_blanks_are_asked_for_as_they_are_declared_and_held_against_it(cast: Cast) -> None:
    variables = {
        "tone": {"type": "string", "allowed": ["warm", "cold"]},
        "times": {"type": "number"},
        "list": {"type": "list", "required": False},
    }
    declared = make_prompt(cast.team, "{{tone}} {{times}} {{list}}", variables=variables)
    client = signed_in(cast.ann)
    at = f"{TRY}?prompt={declared.pk}"
    wrong = client.post(at, {"message": "", "blank_tone": "hot", "blank_times": "x", "blank_list": "["})
    html = wrong.content.decode()
    assert html.count('class="errorlist"') == 4, html
    assert not Message.objects.exists()
    said = {"message": "Hi", "blank_tone": "warm", "blank_times": "3", "blank_list": '["a"]'}
    assert client.post(at, said).status_code == 302
    assert last_answer().variables == {"tone": "warm", "times": 3, "list": ["a"]}


def test_what_is_tried_and_thought_of_it_stands_in_no_sum(cast: Cast, prompt: Prompt) -> None:
    client = signed_in(cast.vic)
    say(client, prompt)
    answer = last_answer()
    rated = reverse("admin:feedback_feedback_tried", args=[answer.pk])
    assert client.get(rated).status_code == 302 and not Feedback.objects.exists()
    client.post(rated, {"value": "-1", "comment": "Too short"})
    kept = Feedback.objects.get()
    assert (kept.value, kept.comment, kept.message_id) == (-1, "Too short", answer.pk)
    stats = client.get(f"/api/v1/feedback/stats?prompt={prompt.name}")
    assert stats.status_code == 200 and '"rated":1' not in stats.content.decode().replace(" ", "")
    roll_up_messages()
    roll_up_feedback()
    assert not HourRollup.objects.exists()
    html = client.get(page_of(talk_of(cast.vic))).content.decode()
    assert 'value="-1" aria-pressed="true"' in html and "Too short" in html
    client.post(rated, {"value": ""})
    kept.refresh_from_db()
    assert kept.value is None
    assert client.post(rated, {"value": "7"}).status_code == 302


def test_talks_are_named_and_put_away_by_whoever_tries_even_viewers(cast: Cast, prompt: Prompt) -> None:
    client = signed_in(cast.vic)
    say(client, prompt, "First?")
    talk = talk_of(cast.vic)
    client.post(reverse("admin:chat_conversation_rename", args=[talk.pk]), {"title": "Parcels"})
    assert "Parcels" in client.get(TRY).content.decode()
    away = reverse("admin:chat_conversation_archive", args=[talk.pk])
    assert client.get(away).status_code == 302
    client.post(away)
    assert f'href="{page_of(talk)}"' not in client.get(TRY).content.decode().split('id="talks"')[1]
    assert page_of(talk) in client.get(f"{TRY}?archived=1").content.decode()
    client.post(away)
    talk.refresh_from_db()
    assert (talk.title, talk.archived_at) == ("Parcels", None)
    long = client.post(reverse("admin:chat_conversation_rename", args=[talk.pk]), {"title": "x" * 201}, follow=True)
    assert "200" in long.content.decode()


def test_nobody_sees_or_changes_the_talks_of_others(cast: Cast, prompt: Prompt) -> None:
    say(signed_in(cast.ann), prompt)
    answer, talk = last_answer(), talk_of(cast.ann)
    for other in (cast.vic, cast.cleo, cast.zoe):
        client = signed_in(other)
        assert client.get(page_of(talk)).status_code == 404
        assert say(client, prompt, at=page_of(talk)).status_code == 404
        for name in ("rename", "archive"):
            assert client.post(reverse(f"admin:chat_conversation_{name}", args=[talk.pk])).status_code == 404
        rated = reverse("admin:feedback_feedback_tried", args=[answer.pk])
        assert client.post(rated, {"value": "1"}).status_code == 404
        assert page_of(talk) not in client.get(TRY).content.decode()
    assert Client().get(TRY).status_code == 302
    assert signed_in(cast.zoe).get(f"{TRY}?prompt={prompt.pk}").status_code == 404
    assert not Feedback.objects.exists()


@pytest.mark.parametrize("accept", ["text/html", "text/event-stream"])
def test_a_person_tries_only_so_often_in_an_hour(cast: Cast, prompt: Prompt, settings: Any, accept: str) -> None:
    settings.RATE_LIMIT_TRIES_PER_HOUR = 1
    assert say(signed_in(cast.ann), prompt).status_code == say(signed_in(cast.vic), prompt).status_code == 302
    said = {"message": "Again", "blank_name": "Ann"}
    reply: Any = signed_in(cast.ann).post(f"{TRY}?prompt={prompt.pk}", said, headers={"Accept": accept})
    body = b"".join(reply.streaming_content if reply.streaming else [reply.content]).decode()
    assert "More than 1 tries in 60 minutes" in body
    assert Message.objects.answers().count() == 2


def test_the_page_says_what_is_missing(cast: Cast) -> None:
    html = signed_in(cast.ann).get(TRY).content.decode()
    assert "There is no prompt to try yet" in html and "Write a prompt" in html
    assert "Write a prompt</a>" not in signed_in(cast.vic).get(TRY).content.decode()
    for wrong in ("?prompt=999999", "?prompt=x"):
        assert signed_in(cast.ann).get(f"{TRY}{wrong}").status_code == 404


def test_a_long_talk_takes_as_few_queries_as_a_short_one(
    cast: Cast, prompt: Prompt, django_assert_max_num_queries: Any
) -> None:
    client = signed_in(cast.vic)
    for _ in range(3):
        say(client, prompt, at=page_of(talk_of(cast.vic)) if Conversation.objects.exists() else "")
    with django_assert_max_num_queries(22):
        assert client.get(page_of(talk_of(cast.vic))).content.count(b"You said: Hello</div>") == 3


def test_who_saves_a_text_goes_on_by_trying_it(cast: Cast, prompt: Prompt) -> None:
    client = signed_in(cast.ann)
    fresh = client.post("/admin/prompts/prompt/add/", {"title": "Fresh", "text": "Be brief.", "act": "try"})
    made = Prompt.objects.get(title="Fresh")
    assert fresh.headers["Location"] == f"{TRY}?prompt={made.pk}&text=1"
    page = reverse("admin:prompts_prompt_change", args=[prompt.pk])
    typed = {"text": "Greet {{name}} well.", "message": "Warmer", "act": "try", "started_from": 1, "row_version": ""}
    assert client.post(page, typed).headers["Location"] == f"{TRY}?prompt={prompt.pk}&text=2"
    assert "Save and try it" in client.get(page).content.decode()


def test_a_person_of_several_teams_tries_what_each_has(cast: Cast, prompt: Prompt) -> None:
    accounts.add_member(SYSTEM, make_team(), cast.ann, Role.WRITER)
    assert say(signed_in(cast.ann), prompt).status_code == 302
    assert Version.objects.get(pk=last_answer().version_id).prompt == prompt
