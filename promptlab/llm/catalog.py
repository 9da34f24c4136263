"""Which models there are, who answers for them, and what they cost.

Prices come from the bundled tables of genai-prices: nothing is downloaded, and past calls are priced as of their day.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING

from promptlab.llm import config
from promptlab.llm.errors import UnknownModel
from promptlab.llm.providers import registry
from promptlab.llm.types import Usage

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation, TieredPrices

ECHO = "echo"
OPENAI = "openai"
ECHO_MODELS = ("echo", "echo-slow", "echo-fail", "echo-drop")
"""For trying things out, free and offline: at once; 40 ms a word; failing before the first token; after 3 words."""

LONGEST_NAME = 200
PRICE_TABLES = "genai_prices.data"
"""The module whose import takes 0.2 to 0.5 s."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model and the provider that answers for it."""

    name: str
    provider: str

    @property
    def context_window(self) -> int | None:
        """The tokens that prompt and answer may have together; `None` when unknown. The first look loads the tables."""
        listed = None if self.provider == ECHO else rates(self.name, datetime.now(UTC))
        return listed.context_window if listed else None


def resolve(model: str) -> ModelInfo:
    """Return the model of that name; empty means the default one.

    Names that no other provider claims go to the OpenAI-compatible one, which alone knows whether they exist.
    Raises UnknownModel for an echo variant that does not exist and for what cannot be a name.
    """
    name = model or config.current().default_model
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise UnknownModel(name)
    for provider in registry.registered_names():
        if name == provider or name.startswith(f"{provider}-"):
            return ModelInfo(name, provider)
    if name in ECHO_MODELS:
        return ModelInfo(name, ECHO)
    if name.startswith("echo-"):
        raise UnknownModel(name)
    return ModelInfo(name, OPENAI)


def model_names() -> list[str]:
    """Return the names to offer: the default first, then those of the setting, then echo; each once."""
    settings = config.current()
    return list(dict.fromkeys((settings.default_model, *settings.models, ECHO)))


def price(model: str, usage: Usage, at: datetime) -> Decimal | None:
    """Return what the usage cost in USD at that time, or `None` when no price is known; echo is free.

    The first call takes 0.2 to 0.5 s; from async code await `aprice`.
    """
    info = resolve(model)
    return Decimal(0) if info.provider == ECHO else _cost(info.name, usage, at)


async def aprice(info: ModelInfo, answered_by: str, usage: Usage, at: datetime) -> Decimal | None:
    """Return the price by the name that the provider answered with, else by the one asked for.

    A deployment called `support-bot` is priced as the model behind it. Echo is decided by who was asked, so that no
    foreign server can make its answers free by calling itself so.
    """
    if info.provider == ECHO:
        return Decimal(0)
    if PRICE_TABLES not in sys.modules:
        await asyncio.to_thread(importlib.import_module, PRICE_TABLES)
    cost = _cost(answered_by, usage, at)
    return _cost(info.name, usage, at) if cost is None else cost


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per token; `None` where the price of one token depends on how many there are."""

    input_usd: Decimal | None
    cached_usd: Decimal | None
    cache_write_usd: Decimal | None
    output_usd: Decimal | None
    context_window: int | None

    @property
    def is_flat(self) -> bool:
        """Whether every token costs the same, however many there are."""
        return None not in (self.input_usd, self.cached_usd, self.cache_write_usd, self.output_usd)


def rates(name: str, at: datetime, table: str = OPENAI) -> Rates | None:
    """Return what the table of a provider says of that day, or `None` for a model that it does not list."""
    return _rates(name, at.astimezone(UTC).date(), table)


def tiered_cost(name: str, usage: Usage, at: datetime, table: str = OPENAI) -> Decimal:
    """Return the cost in USD where it depends on how many tokens there are. Only for what `rates` knows."""
    return _look_up(name, usage, at, table).total_price


def _cost(name: str, usage: Usage, at: datetime) -> Decimal | None:
    listed = rates(name, at)
    if listed is None:
        return None
    if listed.input_usd is None or listed.cached_usd is None or listed.output_usd is None:
        return tiered_cost(name, usage, at)
    written_usd = listed.input_usd if listed.cache_write_usd is None else listed.cache_write_usd
    fresh_tokens = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
    paid_input = fresh_tokens * listed.input_usd + usage.cached_tokens * listed.cached_usd
    return paid_input + usage.cache_write_tokens * written_usd + usage.output_tokens * listed.output_usd


@functools.lru_cache(maxsize=1024)
def _rates(name: str, day: date, table: str) -> Rates | None:
    """Return the prices of that day, or `None`. Kept, as a look-up takes 70 µs; bounded, as names come from anybody."""
    try:
        found = _look_up(name, Usage(0, 0), datetime.combine(day, time(12), UTC), table)
    except LookupError:
        return None
    listed = found.model_price
    if listed.input_mtok is None or listed.output_mtok is None:
        return None
    return Rates(
        input_usd=_per_token(listed.input_mtok),
        cached_usd=_per_token(listed.cache_read_mtok or listed.input_mtok),
        cache_write_usd=_per_token(listed.cache_write_mtok or listed.input_mtok),
        output_usd=_per_token(listed.output_mtok),
        context_window=found.model.context_window,
    )


def _per_token(per_million: Decimal | TieredPrices) -> Decimal | None:
    return per_million / 1_000_000 if isinstance(per_million, Decimal) else None


def _look_up(name: str, usage: Usage, at: datetime, table: str) -> PriceCalculation:
    """Return the tables' own calculation. Raises LookupError for a model that they do not list."""
    import genai_prices

    counted = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )
    return genai_prices.calc_price(counted, name, provider_id=table, genai_request_timestamp=at)
