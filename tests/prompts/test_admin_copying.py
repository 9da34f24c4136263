"""Copies of prompts, older texts, and other short names, through the pages."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from prompts import resolve
from prompts.models import Deployment, Prompt, Version
from prompts.services import authoring
from tests.support.cast import Cast
from tests.support.make import make_live, make_prompt, make_version, newest

pytestmark = pytest.mark.django_db


@pytest.fixture
def first(cast: Cast) -> Version:
    """Version 1 of a prompt with three."""
    prompt = make_prompt(cast.team, "One.", title="Greeting", name="greeting", tags=["tone"])
    make_version(prompt, "Two.")
    make_version(prompt, "Three.")
    return prompt.versions.select_related("prompt").get(number=1)


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def of_version(version: Version, name: str = "change") -> str:
    return reverse(f"admin:prompts_version_{name}", args=[version.pk])


def of_prompt(prompt: Prompt, name: str = "change") -> str:
    return reverse(f"admin:prompts_prompt_{name}", args=[prompt.pk])


def html(answer: Any) -> str:
    return answer.content.decode()


def test_a_copy_is_a_prompt_of_its_own(cast: Cast, first: Version) -> None:
    ann, copy = signed_in(cast.ann), of_version(first, "copy")
    assert copy in html(ann.get(of_version(first)))
    assert of_version(newest(first.prompt), "copy") in html(ann.get(of_prompt(first.prompt, "settings")))
    shown = html(ann.get(copy))
    assert 'value="Copy of Greeting"' in shown and 'value="greeting-copy"' in shown and Prompt.objects.count() == 1
    sent = {"title": "Greeting for shops", "name": "greeting-shops"}
    done = html(ann.post(copy, sent, follow=True))
    made = Prompt.objects.get(name="greeting-shops")
    assert "Greeting for shops is a prompt of its own now." in done and of_prompt(made, "archive") in done
    assert (newest(made).number, newest(made).text, made.forked_from) == (1, "One.", first)
    assert not Deployment.objects.filter(prompt=made).exists()
    again = html(ann.post(copy, sent))
    assert 'href="#id_name"' in again and "is taken" in again and Prompt.objects.count() == 2
    assert 'href="#id_title"' in html(ann.post(copy, {"title": "", "name": "other"}))


def test_an_older_text_becomes_the_newest_version(cast: Cast, first: Version) -> None:
    ann, revert = signed_in(cast.ann), of_version(first, "revert")
    make_live(newest(first.prompt))
    assert revert in html(ann.get(of_version(first)))
    assert of_version(newest(first.prompt), "revert") not in html(ann.get(of_version(newest(first.prompt))))
    shown = html(ann.get(revert))
    assert "Save the text of v1 as v4" in shown and "<ins>One</ins>" in shown
    third = newest(first.prompt)
    done = html(ann.post(revert, follow=True))
    assert "v4 says what v1 says. What is live did not change." in done and of_version(third, "revert") in done
    assert (newest(first.prompt).number, newest(first.prompt).text) == (4, "One.")
    assert Deployment.objects.get().version == third
    assert "v4 says the same as v1 already. Nothing was saved." in html(ann.post(revert, follow=True))
    assert newest(first.prompt).number == 4


def test_a_prompt_that_was_never_live_is_renamed_and_its_name_is_free(cast: Cast, first: Version) -> None:
    ann, rename = signed_in(cast.ann), of_prompt(first.prompt, "rename")
    assert rename in html(ann.get(of_prompt(first.prompt, "settings")))
    assert "It was never live, so no application asks for greeting." in html(ann.get(rename))
    done = html(ann.post(rename, {"name": "welcome"}, follow=True))
    assert "The short name is welcome now." in done and f'{rename}?name=greeting">Undo (back to greeting)' in done
    assert "The short name stays welcome." in html(ann.post(rename, {"name": "welcome"}, follow=True))
    assert 'value="greeting"' in html(ann.get(f"{rename}?name=greeting"))
    assert make_prompt(cast.team, name="greeting").name == "greeting"


def test_a_prompt_that_was_live_keeps_answering_to_its_old_name(cast: Cast, first: Version) -> None:
    make_live(first)
    ann, rename = signed_in(cast.ann), of_prompt(first.prompt, "rename")
    assert "they go on getting it, and are told the new name" in html(ann.get(rename))
    ann.post(rename, {"name": "welcome"})
    assert resolve.live_version(cast.team.pk, "greeting", "production").prompt.name == "welcome"
    assert "Names it had before, which work as well: greeting." in html(ann.get(rename))


def test_a_name_that_is_taken_or_cannot_be_asked_for_is_refused(cast: Cast, first: Version) -> None:
    make_prompt(cast.team, name="taken")
    ann, rename = signed_in(cast.ann), of_prompt(first.prompt, "rename")
    for wrong in ("taken", "two words", "7", ""):
        assert 'href="#id_name"' in html(ann.post(rename, {"name": wrong})), wrong
    first.prompt.refresh_from_db()
    assert first.prompt.name == "greeting"


def test_these_pages_are_closed_to_viewers_and_strangers(cast: Cast, first: Version) -> None:
    pages = [of_version(first, "copy"), of_version(first, "revert"), of_prompt(first.prompt, "rename")]
    sent = {"title": "Mine", "name": "mine"}
    shown = html(signed_in(cast.vic).get(of_version(first))) + html(signed_in(cast.vic).get(of_prompt(first.prompt)))
    for address in pages:
        assert address not in shown
        assert signed_in(cast.vic).get(address).status_code == 403
        assert signed_in(cast.vic).post(address, sent).status_code == 403
        assert signed_in(cast.zoe).get(address).status_code == 404
        assert signed_in(cast.zoe).post(address, sent).status_code == 404
        assert Client().post(address, sent).status_code == 302
    assert Prompt.objects.count() == 1 and newest(first.prompt).number == 3
    first.prompt.refresh_from_db()
    assert first.prompt.name == "greeting"


def test_an_archived_prompt_is_copied_but_not_changed(cast: Cast, first: Version) -> None:
    authoring.archive_prompt(cast.principal(cast.ann), first.prompt)
    ann = signed_in(cast.ann)
    shown = html(ann.get(of_version(first)))
    assert of_version(first, "copy") in shown and of_version(first, "revert") not in shown
    assert "archived" in html(ann.post(of_version(first, "revert")))
    assert "archived" in html(ann.post(of_prompt(first.prompt, "rename"), {"name": "other"}))
    ann.post(of_version(first, "copy"), {"title": "Again", "name": "again"})
    assert newest(Prompt.objects.get(name="again")).text == "One."
