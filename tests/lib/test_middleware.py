"""What every request that Django serves gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.cast import Cast

BROWSER = "https://app.example"


def test_a_request_id_comes_in_and_goes_out() -> None:
    assert Api().get("/livez", **{"X-Request-ID": "abc-1"}).headers["X-Request-ID"] == "abc-1"


@pytest.mark.parametrize("bad", ["two words", "x" * 65, 'a"b', "a\x01b"])
def test_a_malformed_request_id_is_replaced(bad: str) -> None:
    assert len(Api().get("/livez", **{"X-Request-ID": bad}).headers["X-Request-ID"]) == 32


def test_every_request_is_one_log_line_but_the_machines_questions(caplog: pytest.LogCaptureFixture) -> None:
    Api().get("/nowhere")
    Api().get("/livez")
    lines = [
        record.msg for record in caplog.records if isinstance(record.msg, dict) and record.msg["event"] == "request"
    ]
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [("GET", "/nowhere", 404)]


def test_an_address_nobody_has_is_a_problem_for_programs_and_a_page_for_people() -> None:
    program, person = Api().get("/api/v1/nowhere"), Api().get("/dashboards/nowhere")
    assert program.status_code == person.status_code == 404
    assert program.headers["Content-Type"] == "application/problem+json"
    assert program.json()["code"] == "not_found"
    assert program.json()["request_id"] == program.headers["X-Request-ID"]
    assert person.headers["Content-Type"].startswith("text/html")


def test_the_unexpected_tells_nothing_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise ValueError("secret-detail")

    monkeypatch.setattr("django.http.JsonResponse.__init__", fail)
    api = Api()
    api.client.raise_request_exception = False
    answer = api.get("/livez")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal_error"
    assert b"secret-detail" not in answer.content


def test_without_a_database_programs_get_503_and_when_to_come_back(cast: Cast, no_database: Callable[[], None]) -> None:
    no_database()
    answer = Api(cast.key).get("/api/v1/prompts")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"
    assert answer.json()["code"] == "unavailable"
    assert b"secret-host" not in answer.content


def test_without_a_database_people_get_a_page(cast: Cast, no_database: Callable[[], None]) -> None:
    api = Api()
    api.client.force_login(cast.ann)
    no_database()
    answer = api.get("/admin/")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"
    assert b"does not answer" in answer.content
    assert b"secret-host" not in answer.content


def test_an_allowed_origin_may_read_the_api(settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = frozenset({BROWSER})
    answer = Api().get("/api/v1/nowhere", Origin=BROWSER)
    assert answer.headers["Access-Control-Allow-Origin"] == BROWSER
    assert "Origin" in answer.headers["Vary"]
    asked = Api().client.options(
        "/api/v1/prompts", headers={"Origin": BROWSER, "Access-Control-Request-Method": "PATCH"}
    )
    assert asked.status_code == 204
    assert "PATCH" in asked.headers["Access-Control-Allow-Methods"]


def test_another_origin_may_not_and_pages_are_nobody_s(settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = frozenset({BROWSER})
    for path, origin in (("/api/v1/nowhere", "https://evil.example"), ("/admin/login/", BROWSER)):
        assert "Access-Control-Allow-Origin" not in Api().get(path, Origin=origin).headers
        asked = Api().client.options(path, headers={"Origin": origin, "Access-Control-Request-Method": "GET"})
        assert "Access-Control-Allow-Origin" not in asked.headers


def test_with_no_origins_set_nobody_is_answered_as_a_browser() -> None:
    assert "Access-Control-Allow-Origin" not in Api().get("/api/v1/nowhere", Origin=BROWSER).headers
