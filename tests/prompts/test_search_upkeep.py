"""What search stands on: the migration that fills it, its indexes, and two services that change one prompt at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.core.management import call_command
from django.db import ProgrammingError, connection, connections, transaction
from django.db.migrations.executor import MigrationExecutor

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.checks import parts_of_titles_are_indexed
from prompts import search
from prompts.models import Prompt, SearchDocument
from prompts.services import authoring, deploying, indexing
from prompts.services.contents import content_of
from prompts.services.environments import named
from tests.support.make import make_live, make_prompt, make_team, make_version, newest


def names(typed: str) -> list[str]:
    return [prompt.name for prompt in search.found(Prompt.objects.for_list(), typed)]


@pytest.mark.django_db(transaction=True)
def test_the_migration_fills_the_table_for_prompts_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "BATCH", 2)
    team = make_team()
    for n in range(5):
        prompt = make_prompt(team, f"Old {n}.", name=f"prompt-{n}", title=f"Title {n}")
        make_live(newest(prompt))
        make_version(prompt, f"New {n}.")
    before = list(SearchDocument.objects.order_by("pk").values())
    with connection.schema_editor(atomic=connection.features.can_rollback_ddl) as editor:
        migration = MigrationExecutor(connection).loader.get_migration("prompts", "0007_search_documents")
        state = MigrationExecutor(connection).loader.project_state(
            [("prompts", "0006_content_and_finding")], at_end=True
        )
        migration.unapply(state, editor)
    with connection.schema_editor(atomic=connection.features.can_rollback_ddl) as editor:
        state = MigrationExecutor(connection).loader.project_state(
            [("prompts", "0006_content_and_finding")], at_end=True
        )
        migration.apply(state, editor)
    assert indexing.make_indexes(connection)
    assert list(SearchDocument.objects.order_by("pk").values()) == before
    assert (names("old"), names("new 3")) == ([f"prompt-{n}" for n in (4, 3, 2, 1, 0)], ["prompt-3"])


@pytest.mark.django_db(transaction=True)
def test_reindexing_makes_every_document_again(capsys: pytest.CaptureFixture[str]) -> None:
    team = make_team()
    for n in range(3):
        make_live(newest(make_prompt(team, f"An email {n}.", name=f"prompt-{n}", title="Letter")))
    before = list(SearchDocument.objects.order_by("pk").values())
    SearchDocument.objects.all().delete()
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM prompts_searchindex")
    assert names("email") == []
    call_command("reindex_prompts")
    assert "3 prompts" in capsys.readouterr().out
    assert list(SearchDocument.objects.order_by("pk").values()) == before
    assert names("email 1") == ["prompt-1"]


@pytest.mark.postgres
@pytest.mark.django_db
def test_search_uses_its_indexes(team: Team) -> None:
    make_prompt(team, title="Reuse of parts", name="re-use")
    plans = []
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_indexscan = off")  # by the key: the table is small
        for typed in ("reuse", "e-us"):
            plans.append(search.found(Prompt.objects.all(), typed).explain())
    assert "search_by_word" in plans[0]
    assert "search_by_part" in plans[1]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_server_without_trigrams_is_named_by_a_check_and_searches_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_prompt(make_team(), title="Reuse of parts", name="re-use")
    assert parts_of_titles_are_indexed(None, databases=["default"]) == []
    indexing.drop_indexes(connection)
    execute = connection.cursor().__class__.execute

    def refuse(self: Any, sql: str, params: Any = None) -> Any:
        if "EXTENSION" in sql:
            raise ProgrammingError("permission denied to create extension")
        return execute(self, sql, params)

    with monkeypatch.context() as patch:
        patch.setattr(connection.cursor().__class__, "execute", refuse)
        assert indexing.make_indexes(connection) is False
    assert [warning.id for warning in parts_of_titles_are_indexed(None, databases=["default"])] == ["promptlab.W006"]
    assert (names("reuse"), names("e-us")) == (["re-use"], ["re-use"])
    assert indexing.make_indexes(connection) is True
    assert parts_of_titles_are_indexed(None, databases=["default"]) == []


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_move_and_a_version_at_once_are_both_found() -> None:
    """The version is written and not yet committed when the move reads what is newest, and the other way round."""
    team = make_team()
    prompt = make_prompt(team, "An apple.", name="fruit")
    first, where = newest(prompt), named(team.pk, "production")

    def deploy() -> None:
        deploying.deploy(SYSTEM, first, where)

    def write() -> None:
        authoring.create_version(SYSTEM, prompt, content_of(text="A banana."))

    _overlapping(deploy, write)
    assert (names("apple"), names("banana")) == (["fruit"], ["fruit"])

    def take_off() -> None:
        deploying.undeploy(SYSTEM, prompt, where)

    _overlapping(lambda: authoring.create_version(SYSTEM, prompt, content_of(text="A cherry.")), take_off)
    assert (names("apple"), names("banana"), names("cherry")) == ([], [], ["fruit"])


def _overlapping(early: Callable[[], object], late: Callable[[], object]) -> None:
    """Begin `late` in another thread while `early` is done and not committed, and wait until it stands at the lock."""

    def other() -> None:
        try:
            late()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            early()
            done = pool.submit(other)
            _wait_for_a_lock(done)
        done.result(timeout=20)


def _wait_for_a_lock(done: Future[None]) -> None:
    with connection.cursor() as cursor:
        while not done.done():
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()")
            if cursor.fetchone() != (0,):
                return
