"""Which ways lead to a model, and what tokens cost, as the rows say."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from promptlab import llm
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.llm import offering, pricing, routes
from promptlab.llm.models import Provider
from promptlab.llm.refusals import ModelOff, NoModelOfTier, ProviderNotReady
from promptlab.llm.services import modelling, price_list, providing
from tests.support.make import make_model, make_provider, make_team

pytestmark = pytest.mark.django_db
KEY = "sk-canary-0123456789-7f3a"
AT = datetime(2026, 11, 1, tzinfo=UTC)
MILLION = 1_000_000


@pytest.fixture(autouse=True)
def _commits_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test is one transaction that never ends: what follows a commit is done at once."""
    from django.db import transaction

    monkeypatch.setattr(transaction, "on_commit", lambda act, **kwargs: act())


def update(provider: Provider, **fields: Any) -> Provider:
    return providing.update_provider(SYSTEM, provider, fields)  # type: ignore[arg-type]


def test_a_model_leads_to_its_provider_and_then_to_its_fallbacks(team: Team) -> None:
    one = make_provider(team, name="One", deadline_s=9.0, on_hang_up="read")
    two = make_provider(team, name="Two", kind="anthropic")
    make_model(two, "spare", upstream_name="claude")
    make_model(one, "last")
    make_model(one, "support", upstream_name="gpt-5", fallbacks=["spare", "last"])
    first, second, third = routes.routes_for(team.pk, "support")
    assert (first.provider, first.kind, first.model, first.key) == ("One", "openai", "gpt-5", KEY)
    assert (first.address, first.deadline_s, first.drains) == ("https://api.openai.com/v1", 9.0, True)
    assert (second.provider, second.model, second.address) == ("Two", "claude", "https://api.anthropic.com/v1")
    assert third.model == "last"
    assert KEY not in repr((first, second, third))


def test_a_model_in_no_row_has_no_way_here(team: Team) -> None:
    make_model(make_provider(team), "support")
    for model in ("", "echo", "echo-slow", "gpt-4o", "Support"):
        assert routes.routes_for(team.pk, model) == ()
    assert routes.routes_for(make_team().pk, "support") == ()


def test_no_name_is_the_default_model(team: Team, settings: Any) -> None:
    settings.LLM_DEFAULT_MODEL = "support"
    make_model(make_provider(team), "support")
    assert len(routes.routes_for(team.pk, "")) == 1


def test_what_is_off_is_refused_by_name_and_is_no_fallback(team: Team) -> None:
    provider, other = make_provider(team), make_provider(team)
    spare = make_model(other, "spare")
    make_model(provider, "support", fallbacks=["spare"])
    assert len(routes.routes_for(team.pk, "support")) == 2
    modelling.update_model(SYSTEM, spare, {"is_on": False})
    assert len(routes.routes_for(team.pk, "support")) == 1
    with pytest.raises(ModelOff, match="'spare' is switched off"):
        routes.routes_for(team.pk, "spare")
    update(provider, is_on=False)
    with pytest.raises(ModelOff, match="'support'"):
        routes.routes_for(team.pk, "support")


def test_what_cannot_be_called_is_passed_over_while_another_can(team: Team, settings: Any) -> None:
    settings.LLM_KEYS = {"LLM_KEY_ONE": "from-the-environment"}
    provider = make_provider(team, key_variable="LLM_KEY_ONE")
    make_model(make_provider(team, name="Spare"), "spare")
    model = make_model(provider, "support", fallbacks=["spare"])
    assert routes.routes_for(team.pk, "support")[0].key == "from-the-environment"
    settings.LLM_KEYS = {}
    modelling.update_model(SYSTEM, model, {"tier": "economy"})
    assert [route.provider for route in routes.routes_for(team.pk, "support")] == ["Spare"]
    modelling.update_model(SYSTEM, model, {"fallbacks": []})
    with pytest.raises(ProviderNotReady, match="it has no key"):
        routes.routes_for(team.pk, "support")


def test_a_key_that_no_key_opens_is_told_without_it(team: Team, settings: Any) -> None:
    make_model(make_provider(team), "support")
    settings.ENCRYPTION_KEYS = ["another-key-of-a-good-length-0123456789"]
    with pytest.raises(ProviderNotReady, match="cannot be opened") as raised:
        routes.routes_for(team.pk, "support")
    assert KEY not in repr(raised.value)


