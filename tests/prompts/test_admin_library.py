"""The library through the pages: what is shared is found, read and copied into a team of one's own."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from promptlab.accounts.access import SYSTEM, Role
from promptlab.accounts.models import Team
from promptlab.accounts.services import add_member
from prompts.models import Prompt
from prompts.services import collecting
from prompts.services.collecting import Place
from tests.support.cast import Cast
from tests.support.make import make_live, make_prompt, make_team, make_user, make_version, newest

pytestmark = pytest.mark.django_db
LIBRARY = "/admin/prompts/prompt/library/"


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def html(answer: Any) -> str:
    return answer.content.decode()


def page_of(prompt: Prompt) -> str:
    return reverse("admin:prompts_prompt_shared", args=[prompt.pk])


@pytest.fixture
def shared(cast: Cast) -> Prompt:
    """Acme's, for everyone; live is a text that its team alone knows."""
    place = Place(owner_id=cast.ann.pk, has_owner=True, visibility="everyone")
    group = collecting.create_collection(SYSTEM, cast.team.pk, name="Tips", place=place)
    prompt = make_prompt(cast.team, "Old words, {{name}}.", title="Greeting", collection=group, tags=["tone"])
    make_live(prompt.newest)  # type: ignore[arg-type]
    make_version(prompt, "Good day, {{name}}.")
    make_prompt(cast.team, title="Own business")
    return prompt


def test_it_lists_what_everyone_may_read(cast: Cast, shared: Prompt) -> None:
    for user in (cast.zoe, cast.vic):
        assert LIBRARY in html(signed_in(user).get("/admin/prompts/prompt/"))
        shown = html(signed_in(user).get(LIBRARY))
        assert page_of(shared) in shown and "Greeting" in shown and "Own business" not in shown
    assert Client().get(LIBRARY).status_code == 302


def test_it_is_searched_by_the_newest_text_only(cast: Cast, shared: Prompt) -> None:
    zoe = signed_in(cast.zoe)
    assert page_of(shared) in html(zoe.get(f"{LIBRARY}?q=good day"))
    for nothing in ("old words", "business", "nowhere"):
        assert "No shared prompt matches." in html(zoe.get(f"{LIBRARY}?q={nothing}")), nothing
    assert zoe.get(f"{LIBRARY}?q={'x' * 300}").status_code == 200
    assert zoe.get(f"{LIBRARY}?page=99").status_code == 200


def test_it_is_empty_with_a_reason(cast: Cast) -> None:
    assert "Nothing is shared yet" in html(signed_in(cast.zoe).get(LIBRARY))


def test_a_copy_goes_into_ones_own_team(cast: Cast, shared: Prompt) -> None:
    zoe, page = signed_in(cast.zoe), page_of(shared)
    shown = html(zoe.get(page))
    assert "Good day, {{name}}." in shown and "Production" not in shown
    assert Prompt.objects.filter(team__name="Elsewhere").count() == 0
    done = html(zoe.post(page, {"title": "Our greeting", "name": "ours"}, follow=True))
    made = Prompt.objects.get(name="ours")
    assert "Our greeting is your team&#x27;s now." in done or "Our greeting is your team's now." in done
    assert (made.team.name, made.collection, newest(made).text) == ("Elsewhere", None, "Good day, {{name}}.")
    assert made.forked_from == newest(shared)
    again = html(zoe.post(page, {"title": "Our greeting", "name": "ours"}))
    assert 'href="#id_name"' in again and Prompt.objects.filter(team__name="Elsewhere").count() == 1


def test_who_writes_in_two_teams_says_in_which(cast: Cast, shared: Prompt) -> None:
    second = make_team("Second")
    add_member(SYSTEM, second, cast.zoe, Role.WRITER)
    zoe = signed_in(cast.zoe)
    sent = {"title": "Ours", "name": "ours"}
    assert 'href="#id_team"' in html(zoe.post(page_of(shared), sent))
    zoe.post(page_of(shared), {**sent, "team": second.pk})
    assert Prompt.objects.get(name="ours").team == second
    zoe.post(page_of(shared), {**sent, "team": Team.objects.get(name="Acme").pk, "name": "stolen"})
    assert not Prompt.objects.filter(name="stolen").exists()


def test_what_is_not_shared_has_no_page_and_a_viewer_makes_no_copy(cast: Cast, shared: Prompt) -> None:
    own = Prompt.objects.get(title="Own business")
    assert signed_in(cast.zoe).get(page_of(own)).status_code == 404
    viewer = make_user("looker", Team.objects.get(name="Elsewhere"), Role.VIEWER)
    client = signed_in(viewer)
    assert "Make the copy" not in html(client.get(page_of(shared)))
    assert client.post(page_of(shared), {"title": "x", "name": "x"}).status_code == 403
    assert not Prompt.objects.filter(name="x").exists()
