#!/usr/bin/env python
"""Measure lists, filters and searches of 1,000 and of 100,000 prompts: `python tests/stores.py -- python bench/finding.py`.

Through the REST view, each catalogue in a process and a PostgreSQL database of its own beside the one DATABASE_URL names,
asked in turns. The databases are dropped afterwards.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "sdk"), str(Path(__file__).resolve().parent.parent)]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promptlab.settings")
os.environ.setdefault("SECRET_KEY", "bench " * 10)

import django  # noqa: E402
import psycopg  # noqa: E402

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from promptlab.accounts import services as accounts  # noqa: E402
from promptlab.accounts.access import SYSTEM, Scope  # noqa: E402
from promptlab.accounts.models import Team, User  # noqa: E402
from prompts.models import Collection, Environment, Prompt, Tag  # noqa: E402
from prompts.services import indexing, standing  # noqa: E402
from prompts.services.environments import ensure_defaults  # noqa: E402

Row = tuple[Any, ...]
Ask = Callable[[str], dict[str, Any]]
VERSIONS = 3
KINDS = ("", "chat", "completion", "reasoning")
ASIDE = ("set_config", "accounts_apikey")
RARE = 10
"""Prompts of either catalogue in which the word "needle" is."""
CASES = {
    "first page": "",
    "page 20": "page=20",
    "collection": "collection_id={collection}",
    "one tag": "tags=tag1",
    "three tags": "tags=tag1,tag2,tag3",
    "model_type": "model_type=chat",
    "min_version=2": "min_version=2",
    "min_version=3": "min_version=3",
    "environment": "environment=production",
    "ordering=title": "ordering=title",
    "ordering=-name": "ordering=-name",
    "ordering=created_at": "ordering=created_at",
    "ordering=-updated_at": "ordering=-updated_at",
    "within": "within={collection}",
    "unused_days": "unused_days=30",
    "ordering=-stars": "ordering=-stars",
    "ordering=-uses_30d": "ordering=-uses_30d",
    "several filters": "tags=tag1&environment=staging&model_type=chat&min_version=2&ordering=title",
    "search: in 10 prompts": "search=needle",
    "search: in none": "search=haystackless",
    "search: in 1 title of 100": "search=invoice",
    "search: part of a title": "search=nvoic",
    "search: two words": "search=invoice customer",
    "search: a phrase": 'search="kindly answer"',
    "search: a word with signs": "search=e-mail",
    "search: two letters": "search=zu",
    "search: in 1 text of 10": "search=customer",
    "search: in every text": "search=answer",
    "search and filters": "search=needle&environment=production&min_version=2",
}


class Catalogue:
    """Prompts of one team, with texts of about 130 words from a vocabulary in which few words are common."""

    def __init__(self) -> None:
        self.random = random.Random(7)
        self.team = accounts.create_team(SYSTEM, "Bench")
        ensure_defaults(self.team.pk)
        self.environments = list(Environment.objects.filter(team=self.team).order_by("position"))
        self.collections = [Collection.objects.create(team=self.team, name=f"Collection {n}") for n in range(20)]
        self.tags = [Tag.objects.create(team=self.team, name=f"tag{n}") for n in range(20)]
        letters = "abcdefghijklmnopqrstuvwxyz"
        self.people = [User.objects.create(username=f"bench-{n}") for n in range(3)]
        self.words = ["".join(self.random.choices(letters, k=self.random.randint(3, 10))) for _ in range(20_000)]
        self.weights = list(accumulate(1 / rank for rank in range(1, len(self.words) + 1)))
        self.size = 0

    def grow(self, size: int) -> None:
        """Add prompts until there are so many."""
        numbers = range(self.size + 1, size + 1)
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
            cursor.execute(f"ALTER SEQUENCE prompts_prompt_id_seq RESTART WITH {size + 1}")
            for columns, rows in TABLES.items():
                with cursor.copy(f"COPY {columns} FROM STDIN") as copy:
                    for row in rows(self, numbers):
                        copy.write_row(row)
            for statement in AFTERWARDS:
                cursor.execute(statement, [self.size])
            standing.recount()
            indexing.drop_indexes(connection)
            new = Prompt.objects.filter(pk__gt=self.size).order_by("pk").values_list("pk", flat=True)
            for _ in indexing.reindex(list(new)):
                pass
            indexing.make_indexes(connection)
            cursor.execute("VACUUM ANALYZE")
        connection.close()
        self.size = size

    def _text(self, count: int) -> list[str]:
        return self.random.choices(self.words, cum_weights=self.weights, k=count)

    def prompts(self, numbers: range) -> Iterator[Row]:
        for n in numbers:
            title = " ".join([*self._text(3), *(["invoice"] if n % 100 == 0 else []), str(n)]).capitalize()
            described = " ".join(self._text(12)).capitalize()
            collection = self.collections[n % 20].pk
            at = f"{2000 + n // 50_000}-01-01 {n % 24:02}:{n % 60:02}:{n // 60 % 60:02}+00"
            yield n, self.team.pk, f"prompt-{n}", title, described, "text", KINDS[n % 4], collection, 1, at, at

    def versions(self, numbers: range) -> Iterator[Row]:
        for n in numbers:
            words = ["Kindly", "answer", "{{question}}", *self._text(125)]
            words += ["customer"] * (n % 10 == 0) + ["e-mail"] * (n % 200 == 0) + ["needle"] * (n <= RARE)
            for number in range(1, VERSIONS + 1):
                words[5 + number] = f"take{number}"
                yield first_version(n) + number - 1, n, number, " ".join(words), "0" * 64, *EMPTY, AT

    def tagged(self, numbers: range) -> Iterator[Row]:
        for n in numbers:
            yield from ((n, tag.pk) for tag in self.tags if self.random.random() < 0.1)

    def moves(self, numbers: range) -> Iterator[Row]:
        """Two of three prompts are live in production, one of three in each other place: some version of theirs."""
        for n in numbers:
            for place, environment in enumerate(self.environments):
                if (n + place) % 3 == 0 or (environment.name == "production" and n % 3 == 2):
                    version = first_version(n) + n % VERSIONS
                    yield (n - 1) * 3 + place + 1, n, environment.pk, "deploy", version, n, "", "bench", AT

    def rated(self, numbers: range) -> Iterator[Row]:
        """One prompt of five has stars from one to three people."""
        for n in numbers:
            for person in self.people[: n // 5 % 3 + 1] if n % 5 == 0 else ():
                yield n, person.pk, self.random.randint(1, 5), "", AT

    def used(self, numbers: range) -> Iterator[Row]:
        """Three prompts of four were asked for on five of the last 60 days."""
        today = datetime.now(UTC).date()
        for n in numbers:
            for ago in self.random.sample(range(60), 5) if n % 4 else ():
                yield n, today - timedelta(days=ago), self.random.randint(1, 10_000), self.random.randint(0, 100)


def first_version(prompt: int) -> int:
    """Return the id of a prompt's version 1."""
    return (prompt - 1) * VERSIONS + 1


