"""Providers over REST: their keys go in and never come out, and go nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from promptlab.accounts.models import Team
from promptlab.audit.models import AuditEntry
from promptlab.lib.sealing import unseal
from promptlab.llm import routes
from promptlab.llm.models import LanguageModel, Provider
from promptlab.llm.services import providing
from tests.llm.served import Served, serving
from tests.support.api import Api
from tests.support.make import make_admin, make_key, make_model, make_provider

pytestmark = pytest.mark.django_db
KEY = "sk-canary-0123456789-7f3a"
OPENAI = {"name": "OpenAI", "kind": "openai", "key": KEY}
SERVER = {"name": "House", "kind": "server", "address": "https://models.example.com/v1", "key": KEY}


@pytest.fixture
def served(settings: Any) -> Iterator[Served]:
    settings.LLM_ALLOWED_PRIVATE = ["127.0.0.1"]
    with serving() as one:
        yield one


def made(api: Api, body: dict[str, Any] = OPENAI) -> dict[str, Any]:
    answer = api.post("/api/v1/providers", body)
    assert answer.status_code == 201, answer.content
    found: dict[str, Any] = answer.json()
    return found


def test_a_provider_is_made_and_shown_with_the_end_of_its_key(api: Api) -> None:
    one = made(api)
    assert (one["called_at"], one["key_hint"], one["has_key"]) == ("https://api.openai.com/v1", "7f3a", True)
    assert unseal(Provider.objects.get().sealed_key) == KEY
    for path in ("/providers", "/providers/", f"/providers/{one['id']}"):
        answer = api.get(path)
        assert answer.status_code == 200 and KEY.encode() not in answer.content and b"sealed" not in answer.content


def test_of_a_short_key_nothing_is_shown(api: Api) -> None:
    assert made(api, {**OPENAI, "key": "short-key"})["key_hint"] == ""


def test_another_host_takes_the_key_again_and_another_path_does_not(api: Api) -> None:
    one = made(api, SERVER)
    path = f"/providers/{one['id']}"
    for address in ("https://evil.example.com/v1", "https://models.example.com:8443/v1"):
        answer = api.patch(path, {"address": address})
        assert (answer.status_code, answer.json()["code"]) == (400, "key_needed")
        assert answer.json()["errors"][0]["field"] == "key"
    assert api.patch(path, {"address": "https://models.example.com/v2/"}).status_code == 200
    assert api.get(path).json()["address"] == "https://models.example.com/v2"
    assert api.patch(path, {"kind": "openai", "address": ""}).json()["code"] == "key_needed"
    moved = api.patch(path, {"address": "https://new.example.com/v1", "key": "another-long-key-9999"})
    assert (moved.status_code, moved.json()["key_hint"]) == (200, "9999")
    assert unseal(Provider.objects.get().sealed_key) == "another-long-key-9999"


def test_a_key_that_is_taken_away_lets_the_host_change(api: Api) -> None:
    path = f"/providers/{made(api, SERVER)['id']}"
    answer = api.patch(path, {"address": "https://new.example.com/v1", "key": ""})
    assert (answer.status_code, answer.json()["has_key"]) == (200, False)


def test_a_variable_of_the_environment_goes_where_the_operator_says(api: Api, settings: Any) -> None:
    settings.LLM_KEYS = {"LLM_KEY_ONE": "from-the-environment"}
    body = {"name": "One", "kind": "openai", "key_variable": "LLM_KEY_ONE"}
    assert made(api, body)["has_key"]
    for wrong in (
        {"key_variable": "SECRET_KEY"},
        {"key_variable": "LLM_KEY_TWO"},
        {"address": "https://evil.example.com/v1"},
        {"kind": "server", "address": "https://evil.example.com/v1"},
    ):
        answer = api.post("/providers", {**body, "name": "Two", **wrong})
        assert (answer.status_code, answer.json()["code"]) == (400, "variable_refused"), wrong
    settings.LLM_KEY_HOSTS = ["Models.example.com"]
    assert made(api, {**body, "name": "Two", "kind": "server", "address": "https://models.example.com/v1"})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "x"}, "kind"),
        ({**OPENAI, "name": "  "}, "name"),
        ({**OPENAI, "name": "x" * 51}, "name"),
        ({**OPENAI, "name": "Echo"}, "name"),
        ({**OPENAI, "kind": "carrier pigeon"}, "kind"),
        ({**OPENAI, "key": "two words"}, "key"),
        ({**OPENAI, "key": "caf\u00e9-0123456789"}, "key"),
        ({**OPENAI, "key": "x" * 2001}, "key"),
        ({**OPENAI, "key_variable": "LLM_KEY_ONE"}, "key_variable"),
        ({**OPENAI, "deadline_s": 0}, "deadline_s"),
        ({**OPENAI, "deadline_s": 1e9}, "deadline_s"),
        ({**OPENAI, "on_hang_up": "cry"}, "on_hang_up"),
        ({"name": "x", "kind": "azure", "key": KEY, "api_version": "1"}, "address"),
        ({"name": "x", "kind": "azure", "key": KEY, "address": "https://x.example.com"}, "api_version"),
        ({"name": "x", "kind": "server"}, "address"),
        ({**SERVER, "address": "http://models.example.com/v1"}, "address"),
        ({**SERVER, "address": "https://127.0.0.1/v1"}, "address"),
        ({**SERVER, "address": "https://169.254.169.254/v1"}, "address"),
        ({**SERVER, "address": "https://user:pass@models.example.com/v1"}, "address"),
    ],
)
def test_a_wrong_field_is_named(api: Api, body: dict[str, Any], field: str) -> None:
    answer = api.post("/providers", body)
    assert answer.status_code == 400, answer.content
    assert field in {error["field"].split(".")[0] for error in answer.json()["errors"]}
    assert KEY not in answer.content.decode()


def test_a_name_is_taken_whatever_its_case(api: Api) -> None:
    made(api)
    answer = api.post("/providers", {**OPENAI, "name": "OPENAI"})
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")


def test_a_team_has_so_many_and_no_more(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providing, "MOST", 1)
    made(api)
    answer = api.post("/providers", {**OPENAI, "name": "Two"})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_providers")


def test_changing_nothing_writes_nothing(api: Api) -> None:
    path = f"/providers/{made(api)['id']}"
    before = AuditEntry.objects.count()
    assert api.patch(path, {"name": "OpenAI", "is_on": True}).status_code == 200
    assert AuditEntry.objects.count() == before


def test_a_provider_whose_models_are_on_is_removed_by_name_only(api: Api, team: Team) -> None:
    one = made(api)
    make_model(Provider.objects.get(), "gpt-5")
    path = f"/providers/{one['id']}"
    for confirm in ("", "?confirm=openai", "?confirm=1"):
        answer = api.delete(path + confirm)
        assert (answer.status_code, answer.json()["code"]) == (409, "provider_in_use")
        assert "gpt-5" in answer.json()["detail"]
    assert api.delete(path + "?confirm=OpenAI").status_code == 204
    assert (Provider.objects.count(), LanguageModel.objects.count()) == (0, 0)
    assert api.delete(path).status_code == 404


def test_a_key_limited_to_an_environment_makes_none(team: Team) -> None:
    limited = Api(make_key(team, "admin", environments=["staging"])[1])
    assert limited.post("/providers", OPENAI).json()["code"] == "environment_not_allowed"


@pytest.mark.parametrize(
    ("status", "body", "result", "words"),
    [
        (200, None, "ok", "the key was accepted"),
        (401, b"{}", "key_refused", "The address answered, but the key was refused (401)."),
        (403, b"{}", "key_refused", "refused (403)"),
        (404, b"{}", "nothing_there", "(404)"),
        (302, b"", "redirected", "(302)"),
        (429, b"{}", "limited", "(429)"),
        (500, b"{}", "failed", "(500)"),
        (200, b"<html>", "unreadable", "not as a server of models"),
        (200, b"[" * 100_000, "unreadable", "not as a server of models"),
        (200, b'{"data": 1}', "unreadable", "not as a server of models"),
    ],
)
def test_a_check_says_in_words_how_it_went(
    api: Api, served: Served, status: int, body: bytes | None, result: str, words: str
) -> None:
    one = made(api, {**SERVER, "address": served.address})
    served.status, served.body = status, served.body if body is None else body
    found = api.post(f"/providers/{one['id']}/check").json()
    assert found["result"] == result and words in found["words"], found
    [(path, headers)] = served.asked
    assert (path, headers["authorization"]) == ("/v1/models", f"Bearer {KEY}")
    shown = api.get(f"/providers/{one['id']}").json()
    assert (shown["check_result"], shown["check_words"]) == (result, found["words"]) and shown["checked_at"]


@pytest.mark.parametrize(
    ("kind", "path", "header"),
    [
        ("azure", "/v1/openai/models?api-version=2025-01-01", "api-key"),
        ("anthropic", "/v1/models", "x-api-key"),
    ],
)
def test_each_kind_is_asked_in_its_own_way(api: Api, served: Served, kind: str, path: str, header: str) -> None:
    body = {**SERVER, "kind": kind, "address": served.address, "api_version": "2025-01-01"}
    assert api.post(f"/providers/{made(api, body)['id']}/check").json()["result"] == "ok"
    assert (served.asked[0][0], served.asked[0][1][header]) == (path, KEY)


def test_where_nobody_is_nothing_answers(api: Api, served: Served, settings: Any) -> None:
    one = made(api, {**SERVER, "address": served.address})
    settings.LLM_ALLOWED_PRIVATE = []
    path = f"/providers/{one['id']}/check"
    assert api.post(path).json()["result"] == "not_ready"  # and is not called any more
    settings.LLM_ALLOWED_PRIVATE = ["127.0.0.1"]
    Provider.objects.update(address="http://127.0.0.1:1/v1")
    assert api.post(path).json()["result"] == "not_reached"
    assert served.asked == []


def test_practice_needs_no_call(api: Api) -> None:
    one = made(api, {"name": "Practice", "kind": "echo"})
    assert api.post(f"/providers/{one['id']}/check").json() == {
        "result": "ok",
        "status": None,
        "words": "The address answered, and the key was accepted.",
    }


def test_another_address_forgets_what_was_found(api: Api, served: Served) -> None:
    one = made(api, {**SERVER, "address": served.address})
    api.post(f"/providers/{one['id']}/check")
    assert api.patch(f"/providers/{one['id']}", {"key": "another-long-key-9999"}).json()["checked_at"] is None


def test_a_stranger_and_a_viewer(api: Api, team: Team) -> None:
    one = make_provider(team)
    path = f"/providers/{one.pk}"
    reader = Api(make_key(team, "read")[1])
    assert reader.get(path).status_code == 404
    assert reader.post("/providers", OPENAI).status_code == 403
    assert reader.get("/providers").json()["results"] == []


def test_a_key_is_in_no_answer_page_log_row_dump_or_export(
    api: Api, team: Team, served: Served, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The canary: what is looked for was really used, because the server was sent it."""
    admin = make_admin(team)
    said = [made(api, {**SERVER, "address": served.address})]
    path = f"/providers/{said[0]['id']}"
    make_model(Provider.objects.get(), "llama")
    for answer in (
        api.post(f"{path}/check"),
        api.patch(path, {"region_note": "EU"}),
        api.patch(path, {"address": "https://evil.example.com/v1"}),
        api.patch(path, {"key": f"{KEY} x"}),
        api.get(path), api.get("/providers"), api.get("/models"), api.get("/export"), api.get("/schema"),
    ):  # fmt: skip
        said.append(answer.content.decode())
    client = Client()
    client.force_login(admin)
    one = Provider.objects.get()
    pages = ["/admin/llm/provider/", "/admin/llm/languagemodel/", "/admin/llm/languagemodel/offer/", "/admin/"]
    pages += [reverse(f"admin:llm_provider_{name}", args=[one.pk]) for name in ("change", "edit", "key", "history")]
    said += [client.get(page).content.decode() for page in pages]
    dumped = StringIO()
    call_command("dumpdata", "llm", "audit", "accounts", stdout=dumped)
    said += [dumped.getvalue(), caplog.text, *capfd.readouterr(), repr(routes.routes_for(team.pk, "llama"))]
    api.delete(path + "?confirm=House")
    said += [str(row) for row in AuditEntry.objects.values()]
    assert served.asked[0][1]["authorization"] == f"Bearer {KEY}"
    assert "provider.removed" in "".join(map(str, said)) and one.sealed_key in dumped.getvalue()
    for text in map(str, said):
        assert KEY not in text
    shown = [str(text) for text in said if text != dumped.getvalue()]
    assert not any(one.sealed_key in text for text in shown)


def test_keys_are_sealed_anew_with_a_new_encryption_key(team: Team, settings: Any) -> None:
    settings.ENCRYPTION_KEYS = ["old-key-of-a-good-length-0123456789abcdef"]
    kept = make_provider(team, key=KEY)
    settings.ENCRYPTION_KEYS = ["a-key-that-is-lost-0123456789abcdefghijk"]
    lost = make_provider(team, key=KEY)
    settings.ENCRYPTION_KEYS = [
        "new-key-of-a-good-length-0123456789abcdef",
        "old-key-of-a-good-length-0123456789abcdef",
    ]
    out = StringIO()
    with pytest.raises(CommandError, match=rf"provider {lost.pk}\."):
        call_command("rotate_secrets", stdout=out)
    assert "Providers sealed with the first key: 1." in out.getvalue()
    settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS[:1]
    assert unseal(Provider.objects.get(pk=kept.pk).sealed_key) == KEY
