"""Webhooks over REST."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from promptlab.accounts.models import Team
from promptlab.audit.models import AuditEntry
from promptlab.hooks.models import Delivery, Endpoint
from promptlab.hooks.services import endpoints
from promptlab.hooks.tasks import fan_out_and_send
from promptlab.lib.sealing import unseal
from tests.hooks.receiver import Receiver
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_key, make_prompt

pytestmark = pytest.mark.django_db
URL = "https://hooks.example.com/in?token=hush-hush"


def made(api: Api, **body: Any) -> dict[str, Any]:
    answer = api.post("/api/v1/webhooks", {"url": URL, **body})
    assert answer.status_code == 201, answer.content
    found: dict[str, Any] = answer.json()
    return found


def test_the_secret_is_shown_once(api: Api) -> None:
    one = made(api, event_types=["version.created", "prompt.created"], description="Chat room")
    assert one["secret"].startswith("whsec_") and len(base64.b64decode(one["secret"][6:])) == 32
    assert one["event_types"] == ["prompt.created", "version.created"]
    for path in ("/webhooks", "/webhooks/", f"/webhooks/{one['id']}", f"/webhooks/{one['id']}/"):
        answer = api.get(path)
        assert answer.status_code == 200
        assert one["secret"].encode() not in answer.content and b'"secret"' not in answer.content


def test_neither_secrets_nor_whole_addresses_reach_the_activity_log_or_the_log(
    api: Api, caplog: pytest.LogCaptureFixture, receiver: Receiver
) -> None:
    one = made(api, url=receiver.url + "?token=hush-hush")
    secrets = [one["secret"], api.post(f"/webhooks/{one['id']}/rotate").json()["secret"]]
    api.post(f"/webhooks/{one['id']}/test")
    fan_out_and_send()
    secrets.append(api.patch(f"/webhooks/{one['id']}", {"url": URL}).json()["secret"])
    api.delete(f"/webhooks/{one['id']}")
    written = "".join(str(row) for row in AuditEntry.objects.values()) + caplog.text
    assert "webhook.removed" in written and "webhook.tested" in written
    for secret in (*secrets, "hush-hush"):
        assert secret not in written
    assert len(set(secrets)) == 3


def test_another_address_gets_another_secret_and_other_changes_none(api: Api) -> None:
    one = made(api)
    path = f"/webhooks/{one['id']}"
    same = api.patch(path, {"url": URL, "event_types": ["prompt.created"], "description": "x"}).json()
    assert "secret" not in same and same["event_types"] == ["prompt.created"]
    moved = api.patch(path, {"url": "https://elsewhere.example.com/"}).json()
    assert moved["secret"] not in ("", one["secret"])
    assert [unseal(one) for one in Endpoint.objects.get().sealed_secrets] == [moved["secret"]]


def test_changing_nothing_writes_nothing(api: Api) -> None:
    one = made(api)
    before = AuditEntry.objects.count()
    assert api.patch(f"/webhooks/{one['id']}", {"url": URL}).status_code == 200
    assert AuditEntry.objects.count() == before


def test_switching_off_and_on(api: Api) -> None:
    path = f"/webhooks/{made(api)['id']}"
    off = api.patch(path, {"is_active": False}).json()
    assert off["is_active"] is False and off["disabled_at"]
    answer = api.post(path + "/test")
    assert (answer.status_code, answer.json()["code"]) == (409, "webhook_off")
    on = api.patch(path, {"is_active": True}).json()
    assert (on["is_active"], on["disabled_at"]) == (True, None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": 5.5}, "url"),
        ({"url": "http://example.com"}, "url"),
        ({"url": "https://10.0.0.1/"}, "url"),
        ({"url": "https://example.com/" + "a" * 1000}, "url"),
        ({"url": URL, "event_types": "prompt.created"}, "event_types"),
        ({"url": URL, "event_types": ["prompt.painted"]}, "event_types"),
        ({"url": URL, "event_types": ["webhook.test"]}, "event_types"),
        ({"url": URL, "event_types": [{"a": 1}]}, "event_types"),
        ({"url": URL, "description": "x" * 201}, "description"),
        ({"url": URL, "team_id": "x"}, "team_id"),
    ],
)
def test_a_wrong_field_is_named(api: Api, body: dict[str, Any], field: str) -> None:
    answer = api.post("/webhooks", body)
    assert answer.status_code == 400, answer.content
    assert field in {error["field"].split(".")[0] for error in answer.json()["errors"]}
    if body and "team_id" not in body:
        answer = api.patch(f"/webhooks/{made(api)['id']}", body)
        assert answer.status_code == 400, answer.content


def test_a_team_has_so_many_and_no_more(api: Api) -> None:
    for _ in range(endpoints.MOST):
        made(api)
    answer = api.post("/webhooks", {"url": URL})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_webhooks")


def test_a_key_limited_to_an_environment_makes_none(team: Team) -> None:
    """An endpoint hears of every environment."""
    limited = Api(make_key(team, "admin", environments=["staging"])[1])
    answer = limited.post("/webhooks", {"url": URL})
    assert (answer.status_code, answer.json()["code"]) == (403, "environment_not_allowed")


@pytest.mark.parametrize("pk", ["0", "999999", "9" * 30, "9" * 5000])
def test_what_nobody_has_is_a_404(api: Api, pk: str) -> None:
    for answer in (
        api.get(f"/webhooks/{pk}"),
        api.delete(f"/webhooks/{pk}"),
        api.get(f"/webhooks/{pk}/deliveries"),
        api.post(f"/webhooks/deliveries/{pk}/replay"),
    ):
        assert answer.status_code == 404


def test_a_stranger_finds_none_of_ours(cast: Cast) -> None:
    one = made(Api(cast.key))
    Api(cast.key).post(f"/webhooks/{one['id']}/test")
    stranger = Api(cast.stranger_key)
    delivery = Delivery.objects.get().pk
    assert stranger.get("/webhooks").json()["results"] == []
    for path in (f"/webhooks/{one['id']}/rotate", f"/webhooks/deliveries/{delivery}/replay"):
        assert stranger.post(path).status_code == 404


def test_a_test_arrives_is_listed_and_is_sent_again(api: Api, receiver: Receiver) -> None:
    one, other = made(api, url=receiver.url, event_types=["prompt.created"]), made(api, url=receiver.url + "/other")
    answer = api.post(f"/webhooks/{one['id']}/test")
    assert (answer.status_code, answer.json()["type"], answer.json()["state"]) == (202, "webhook.test", "waiting")
    fan_out_and_send()
    assert [got.path for got in receiver.got] == ["/hook"]
    [listed] = api.get(f"/webhooks/{one['id']}/deliveries/").json()["results"]
    assert (listed["state"], listed["last_status"], listed["attempts"]) == ("delivered", 200, 1)
    assert listed["webhook_id"] == receiver.got[0].headers["webhook-id"]
    assert api.get(f"/webhooks/{other['id']}/deliveries").json()["results"] == []
    again = api.post(f"/webhooks/deliveries/{listed['id']}/replay/")
    assert (again.status_code, again.json()["webhook_id"]) == (202, listed["webhook_id"])
    fan_out_and_send()
    assert len(receiver.got) == 2


def test_what_is_removed_hears_nothing_more(api: Api, team: Team, receiver: Receiver) -> None:
    one = made(api, url=receiver.url)
    make_prompt(team)
    assert api.delete(f"/webhooks/{one['id']}").status_code == 204
    assert api.delete(f"/webhooks/{one['id']}").status_code == 404
    fan_out_and_send()
    assert receiver.got == []