AT = "2026-01-01 00:00:00+00"
EMPTY = ("", "[]", "mustache-lite", "", "{}", "{}", "{}", "[]", "[]", "", "bench", "draft")
TABLES: dict[str, Callable[[Catalogue, range], Iterator[Row]]] = {
    "prompts_prompt (id, team_id, name, title, description, type, model_type, collection_id, row_version,"
    " created_at, updated_at)": Catalogue.prompts,
    "prompts_version (id, prompt_id, number, text, checksum, version_string, messages, syntax, model, parameters,"
    " variables, output_schema, stop, tools, message, author_label, review_state, created_at)": Catalogue.versions,
    "prompts_prompt_tags (prompt_id, tag_id)": Catalogue.tagged,
    "prompts_deploymentevent (id, prompt_id, environment_id, kind, to_version_id, revision, note, actor_label,"
    " at)": Catalogue.moves,
    "prompts_rating (prompt_id, user_id, stars, note, at)": Catalogue.rated,
    "prompts_promptusage (prompt_id, day, fetches, answers)": Catalogue.used,
}
AFTERWARDS = (
    "INSERT INTO prompts_standing (prompt_id, stars, ratings_count, uses_30d)"
    " SELECT id, coalesce(avg(stars), 0), count(stars), 0 FROM prompts_prompt LEFT JOIN prompts_rating"
    " ON prompt_id = prompts_prompt.id WHERE prompts_prompt.id > %s GROUP BY prompts_prompt.id",
    f"UPDATE prompts_prompt SET newest_id = id * {VERSIONS} WHERE id > %s",
    "INSERT INTO prompts_deployment (prompt_id, environment_id, version_id, event_id, updated_at)"
    " SELECT prompt_id, environment_id, to_version_id, id, at FROM prompts_deploymentevent WHERE prompt_id > %s",
)


