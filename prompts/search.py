"""Finding prompts by words: which ones, in what order, and where the words stand. Documents are written by `services.indexing`."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.core.paginator import Page, Paginator
from django.db import connections
from django.db.models import (
    BooleanField,
    Case,
    ExpressionWrapper,
    F,
    IntegerField,
    Lookup,
    OuterRef,
    Q,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import StrIndex
from django.db.models.lookups import GreaterThan, LessThan

from promptlab.lib import words
from promptlab.lib.words import Term
from prompts.models import SearchDocument
from prompts.querysets import PromptQuerySet

END = "·"
"""As `services.indexing` writes it before what a word of title or short name ends with."""
LIVE = "¬"
"""Before a word that only a live text has that is not the newest; itself no part of any word."""
BREAK = "\f"
"""Stands between the words of all fields and those of live texts that are not the newest."""
BEFORE, EXCERPT = 60, 200
"""Characters of an excerpt: before the first hit, and in all."""
HERE = "search_document"
MOST_COUNTED = 10_000
"""Of what a search finds; nobody reads on to there, and counting more would take ever longer."""
PROBED, COMMON = 100, 5
"""A phrase is common when one of `COMMON` of the newest `PROBED` that have its words has it."""
FEW = 2_000
"""What a search finds is put in order at once up to here."""


@dataclass(frozen=True, slots=True)
class Match:
    """Where terms were found: title, name, description, newest or live; `spans` are (start, end) in the excerpt."""

    field: str
    version: int | None
    excerpt: str
    spans: tuple[tuple[int, int], ...]

    @property
    def pieces(self) -> list[tuple[str, bool]]:
        """The excerpt cut at its spans: each text, and whether it was found."""
        cuts, last = [], 0
        for start, end in self.spans:
            cuts += [(self.excerpt[last:start], False), (self.excerpt[start:end], True)]
            last = end
        return [piece for piece in [*cuts, (self.excerpt[last:], False)] if piece[0]]


class _Indexed(Lookup):
    """`words__indexed=[[(lexeme, is_prefix), ...], ...]`: of each inner list one must be there; found by the index.

    The only SQL of search that differs between databases.
    """

    lookup_name = "indexed"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[str | int, ...]]:
        table = compiler.quote_name_unless_alias(self.lhs.alias)
        if connection.vendor == "postgresql":
            query = _query(self.rhs, "'{}'", ":*", " | ", " & ")
            return f"{table}.vector @@ %s::tsquery", (query,)
        query = _query(self.rhs, '"{}"', " *", " OR ", " AND ")
        found = "SELECT rowid FROM prompts_searchindex WHERE prompts_searchindex MATCH %s"
        return f"{table}.prompt_id IN ({found})", (query,)


SearchDocument._meta.get_field("words").register_lookup(_Indexed)


def _query(wanted: Any, quoted: str, prefix: str, either: str, both: str) -> str:
    """Return the query; lexemes are letters and digits only, so that nothing in them means anything."""
    return both.join(
        f"({either.join(quoted.format(lexeme) + (prefix if is_prefix else '') for lexeme, is_prefix in one)})"
        for one in wanted
    )


def found(rows: PromptQuerySet, typed: str, *, live: bool = True) -> PromptQuerySet:
    """Return those of the rows in which every term is found; the best first, then the newest.

    A word is found where a word of any field begins with it, or anywhere in title or short name; a phrase in quotes as
    whole words. Best: all in the title, then in the short name, then in the description. Nothing typed leaves all.
    Without `live` only the newest text counts: what other teams have live is theirs to know.
    Raises Invalid as `words.terms`.
    """
    wanted = words.terms(typed)
    if not wanted:
        return rows
    indexed = [lexemes for term in wanted if len(term.words) == 1 or term.is_phrase for lexemes in _lexemes(term, live)]
    if indexed:
        rows = rows.filter(**{f"{HERE}__words__indexed": indexed})
    for term in wanted:
        if term.is_phrase and len(term.words) > 1:
            rows = rows.filter(_has_phrase(term, live))
        elif len(term.words) != 1:
            rows = rows.filter(pk__in=_compound(term, live))
    ranks = _ranks(wanted)
    rows = rows.order_by(_rank(ranks), "-id")
    rows.ranks = ranks
    return rows


def _lexemes(term: Term, live: bool) -> Iterator[list[tuple[str, bool]]]:
    """Yield, for each word of a term, the lexemes of which one must be there, and whether more may follow it."""
    for place, word in enumerate(term.words):
        is_begun = not term.is_phrase and place == len(term.words) - 1
        ends = [f"{END}{word}"] if is_begun and place == 0 else []
        yield [(lexeme, is_begun) for lexeme in (word, *ends, *([f"{LIVE}{word}"] if live else []))]


def _in_order(column: str, term: Term, live: bool) -> Any:
    """Return whether the words of a term stand side by side in one field."""
    if live:
        return Q(**{f"{column}__contains": term.in_order})
    first = StrIndex(F(column), Value(term.in_order))
    return Q(GreaterThan(first, Value(0))) & Q(LessThan(first, StrIndex(F(column), Value(BREAK))))


def _has_phrase(term: Term, live: bool) -> Any:
    """Return whether a prompt has a phrase. One query, for how many of the newest with its words have it.

    PostgreSQL takes reading a long text for nothing, and so reads all of them before it counts. Where the phrase is
    common, it is asked for each by itself: then it goes along an index and stops. A rare one would be slow that way.
    """
    documents = SearchDocument.objects.annotate(has=ExpressionWrapper(_in_order("words", term, live), BooleanField()))
    newest = documents.filter(words__indexed=list(_lexemes(term, live))).order_by("-pk")
    probed = list(newest.values_list("has", flat=True)[:PROBED])
    if sum(probed) * COMMON < PROBED:
        return _in_order(f"{HERE}__words", term, live)
    own = documents.filter(pk=OuterRef("pk"))
    return Q(Subquery(own.values("has"), output_field=BooleanField()))


def _compound(term: Term, live: bool) -> Any:
    """Return the ids of prompts that have a word with signs in it, such as re-use, or of signs only."""
    documents = SearchDocument.objects.order_by()
    whole = documents.filter(Q(title__contains=term.text) | Q(name__contains=term.text)).values("pk")
    if not term.words:
        return whole
    in_order = documents.filter(_in_order("words", term, live), words__indexed=list(_lexemes(term, live)))
    # Each half has an index of its own; an OR of both would read the words of every row.
    return in_order.values("pk").union(whole, all=True)


def _ranks(wanted: Sequence[Term]) -> tuple[Q, ...]:
    """Return the conditions of ranks: all terms in the title; with the short name; with the description."""
    ranks = []
    fields: list[str] = []
    for field in ("title", "name", "description"):
        fields.append(field)
        inside = Q()
        for term in wanted:
            either = Q()
            for one in fields:
                either |= _stands_in(one, term)
            inside &= either
        ranks.append(inside)
    return tuple(ranks)


def _rank(ranks: Sequence[Q]) -> Any:
    """Return 0 for what is like the first, and so on."""
    steps = [When(inside, then=Value(rank)) for rank, inside in enumerate(ranks)]
    return Case(*steps, default=Value(len(ranks)), output_field=IntegerField()).asc()


def _stands_in(field: str, term: Term) -> Q:
    column = f"{HERE}__{field}__contains"
    if field == "description":
        return Q(**{column: term.in_order}) if term.words else Q(pk__in=[])
    if len(term.words) == 1 and not term.is_phrase:
        return Q(**{column: term.words[0]})
    signs = Q() if term.is_phrase else Q(**{column: term.text})
    return signs | Q(**{column: term.in_order}) if term.words else signs


class Pages(Paginator):
    """Pages of prompts. A search that finds very many costs no more than one that finds some: see `count` and `page`."""

    @cached_property
    def count(self) -> int:
        """How many there are; of a search, `MOST_COUNTED` at most, which then means that there may be more."""
        rows: Any = self.object_list
        if not rows.ranks:
            return int(rows.count())
        # In order, so that PostgreSQL goes along an index and stops there, instead of reading every text first.
        return min(int(rows.order_by("-id").values("pk")[: MOST_COUNTED + 1].count()), MOST_COUNTED)

    def page(self, number: int | str) -> Any:
        """Return a page. Of a search first the ids: the rest of what a list shows is fetched for one page only."""
        rows: Any = self.object_list
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        last = first + self.per_page if first + self.per_page + self.orphans < self.count else self.count
        if rows.ranks and _is_by_rank(rows):
            ids = _best(rows, first, last) if self.count > FEW else rows.values_list("pk", flat=True)[first:last]
            return Page(rows.filter(pk__in=list(ids)), number, self)
        return Page(rows.by_standing_quickly()[first:last], number, self)


def _is_by_rank(rows: PromptQuerySet) -> bool:
    """Tell whether the best come first; another order may have been asked for."""
    first: Any = rows.query.order_by[0] if rows.query.order_by else None
    return isinstance(getattr(first, "expression", None), Case)


def _best(rows: PromptQuerySet, first: int, last: int) -> Iterable[int]:
    """Return the ids from one place to another. Of each rank only so many are put in order as there may be on the way.

    Where a database cannot limit the parts of a union (SQLite), all of them are.
    """
    if not connections[rows.db].features.supports_slicing_ordering_in_compound:
        return rows.values_list("pk", flat=True)[first:last]
    plain = rows.order_by("-id").prefetch_related(None)
    better = Q()
    parts = []
    for rank, inside in enumerate((*rows.ranks, Q())):
        of_rank = plain.filter(inside & ~better if better else inside)
        parts.append(of_rank.annotate(at_rank=Value(rank)).values_list("pk", "at_rank")[:last])
        better |= inside
    found = parts[0].union(*parts[1:], all=True).order_by("at_rank", "-pk")[first:last]
    return (pk for pk, _ in found)


def with_matches(prompts: Iterable[Any], typed: str, *, live: bool = True) -> list[Any]:
    """Return the prompts of a page; after a search each has `matches`: where its terms stand. `live` as `found`. No query."""
    rows, wanted = list(prompts), words.terms(typed)
    for row in rows if wanted else ():
        row.matches = matches(row, wanted, live=live)
    return rows


def matches(prompt: Any, wanted: list[Term], *, live: bool = True) -> list[Match]:
    """Return where terms stand in a prompt of a list (`for_list`): fields in their order, each version once. No query."""
    texts = [("title", None, prompt.title), ("name", None, prompt.name), ("description", None, prompt.description)]
    if prompt.newest:
        texts.append(("newest", prompt.newest.number, _text_of(prompt.newest)))
    others = {pointer.version.pk: pointer.version for pointer in prompt.live if pointer.version_id != prompt.newest_id}
    texts += [("live", version.number, _text_of(version)) for version in others.values() if live]
    found = (_match(field, version, text, wanted) for field, version, text in texts)
    return [match for match in found if match is not None]


def _text_of(version: Any) -> str:
    said = [part.get("content") for part in version.messages if isinstance(part, dict)]
    return "\n\n".join([*([version.text] if version.text else []), *(text for text in said if isinstance(text, str))])


def _match(field: str, version: int | None, text: str, wanted: list[Term]) -> Match | None:
    plain = unicodedata.normalize("NFC", text)
    hits = words.spans(plain, wanted, within=field in ("title", "name"))
    if not hits:
        return None
    start = max(0, hits[0][0] - BEFORE) if len(plain) > EXCERPT else 0
    if start:
        space = plain.find(" ", start, hits[0][0])
        start = space + 1 if space >= 0 else start
    end = min(len(plain), max(start + EXCERPT, hits[0][1]))
    inside = tuple((first - start, last - start) for first, last in hits if last <= end)
    return Match(field, version, plain[start:end], inside)
