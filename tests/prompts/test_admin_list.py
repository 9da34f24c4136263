"""The prompt list, and the other lists about prompts."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from promptlab.accounts.access import SYSTEM
from prompts.models import Prompt
from prompts.services import authoring, collecting
from tests.support.cast import Cast
from tests.support.make import make_live, make_prompt, make_version, newest

LIST = "/admin/prompts/prompt/"


def signed_in(user: object) -> Client:
    client = Client()
    client.force_login(user)
    return client


def text_of(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def test_list_shows_what_is_live_where(cast: Cast) -> None:
    prompt = make_prompt(cast.team, title="Support reply")
    make_live(newest(prompt))
    make_version(prompt)
    html = text_of(signed_in(cast.vic), LIST)
    assert "Support reply" in html and prompt.name in html
    assert "Production v1" in html
    assert ">v2<" in html


def test_list_leads_strangers_to_sign_in(cast: Cast) -> None:
    answer = Client().get(LIST)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/admin/login/")


def test_list_shows_nothing_of_other_teams(cast: Cast) -> None:
    make_prompt(cast.team, title="Secret of Acme")
    assert "Secret of Acme" not in text_of(signed_in(cast.zoe), LIST)


def test_list_offers_a_new_prompt_to_writers_only(cast: Cast) -> None:
    assert "New prompt" in text_of(signed_in(cast.ann), LIST)
    assert "New prompt" not in text_of(signed_in(cast.vic), LIST)


def test_empty_list_says_what_a_prompt_is(cast: Cast) -> None:
    assert "A prompt is the text we send to the model." in text_of(signed_in(cast.ann), LIST)


def test_search_finds_words_of_the_newest_text(cast: Cast) -> None:
    make_prompt(cast.team, "Say hello to {{name}} politely.", title="Greeting")
    make_prompt(cast.team, "Sum up.", title="Summary")
    html = text_of(signed_in(cast.vic), f"{LIST}?q=politely")
    assert "Greeting" in html and "Summary" not in html


def test_filters_narrow_the_list(cast: Cast) -> None:
    legal = collecting.create_collection(SYSTEM, cast.team.pk, name="Legal")
    first = make_prompt(cast.team, title="Contract", collection=legal, tags=["urgent"])
    make_prompt(cast.team, title="Blurb")
    make_live(newest(first), "staging")
    vic = signed_in(cast.vic)
    for query in (f"collection={legal.pk}", "live=staging", "tag=urgent"):
        html = text_of(vic, f"{LIST}?{query}")
        assert "Contract" in html and "Blurb" not in html, query
    html = text_of(vic, f"{LIST}?live=-")
    assert "Blurb" in html and ">Contract<" not in html


def test_archived_prompts_are_left_out_unless_asked_for(cast: Cast) -> None:
    prompt = make_prompt(cast.team, title="Old news")
    authoring.archive_prompt(SYSTEM, prompt)
    vic = signed_in(cast.vic)
    assert "Old news" not in text_of(vic, LIST)
    assert "Old news" in text_of(vic, f"{LIST}?archived=yes")
    assert "Old news" in text_of(vic, f"{LIST}?archived=all")


def test_blank_filters_are_dropped_instead_of_emptying_the_list(cast: Cast) -> None:
    answer = signed_in(cast.vic).get(f"{LIST}?q=&tag=urgent")
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"{LIST}?tag=urgent"


@pytest.mark.parametrize("query", ["collection=x", "collection=99999999999999999999", "o=9.9", "p=x", "nonsense=1"])
def test_strange_parameters_break_nothing(cast: Cast, query: str) -> None:
    make_prompt(cast.team)
    assert signed_in(cast.vic).get(f"{LIST}?{query}", follow=True).status_code == 200


def test_list_asks_a_constant_number_of_questions(cast: Cast, django_assert_max_num_queries) -> None:
    for number in range(12):
        prompt = make_prompt(cast.team, title=f"Prompt number {number}", tags=["a", "b"])
        make_live(newest(prompt))
    client = signed_in(cast.ann)
    with django_assert_max_num_queries(16) as seen:
        text_of(client, LIST)
    few = len(seen)
    for number in range(20):
        make_live(newest(make_prompt(cast.team, title=f"More {number}", tags=["c"])), "staging")
    with django_assert_max_num_queries(few):
        text_of(client, LIST)


@pytest.mark.parametrize(
    "name",
    ["deployment", "deploymentevent", "version", "collection", "tag"],
)
def test_other_lists_work_and_hide_other_teams(cast: Cast, name: str, django_assert_max_num_queries) -> None:
    url = reverse(f"admin:prompts_{name}_changelist")
    collection = collecting.create_collection(SYSTEM, cast.team.pk, name="Acme things")
    prompt = make_prompt(cast.team, title="Acme prompt", tags=["acme-tag"], collection=collection)
    make_live(newest(prompt))
    vic = signed_in(cast.vic)
    with django_assert_max_num_queries(12):
        assert "cme" in text_of(vic, url)
    stranger = text_of(signed_in(cast.zoe), url)
    assert "Acme prompt" not in stranger and "Acme things" not in stranger and "acme-tag" not in stranger
    assert Client().get(url).status_code == 302


def test_environments_are_for_administrators(cast: Cast) -> None:
    url = reverse("admin:prompts_environment_changelist")
    make_live(newest(make_prompt(cast.team)))
    assert "Production" in text_of(signed_in(cast.cleo), url)
    refused = signed_in(cast.ann).get(url)
    assert refused.status_code == 403
    assert "administrator" in refused.content.decode()


def test_a_tag_leads_to_its_prompts(cast: Cast) -> None:
    prompt = make_prompt(cast.team, tags=["billing"])
    tag = Prompt.objects.get(pk=prompt.pk).tags.get()
    html = signed_in(cast.vic).get(reverse("admin:prompts_tag_change", args=[tag.pk])).content.decode()
    assert f'href="{LIST}?tag=billing"' in html