def serve(size: int) -> None:
    """Make the catalogue if the database is empty; then answer each address on standard input with a line of JSON."""
    logging.disable(logging.ERROR)
    call_command("migrate", verbosity=0)
    began = time.perf_counter()
    if not Team.objects.exists():
        Catalogue().grow(size)
    settings.ALLOWED_HOSTS = ["testserver"]
    team = Team.objects.get()
    _, secret = accounts.issue_key(SYSTEM, team, name="bench", scopes=(Scope.READ,), calls_per_hour=10**6)
    client = Client(headers={"x-api-key": secret})
    collection = Collection.objects.order_by("pk")[0].pk
    print(f"{size:,} prompts ready after {time.perf_counter() - began:.0f} s", flush=True)
    for line in sys.stdin:
        path = "/api/v1/prompts?" + line.strip().format(collection=collection).replace(" ", "+")
        with CaptureQueriesContext(connection) as queries:
            began = time.perf_counter()
            answer = client.get(path)
            took = (time.perf_counter() - began) * 1000
        # Besides a connection's first words, and the key, which is asked for anew every half a second.
        asked = sum(not any(word in one["sql"] for word in ASIDE) for one in queries.captured_queries)
        found = answer.json().get("count", answer.content[:300].decode())
        plans = plans_of(queries.captured_queries) if line.startswith(" ") else ""
        print(json.dumps({"ms": took, "queries": asked, "found": found, "plans": plans}), flush=True)


@contextmanager
def catalogue(size: int, *, is_kept: bool) -> Iterator[Ask]:
    """Run a process on a database of its own with so many prompts; yield what asks it for an address."""
    url = urlsplit(settings.DATABASE_URL)
    name = f"{url.path.strip('/')}_{size}"
    with psycopg.connect(settings.DATABASE_URL, autocommit=True) as server:
        if not server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            server.execute(f"CREATE DATABASE {name}")
        own = {**os.environ, "DATABASE_URL": urlunsplit(url._replace(path=f"/{name}"))}
        words = [sys.executable, __file__, "--serve", str(size)]
        process = subprocess.Popen(words, env=own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin and process.stdout
        asked, answers = process.stdin, process.stdout

        def ask(query: str) -> dict[str, Any]:
            print(query, file=asked, flush=True)
            return dict(json.loads(answers.readline()))

        try:
            print(answers.readline().strip(), flush=True)
            yield ask
        finally:
            asked.close()
            process.wait(timeout=60)
            if not is_kept:
                server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=11, help="requests per case and catalogue, in turns; medians count"
    )
    parser.add_argument("--sizes", type=int, nargs=2, default=(1_000, 100_000))
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--plans", action="store_true", help="show how PostgreSQL answers the larger catalogue")
    parser.add_argument("--keep", action="store_true", help="keep the databases, and use those that are there")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if connection.vendor != "postgresql":
        sys.exit("Run this on PostgreSQL: python tests/stores.py -- python bench/finding.py")
    if options.serve:
        serve(options.serve)
        return
    first, second = options.sizes
    with catalogue(first, is_kept=options.keep) as few, catalogue(second, is_kept=options.keep) as many:
        print(f"\n{'':28}{first:>10,}{second:>10,}\n{'':28}{'ms':>10}{'ms':>10}{'ratio':>9}{'queries':>9}{'found':>10}")
        for name, query in CASES.items():
            if options.only in name:
                compare(name, query, few, many, options)


def compare(name: str, query: str, few: Ask, many: Ask, options: argparse.Namespace) -> None:
    """Print a line: both are asked in turns, so that whatever else the machine does meets both alike."""
    few(query), many(query)
    turns = [(few(query), many(query)) for _ in range(options.rounds)]
    small, large = (statistics.median(turn[side]["ms"] for turn in turns) for side in (0, 1))
    counts = {one["queries"] for turn in turns for one in turn}
    queries = "/".join(map(str, sorted(counts)))
    found = turns[0][1]["found"]
    print(f"{name:28}{small:>10.1f}{large:>10.1f}{large / small:>9.1f}{queries:>9}{found:>10,}", flush=True)
    if options.plans:
        print(many(f" {query}")["plans"])


def plans_of(queries: list[dict[str, str]]) -> str:
    """Return how PostgreSQL runs the count and the page."""
    plans = []
    for one in queries:
        if 'FROM "prompts_prompt"' in one["sql"]:
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS) {one['sql']}")
                plans.append("\n".join(line for (line,) in cursor.fetchall()))
    return "\n\n".join(plans)


if __name__ == "__main__":
    main()
