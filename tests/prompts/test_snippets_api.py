"""Snippets over REST: what is said back, rendering, who includes whom, and what was served with what."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from promptlab_sdk.kernel.spec import PromptSpec
from promptlab_sdk.kernel.template import render_content
from promptlab_sdk.source import PINNED_TTL_S, HttpSource
from promptlab_sdk.transport import Answer

from promptlab.accounts.models import Team
from prompts.models import Collection, Prompt
from prompts.services import collecting
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_key
from tests.support.snippets import Shelf

pytestmark = pytest.mark.django_db
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
SCHEMA = {"type": "object", "properties": {"mood": {"type": "string"}}}
TECHNICAL: dict[str, Any] = {"syntax": "jinja2", "stop": ["END"], "tools": [TOOL], "output_schema": SCHEMA}


@pytest.fixture
def shelf(team: Team) -> Shelf:
    return Shelf(team)


def test_everything_a_version_says_comes_back(api: Api) -> None:
    made = api.post("/prompts", {"title": "Support", "content": "{% if x %}{{ x }}{% endif %}", **TECHNICAL})
    assert made.status_code == 201, made.content
    for said in (made.json(), made.json()["latest_version"], api.get("/prompts/support/versions/1").json()):
        assert {name: said[name] for name in TECHNICAL} == TECHNICAL
        assert said["includes"] == []


def test_a_change_of_one_setting_keeps_the_others(api: Api) -> None:
    api.post("/prompts", {"title": "Support", "content": "Hi.", "stop": ["END"], "tools": [TOOL]})
    changed = api.patch("/prompts/support", {"stop": ["FIN"]}).json()
    assert (changed["version"], changed["stop"], changed["tools"], changed["content"]) == (2, ["FIN"], [TOOL], "Hi.")
    draft = api.put("/prompts/support/draft", {"output_schema": SCHEMA}).json()
    assert (draft["stop"], draft["output_schema"], draft["problems"]) == (["FIN"], SCHEMA, [])
    saved = api.post("/prompts/support/draft/save", {}).json()
    assert (saved["number"], saved["output_schema"], saved["stop"]) == (3, SCHEMA, ["FIN"])


@pytest.mark.parametrize(
    ("field", "value"), [("syntax", "php"), ("stop", "END"), ("tools", [1]), ("output_schema", [])]
)
def test_a_wrong_shape_is_named(api: Api, field: str, value: Any) -> None:
    answer = api.post("/prompts", {"title": "Support", "content": "Hi.", field: value})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"].split(".")[0] == field


def test_a_version_says_what_it_includes(shelf: Shelf, api: Api) -> None:
    shelf.put("tone", "Be kind.")
    made = api.post("/prompts", {"title": "Support", "content": "{{> tone}} Help."}).json()
    assert made["includes"] == made["latest_version"]["includes"] == ["tone"]


def test_a_pinned_version_is_fetched_as_it_would_be_delivered_in_an_environment(shelf: Shelf, api: Api) -> None:
    shelf.put("tone", "Be kind to {{name}}.", live=True)
    shelf.put("support", "{{> tone}} Help.")
    path = "/prompts/support/versions/1"
    plain, whole = api.get(path), api.get(f"{path}?environment=production")
    assert plain.json()["prompt_text"] == whole.json()["content"] == "{{> tone}} Help."
    found = PromptSpec.from_dict(whole.json())
    assert (found.content.text, found.snippets) == ("Be kind to {{name}}. Help.", {"tone": 1})
    assert (list(found.content.variables), found.sha256) == (["name"], plain.json()["sha256"])
    assert PromptSpec.from_dict(plain.json()).snippets == {}
    assert plain.headers["etag"] != whole.headers["etag"]
    shelf.put("tone", "Be brief.", live=True)
    assert api.get(f"{path}?environment=production").headers["etag"] != whole.headers["etag"]
    assert api.get(f"{path}?environment=development").json()["code"] == "snippet_not_live"


class OverClient:
    """The SDK's way to a server, without a network."""

    service_url = "http://testserver"
    forget_connections = close = staticmethod(lambda: None)

    def __init__(self, api: Api) -> None:
        self.api = api

    def get(self, path: str, params: dict[str, str], etag: str) -> Answer:
        answer = self.api.get(f"{path}?{urlencode(params)}", **({"If-None-Match": etag} if etag else {}))
        assert answer.status_code == 200, answer.content
        return Answer(answer.json(), answer.headers["etag"])


def test_the_sdk_gets_a_pinned_version_whole(shelf: Shelf, api: Api) -> None:
    """In the environment it names, else where its key is at home; kept only as long as what is live."""
    shelf.put("tone", "Be kind to {{name}}.", live=True)
    Shelf(shelf.team, "staging", shelf.prompts).put("tone", "Be brief, {{name}}.", live=True)
    shelf.put("support", "{{> tone}} Help.")
    shelf.put("plain", "Help.")
    prompts = HttpSource(OverClient(api))  # type: ignore[arg-type]
    texts = {}
    for env in (None, "production", "staging"):
        found = prompts.load(("support", env, 1), "")
        assert found.value is not None and found.ttl_s is None
        texts[env] = render_content(found.value.prompt.content, {"name": "Ann"})
    assert texts == {
        None: "Be kind to Ann. Help.",
        "production": "Be kind to Ann. Help.",
        "staging": "Be brief, Ann. Help.",
    }
    alone = prompts.load(("plain", "staging", 1), "")
    assert alone.value is not None and (alone.value.prompt.content.text, alone.ttl_s) == ("Help.", PINNED_TTL_S)