def test_an_address_that_is_not_allowed_any_more_is_not_called(team: Team, settings: Any) -> None:
    settings.LLM_ALLOWED_PRIVATE = ["127.0.0.1"]
    make_model(make_provider(team, kind="server", address="http://127.0.0.1:11434/v1"), "llama")
    settings.LLM_ALLOWED_PRIVATE = []
    with pytest.raises(ProviderNotReady, match="address is not allowed"):
        routes.routes_for(team.pk, "llama")


def test_a_change_of_key_is_another_version_and_a_change_of_words_is_not(team: Team) -> None:
    provider = make_provider(team)
    make_model(provider, "support")
    versions = [routes.routes_for(team.pk, "support")[0].version]
    for fields in ({"region_note": "EU"}, {"key": "another-long-key-9999"}, {"address": "https://api.openai.com/v2"}):
        update(provider, **fields)
        versions.append(routes.routes_for(team.pk, "support")[0].version)
    assert versions[0] == versions[1] and len(set(versions)) == 3


def test_ways_are_kept_and_ask_two_questions(team: Team, django_assert_num_queries: Any) -> None:
    make_model(make_provider(team), "support")
    with django_assert_num_queries(2):
        routes.routes_for(team.pk, "support")
        routes.routes_for(team.pk, "support")
        routes.routes_for(team.pk, "another")


def test_a_tier_is_the_first_model_that_has_it(team: Team, settings: Any) -> None:
    settings.LLM_DEFAULT_MODEL = "echo"
    assert routes.model_of_tier(team.pk, "economy") == "echo"  # no model has a tier: practice serves all
    provider = make_provider(team)
    small = make_model(provider, "z-small", tier="economy")
    make_model(provider, "a-small", tier="economy")
    assert routes.model_of_tier(team.pk, "economy") == "z-small"
    modelling.update_model(SYSTEM, small, {"is_on": False})
    assert routes.model_of_tier(team.pk, "economy") == "a-small"
    for tier in ("premium", "golden"):
        with pytest.raises(NoModelOfTier):
            routes.model_of_tier(team.pk, tier)


def set_price(provider: Provider, token: str, usd: str, model: str = "gpt-5", **fields: Any) -> None:
    start = fields.pop("valid_from", datetime(2026, 1, 1, tzinfo=UTC))
    price_list.set_price(
        SYSTEM, provider, model=model, token=token, usd_per_million=Decimal(usd), valid_from=start, **fields
    )


def cost(team: Team, provider: str, model: str, usage: llm.Usage, at: datetime = AT, asked: str = "") -> Decimal | None:
    return pricing.price(team.pk, provider, model, usage, at, asked=asked).cost_usd


def test_own_prices_go_before_the_published_ones(team: Team) -> None:
    provider = make_provider(team, name="OpenAI")
    usage = llm.Usage(MILLION, MILLION)
    assert cost(team, "OpenAI", "gpt-4o-mini", usage) == Decimal("0.75")
    set_price(provider, "input", "2", "gpt-4o-mini")
    assert cost(team, "OpenAI", "gpt-4o-mini", usage) == Decimal("2.60")
    assert cost(team, "openai", "gpt-4o-mini-2024-07-18", usage) == Decimal("2.60")  # dated, another case
    assert cost(team, "OpenAI", "gpt-4o-mini", usage, datetime(2025, 12, 31, tzinfo=UTC)) == Decimal("0.75")


def test_every_kind_of_token_has_its_price(team: Team) -> None:
    provider = make_provider(team, name="House", kind="server", address="https://models.example.com/v1")
    usage = llm.Usage(100, 50, cached_tokens=30, cache_write_tokens=20, reasoning_tokens=10)
    assert cost(team, "House", "llama", usage) is None
    set_price(provider, "input", "10", "llama")
    assert cost(team, "House", "llama", usage) is None  # output has no price: unknown, not a part of it
    set_price(provider, "output", "100", "llama")
    assert cost(team, "House", "llama", usage) == Decimal(100 * 10 + 50 * 100) / MILLION
    for token, usd in (("cached", "1"), ("cache_write", "12.5"), ("reasoning", "200")):
        set_price(provider, token, usd, "llama")
    exact = Decimal(50 * 10 + 30 * 1 + 40 * 100 + 10 * 200) + 20 * Decimal("12.5")
    priced = pricing.price(team.pk, "House", "llama", usage, AT)
    assert priced.cost_usd == exact / MILLION
    assert priced.prices["source"] == "own" and len(priced.prices["rows"]) == 5  # type: ignore[arg-type]
    assert priced.prices["usd_per_million"] == {
        "input": "10", "cached": "1", "cache_write": "12.5", "output": "100", "reasoning": "200",
    }  # fmt: skip


