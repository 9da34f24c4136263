"""What tokens cost: a team's own prices first, then the bundled tables of genai-prices. Unknown is None, never 0."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from promptlab.llm import catalog
from promptlab.llm.keeping import Kept
from promptlab.llm.models import LanguageModel, Price, Provider
from promptlab.llm.types import Json, Usage

Token = Price.Token
MILLION = 1_000_000
OWN, TABLES, FREE = "own", "genai-prices", "free"
"""Where a price comes from."""
TABLE_OF = {
    Provider.Kind.OPENAI: "openai",
    Provider.Kind.AZURE: "azure",
    Provider.Kind.GOOGLE: "google",
    Provider.Kind.BEDROCK: "aws",
    Provider.Kind.ANTHROPIC: "anthropic",
}
"""The published prices of a kind. A server of one's own has none: it is free, or somebody sends a bill we cannot know."""
INSTEAD = {Token.CACHED: Token.INPUT, Token.CACHE_WRITE: Token.INPUT, Token.REASONING: Token.OUTPUT}
"""Tokens without a price of their own cost what these cost."""
DATED = re.compile(r"(.+?)[-@](?:\d{4}-\d{2}-\d{2}|\d{8})")
"""A model's name with the day of its making behind it, as providers answer."""


@dataclass(frozen=True, slots=True)
class Priced:
    """What a call cost in USD, None when that is not known, and the prices it was counted with, to be kept beside it."""

    cost_usd: Decimal | None
    prices: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Row:
    pk: int
    token: Token
    usd_per_million: Decimal
    valid_from: datetime
    valid_to: datetime | None


@dataclass(frozen=True, slots=True)
class _Book:
    """The prices of one provider by its own names of models; `upstream` leads from what callers say to those."""

    kind: str
    rows: Mapping[str, Sequence[_Row]]
    upstream: Mapping[str, str]


def price(team_id: int, provider: str, model: str, usage: Usage, at: datetime, *, asked: str = "") -> Priced:
    """Return the cost of a call at that time. `model` is what the provider answered with, `asked` what it was asked for.

    `provider` is the name in `Completion.provider`. Three queries, kept for seconds; the first price from the tables takes
    0.2 to 0.5 s.
    """
    book = _books.of(team_id).get(provider.lower())
    if provider == catalog.ECHO or (book is not None and book.kind == Provider.Kind.ECHO):
        return Priced(Decimal(0), {"source": FREE})
    own = _own(book, [model, asked], at) if book else {}
    table = TABLE_OF.get(Provider.Kind(book.kind)) if book else catalog.OPENAI
    names = [one for one in (model, _upstream(book, asked)) if one]
    return _priced(own, table, names, usage, at)


def _priced(own: Mapping[Token, _Row], table: str | None, names: Sequence[str], usage: Usage, at: datetime) -> Priced:
    """Return the cost by own prices where there are some, by the table's for the other tokens.

    Where the table's depend on how many tokens there are, own prices count only if they are there for input and output.
    """
    named = next((one for one in names if table and catalog.rates(one, at, table)), "")
    listed = catalog.rates(named, at, table) if named and table else None
    is_enough = Token.INPUT in own and Token.OUTPUT in own
    if listed is not None and table and not listed.is_flat and not is_enough:
        told = {"source": TABLES, "table": table, "model": named, "tiered": True}
        return Priced(catalog.tiered_cost(named, usage, at, table), told)
    flat = _flat(listed)
    per_million = _filled(own, flat)
    cost = _cost(per_million, usage)
    if cost is None:
        return Priced(None, {})
    source = OWN if own else TABLES
    rates = {"usd_per_million": {token.value: _plain(usd) for token, usd in per_million.items()}}
    rows = {"rows": sorted(row.pk for row in own.values())} if own else {}
    tables = {"table": table, "model": named} if flat else {}
    return Priced(cost, {"source": source, **rates, **rows, **tables})


def _flat(listed: catalog.Rates | None) -> dict[Token, Decimal]:
    """Return a table's prices for a million tokens; none where they depend on how many there are."""
    if listed is None or not listed.is_flat:
        return {}
    per_token = {
        Token.INPUT: listed.input_usd,
        Token.CACHED: listed.cached_usd,
        Token.CACHE_WRITE: listed.cache_write_usd,
        Token.OUTPUT: listed.output_usd,
    }
    return {token: usd * MILLION for token, usd in per_token.items() if usd is not None}


def _filled(own: Mapping[Token, _Row], flat: Mapping[Token, Decimal]) -> dict[Token, Decimal]:
    """Return a price for each kind of token that has one.

    An own price of input counts for cached input, too, unless that has one: the table's would be of another price list.
    """
    found = {}
    for token in Token:
        instead = INSTEAD.get(token, token)
        if row := own.get(token) or own.get(instead):
            found[token] = row.usd_per_million
        elif token in flat or instead in flat:
            found[token] = flat[token if token in flat else instead]
    return found


def _cost(per_million: Mapping[Token, Decimal], usage: Usage) -> Decimal | None:
    """Return the cost in USD, None when tokens that were used have no price."""
    counted = {
        Token.INPUT: usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens,
        Token.CACHED: usage.cached_tokens,
        Token.CACHE_WRITE: usage.cache_write_tokens,
        Token.OUTPUT: usage.output_tokens - usage.reasoning_tokens,
        Token.REASONING: usage.reasoning_tokens,
    }
    if Token.INPUT not in per_million or Token.OUTPUT not in per_million:
        return None
    return sum((per_million[token] * max(0, tokens) for token, tokens in counted.items()), Decimal(0)) / MILLION


def _own(book: _Book, names: Sequence[str], at: datetime) -> dict[Token, _Row]:
    """Return the team's prices that were valid then, by the first name that has some."""
    for name in names:
        for spelling in dict.fromkeys((name, _undated(name), _upstream(book, name))):
            valid = {row.token: row for row in book.rows.get(spelling, ()) if _is_valid(row, at)}
            if valid:
                return valid
    return {}


def _is_valid(row: _Row, at: datetime) -> bool:
    return row.valid_from <= at and (row.valid_to is None or at < row.valid_to)


def _undated(name: str) -> str:
    found = DATED.fullmatch(name)
    return found[1] if found else name


def _upstream(book: _Book | None, name: str) -> str:
    return book.upstream.get(name, name) if book else name


def _plain(usd: Decimal) -> str:
    return f"{usd.normalize():f}"


def _load(team_id: int) -> dict[str, _Book]:
    """Return the price books of a team's providers by their names in small letters."""
    providers = {one.pk: one for one in Provider.objects.filter(team_id=team_id).only("pk", "name", "kind")}
    rows: dict[int, dict[str, list[_Row]]] = {pk: {} for pk in providers}
    for one in Price.objects.filter(provider__team_id=team_id):
        row = _Row(one.pk, Token(one.token), one.usd_per_million, one.valid_from, one.valid_to)
        rows.setdefault(one.provider_id, {}).setdefault(one.model, []).append(row)
    upstream: dict[int, dict[str, str]] = {pk: {} for pk in providers}
    for provider_id, name, called in LanguageModel.objects.filter(team_id=team_id).values_list(
        "provider_id", "name", "upstream_name"
    ):
        upstream.setdefault(provider_id, {})[name] = called
    return {one.name.lower(): _Book(one.kind, rows[pk], upstream[pk]) for pk, one in providers.items()}


_books: Kept[dict[str, _Book]] = Kept(_load)
