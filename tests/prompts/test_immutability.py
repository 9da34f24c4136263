"""A version's row stays as it was written, whoever tries and however: the database itself refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.test import Client

from promptlab.accounts.access import SYSTEM
from promptlab.audit.models import AuditEntry
from promptlab.audit.recorder import record
from promptlab.lib.errors import Conflict
from prompts.errors import VersionFrozen
from prompts.models import DeploymentEvent, ReviewDecision, Version
from prompts.services import authoring, reviewing
from prompts.services.contents import content_of
from tests.support.api import Api
from tests.support.cast import Cast, make_cast
from tests.support.make import make_live, make_prompt, make_version
from tests.support.thaw import frozen_tables

pytestmark = pytest.mark.django_db

QuerySetOfVersions = models.QuerySet[Version]
MAY_CHANGE: dict[type[models.Model], set[str]] = {
    Version: {"review_state", "author"},
    DeploymentEvent: {"actor"},
    AuditEntry: set(),
    ReviewDecision: set(),
}
"""What the database lets change: the state of a review; and who it was may become nobody, once the account is removed."""
FROZEN = [
    "prompts_version",
    "prompts_deploymentevent",
    "prompts_reviewdecision",
    "audit_auditentry",
    "experiments_rampdecision",
]


@pytest.fixture(scope="module")
def reviewed(kept_for_the_file: None) -> tuple[Cast, Version]:
    """The cast, and a version that is live and approved."""
    cast = make_cast()
    prompt = make_prompt(cast.team, "Hello {{name}}.", title="Greeting")
    make_version(prompt)
    first = Version.objects.select_related("prompt").get(prompt=prompt, number=1)
    make_live(first)
    reviewing.submit_for_review(SYSTEM, first)
    reviewing.approve(cast.principal(cast.ben), first)
    record(SYSTEM, "team.looked_at", cast.team, team_id=cast.team.pk)
    return cast, first


@pytest.fixture
def cast(reviewed: tuple[Cast, Version], db: None) -> Cast:
    return deepcopy(reviewed[0])


@pytest.fixture
def version(reviewed: tuple[Cast, Version], db: None) -> Version:
    return deepcopy(reviewed[1])


def row(version: Version) -> dict[str, Any]:
    return dict(Version._base_manager.filter(pk=version.pk).values().get())


def raw(statement: str, *values: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def _bulk(version: Version) -> None:
    version.text = "x"
    QuerySetOfVersions(Version).bulk_update([version], ["text"])


def _saved(version: Version) -> None:
    version.text = "x"
    models.Model.save(version)


def _inserted_again(version: Version) -> None:
    again = Version(**row(version))
    again.text = "x"
    QuerySetOfVersions(Version).bulk_create(
        [again], update_conflicts=True, unique_fields=["id"], update_fields=["text"]
    )


WAYS: dict[str, Callable[[Version], object]] = {
    "save": lambda version: version.save(),
    "save some": lambda version: version.save(update_fields=["text"]),
    "save around the model": _saved,
    "delete": lambda version: version.delete(),
    "delete around the model": lambda version: models.Model.delete(version),
    "queryset update": lambda version: Version.objects.filter(pk=version.pk).update(text="x"),
    "queryset delete": lambda version: Version.objects.filter(pk=version.pk).delete(),
    "base manager update": lambda version: Version._base_manager.filter(pk=version.pk).update(text="x"),
    "base manager delete": lambda version: Version._base_manager.filter(number=2).delete(),
    "bulk update": lambda version: Version.objects.bulk_update([version], ["text"]),
    "bulk update around the model": _bulk,
    "insert over it": _inserted_again,
    "update or create": lambda version: Version.objects.update_or_create(pk=version.pk, defaults={"text": "x"}),
    "raw update": lambda version: raw("UPDATE prompts_version SET text = 'x' WHERE id = %s", version.pk),
    "raw update of the author": lambda version: raw(
        "UPDATE prompts_version SET author_id = (SELECT min(id) FROM accounts_user) WHERE id = %s", version.pk
    ),
    "raw update of the number": lambda version: raw("UPDATE prompts_version SET number = 9 WHERE id = %s", version.pk),
    "raw delete": lambda version: raw("DELETE FROM prompts_version WHERE id = %s", version.pk),
    "raw delete of all": lambda version: raw("DELETE FROM prompts_version"),
    "deleting the prompt": lambda version: version.prompt.delete(),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_no_way_changes_or_removes_a_version(version: Version, way: Callable[[Version], object]) -> None:
    before = row(version)
    with pytest.raises((VersionFrozen, IntegrityError, models.ProtectedError)), transaction.atomic():
        way(version)
    assert row(version) == before
    assert Version.objects.count() == 2


@pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite's own way to write a row over another")
@pytest.mark.parametrize("same", ["id", "prompt_id, number"])
def test_sqlite_s_replace_changes_no_version(version: Version, same: str) -> None:
    fields = [field.column for field in Version._meta.concrete_fields]
    copied = ", ".join("'x'" if name == "text" else f'"{name}"' for name in fields)
    if same != "id":
        copied = copied.replace('"id"', '"id" + 1000')
    names = ", ".join(f'"{name}"' for name in fields)
    before = row(version)
    with pytest.raises(IntegrityError, match="frozen"), transaction.atomic():
        raw(f"INSERT OR REPLACE INTO prompts_version ({names}) SELECT {copied} FROM prompts_version")
    assert row(version) == before


@pytest.mark.postgres
@pytest.mark.parametrize("table", FROZEN)
def test_emptying_a_table_whole_is_refused(version: Version, table: str) -> None:
    raw("SET CONSTRAINTS ALL IMMEDIATE")  # or what waits for the commit would be in the way first
    with pytest.raises(IntegrityError, match="frozen"), transaction.atomic():
        raw(f"TRUNCATE {table} CASCADE")


def columns() -> Iterator[tuple[type[models.Model], models.Field[Any, Any]]]:
    for model, free in MAY_CHANGE.items():
        yield from ((model, field) for field in model._meta.concrete_fields if field.name not in free)


@pytest.mark.parametrize(("model", "field"), list(columns()), ids=lambda value: getattr(value, "__name__", str(value)))
def test_the_database_keeps_every_column(version: Version, model: Any, field: Any) -> None:
    """A new column has to be frozen by its migration (`lib.frozen.Freeze`), or be named above."""
    last = model._base_manager.order_by("pk").last()
    value = {
        "JSONField": {"changed": 1},
        "DateTimeField": "2001-01-01T00:00:00Z",
        "BooleanField": True,
    }.get(field.get_internal_type(), 987654)
    with pytest.raises(IntegrityError, match="frozen"), transaction.atomic():
        model._base_manager.filter(pk=last.pk).update(**{field.attname: value})


@pytest.mark.parametrize("model", MAY_CHANGE)
def test_no_row_of_the_past_is_removed(version: Version, model: Any) -> None:
    table = model._meta.db_table
    assert table in frozen_tables()
    before = model._base_manager.count()
    with pytest.raises(IntegrityError), transaction.atomic():
        raw(f"DELETE FROM {table} WHERE id = (SELECT max(id) FROM {table})")
    assert model._base_manager.count() == before > 0


def test_the_history_of_live_versions_is_refused_by_the_model_too(version: Version) -> None:
    event = DeploymentEvent.objects.get()
    for act in (event.save, event.delete):
        with pytest.raises(Conflict):
            act()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite's own way to write a row over another")
def test_sqlite_s_replace_changes_no_decision(version: Version) -> None:
    """Written over by the index that lets an approval count once, whatever its id."""
    before = list(ReviewDecision.objects.values())
    names = ", ".join(field.column for field in ReviewDecision._meta.concrete_fields if field.name != "id")
    with pytest.raises(IntegrityError, match="frozen"), transaction.atomic():
        raw(f"INSERT OR REPLACE INTO prompts_reviewdecision ({names}) SELECT {names} FROM prompts_reviewdecision")
    assert list(ReviewDecision.objects.values()) == before != []


def test_decisions_are_refused_by_the_model_too(version: Version) -> None:
    decision = ReviewDecision.objects.get()
    for act in (decision.save, decision.delete):
        with pytest.raises(Conflict):
            act()


def test_a_person_who_is_removed_stays_as_a_name(cast: Cast) -> None:
    """The account may go; the version keeps who wrote it, and everything else."""
    ann = cast.principal(cast.ann)
    prompt = authoring.create_prompt(ann, cast.team.pk, title="Letter", content=content_of(text="Hi"))
    before = row(prompt.newest)  # type: ignore[arg-type]
    cast.ann.delete()
    assert row(prompt.newest) == {**before, "author_id": None}  # type: ignore[arg-type]
    assert before["author_label"] == "Ann"
    assert AuditEntry.objects.filter(actor_label="Ann", verb="prompt.created").exists()


def test_rest_has_no_way_to_change_a_version(cast: Cast, version: Version) -> None:
    api, before = Api(cast.key), row(version)
    for send in (api.put, api.patch, api.post, api.delete):
        for path in ("/prompts/greeting/versions/1", f"/prompts/greeting/versions/{version.pk}/"):
            answer = send(path)
            assert answer.status_code == 405, path
    api.patch("/prompts/greeting", {"content": "New {{name}}.", "latest_version": {"id": version.pk, "text": "x"}})
    assert row(version) == before


def test_no_admin_page_changes_a_version(cast: Cast, version: Version) -> None:
    before = row(version)
    cast.cleo.is_superuser = cast.cleo.is_staff = True
    cast.cleo.save()
    client = Client()
    client.force_login(cast.cleo)
    body = {"text": "x", "number": "9", "post": "yes", "action": "delete_selected", "_selected_action": str(version.pk)}
    for path in ("", "add/", f"{version.pk}/change/", f"{version.pk}/delete/"):
        answer = client.post(f"/admin/prompts/version/{path}", body)
        assert answer.status_code < 500, path
    assert row(version) == before
    assert Version.objects.count() == 2
