"""Texts for certain models on a prompt's page: written, kept, refused beside their field, and shown wherever texts are."""

from __future__ import annotations

import html
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from prompts.admin.model_texts import read, written
from prompts.models import Draft, Prompt
from tests.prompts.test_admin_prompt import filled_in, page_of, signed_in
from tests.support.cast import Cast
from tests.support.make import make_model, make_prompt, make_provider, make_version, newest

pytestmark = pytest.mark.django_db
TEXT, OTHER = "Answer {{name}}.", "You answer.\n{{name}} asks."


@pytest.fixture
def prompt(cast: Cast) -> Prompt:
    make_model(make_provider(cast.team), "small")
    return make_prompt(cast.team, TEXT, title="Support")


def shown(client: Client, prompt: Prompt) -> dict[str, Any]:
    page = client.get(page_of(prompt)).content.decode()
    return {name: html.unescape(value) for name, value in filled_in(page).items()}


def test_a_text_is_written_for_one_of_the_teams_models(cast: Cast, prompt: Prompt) -> None:
    ann = signed_in(cast.ann)
    page = ann.get(page_of(prompt)).content.decode()
    assert '<option value="small">small</option>' in page and "Texts for other models</summary>" in page
    sent = {**shown(ann, prompt), "other_model_0": "small", "other_text_0": OTHER.replace("\n", "\r\n"), "message": "x"}
    assert ann.post(page_of(prompt), sent).status_code == 302
    assert newest(prompt).model_texts == {"small": OTHER}
    again = shown(ann, prompt)
    assert (again["other_model_0"], again["other_text_0"], again["other_text_1"]) == ("small", OTHER, "")
    assert "Texts for other models (1)" in ann.get(page_of(prompt)).content.decode()
    assert ann.post(page_of(prompt), {**again, "other_text_0": " ", "message": "x"}).status_code == 302
    assert newest(prompt).model_texts == {}


def test_what_the_page_shows_is_sent_back_unchanged(cast: Cast) -> None:
    parts = [{"role": "system", "content": "{{a}}\n\n"}, {"placeholder": "history"}, {"role": "user", "content": "Go"}]
    chat = make_prompt(
        cast.team, messages=parts, model_texts={"small": [*parts, {"role": "user", "content": "[user]"}]}
    )
    ann = signed_in(cast.ann)
    assert "This is the same as v1." in ann.post(page_of(chat), {**shown(ann, chat), "message": "x"}).content.decode()


def test_a_text_that_cannot_be_saved_is_said_beside_its_field(cast: Cast, prompt: Prompt) -> None:
    ann = signed_in(cast.ann)
    sent = {**shown(ann, prompt), "message": "x", "other_model_0": "small", "other_text_0": "No blank."}
    page = ann.post(page_of(prompt), sent).content.decode()
    beside = page[page.index('id="other-texts"') :]
    assert beside.startswith('id="other-texts" open') and "The text for small does not have {{name}}." in beside
    assert "No blank." in beside and newest(prompt).number == 1
    nameless = ann.post(page_of(prompt), {**sent, "other_model_0": "", "other_text_0": OTHER}).content.decode()
    assert "Choose the model that this text is for." in nameless
    twice = {**sent, "other_text_0": OTHER, "other_model_1": "small", "other_text_1": OTHER}
    assert "There is another text for this model." in ann.post(page_of(prompt), twice).content.decode()


def test_a_draft_keeps_what_was_typed_errors_and_all(cast: Cast, prompt: Prompt) -> None:
    ann = signed_in(cast.ann)
    sent = {**shown(ann, prompt), "other_model_0": "small", "other_text_0": "{{nam", "act": "keep"}
    assert ann.post(page_of(prompt), sent).status_code == 302
    assert Draft.objects.get().body["model_texts"] == {"small": "{{nam"}
    again = shown(ann, prompt)
    assert (again["other_model_0"], again["other_text_0"]) == ("small", "{{nam")
    kept = ann.post(reverse("admin:prompts_prompt_keep", args=[prompt.pk]), {**again, "other_text_0": OTHER}).json()
    assert kept["row_version"] == 2 and Draft.objects.get().body["model_texts"] == {"small": OTHER}
    assert (
        ann.post(page_of(prompt), {**again, "row_version": 2, "other_text_0": OTHER, "message": "x"}).status_code == 302
    )
    assert newest(prompt).model_texts == {"small": OTHER}


def test_a_page_without_the_fields_leaves_the_texts_as_they_are(cast: Cast) -> None:
    prompt = make_prompt(cast.team, TEXT, model_texts={"small": OTHER})
    sent = {"text": "Hello {{name}}.", "message": "x", "started_from": 1, "model": ""}
    assert signed_in(cast.ann).post(page_of(prompt), sent).status_code == 302
    assert (newest(prompt).number, newest(prompt).model_texts) == (2, {"small": OTHER})


def test_versions_and_comparisons_show_them(cast: Cast, prompt: Prompt) -> None:
    version = make_version(prompt, TEXT, model_texts={"small": OTHER})
    ann = signed_in(cast.ann)
    page = ann.get(reverse("admin:prompts_version_change", args=[version.pk])).content.decode()
    assert "Text for small</h3>" in page and "You answer.\n{{name}} asks.</pre>" in page
    compared = ann.get(reverse("admin:prompts_prompt_compare", args=[prompt.pk]) + "?a=1&b=2").content.decode()
    assert "These are the same text." in compared
    assert "What changes in the text for small</h3>" in compared and "<ins>You answer.</ins>" in compared


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system", "content": "A\n\nB"}, {"placeholder": "history"}, {"role": "user", "content": "C"}],
        [{"role": "user", "content": "[user]"}],
        [{"role": "user", "content": ""}],
        [{"role": "user", "content": "\nends\n\n"}],
    ],
)
def test_messages_are_read_as_they_were_written(messages: list[dict[str, str]]) -> None:
    assert read(written(messages), is_chat=True) == messages


def test_messages_that_cannot_be_read_are_refused_by_their_role() -> None:
    assert read("Hello", is_chat=True) == [{"role": "", "content": "Hello"}]
    assert read("[{oops", is_chat=True) == [{"role": "", "content": "[{oops"}]
    assert read("[user]\nHi", is_chat=False) == "[user]\nHi"
