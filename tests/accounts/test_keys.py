"""API keys as programs use them: three spellings, one answer to everything that does not work."""

from __future__ import annotations

import base64
import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from promptlab.accounts import auth, services
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.errors import KeyRevoked
from promptlab.accounts.models import ApiKey, Team
from promptlab.lib.errors import DomainError
from tests.support.api import Api
from tests.support.make import make_key, make_team

pytestmark = pytest.mark.django_db


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def secret(team: Team) -> str:
    return make_key(team, name="billing")[1]


def test_a_key_has_three_spellings(secret: str) -> None:
    for headers in (
        {"X-API-Key": secret},
        {"Authorization": f"Bearer {secret}"},
        {"Authorization": f"bearer   {secret} "},
        {"Authorization": basic("", secret)},
        {"Authorization": basic("anybody", secret)},
    ):
        answer = Api().get("/api/v1/me", **headers)
        assert answer.status_code == 200, headers
        assert answer.json()["label"] == "billing (key)"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": "  "},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Digest abc"},
        {"Cookie": "sessionid=abc"},
    ],
)
def test_no_key_is_a_401_that_says_how_to_send_one(headers: dict[str, str], secret: str) -> None:
    answer = Api().get("/api/v1/me", **headers)
    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthenticated"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_every_key_that_does_not_work_gets_the_same_answer(team: Team, secret: str, settings: Any) -> None:
    past = timezone.now() - timedelta(seconds=1)
    revoked, revoked_secret = make_key(team)
    services.revoke_key(SYSTEM, revoked)
    _, other_pepper_secret = _issued_with_pepper(team, settings, "of yesterday")
    wrong = [
        "nonsense",
        "pl_",
        "pl_short_x",
        "pl_AbCd1234_" + "x" * 43,
        secret[:-1] + ("a" if secret[-1] != "a" else "b"),
        secret[:-1],
        secret + "x",
        secret.replace("pl_", "sk_", 1),
        secret.swapcase(),
        "pl_" + "é" * 8 + "_x",
        make_key(team, expires_at=past)[1],
        revoked_secret,
        other_pepper_secret,
        "x" * 5000,
    ]
    answers = [Api().get("/api/v1/me", **{"X-API-Key": key, "X-Request-ID": "same"}) for key in wrong]
    answers += [Api().get("/api/v1/me", Authorization=value, **{"X-Request-ID": "same"}) for value in _broken_basic()]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json()["code"] == "invalid_api_key"


def _issued_with_pepper(team: Team, settings: Any, pepper: str) -> tuple[ApiKey, str]:
    now = settings.API_KEY_PEPPER
    settings.API_KEY_PEPPER = pepper
    issued = make_key(team)
    settings.API_KEY_PEPPER = now
    return issued


def _broken_basic() -> list[str]:
    return ["Basic ***", "Basic " + base64.b64encode(b"\xff\xfe:x").decode(), basic("a", "nonsense")]


def test_a_key_that_ends_later_works_until_then(team: Team) -> None:
    soon = timezone.now() + timedelta(hours=1)
    assert Api(make_key(team, expires_at=soon)[1]).get("/me").status_code == 200


def test_the_secret_is_stored_nowhere(team: Team, secret: str) -> None:
    key = ApiKey.objects.get(team=team)
    random_part = secret.split("_", 2)[2]
    assert key.digest != secret
    assert all(random_part not in str(getattr(key, field.name)) for field in ApiKey._meta.concrete_fields)


def test_a_revoked_key_is_refused_at_once_here(team: Team) -> None:
    key, secret = make_key(team)
    assert Api(secret).get("/me").status_code == 200
    services.revoke_key(SYSTEM, key)
    assert Api(secret).get("/me").status_code == 401


def believed(secret: str, cache_s: float) -> None:
    """Let the key have been checked so long ago that it is believed for another `cache_s`."""
    auth.verified._entries[auth.digest(secret)].good_until = time.monotonic() + cache_s


def test_a_key_revoked_elsewhere_is_refused_within_the_cache_s_time(team: Team) -> None:
    key, secret = make_key(team)
    assert Api(secret).get("/me").status_code == 200
    ApiKey.objects.filter(pk=key.pk).update(revoked_at=timezone.now())  # as another process does: no word to this one
    believed(secret, 3600)
    assert Api(secret).get("/me").status_code == 200
    believed(secret, 0)
    assert Api(secret).get("/me").status_code == 401


def test_keys_in_use_are_confirmed_with_one_read_and_what_ended_is_refused(
    team: Team, django_assert_num_queries: Any
) -> None:
    keys = [make_key(team) for _ in range(4)]
    for _, secret in keys:
        assert Api(secret).get("/me").status_code == 200
        believed(secret, 3600)
    now = timezone.now()
    ApiKey.objects.filter(pk=keys[0][0].pk).update(revoked_at=now)
    ApiKey.objects.filter(pk=keys[1][0].pk).update(expires_at=now)
    ApiKey.objects.filter(pk=keys[2][0].pk).update(expires_at=now + timedelta(hours=1))
    with django_assert_num_queries(1):
        assert auth.confirm() is True
    assert [Api(secret).get("/me").status_code for _, secret in keys] == [401, 401, 200, 200]
    assert auth.verified._entries[auth.digest(keys[2][1])].expires_at is not None


