"""Which models people and programs may name, as they are told it: no address, no key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.utils import timezone

from promptlab.llm import catalog, tokens
from promptlab.llm.models import LanguageModel, Provider
from promptlab.llm.pricing import price
from promptlab.llm.tokens import TokenCount
from promptlab.llm.types import ChatMessage, Usage

MILLION = 1_000_000
NEAREST = "gpt-5"
COUNTED = (Provider.Kind.OPENAI, Provider.Kind.AZURE)
"""Kinds whose tokens the offline tokenizer counts as they do."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that may be named. Prices in USD for a million tokens; None: not known."""

    name: str
    provider: str
    tier: str = ""
    context_window: int | None = None
    max_output_tokens: int | None = None
    abilities: Sequence[str] = ()
    region_note: str = ""
    input_usd_per_million: Decimal | None = None
    output_usd_per_million: Decimal | None = None


def offers(team_id: int) -> list[Offer]:
    """Return the models that a team may name: its own that are on, then those of the settings; echo is always there."""
    rows = list(LanguageModel.objects.filter(team_id=team_id).select_related("provider").order_by("name"))
    own = [_offer(row) for row in rows if row.is_on and row.provider.is_on]
    known = {row.name for row in rows}
    return own + [_built_in(team_id, name) for name in catalog.model_names() if name not in known]


def estimate(team_id: int, content: str | Sequence[ChatMessage], model: str = "") -> TokenCount:
    """Return how many tokens a team's model takes for a text or messages; exact only where the provider counts so.

    Raises UnknownModel for a name that cannot be one.
    """
    return estimate_all(team_id, [content], model)[0]


def estimate_all(team_id: int, contents: Iterable[str | Sequence[ChatMessage]], model: str) -> list[TokenCount]:
    """Return the same for several texts: one query."""
    row = LanguageModel.objects.filter(team_id=team_id, name=model).select_related("provider").first()
    return [_estimated(row, content, model) for content in contents]


def _estimated(row: LanguageModel | None, content: str | Sequence[ChatMessage], model: str) -> TokenCount:
    if row is None:
        return tokens.estimate(content, model)
    if row.provider.kind == Provider.Kind.ECHO:
        return tokens.estimate(content, catalog.ECHO)
    # What others call their models says nothing of how they count: the newest encoding is near.
    is_counted = row.provider.kind in COUNTED
    counted = tokens.estimate(content, row.upstream_name if is_counted else NEAREST)
    return TokenCount(counted.tokens, counted.is_exact and is_counted)


def _offer(row: LanguageModel) -> Offer:
    asked, answered = _prices(row.team_id, row.provider.name, row.upstream_name)
    return Offer(
        row.name,
        row.provider.name,
        row.tier,
        row.context_window,
        row.max_output_tokens,
        tuple(row.ability_list),
        row.provider.region_note,
        asked,
        answered,
    )


def _built_in(team_id: int, name: str) -> Offer:
    info = catalog.resolve(name)
    asked, answered = _prices(team_id, info.provider, name)
    return Offer(name, info.provider, input_usd_per_million=asked, output_usd_per_million=answered)


def _prices(team_id: int, provider: str, model: str) -> tuple[Decimal | None, Decimal | None]:
    """Return what a million tokens in and out cost now, at the rate of a short call."""
    now = timezone.now()
    sums = (price(team_id, provider, model, usage, now).cost_usd for usage in (Usage(1, 0), Usage(0, 1)))
    asked, answered = (None if usd is None else usd * MILLION for usd in sums)
    return asked, answered