def test_prices_change_on_their_day(team: Team) -> None:
    provider = make_provider(team, name="OpenAI")
    for token in ("input", "output"):
        set_price(provider, token, "1")
        set_price(provider, token, "3", valid_from=datetime(2026, 6, 1, tzinfo=UTC))
    usage = llm.Usage(MILLION, 0)
    assert cost(team, "OpenAI", "gpt-5", usage, datetime(2026, 5, 31, 23, 59, tzinfo=UTC)) == 1
    assert cost(team, "OpenAI", "gpt-5", usage, datetime(2026, 6, 1, tzinfo=UTC)) == 3


def test_a_model_is_priced_as_what_the_provider_calls_it(team: Team) -> None:
    provider = make_provider(team, name="OpenAI")
    make_model(provider, "support", upstream_name="gpt-4o-mini")
    assert cost(team, "OpenAI", "our-deployment", llm.Usage(MILLION, 0), asked="support") == Decimal("0.15")


def test_cache_writes_cost_what_the_table_says(team: Team) -> None:
    make_provider(team, name="Claude", kind="anthropic")
    usage = llm.Usage(1000, 10, cached_tokens=100, cache_write_tokens=100)
    priced = pricing.price(team.pk, "Claude", "claude-sonnet-4-5", usage, AT)
    # 800 at 3, 100 at 0.30, 100 at 3.75, 10 at 15 dollars a million: the published list.
    assert priced.cost_usd == Decimal("0.002955") and priced.prices["source"] == "genai-prices"


def test_unknown_is_none_and_practice_is_free(team: Team) -> None:
    make_provider(team, name="House", kind="server", address="https://models.example.com/v1")
    make_provider(team, name="Practice", kind="echo")
    usage = llm.Usage(1000, 1000)
    assert cost(team, "House", "gpt-4o", usage) is None  # a server of one's own has no published price
    assert cost(team, "openai", "nobody-knows-it", usage) is None
    assert cost(team, "Practice", "gpt-4o", usage) == cost(team, "echo", "echo", usage) == 0
    assert cost(team, "openai", "gpt-4o-mini", llm.Usage(MILLION, 0)) == Decimal("0.15")  # the settings' own way


def test_other_teams_prices_are_theirs(team: Team) -> None:
    other = make_team()
    set_price(make_provider(other, name="OpenAI"), "input", "99", "gpt-4o-mini")
    make_provider(team, name="OpenAI")
    assert cost(team, "OpenAI", "gpt-4o-mini", llm.Usage(MILLION, 0)) == Decimal("0.15")


def test_what_is_offered_has_practice_in_it_and_no_address(team: Team, settings: Any) -> None:
    settings.LLM_MODELS = ["gpt-4o"]
    provider = make_provider(team, name="OpenAI", region_note="EU")
    make_model(provider, "support", upstream_name="gpt-4o-mini", tier="economy")
    off = make_model(provider, "off")
    modelling.update_model(SYSTEM, off, {"is_on": False})
    found = {one.name: one for one in offering.offers(team.pk)}
    assert list(found) == ["support", "echo", "gpt-4o"]
    assert (found["support"].input_usd_per_million, found["support"].region_note) == (Decimal("0.15"), "EU")
    assert found["echo"].input_usd_per_million == 0
    assert "https://" not in repr(found) and KEY not in repr(found)


def test_tokens_are_exact_only_where_the_provider_counts_so(team: Team) -> None:
    text = "Hello, how are you today?"
    make_model(make_provider(team), "support", upstream_name="gpt-4o")
    server = make_provider(team, kind="server", address="https://models.example.com/v1")
    make_model(server, "llama", upstream_name="echo-7b")
    make_model(make_provider(team, kind="echo"), "practice")
    exact = offering.estimate(team.pk, text, "support")
    assert exact == llm.estimate(text, "gpt-4o") and exact.is_exact
    near = offering.estimate(team.pk, text, "llama")
    assert near.tokens > 0 and not near.is_exact
    assert offering.estimate(team.pk, text, "practice") == llm.TokenCount(5, is_exact=True)
