"""Fields of a team's own: typed, filtered, exported, changed without losing what prompts have in them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from promptlab.accounts.models import Team
from prompts.models import MetadataField, MetadataValue, Prompt
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_key, make_prompt

pytestmark = pytest.mark.django_db
FIELDS: dict[str, dict[str, Any]] = {
    "audience": {"type": "text"},
    "size": {"type": "number"},
    "legal": {"type": "boolean"},
    "until": {"type": "date"},
    "risk": {"type": "choice", "choices": ["low", "high"]},
}
VALUES = {"audience": "nurses", "size": 2.5, "legal": False, "until": "2030-01-31", "risk": "high"}


@pytest.fixture
def ids(api: Api) -> dict[str, int]:
    made = {key: api.post("/fields", {"key": key, **told}) for key, told in FIELDS.items()}
    assert {answer.status_code for answer in made.values()} == {201}
    return {key: answer.json()["id"] for key, answer in made.items()}


def write(api: Api, name: str = "one", **metadata: Any) -> Any:
    return api.post("/prompts", {"title": name, "name": name, "content": "x", "metadata": metadata})


def test_values_come_back_as_they_were_sent(api: Api, ids: dict[str, int]) -> None:
    answer = write(api, **VALUES)
    assert (answer.status_code, answer.json()["metadata"]) == (201, VALUES)
    assert api.get("/prompts/one").json()["metadata"] == VALUES
    assert api.get("/prompts").json()["results"][0]["metadata"] == VALUES


def test_patch_changes_some_null_takes_away_and_put_replaces(api: Api, ids: dict[str, int]) -> None:
    etag = write(api, **VALUES).headers["ETag"]
    changed = api.patch("/prompts/one", {"metadata": {"size": 3, "legal": None}})
    assert changed.json()["metadata"] == {"audience": "nurses", "size": 3, "until": "2030-01-31", "risk": "high"}
    assert changed.headers["ETag"] != etag
    same = api.patch("/prompts/one", {"metadata": {"size": 3}})
    assert same.headers["ETag"] == changed.headers["ETag"]
    put = api.put("/prompts/one", {"title": "one", "content": "x", "metadata": {"risk": "low"}})
    assert put.json()["metadata"] == {"risk": "low"}


WRONG: list[tuple[str, Any]] = [
    ("audience", 3),
    ("audience", "x" * 501),
    ("size", "3"),
    ("size", True),
    ("size", 1e15),
    ("legal", "yes"),
    ("legal", 1),
    ("until", "31.1.2030"),
    ("until", "2030-02-31"),
    ("until", 20300131),
    ("risk", "medium"),
    ("risk", ["low"]),
    ("nobody", "x"),
]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_wrong_value_is_named(api: Api, ids: dict[str, int], key: str, value: Any) -> None:
    for answer in (write(api, **{key: value}),):
        assert answer.status_code == 400, answer.content
        assert [one["field"] for one in answer.json()["errors"]] == [f"metadata.{key}"]
    assert not Prompt.objects.exists()


def test_every_wrong_value_is_named_at_once(api: Api, ids: dict[str, int]) -> None:
    errors = write(api, size="x", legal="x", audience="fine").json()["errors"]
    assert {one["field"] for one in errors} == {"metadata.size", "metadata.legal"}


FOUND = [
    ("metadata.audience=nurses", ["one"]),
    ("metadata.audience=Nurses", []),
    ("metadata.size=2.5", ["one"]),
    ("metadata.size__gte=2.5", ["two", "one"]),
    ("metadata.size__gte=2.6", ["two"]),
    ("metadata.size__gte=2&metadata.size__lte=3", ["one"]),
    ("metadata.legal=false", ["one"]),
    ("metadata.legal=1", ["two"]),
    ("metadata.until__lte=2030-12-31", ["one"]),
    ("metadata.until__gte=2031-01-01", ["two"]),
    ("metadata.risk=high", ["two", "one"]),
    ("metadata.risk=high&metadata.size=10", ["two"]),
]


@pytest.mark.parametrize(("query", "found"), FOUND)
def test_prompts_are_found_by_their_values(api: Api, ids: dict[str, int], query: str, found: list[str]) -> None:
    write(api, "one", **VALUES)
    write(api, "two", audience="doctors", size=10, legal=True, until="2031-06-01", risk="high")
    write(api, "three")
    assert [one["name"] for one in api.get(f"/prompts?{query}").json()["results"]] == found


@pytest.mark.parametrize(
    "query",
    [
        "metadata.nobody=x", "metadata.size=x", "metadata.size__gte=", "metadata.size__gt=1", "metadata.audience__gte=a",
        "metadata.legal=perhaps", "metadata.until=soon", "metadata.risk=medium", "metadata.=x", "metadata.size=nan",
    ],
)  # fmt: skip
def test_a_filter_that_cannot_be_read_is_named(api: Api, ids: dict[str, int], query: str) -> None:
    answer = api.get(f"/prompts?{query}")
    assert answer.status_code == 400, answer.content
    assert answer.json()["errors"][0]["field"] == query.partition("=")[0]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"key": "Big"}, "key"),
        ({"key": "a__b"}, "key"),
        ({"key": "a.b"}, "key"),
        ({}, "key"),
        ({"key": "x", "type": "color"}, "type"),
        ({"key": "x", "type": "choice"}, "choices"),
        ({"key": "x", "position": -1}, "position"),
    ],
)
def test_a_wrong_field_is_named(api: Api, body: dict[str, Any], field: str) -> None:
    answer = api.post("/fields", body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


def test_a_short_name_is_taken_once(api: Api, ids: dict[str, int]) -> None:
    answer = api.post("/fields", {"key": "size"})
    assert (answer.status_code, answer.json()["code"]) == (409, "field_taken")


def test_a_type_stays_while_prompts_have_values(api: Api, ids: dict[str, int]) -> None:
    write(api, **VALUES)
    answer = api.patch(f"/fields/{ids['size']}", {"type": "text"})
    assert (answer.status_code, answer.json()["code"]) == (409, "field_in_use")
    answer = api.patch(f"/fields/{ids['risk']}", {"choices": ["low"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "field_in_use")
    assert api.patch(f"/fields/{ids['risk']}", {"choices": ["low", "high", "none"]}).status_code == 200
    api.patch("/prompts/one", {"metadata": {"size": None}})
    assert api.patch(f"/fields/{ids['size']}", {"type": "text"}).json()["type"] == "text"


def test_deleting_says_how_many_values_go(api: Api, ids: dict[str, int]) -> None:
    write(api, "one", size=1)
    write(api, "two", size=2, risk="low")
    answer = api.delete(f"/fields/{ids['size']}")
    assert (answer.status_code, answer.json()) == (200, {"values": 2})
    assert api.get("/prompts/two").json()["metadata"] == {"risk": "low"}
    assert api.delete(f"/fields/{ids['size']}").json()["code"] == "field_not_found"


def test_only_administrators_make_fields(api: Api, team: Team, ids: dict[str, int]) -> None:
    writer = Api(make_key(team, "read", "write")[1])
    assert len(writer.get("/fields").json()) == len(FIELDS)
    for answer in (
        writer.post("/fields", {"key": "new"}),
        writer.patch(f"/fields/{ids['size']}", {"title": "x"}),
        writer.delete(f"/fields/{ids['size']}"),
    ):
        assert (answer.status_code, answer.json()["data"]["needs"]) == (403, "team.admin")
    assert write(writer, size=1).status_code == 201


def test_a_bundle_carries_them(cast: Cast) -> None:
    here, there = Api(cast.key), Api(cast.stranger_key)
    for api, keys in ((here, FIELDS), (there, {key: FIELDS[key] for key in ("audience", "until", "legal")})):
        for key in keys:
            api.post("/fields", {"key": key, **FIELDS[key]})
    write(here, **VALUES)
    for format in ("yaml", "json"):
        bundle = here.get(f"/export?format={format}").content
        plan = there.post("/import", bundle).json()
        assert "there is no field risk here" in json.dumps(plan) or format == "json"
        assert there.get("/prompts/one").json()["metadata"] == {
            "audience": "nurses",
            "legal": False,
            "until": "2030-01-31",
        }
        assert here.post("/import", bundle).json()["prompts"][0]["outcome"] == "same"
    here.patch("/prompts/one", {"metadata": {"size": 7}})
    plan = here.post("/import", bundle).json()["prompts"][0]
    assert (plan["outcome"], plan["settings"]) == ("changed", ["metadata"])
    assert here.get("/prompts/one").json()["metadata"]["size"] == 2.5


def test_a_bundle_with_a_wrong_value_is_refused(api: Api, ids: dict[str, int]) -> None:
    body = {"promptlab": 1, "prompts": [{"name": "a", "metadata": {"size": "big"}, "versions": [{"text": "x"}]}]}
    answer = api.post("/import", body)
    assert answer.status_code == 400 and "metadata.size" in answer.json()["detail"]
    assert not MetadataValue.objects.exists()


def test_a_copy_inside_of_the_team_has_them(api: Api, ids: dict[str, int]) -> None:
    write(api, **VALUES)
    assert api.post("/prompts/one/versions/1/fork", {"title": "two"}).json()["metadata"] == VALUES


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_administrators_keep_fields_on_pages(cast: Cast) -> None:
    client, add = signed_in(cast.cleo), "/admin/prompts/metadatafield/add/"
    form = {"title": "Risk", "key": "risk", "type": "choice", "choices": "low\r\nhigh", "position": 10}
    assert "one of a list" in client.post(add, {**form, "choices": ""}).content.decode()
    client.post(add, form)
    field = MetadataField.objects.get()
    assert (field.key, field.choices) == ("risk", ["low", "high"])
    make_prompt(cast.team, metadata={"risk": "low"})
    base = f"/admin/prompts/metadatafield/{field.pk}"
    assert "1 prompt has a value" in client.get(f"{base}/change/").content.decode()
    refused = client.post(f"{base}/change/", {"title": "Risk", "type": "text", "choices": "", "position": 1})
    assert "have a value in Risk" in refused.content.decode()
    assert "1 prompt loses its value." in client.get(f"{base}/end/").content.decode()
    assert signed_in(cast.ann).post(f"{base}/end/").status_code in (403, 404)
    assert signed_in(cast.zoe).get(f"{base}/end/").status_code == 404
    client.post(f"{base}/end/")
    assert not MetadataField.objects.exists()


def test_the_settings_page_has_a_row_for_each(cast: Cast) -> None:
    api = Api(cast.key)
    for key, told in FIELDS.items():
        api.post("/fields", {"key": key, **told})
    prompt = make_prompt(cast.team, title="One", metadata={"size": 2})
    client, page = signed_in(cast.ann), f"/admin/prompts/prompt/{prompt.pk}/settings/"
    html = client.get(page).content.decode()
    assert all(f'name="metadata_{key}"' in html for key in FIELDS) and 'value="2"' in html
    sent = {f"metadata_{key}": value for key, value in VALUES.items()} | {"metadata_size": "2.5"}
    client.post(page, {"title": "One", "tags": "", **sent})
    assert api.get(f"/prompts/{prompt.pk}").json()["metadata"] == VALUES
    client.post(page, {"title": "One", "tags": "", "metadata_risk": "low"})
    assert api.get(f"/prompts/{prompt.pk}").json()["metadata"] == {"risk": "low"}
    assert 'name="metadata_size"' in client.post(page, {"title": "One", "metadata_size": "x"}).content.decode()
