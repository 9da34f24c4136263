"""Finding prompts: every filter of the list, alone and together."""

from __future__ import annotations

from typing import Any

import pytest

from promptlab.accounts.models import Team
from tests.support.api import Api
from tests.support.make import make_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def library(api: Api) -> dict[str, int]:
    """Four prompts, made in this order: summary, reply, ad, talk. Returns the collections' ids."""
    emails = api.post("/collections", {"name": "Emails"}).json()["id"]
    ads = api.post("/collections", {"name": "Ads"}).json()["id"]
    texts: list[dict[str, Any]] = [
        {
            "title": "Summary",
            "content": "Summarize: {{email_content}}",
            "collection_id": emails,
            "tags": ["short", "mail"],
        },
        {
            "title": "Reply",
            "content": "Reply to {{email_content}}",
            "collection_id": emails,
            "tags": ["mail"],
            "model_type": "chat",
        },
        {
            "title": "Ad",
            "content": "Write an ad",
            "description": "Not for EMAIL",
            "collection_id": ads,
            "tags": ["short"],
        },
        {"title": "Talk", "messages": [{"role": "system", "content": "Be a pirate"}]},
    ]
    for body in texts:
        assert api.post("/prompts", body).status_code == 201
    api.post("/prompts/reply/versions", {"content": "Answer {{message}}"})
    api.post("/deployments", {"prompt_name": "ad", "environment": "production", "version": 1})
    return {"emails": emails, "ads": ads}


def names(api: Api, query: str) -> list[str]:
    answer = api.get(f"/prompts?{query}")
    assert answer.status_code == 200, answer.content
    assert answer.json()["count"] == len(answer.json()["results"])
    return [one["name"] for one in answer.json()["results"]]


FOUND: list[tuple[str, list[str]]] = [
    ("", ["talk", "ad", "reply", "summary"]),
    ("collection_id={emails}", ["reply", "summary"]),
    ("search=email", ["ad", "summary"]),
    ("search=EMAIL", ["ad", "summary"]),
    ("search=summ", ["summary"]),
    ("search=pirate", ["talk"]),
    ("search=write ad", ["ad"]),
    ("search=write pirate", []),
    ("search=%25", []),
    ("search=_", []),
    ("search='); DROP TABLE prompts_prompt; --", []),
    ("collection_id={emails}&search=email", ["summary"]),
    ("tags=short", ["ad", "summary"]),
    ("tags=mail,short", ["summary"]),
    ("tags= mail , ,short ", ["summary"]),
    ("tags=mail,nobody", []),
    ("tags=Short", ["ad", "summary"]),
    ("model_type=chat", ["reply"]),
    ("min_version=1", ["talk", "ad", "reply", "summary"]),
    ("min_version=2", ["reply"]),
    ("min_version=9223372036854775807", []),
    ("collection_id=9223372036854775807", []),
    ("environment=production", ["ad"]),
    ("environment=staging", []),
    ("environment=nowhere", []),
    ("ordering=title", ["ad", "reply", "summary", "talk"]),
    ("ordering=-name", ["talk", "summary", "reply", "ad"]),
    ("ordering=created_at", ["summary", "reply", "ad", "talk"]),
    ("ordering=-updated_at", ["reply", "talk", "ad", "summary"]),
    ("collection_id=", ["talk", "ad", "reply", "summary"]),
]


def test_a_filter_finds_exactly_these(api: Api, library: dict[str, int]) -> None:
    for query, found in FOUND:
        assert names(api, query.format(**library)) == found, query


def test_search_reads_the_newest_text_only(api: Api, library: dict[str, int]) -> None:
    assert names(api, "search=Answer") == ["reply"]
    assert names(api, "search=Reply to") == []


UNREADABLE = [
    ("collection_id=emails", "collection_id"),
    ("collection_id=1e400", "collection_id"),
    ("collection_id=NaN", "collection_id"),
    ("collection_id=1.5", "collection_id"),
    ("collection_id=-1", "collection_id"),
    ("collection_id=99999999999999999999999999", "collection_id"),
    ("min_version=99999999999999999999999999", "min_version"),
    ("min_version=two", "min_version"),
    ("min_version=Infinity", "min_version"),
    ("ordering=owner__password", "ordering"),
    ("ordering=title;--", "ordering"),
    ("search=" + "a+" * 300, "search"),
    ("tags=" + ",".join(f"t{n}" for n in range(100)), "tags"),
]


def test_a_value_that_cannot_be_read_is_a_400_that_names_it(api: Api) -> None:
    for query, field in UNREADABLE:
        answer = api.get(f"/prompts?{query}")
        assert answer.status_code == 400, (query, answer.content[:500])
        assert [error["field"] for error in answer.json()["errors"]] == [field], query


def test_a_nul_is_refused_in_any_place(api: Api) -> None:
    for name in ("search", "tags", "environment", "model_type", "collection_id", "page", "x"):
        answer = api.get(f"/prompts?{name}=a%00b")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_text"), name


def test_pages_have_the_usual_shape(api: Api, library: dict[str, int]) -> None:
    first = api.get("/prompts?page_size=3").json()
    assert (first["count"], len(first["results"]), first["previous"]) == (4, 3, None)
    second = api.get(first["next"]).json()
    assert (len(second["results"]), second["next"]) == (1, None)
    assert not {one["id"] for one in first["results"]} & {one["id"] for one in second["results"]}


def test_a_page_that_is_not_there_is_a_404(api: Api) -> None:
    for page in ("0", "9", "x", "-1", "9" * 5000):
        assert api.get(f"/prompts?page={page}").status_code == 404, page


def test_a_page_size_that_means_nothing_is_the_usual_one(api: Api, library: dict[str, int]) -> None:
    for size, shown in (("2", 2), ("0", 4), ("x", 4), ("-3", 4), ("9" * 30, 4)):
        assert len(api.get(f"/prompts?page_size={size}").json()["results"]) == shown, size


def test_another_team_finds_nothing(library: dict[str, int]) -> None:
    from tests.support.make import make_team

    other = Api(make_key(make_team())[1])
    for query in ("", "search=email", f"collection_id={library['emails']}", "tags=short", "environment=production"):
        assert names(other, query) == []


def test_moves_are_filtered_too(api: Api, team: Team, library: dict[str, int]) -> None:
    api.post("/deployments", {"prompt_name": "summary", "environment": "staging", "version": 1})
    assert [move["prompt_name"] for move in api.get("/deployments").json()["results"]] == ["summary", "ad"]
    assert [move["prompt_name"] for move in api.get("/deployments?environment=production").json()["results"]] == ["ad"]
    assert [move["environment"] for move in api.get("/deployments?prompt_name=summary").json()["results"]] == [
        "staging"
    ]
    assert api.get("/deployments?prompt_name=a%00").status_code == 400
