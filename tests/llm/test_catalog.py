"""Names and prices of models. Prices are those of the published lists."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.test import override_settings

from promptlab import llm
from promptlab.llm import catalog

NOW = datetime(2026, 11, 1, tzinfo=UTC)
MILLION = 1_000_000


@pytest.mark.parametrize(
    ("model", "provider"),
    [("echo", "echo"), ("echo-drop", "echo"), ("gpt-4o", "openai"), ("echoes", "openai")],
)
def test_a_name_leads_to_its_provider(model: str, provider: str) -> None:
    assert llm.resolve(model) == llm.ModelInfo(model, provider)


def test_no_name_means_the_default_model() -> None:
    with override_settings(LLM_DEFAULT_MODEL="gpt-4o-mini"):
        assert llm.resolve("").name == "gpt-4o-mini"


@pytest.mark.parametrize("model", ["echo-nonsense", "a" * 300, "gpt\n4o"])
def test_what_cannot_be_a_model_is_unknown(model: str) -> None:
    with pytest.raises(llm.UnknownModel) as caught:
        llm.resolve(model)
    assert caught.value.status == 400 and len(caught.value.detail) < 250


def test_the_offer_lists_each_model_once_with_the_default_first() -> None:
    with override_settings(LLM_DEFAULT_MODEL="gpt-4o", LLM_MODELS=["gpt-4o-mini", "gpt-4o"]):
        assert llm.model_names() == ["gpt-4o", "gpt-4o-mini", "echo"]
    with override_settings(LLM_DEFAULT_MODEL="echo", LLM_MODELS=[]):
        assert llm.model_names() == ["echo"]


@pytest.mark.parametrize(
    ("model", "usage", "usd"),
    [
        ("gpt-4o-mini", llm.Usage(MILLION, 0), "0.15"),
        ("gpt-4o-mini", llm.Usage(0, MILLION), "0.60"),
        ("gpt-4o-mini", llm.Usage(MILLION, 0, cached_tokens=MILLION), "0.075"),
        ("gpt-4o-2024-08-06", llm.Usage(1, 1), "0.0000125"),
        ("o1-pro", llm.Usage(MILLION, 0, cached_tokens=500_000), "150"),
        ("gpt-5.4", llm.Usage(1000, 0), "0.0025"),
        ("gpt-5.4", llm.Usage(300_000, 0), "1.5"),
    ],
)
def test_a_known_model_has_its_exact_price(model: str, usage: llm.Usage, usd: str) -> None:
    assert llm.price(model, usage, NOW) == Decimal(usd)


def test_a_past_call_is_priced_as_of_its_day() -> None:
    usage = llm.Usage(MILLION, 0)
    assert llm.price("o3", usage, datetime(2025, 5, 1, tzinfo=UTC)) == 10
    assert llm.price("o3", usage, NOW) == 2


@pytest.mark.parametrize("model", ["gpt-6", "our-own-model", "whisper-1"])
def test_an_unknown_price_is_none_and_never_zero(model: str) -> None:
    assert llm.price(model, llm.Usage(10, 10), NOW) is None


def test_echo_is_free() -> None:
    assert llm.price("echo", llm.Usage(10, 10), NOW) == 0


@pytest.mark.asyncio
async def test_a_deployment_is_priced_as_the_model_behind_it() -> None:
    usage = llm.Usage(MILLION, 0)
    assert await catalog.aprice(llm.ModelInfo("bot", "openai"), "gpt-4o-mini", usage, NOW) == Decimal("0.15")
    assert await catalog.aprice(llm.ModelInfo("gpt-4o-mini", "openai"), "bot", usage, NOW) == Decimal("0.15")


@pytest.mark.asyncio
async def test_a_server_cannot_make_itself_free_by_its_name() -> None:
    assert await catalog.aprice(llm.ModelInfo("bot", "openai"), "echo", llm.Usage(1, 1), NOW) is None


def test_the_context_window_is_known_or_none() -> None:
    assert llm.resolve("gpt-4o").context_window == 128_000
    assert llm.resolve("our-own-model").context_window is None
    assert llm.resolve("echo").context_window is None
