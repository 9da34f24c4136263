"""Models and prices over REST."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from promptlab.accounts.models import Team
from promptlab.audit.models import AuditEntry
from promptlab.llm.models import Price, Provider
from promptlab.llm.services import modelling
from tests.support.api import Api
from tests.support.make import make_key, make_model, make_provider

pytestmark = pytest.mark.django_db
JANUARY, MARCH, MAY = "2026-01-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-05-01T00:00:00Z"


@pytest.fixture
def provider(team: Team) -> Provider:
    return make_provider(team, name="OpenAI", region_note="Stays in the EU")


def test_a_model_is_made_changed_and_removed(api: Api, provider: Provider) -> None:
    make_model(provider, "spare")
    body = {
        "provider_id": provider.pk, "name": "support", "upstream_name": "gpt-5", "tier": "premium",
        "context_window": 400_000, "abilities": ["vision", "tools"], "fallbacks": ["spare"],
    }  # fmt: skip
    one = api.post("/models", body).json()
    assert (one["provider"], one["abilities"], one["fallbacks"]) == ("OpenAI", ["tools", "vision"], ["spare"])
    path = f"/models/{one['id']}"
    changed = api.patch(path, {"is_on": False, "fallbacks": [], "context_window": None}).json()
    assert (changed["is_on"], changed["fallbacks"], changed["context_window"]) == (False, [], None)
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404


def test_readers_see_which_models_there_are_and_no_address(provider: Provider, team: Team) -> None:
    make_model(provider, "support")
    reader = Api(make_key(team, "read")[1])
    answer = reader.get("/models")
    assert [one["name"] for one in answer.json()["results"]] == ["support"]
    assert answer.json()["results"][0]["region_note"] == "Stays in the EU"
    assert b"api.openai.com" not in answer.content and b"key" not in answer.content
    one = answer.json()["results"][0]["id"]
    assert reader.patch(f"/models/{one}", {"is_on": False}).status_code == 403
    assert reader.post("/models", {"provider_id": provider.pk, "name": "x"}).status_code == 403


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "echo"}, "name"),
        ({"name": "echo-slow"}, "name"),
        ({"name": "x", "tier": "golden"}, "tier"),
        ({"name": "x", "context_window": 0}, "context_window"),
        ({"name": "x", "max_output_tokens": 10**12}, "max_output_tokens"),
        ({"name": "x", "abilities": ["flies"]}, "abilities"),
        ({"name": "x", "fallbacks": ["nobody"]}, "fallbacks"),
        ({"name": "x", "fallbacks": ["x"]}, "fallbacks"),
        ({"name": "x", "fallbacks": [f"m{n}" for n in range(6)]}, "fallbacks"),
    ],
)
def test_a_wrong_field_is_named(api: Api, provider: Provider, body: dict[str, Any], field: str) -> None:
    answer = api.post("/models", {"provider_id": provider.pk, **body})
    assert answer.status_code == 400, answer.content
    assert field in {error["field"].split(".")[0] for error in answer.json()["errors"]}


def test_a_provider_of_another_team_is_not_there(api: Api, team: Team) -> None:
    from tests.support.make import make_team

    stranger = make_provider(make_team())
    assert api.post("/models", {"provider_id": stranger.pk, "name": "x"}).status_code == 404
    other = make_model(stranger, "theirs")
    answer = api.post("/models", {"provider_id": make_provider(team).pk, "name": "x", "fallbacks": ["theirs"]})
    assert answer.json()["code"] == "unknown_fallback"
    assert api.get(f"/models/{other.pk}").status_code == 404


def test_a_name_is_there_once_and_repeating_changes_nothing(api: Api, provider: Provider) -> None:
    make_model(provider, "support")
    answer = api.post("/models", {"provider_id": provider.pk, "name": "support"})
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")
    one = api.get("/models").json()["results"][0]
    before = AuditEntry.objects.count()
    api.patch(f"/models/{one['id']}", {"name": "support", "fallbacks": []})
    assert AuditEntry.objects.count() == before


def test_a_team_has_so_many_models_and_no_more(api: Api, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modelling, "MOST", 0)
    answer = api.post("/models", {"provider_id": provider.pk, "name": "x"})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_models")


def price(api: Api, provider: Provider, usd: str = "1.25", **body: Any) -> Any:
    said = {"model": "gpt-5", "token": "input", "usd_per_million": usd, "valid_from": JANUARY, **body}
    return api.post(f"/providers/{provider.pk}/prices", said)


def test_an_endless_price_ends_the_one_before_it(api: Api, provider: Provider) -> None:
    assert price(api, provider).status_code == 201
    assert price(api, provider, "2", valid_from=MARCH).status_code == 201
    first, second = Price.objects.order_by("valid_from")
    assert first.valid_to == second.valid_from and second.valid_to is None
    before = AuditEntry.objects.count()
    assert price(api, provider, "2", valid_from=MARCH).json()["id"] == second.pk  # repeated
    assert (Price.objects.count(), AuditEntry.objects.count()) == (2, before)


def test_prices_of_one_kind_never_overlap(api: Api, provider: Provider) -> None:
    price(api, provider, valid_to=MARCH)
    price(api, provider, valid_from=MAY)
    february, june = "2026-02-01T00:00:00Z", "2026-06-01T00:00:00Z"
    wrong = [(JANUARY, None), (JANUARY, MARCH), (february, MAY), (MARCH, june), (MAY, june), (MAY, None)]
    for start, end in wrong:
        answer = price(api, provider, "9", valid_from=start, valid_to=end)
        assert (answer.status_code, answer.json()["code"]) == (409, "price_overlap"), (start, end)
    assert price(api, provider, "9", valid_from=MARCH, valid_to=MAY).status_code == 201
    assert price(api, provider, "9", token="output").status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"model": " "}, "model"),
        ({"token": "words"}, "token"),
        ({"usd_per_million": "-1"}, "usd_per_million"),
        ({"usd_per_million": "NaN"}, "usd_per_million"),
        ({"usd_per_million": "100001"}, "usd_per_million"),
        ({"valid_to": JANUARY}, "valid_to"),
    ],
)
def test_a_wrong_price_is_refused(api: Api, provider: Provider, body: dict[str, Any], field: str) -> None:
    answer = price(api, provider, **body)
    assert answer.status_code == 400, answer.content
    assert field in {error["field"] for error in answer.json()["errors"]}


def test_prices_are_listed_and_removed_by_administrators(api: Api, provider: Provider, team: Team) -> None:
    one = price(api, provider).json()
    listed = api.get(f"/providers/{provider.pk}/prices").json()["results"]
    assert [Decimal(row["usd_per_million"]) for row in listed] == [Decimal("1.25")]
    reader = Api(make_key(team, "read")[1])
    assert reader.get(f"/providers/{provider.pk}/prices").status_code == 404
    assert reader.delete(f"/prices/{one['id']}").status_code == 404
    assert api.delete(f"/prices/{one['id']}").status_code == 204
    assert api.delete(f"/prices/{one['id']}").status_code == 404