def test_rendering_puts_in_what_is_live_in_the_environment(shelf: Shelf, api: Api) -> None:
    shelf.put("tone", "Be kind to {{name}}.", live=True)
    Shelf(shelf.team, "staging", shelf.prompts).put("tone", "Be brief, {{name}}.", live=True)
    shelf.put("support", "{{> tone}} Help.")
    said = {"variables": {"name": "Ann"}}
    path = "/prompts/support/versions/1/render"
    assert api.post(path, said).json() == {"text": "Be kind to Ann. Help.", "messages": [], "snippets": {"tone": 1}}
    assert api.post(path, {**said, "environment": "staging"}).json()["text"] == "Be brief, Ann. Help."
    refused = api.post(path, {**said, "environment": "development"})
    assert (refused.status_code, refused.json()["code"]) == (409, "snippet_not_live")
    assert api.post(path, {**said, "environment": "moon"}).status_code == 404


def test_rendering_lists_every_problem(shelf: Shelf, api: Api) -> None:
    shelf.put("tone", "{{mood}}", live=True, variables={"mood": {"allowed": ["kind"]}})
    shelf.put("support", "{{> tone}} {{age}} {{name}}", variables={"age": {"type": "number"}})
    answer = api.post("/prompts/support/versions/1/render", {"variables": {"mood": "rude", "age": "old"}})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_variables")
    assert {(one["field"], one["code"]) for one in answer.json()["errors"]} == {
        ("variables.age", "wrong_type"),
        ("variables.name", "missing_variable"),
        ("variables.mood", "not_allowed"),
    }


def test_rendering_asks_only_environments_the_key_may_use(shelf: Shelf) -> None:
    shelf.put("tone", "Be kind.", live=True)
    shelf.put("support", "{{> tone}}")
    key = make_key(shelf.team, environments=["staging"])[1]
    assert Api(key).post("/prompts/support/versions/1/render", {"environment": "production"}).status_code == 403


def test_who_includes_a_prompt(shelf: Shelf, api: Api) -> None:
    shelf.put("tone", "Be kind.", live=True)
    shelf.put("rules", "{{> tone}}", live=True)
    shelf.put("support", "{{> rules}}")
    assert api.get("/prompts/tone/used-by").json() == [
        {"name": "rules", "title": "Rules", "is_direct": True, "newest_version": 1, "live": {"production": 1}},
        {"name": "support", "title": "Support", "is_direct": False, "newest_version": 1, "live": {}},
    ]


def test_what_a_version_was_served_with(shelf: Shelf, api: Api) -> None:
    shelf.put("tone", "Be kind.", live=True)
    shelf.put("support", "{{> tone}}", live=True)
    shelf.put("tone", "Be brief.", live=True)
    rows = api.get("/prompts/support/versions/1/served-with").json()
    assert [(row["from_revision"], row["until_revision"], row["snippets"]) for row in rows] == [
        (2, 3, {"tone": 1}),
        (3, None, {"tone": 2}),
    ]


def test_viewers_may_look_and_strangers_find_nothing(cast: Cast) -> None:
    shelf = Shelf(cast.team)
    shelf.put("tone", "Be kind.", live=True)
    shelf.put("support", "{{> tone}}", live=True)
    for path in ("/prompts/tone/used-by", "/prompts/support/versions/1/served-with"):
        assert Api(cast.read_key).get(path).status_code == 200
        assert Api(cast.stranger_key).get(path).status_code == 404
        assert Api().get(path).status_code == 401
    assert Api(cast.read_key).get("/prompts/support/versions/9/served-with").status_code == 404


def test_a_private_text_shows_nowhere_to_others(cast: Cast) -> None:
    shelf = Shelf(cast.team)
    shelf.put("tone", "Secret.", live=True)
    shelf.put("support", "{{> tone}}", live=True)
    shelf.put("notes", "{{> support}}", live=True)
    group = collecting.create_collection(cast.principal(cast.ann), cast.team.pk, name="Mine")
    Collection.objects.filter(pk=group.pk).update(visibility="private")
    Prompt.objects.filter(name__in=["tone", "notes"]).update(collection=group)
    path = "/prompts/support/versions/1"
    assert Api(cast.read_key).post(f"{path}/render", {}).status_code == 404
    assert Api(cast.read_key).get(f"{path}?environment=production").status_code == 404
    assert Api(cast.read_key).get("/prompts/support/used-by").json() == []
    assert Api(cast.key).post(f"{path}/render", {}).json()["text"] == "Secret."
