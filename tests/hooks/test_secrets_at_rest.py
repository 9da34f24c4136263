"""Webhooks' secrets: sealed in the database, under a key that can be replaced, and still the ones that sign."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.audit.models import AuditEntry
from promptlab.hooks.models import Delivery, Endpoint, OutboxEvent
from promptlab.hooks.services import endpoints
from promptlab.hooks.tasks import fan_out_and_send
from promptlab.lib.sealing import unseal
from tests.hooks.receiver import Receiver
from tests.hooks.test_sending import happen, verified
from tests.support.api import Api
from tests.support.make import make_team

pytestmark = pytest.mark.django_db
OLD, NEW = "old-key-of-a-good-length-0123456789abcdef", "new-key-of-a-good-length-0123456789abcdef"
URL = "https://hooks.example.com/in"


def stored() -> str:
    """Return everything that the webhooks' table and the activity log hold."""
    rows = []
    with connection.cursor() as cursor:
        for table in (Endpoint._meta.db_table, AuditEntry._meta.db_table, OutboxEvent._meta.db_table):
            cursor.execute(f"SELECT * FROM {table}")
            rows += cursor.fetchall()
    return repr(rows)


def rotated() -> str:
    out = StringIO()
    call_command("rotate_secrets", stdout=out)
    return out.getvalue()


def test_the_database_never_holds_a_secret(team: Team, caplog: pytest.LogCaptureFixture) -> None:
    endpoint, first = endpoints.create_endpoint(SYSTEM, team.pk, url=URL)
    written = [stored()]
    _, second = endpoints.rotate_secret(SYSTEM, endpoint)
    written.append(stored())
    _, third = endpoints.update_endpoint(SYSTEM, endpoint, endpoints.EndpointChanges(url=URL + "/new"))
    written.append(stored())
    for secret in (first, second, third):
        assert secret.startswith("whsec_")
        assert secret.removeprefix("whsec_") not in "".join(written) + caplog.text
    assert "whsec_" not in "".join(written)


def test_rest_tells_the_secret_once_and_never_the_sealed_one(api: Api) -> None:
    made = api.post("/webhooks", {"url": URL}).json()
    endpoint = Endpoint.objects.get()
    assert made["secret"] == unseal(endpoint.sealed_secret)
    for path in ("/webhooks", f"/webhooks/{endpoint.pk}", "/export"):
        text = api.get(path).content.decode()
        assert made["secret"] not in text and endpoint.sealed_secret not in text and "sealed" not in text


def test_a_replaced_key_changes_no_signature(team: Team, receiver: Receiver, settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    endpoint, before = endpoints.create_endpoint(SYSTEM, team.pk, url=receiver.url)
    _, secret = endpoints.rotate_secret(SYSTEM, endpoint)
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    assert "Webhooks sealed with the first key: 1.\n" in rotated()
    assert "Webhooks sealed with the first key: 0.\n" in rotated()
    settings.ENCRYPTION_KEYS = [NEW]
    happen(team)
    fan_out_and_send()
    verified(receiver.got[0], secret, before)


def test_rotating_names_what_no_key_opens_and_does_the_rest(team: Team, settings: Any) -> None:
    settings.ENCRYPTION_KEYS = ["a-key-that-is-lost-0123456789abcdefghijk"]
    lost, _ = endpoints.create_endpoint(SYSTEM, team.pk, url=URL)
    settings.ENCRYPTION_KEYS = [OLD]
    kept, secret = endpoints.create_endpoint(SYSTEM, team.pk, url=URL)
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    with pytest.raises(CommandError, match=rf"webhook {lost.pk}\."):
        rotated()
    settings.ENCRYPTION_KEYS = [NEW]
    kept.refresh_from_db()
    assert unseal(kept.sealed_secret) == secret
    assert Endpoint.objects.get(pk=lost.pk).sealed_secret == lost.sealed_secret


def test_a_secret_that_cannot_be_opened_holds_up_no_other_delivery(
    team: Team, receiver: Receiver, settings: Any
) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    lost, _ = endpoints.create_endpoint(SYSTEM, team.pk, url=receiver.url + "/lost")
    settings.ENCRYPTION_KEYS = [NEW]
    _, secret = endpoints.create_endpoint(SYSTEM, team.pk, url=receiver.url + "/kept")
    happen(team)
    fan_out_and_send()
    [got] = receiver.got
    assert got.path == "/hook/kept"
    verified(got, secret)
    failed = Delivery.objects.get(endpoint=lost)
    assert (failed.state, failed.last_error) == (Delivery.State.FAILED, "its secret cannot be opened")
    endpoints.rotate_secret(SYSTEM, lost)  # a way out that needs no old key


@pytest.mark.django_db(transaction=True)
def test_the_migration_seals_what_stands_in_the_clear_and_opens_it_on_the_way_back() -> None:
    team = make_team()
    endpoint, secret = endpoints.create_endpoint(SYSTEM, team.pk, url=URL)
    _, newer = endpoints.rotate_secret(SYSTEM, endpoint)
    plain, _ = endpoints.create_endpoint(SYSTEM, team.pk, url=URL)
    executor = MigrationExecutor(connection)
    every = executor.loader.graph.leaf_nodes()
    try:
        executor.migrate([("hooks", "0002_mail")])
        before = executor.loader.project_state(("hooks", "0002_mail")).apps.get_model("hooks", "Endpoint")
        row = before.objects.get(pk=endpoint.pk)
        assert (row.secret, row.old_secret) == (newer, secret)
        assert before.objects.get(pk=plain.pk).old_secret == ""
    finally:
        MigrationExecutor(connection).migrate(every)
    row = Endpoint.objects.get(pk=endpoint.pk)
    assert [unseal(one) for one in row.sealed_secrets] == [newer, secret]
    assert newer not in stored() and secret not in stored()
    assert Endpoint.objects.get(pk=plain.pk).old_sealed_secret == ""