def test_the_use_of_a_confirmed_key_is_noted(team: Team) -> None:
    key, secret = make_key(team)
    Api(secret).get("/me")
    long_ago = timezone.now() - timedelta(minutes=5)
    ApiKey.objects.filter(pk=key.pk).update(last_used_at=long_ago)
    auth.confirm()
    key.refresh_from_db()
    assert key.last_used_at is not None and key.last_used_at > long_ago


def test_a_key_that_nobody_uses_is_not_asked_for(team: Team, django_assert_num_queries: Any) -> None:
    _, secret = make_key(team)
    Api(secret).get("/me")
    auth.verified._entries[auth.digest(secret)].used_at -= auth.IN_USE_S + 1
    with django_assert_num_queries(0):
        assert auth.confirm() is False


def test_a_word_from_another_process_ends_a_key_at_once(team: Team) -> None:
    key, secret = make_key(team)
    Api(secret).get("/me")
    kept = auth.verified.get(auth.digest(secret))
    auth._heard(str(key.pk), "revoked")
    auth._heard("nonsense", "revoked")
    assert auth.verified.get(auth.digest(secret)) is None
    assert kept is not None and kept.good_until < time.monotonic()


def test_the_cache_believes_for_a_second_at_most() -> None:
    assert auth.CACHE_S <= 1.0


def test_the_cache_forgets_the_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "CACHE_SIZE", 2)
    for name in ("a", "b", "c"):
        auth.verified.put(name, SYSTEM)
    found = [auth.verified.get(name) for name in ("a", "b", "c")]
    assert [one and one.principal for one in found] == [None, SYSTEM, SYSTEM]


def test_the_last_use_is_noted_but_not_with_every_call(team: Team, django_assert_num_queries: Any) -> None:
    key, secret = make_key(team)
    Api(secret).get("/me")
    key.refresh_from_db()
    assert key.last_used_at is not None
    noted = key.last_used_at
    auth.verified.clear()
    with django_assert_num_queries(1):
        auth.authenticate({"x-api-key": secret})
    key.refresh_from_db()
    assert key.last_used_at == noted


def test_rotating_gives_a_new_key_with_the_same_rights_and_lets_the_old_one_work_for_a_while(team: Team) -> None:
    old, old_secret = make_key(team, "read", "chat", environments=["staging"], calls_per_hour=77)
    new, new_secret = services.rotate_key(SYSTEM, old)
    old.refresh_from_db()
    now = Api(new_secret).get("/me").json()
    assert now == Api(old_secret).get("/me").json()
    assert (new.scopes, new.environments, new.calls_per_hour) == (old.scopes, old.environments, 77)
    assert new.default_environment == "staging"
    assert new.rotated_from == old
    assert old.expires_at is not None
    assert abs(old.expires_at - timezone.now() - services.OVERLAP) < timedelta(minutes=1)
    ApiKey.objects.filter(pk=old.pk).update(expires_at=timezone.now())
    auth.verified.clear()
    assert Api(old_secret).get("/me").status_code == 401
    assert Api(new_secret).get("/me").status_code == 200


def test_rotating_does_not_lengthen_the_life_of_the_old_key(team: Team) -> None:
    soon = timezone.now() + timedelta(hours=1)
    old, _ = make_key(team, expires_at=soon)
    services.rotate_key(SYSTEM, old)
    old.refresh_from_db()
    assert old.expires_at == soon


def test_a_revoked_key_cannot_be_rotated(team: Team) -> None:
    key, _ = make_key(team)
    services.revoke_key(SYSTEM, key)
    with pytest.raises(KeyRevoked):
        services.rotate_key(SYSTEM, key)


def test_revoking_again_changes_nothing(team: Team) -> None:
    key, _ = make_key(team)
    first = services.revoke_key(SYSTEM, key).revoked_at
    assert services.revoke_key(SYSTEM, key).revoked_at == first


def test_a_key_limited_to_one_environment_asks_for_that_one_by_default(team: Team) -> None:
    assert Api(make_key(team, environments=["staging"])[1]).get("/me").json()["default_environment"] == "staging"
    both = Api(make_key(team, environments=["staging", "development"])[1]).get("/me").json()
    assert (both["environments"], both["default_environment"]) == (["development", "staging"], "production")
    assert Api(make_key(team)[1]).get("/me").json()["default_environment"] == "production"


@pytest.mark.parametrize(
    "environments", [["my env"], [""], ["a\tb"], ["x" * 37], [f"environment-{n}" for n in range(40)]]
)
def test_environments_that_could_not_be_told_apart_are_refused(team: Team, environments: list[str]) -> None:
    with pytest.raises(DomainError) as refused:
        make_key(team, environments=environments)
    assert refused.value.status == 400


def test_unknown_scopes_are_refused_by_name(team: Team) -> None:
    with pytest.raises(DomainError, match="There is no scope 'destroy'"):
        make_key(team, "read", "destroy")


def test_keys_of_another_team_cannot_be_revoked(team: Team) -> None:
    key, _ = make_key(team)
    stranger = auth.principal_of_key(make_key(make_team())[0])
    with pytest.raises(DomainError) as refused:
        services.revoke_key(stranger, key)
    assert refused.value.status == 404
