"""The team's keys over REST."""

from __future__ import annotations

from typing import Any

import pytest

from promptlab.accounts.models import ApiKey, Team
from promptlab.audit.models import AuditEntry
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_key

pytestmark = pytest.mark.django_db


def made(api: Api, **body: Any) -> dict[str, Any]:
    answer = api.post("/api/v1/keys", {"name": "billing", "scopes": ["read"], **body})
    assert answer.status_code == 201, answer.content
    found: dict[str, Any] = answer.json()
    return found


def test_the_secret_is_shown_once(api: Api) -> None:
    key = made(api, scopes=["chat", "read"], environments=["staging"], calls_per_hour=7)
    assert Api(key["key"]).get("/me").status_code == 200
    assert (key["scopes"], key["environments"], key["calls_per_hour"]) == (["read", "chat"], ["staging"], 7)
    listed = api.get("/keys").json()["results"]
    assert [one["name"] for one in listed] == ["billing", "tests"]
    assert all("key" not in one and "digest" not in one for one in listed)
    assert key["key"].encode() not in api.get("/keys").content


def test_no_secret_reaches_the_activity_log_or_the_log(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    key = made(api)
    rotated = api.post(f"/keys/{key['id']}/rotate").json()
    Api(rotated["key"]).get("/me")
    api.delete(f"/keys/{rotated['id']}")
    written = "".join(str(row) for row in AuditEntry.objects.values()) + caplog.text
    assert "key.issued" in written
    for secret in (key["key"], rotated["key"]):
        assert secret.split("_", 2)[2] not in written


def test_revoking_ends_a_key(api: Api) -> None:
    key = made(api)
    assert Api(key["key"]).get("/me").status_code == 200
    assert api.delete(f"/keys/{key['id']}").status_code == 204
    assert Api(key["key"]).get("/me").status_code == 401
    assert api.delete(f"/keys/{key['id']}").status_code == 204


def test_rotating_shows_the_new_secret(api: Api) -> None:
    key = made(api)
    answer = api.post(f"/keys/{key['id']}/rotate")
    assert answer.status_code == 201
    assert answer.json()["key"] != key["key"]
    assert Api(answer.json()["key"]).get("/me").status_code == 200
    api.delete(f"/keys/{key['id']}")
    assert api.post(f"/keys/{key['id']}/rotate").status_code == 409


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x"}, "scopes"),
        ({"scopes": ["read"]}, "name"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": "read"}, "scopes"),
        ({"name": "x" * 101, "scopes": ["read"]}, "name"),
        ({"name": "x", "scopes": ["read"], "environments": ["a b"]}, "environments"),
        ({"name": "x", "scopes": ["read"], "environments": [f"env{n}" * 5 for n in range(30)]}, "environments"),
        ({"name": "x", "scopes": ["read"], "calls_per_hour": 0}, "calls_per_hour"),
        ({"name": "x", "scopes": ["read"], "calls_per_hour": 10**30}, "calls_per_hour"),
        ({"name": "x", "scopes": ["read"], "expires_at": "tomorrow"}, "expires_at"),
        ({"name": "x", "scopes": ["read"], "expires_at": "9999-12-31T23:59:59-14:00"}, "expires_at"),
    ],
)
def test_a_wrong_field_is_named(api: Api, body: dict[str, Any], field: str) -> None:
    answer = api.post("/keys", body)
    assert answer.status_code == 400, answer.content
    assert field in {error["field"].split(".")[0] for error in answer.json()["errors"]}


@pytest.mark.parametrize("body", [[], "x", 5, None, [{"name": "x"}], {"name": {"a": 1}, "scopes": {"a": 1}}])
def test_bodies_of_another_kind_are_a_400(api: Api, body: Any) -> None:
    assert api.post("/keys", body if body is not None else b"null").status_code == 400


def test_an_unknown_scope_is_a_400_that_lists_the_known(api: Api) -> None:
    answer = api.post("/keys", {"name": "x", "scopes": ["read", "root"]})
    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_scope")
    assert "deploy" in answer.json()["detail"]


@pytest.mark.parametrize("team_id", [999_999, 10**30, -1])
def test_another_team_s_keys_cannot_be_made(api: Api, team_id: int) -> None:
    answer = api.post("/keys", {"name": "x", "scopes": ["read"], "team_id": team_id})
    assert answer.status_code == 404


def test_a_key_without_the_scope_admin_sees_and_makes_none(team: Team) -> None:
    api = Api(make_key(team, "read", "write", "deploy", "chat", "feedback")[1])
    assert api.get("/keys").json()["results"] == []
    answer = api.post("/keys", {"name": "x", "scopes": ["read"]})
    assert (answer.status_code, answer.json()["data"]["needs"]) == (403, "key.admin")


def test_a_key_limited_to_an_environment_makes_no_key_for_more(team: Team) -> None:
    """Or limits would be worth nothing: the first act of a thief is to make a better key."""
    api = Api(make_key(team, "admin", environments=["staging"])[1])
    for environments in ([], ["production"], ["staging", "production"]):
        answer = api.post("/keys", {"name": "x", "scopes": ["read"], "environments": environments})
        assert (answer.status_code, answer.json()["code"]) == (403, "environment_not_allowed"), environments
    assert made(api, environments=["staging"])["environments"] == ["staging"]


def test_nor_does_it_rotate_a_key_for_more(team: Team, api: Api) -> None:
    limited = Api(make_key(team, "admin", environments=["staging"])[1])
    wide = made(api)
    assert limited.post(f"/keys/{wide['id']}/rotate").status_code == 403
    assert Api(wide["key"]).get("/me").status_code == 200


@pytest.mark.parametrize("pk", ["0", "999999", "9" * 30, "9" * 5000])
def test_a_key_nobody_has_is_a_404(api: Api, pk: str) -> None:
    assert api.delete(f"/keys/{pk}").status_code == 404
    assert api.post(f"/keys/{pk}/rotate").status_code == 404


def test_a_stranger_finds_no_key_of_ours(cast: Cast) -> None:
    key = ApiKey.objects.filter(team=cast.team).first()
    assert key is not None
    assert Api(cast.stranger_key).delete(f"/keys/{key.pk}").status_code == 404
    assert Api(cast.stranger_key).post(f"/keys/{key.pk}/rotate").status_code == 404


def test_me_says_what_a_key_may_do(team: Team) -> None:
    me = Api(make_key(team, "chat")[1]).get("/me").json()
    assert me["teams"] == {team.name: ["chat.use", "chat.write"]}
    assert me["kind"] == "key"
