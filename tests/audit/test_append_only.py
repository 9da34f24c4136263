"""The activity log only grows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import transaction

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.audit.errors import AppendOnly
from promptlab.audit.models import AuditEntry
from promptlab.audit.recorder import record
from promptlab.lib import logs

pytestmark = pytest.mark.django_db


@pytest.fixture
def entry(team: Team) -> AuditEntry:
    return record(SYSTEM, "team.looked_at", team, team_id=team.pk, note="first")


WAYS: dict[str, Callable[[AuditEntry], object]] = {
    "save": lambda entry: entry.save(),
    "save some": lambda entry: entry.save(update_fields=["note"]),
    "delete": lambda entry: entry.delete(),
    "queryset update": lambda entry: AuditEntry.objects.filter(pk=entry.pk).update(note="second"),
    "queryset delete": lambda entry: AuditEntry.objects.filter(pk=entry.pk).delete(),
    "delete all": lambda entry: AuditEntry.objects.all().delete(),
    "bulk update": lambda entry: AuditEntry.objects.bulk_update([entry], ["note"]),
    "update or create": lambda entry: AuditEntry.objects.update_or_create(pk=entry.pk, defaults={"note": "second"}),
    "of teams": lambda entry: AuditEntry.objects.of_teams([entry.team_id or 0]).delete(),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_no_way_changes_or_removes_an_entry(entry: AuditEntry, way: Callable[[AuditEntry], object]) -> None:
    entry.note = "second"
    with pytest.raises(AppendOnly) as refused, transaction.atomic():
        way(entry)
    assert refused.value.status == 409
    assert AuditEntry.objects.get(pk=entry.pk).note == "first"


def test_an_entry_says_who_what_when_and_from_where(team: Team) -> None:
    logs.begin("req-5", address="10.1.2.3")
    entry = record(SYSTEM, "team.renamed", team, team_id=team.pk, before={"name": "A"}, after={"name": "B"}, note="why")
    entry.refresh_from_db()
    assert (entry.actor_kind, entry.actor_id, entry.actor_label) == ("system", None, "PromptLab")
    assert (entry.target_type, entry.target_id, entry.target_label) == ("accounts.team", str(team.pk), team.name)
    assert (entry.before, entry.after, entry.note) == ({"name": "A"}, {"name": "B"}, "why")
    assert (entry.request_id, entry.address) == ("req-5", "10.1.2.3")
    assert entry.at is not None
    assert str(entry) == f"PromptLab: team.renamed {team.name}"


def test_what_happened_to_one_thing_is_found_newest_first(team: Team) -> None:
    made = [record(SYSTEM, verb, team, team_id=team.pk) for verb in ("team.a", "team.b")]
    found = AuditEntry.objects.about("accounts.team", team.pk)
    assert list(found)[:2] == made[::-1]
