"""What search finds of a prompt, written beside it by every service that changes its title, name or texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import Any

from django.db import NotSupportedError, ProgrammingError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from promptlab.lib import words
from prompts.models import Deployment, Prompt, SearchDocument
from prompts.search import BREAK, END, LIVE

BATCH = 500
MAX_LEXEMES = 500_000
"""Bytes of different words of one prompt; PostgreSQL takes a million. What is beyond is not found by its words."""


@dataclass(frozen=True, slots=True)
class Document:
    """The columns of one row, and the lexemes by which it is found."""

    prompt_id: int
    title: str
    name: str
    description: str
    words: str
    lexemes: tuple[str, ...]


def index(prompt_id: int) -> None:
    """Write what is searched of a prompt. To be called last in the transaction that changed it.

    Two services may change one prompt at once, one its newest version and one what is live: the row is locked before
    anything is read, so that the later one reads what the earlier one wrote.
    """
    list(SearchDocument.objects.select_for_update().filter(pk=prompt_id).values_list("pk"))
    _write([prompt_id])


def reindex(prompt_ids: Iterable[int] | None = None) -> Iterator[int]:
    """Write what is searched of these prompts, or of all, in batches of their own; yield how many each had."""
    rows = iter(Prompt.objects.order_by("pk").values_list("pk", flat=True) if prompt_ids is None else prompt_ids)
    while batch := list(islice(rows, BATCH)):
        with transaction.atomic():
            locked = SearchDocument.objects.select_for_update().filter(pk__in=batch).order_by("pk")
            list(locked.values_list("pk"))
            _write(batch)
        yield len(batch)


def _write(prompt_ids: Sequence[int]) -> None:
    """Read and write: three statements, on SQLite five."""
    rows = Prompt.objects.filter(pk__in=prompt_ids).select_related("newest").order_by("pk")
    live: dict[int, list[Any]] = {}
    for pointer in Deployment.objects.live().filter(prompt__in=prompt_ids).select_related("version").order_by("pk"):
        live.setdefault(pointer.prompt_id, []).append(pointer.version)
    store(connection, [document_of(row, [row.newest, *live.get(row.pk, ())]) for row in rows])


def document_of(prompt: Any, versions: Iterable[Any]) -> Document:
    """Return the document of a prompt with these versions, the newest first; the same one twice counts once."""
    newest, *live = [_spaced(version) for version in {one.pk: one for one in versions if one is not None}.values()] or [
        []
    ]
    heading = [words.spaced(prompt.title), words.spaced(prompt.name)]
    description = words.spaced(prompt.description)
    told, others = [*heading, description, *newest], [text for texts in live for text in texts]
    return Document(
        prompt.pk,
        _with_signs(heading[0], prompt.title),
        _with_signs(heading[1], prompt.name),
        description,
        "\n".join(told) + BREAK + "\n".join(others),
        tuple(_lexemes(heading, told, others)),
    )


def _spaced(version: Any) -> list[str]:
    """Return the words of each text of a version."""
    return [words.spaced(text) for text in (version.text, *_said(version.messages)) if text]


def store(database: BaseDatabaseWrapper, documents: Sequence[Document]) -> None:
    """Write documents over what is there: one statement, on SQLite three.

    PostgreSQL gets its lexemes ready made, SQLite's tokenizer splits them at spaces: both find the same.
    """
    is_postgres = database.vendor == "postgresql"
    columns = ["prompt_id", "title", "name", "description", "words", *(["vector"] if is_postgres else [])]
    row = "(%s, %s, %s, %s, %s, array_to_tsvector(%s::text[]))" if is_postgres else "(%s, %s, %s, %s, %s)"
    said = ", ".join(f"{name} = excluded.{name}" for name in columns[1:])
    written = f"INSERT INTO prompts_searchdocument ({', '.join(columns)}) VALUES {row} ON CONFLICT (prompt_id) DO UPDATE SET {said}"
    values: list[tuple[Any, ...]] = [
        (one.prompt_id, one.title, one.name, one.description, one.words, *([list(one.lexemes)] if is_postgres else []))
        for one in documents
    ]
    with database.cursor() as cursor:
        cursor.executemany(written, values)
        if not is_postgres:
            cursor.executemany(
                "DELETE FROM prompts_searchindex WHERE rowid = %s", [(one.prompt_id,) for one in documents]
            )
            cursor.executemany(
                "INSERT INTO prompts_searchindex (rowid, lexemes) VALUES (%s, %s)",
                [(one.prompt_id, " ".join(one.lexemes)) for one in documents],
            )


def make_indexes(database: BaseDatabaseWrapper) -> bool:
    """Make what finds words quickly, where it is missing; False when parts of titles are read one by one.

    That takes the extension pg_trgm, which a database's owner may add, unless the server's administrator said otherwise.
    SQLite's index is a table of its own and always there.
    """
    if database.vendor != "postgresql":
        return True
    with transaction.atomic(using=database.alias), database.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        # A prompt is seldom written and often searched: no list of what is still to be put in order.
        cursor.execute(
            "CREATE INDEX IF NOT EXISTS search_by_word ON prompts_searchdocument USING gin (vector) WITH (fastupdate = off)"
        )
        try:
            with transaction.atomic(using=database.alias):
                cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
                cursor.execute(
                    "CREATE INDEX IF NOT EXISTS search_by_part ON prompts_searchdocument "
                    "USING gin (title gin_trgm_ops, name gin_trgm_ops) WITH (fastupdate = off)"
                )
                cursor.execute(
                    "CREATE INDEX IF NOT EXISTS search_by_description ON prompts_searchdocument "
                    "USING gin (description gin_trgm_ops) WITH (fastupdate = off)"
                )
        except (NotSupportedError, ProgrammingError):
            return False
    return True


def drop_indexes(database: BaseDatabaseWrapper) -> None:
    """Take them away: before very many documents are written, or for good."""
    if database.vendor == "postgresql":
        with database.cursor() as cursor:
            cursor.execute("DROP INDEX IF EXISTS search_by_word, search_by_part, search_by_description")


def _said(messages: Any) -> list[str]:
    return [part["content"] for part in messages if isinstance(part, dict) and isinstance(part.get("content"), str)]


def _with_signs(spaced: str, text: str) -> str:
    """Return the words with the whole text behind them where it has more than words."""
    whole = words.folded(text)
    return spaced if spaced.strip() == whole else f"{spaced}\n{whole}"


def _lexemes(heading: Iterable[str], told: Iterable[str], live: Iterable[str]) -> list[str]:
    """Return each lexeme once: the endings in the heading, the words, what only live texts have; as far as there is room."""
    endings = [f"{END}{word[start:]}" for one in heading for word in one.split() for start in range(1, len(word))]
    known = dict.fromkeys(word for one in told for word in one.split())
    others = [f"{LIVE}{word}" for one in live for word in one.split() if word not in known]
    lexemes = list(dict.fromkeys([*endings, *known, *others]))
    sizes = accumulate(len(lexeme.encode()) for lexeme in lexemes)
    return [lexeme for lexeme, size in zip(lexemes, sizes, strict=True) if size <= MAX_LEXEMES]
