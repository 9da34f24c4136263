"""What a version says beside its text, and who includes whom, through the pages."""

from __future__ import annotations

import html
import json
from typing import Any

from django.urls import reverse

from prompts.models import Deployment, Version
from prompts.services.deploying import previous_version
from tests.prompts.test_admin_moves import deploying, url
from tests.prompts.test_admin_prompt import ADD, filled_in, page_of, signed_in
from tests.support.cast import Cast
from tests.support.make import newest
from tests.support.snippets import Shelf

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def test_a_new_prompt_may_say_everything(cast: Cast) -> None:
    sent: dict[str, Any] = {
        "title": "Support",
        "text": "{% if mood %}{{ mood }}{% endif %}",
        "syntax": "jinja2",
        "stop": '["END"]',
        "tools": json.dumps([TOOL]),
        "output_schema": '{"type": "object"}',
        "variables": '{"mood": {"allowed": ["kind"]}}',
    }
    answer = signed_in(cast.ann).post(ADD, sent)
    assert answer.status_code == 302, answer.content.decode()
    version = Version.objects.get(prompt__title="Support")
    assert (version.syntax, version.stop, version.tools) == ("jinja2", ["END"], [TOOL])
    assert (version.output_schema, version.variables["mood"]["allowed"]) == ({"type": "object"}, ["kind"])


def test_the_page_sends_back_what_it_shows(cast: Cast) -> None:
    shelf = Shelf(cast.team)
    shelf.put("support", "Hi {{name}}.", stop=["END"], tools=[TOOL], variables={"name": {"max_length": 9}})
    client, prompt = signed_in(cast.ann), shelf.prompts["support"]
    shown = {
        name: html.unescape(value) for name, value in filled_in(client.get(page_of(prompt)).content.decode()).items()
    }
    assert json.loads(shown["tools"]) == [TOOL]
    assert client.post(page_of(prompt), {**shown, "text": "Hello {{name}}.", "message": "Politer"}).status_code == 302
    old, new = Version.objects.filter(prompt=prompt).order_by("number")
    assert (new.number, new.stop, new.tools, new.variables) == (2, old.stop, old.tools, old.variables)


def test_what_is_not_on_the_page_stays(cast: Cast) -> None:
    shelf = Shelf(cast.team)
    shelf.put("support", "Hi {{name}}.", stop=["END"], variables={"name": {"max_length": 9}})
    sent = {"text": "Hello {{name}}.", "message": "Politer", "started_from": 1, "model": ""}
    assert signed_in(cast.ann).post(page_of(shelf.prompts["support"]), sent).status_code == 302
    saved = newest(shelf.prompts["support"])
    assert (saved.number, saved.stop, saved.variables["name"]["max_length"]) == (2, ["END"], 9)


def test_a_field_that_cannot_be_read_says_so_and_is_open(cast: Cast) -> None:
    for field, value in (("tools", "[{"), ("tools", "{}"), ("stop", "[1]"), ("variables", '{"x": 5}')):
        page = signed_in(cast.ann).post(ADD, {"title": "Support", "text": "Hi.", field: value}).content.decode()
        assert 'class="field developers" open' in page, (field, value)
        assert "errorlist" in page
    assert not Version.objects.exists()


def test_the_page_says_where_a_prompt_is_used(cast: Cast) -> None:
    shelf = Shelf(cast.team)
    shelf.put("tone", "Be kind.", live=True)
    shelf.put("support", "{{> tone}}", live=True)
    client = signed_in(cast.vic)
    page = client.get(page_of(shelf.prompts["tone"])).content.decode()
    assert "Used in 1 prompt:" in page
    assert page_of(shelf.prompts["support"]) in page
    assert "Production v1" in page
    assert "Used in" not in client.get(page_of(shelf.prompts["support"])).content.decode()


def test_the_version_page_shows_everything(cast: Cast) -> None:
    shelf = Shelf(cast.team)
    shelf.put("tone", "Be kind.")
    declared = {"name": {"max_length": 9, "allowed": ["Ann"], "default": "Ann"}}
    version = shelf.put("support", "{{> tone}} {{name}}", stop=["END"], tools=[TOOL], variables=declared)
    page = html.unescape(
        signed_in(cast.vic).get(reverse("admin:prompts_version_change", args=[version.pk])).content.decode()
    )
    for words in ("at most 9 long", 'one of "Ann"', 'else "Ann"', "Stop at", "weather", "Includes", "tone"):
        assert words in page


def test_before_a_snippet_goes_live_the_page_says_what_else_changes(cast: Cast) -> None:
    shelf = Shelf(cast.team)
    shelf.put("tone", "Be kind.", live=True)
    shelf.put("support", "{{> tone}}", live=True)
    shelf.put("tone", "Be {{mood}}.")
    client, prompt = signed_in(cast.ben), shelf.prompts["tone"]
    page = client.get(url(prompt, "deploy")).content.decode()
    assert "It also changes: Support." in page
    assert "support: new: mood" in page
    assert client.post(url(prompt, "deploy"), deploying(prompt)).status_code == 200  # the tick is missing
    assert client.post(url(prompt, "deploy"), deploying(prompt, apps_know="on")).status_code == 302
    pointer = Deployment.objects.get(prompt=prompt)
    assert pointer.version is not None
    assert (pointer.version.number, previous_version(pointer)) == (2, Version.objects.get(prompt=prompt, number=1))


def test_what_is_not_live_yet_is_said_before_and_after(cast: Cast) -> None:
    shelf = Shelf(cast.team)
    shelf.put("tone", "Be kind.")
    shelf.put("support", "{{> tone}}")
    client, prompt = signed_in(cast.ben), shelf.prompts["support"]
    assert "tone (included by support)" in client.get(url(prompt, "deploy")).content.decode()
    assert "tone (included by support)" in client.post(url(prompt, "deploy"), deploying(prompt)).content.decode()
    assert not Deployment.objects.exists()
