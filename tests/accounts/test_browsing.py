"""The API in a browser: pages for signed-in people, with forms for what they may send; JSON for everybody else."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.test import Client

from prompts.models import Collection
from tests.support.cast import Cast
from tests.support.make import make_prompt

pytestmark = pytest.mark.django_db
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
URL = "/api/v1/collections"


def browser(user: object, **options: Any) -> Client:
    client = Client(headers={"accept": BROWSER}, **options)
    client.force_login(user)
    return client


def kind(answer: Any) -> str:
    return answer.headers["content-type"].partition(";")[0]


def test_a_person_in_a_browser_gets_a_page(cast: Cast) -> None:
    make_prompt(cast.team, title="Greeting")
    answer = browser(cast.ann).get("/api/v1/prompts")
    html = answer.content.decode()
    assert (answer.status_code, kind(answer), answer.headers["cache-control"]) == (200, "text/html", "no-store")
    assert "Greeting" in html and 'data-method="POST"' in html and "/admin/logout/" in html
    assert not re.search(r"<style|\sstyle=|\son\w+=", html)
    scripts = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", html)
    assert scripts == ['<script id="drf_csrf" type="application/json">']


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, text/html", "text/*;q=0.1, */*"])
def test_a_signed_in_program_gets_json(cast: Cast, accept: str) -> None:
    client = browser(cast.ann)
    for path, status in ((URL, 200), (URL + "/999999", 404)):
        answer = client.get(path, headers={"accept": accept})
        assert (answer.status_code, answer.headers["content-type"].endswith("json")) == (status, True)


@pytest.mark.parametrize("spelling", ["x-api-key", "authorization"])
def test_a_key_gets_json_whatever_it_accepts(cast: Cast, spelling: str) -> None:
    value = cast.key if spelling == "x-api-key" else f"Bearer {cast.key}"
    for client in (Client(), browser(cast.ann)):
        for path in (URL, URL + "/999999", URL + "?format=json"):
            assert kind(client.get(path, headers={"accept": BROWSER, spelling: value})).endswith("json")


def test_nobody_and_the_short_addresses_get_json(cast: Cast) -> None:
    answer = Client(headers={"accept": BROWSER}).get(URL)
    assert (answer.status_code, kind(answer)) == (401, "application/problem+json")
    assert kind(browser(cast.ann).get("/collections")) == "application/json"


def test_errors_are_pages_too(cast: Cast) -> None:
    client = browser(cast.ann)
    answer = client.get(URL + "/999999")
    assert (answer.status_code, kind(answer)) == (404, "text/html")
    assert "request_id" in answer.content.decode()
    answer = client.get("/api/v1/deployments/rollback")
    assert (answer.status_code, kind(answer)) == (405, "text/html")


def test_what_is_shown_is_text(cast: Cast) -> None:
    make_prompt(cast.team, "<script>alert(1)</script>", title="<img src=x onerror=alert(1)>")
    html = browser(cast.ann).get("/api/v1/prompts").content.decode()
    assert "<script>alert" not in html and "<img src=x" not in html and "&lt;script&gt;" in html


@pytest.mark.parametrize(
    ("who", "path", "expected"),
    [
        ("vic", "/collections", set()),
        ("ann", "/collections", {"POST"}),
        ("ann", "/keys", set()),
        ("cleo", "/keys", {"POST"}),
        ("ann", "/environments", set()),
        ("vic", "/prompts/greeting", set()),
        ("ann", "/prompts/greeting", {"PUT", "PATCH", "DELETE"}),
        ("vic", "/prompts/greeting/comments", set()),
        ("ben", "/prompts/greeting/comments", {"POST"}),
        ("ben", "/prompts/greeting/versions/1/approve", {"POST"}),
        ("ann", "/prompts/greeting/versions/1/approve", set()),
        ("vic", "/me/notifications", {"PATCH"}),
    ],
)
def test_forms_are_shown_to_those_who_may_send_them(cast: Cast, who: str, path: str, expected: set[str]) -> None:
    make_prompt(cast.team, title="Greeting")
    html = browser(getattr(cast, who)).get("/api/v1" + path).content.decode()
    assert set(re.findall(r'data-method="(\w+)"', html)) == expected


def test_sending_takes_the_token_of_the_page(cast: Cast) -> None:
    client = browser(cast.ann, enforce_csrf_checks=True)
    found = re.search(r'<script id="drf_csrf"[^>]*>(.*?)</script>', client.get(URL).content.decode())
    assert found
    said = json.loads(found[1])
    body = json.dumps({"name": "Emails"})
    refused = client.post(URL, body, content_type="application/json")
    assert (refused.status_code, kind(refused), Collection.objects.count()) == (403, "text/html", 0)
    made = client.post(URL, body, content_type="application/json", headers={said["csrfHeaderName"]: said["csrfToken"]})
    assert (made.status_code, kind(made), Collection.objects.count()) == (201, "text/html", 1)


def test_a_viewer_who_sends_all_the_same_is_refused(cast: Cast) -> None:
    answer = browser(cast.vic).post(URL, json.dumps({"name": "x"}), content_type="application/json")
    assert (answer.status_code, kind(answer)) == (403, "text/html")


def test_json_costs_what_it_did_and_a_page_no_more_than_who_is_signed_in(
    cast: Cast, django_assert_num_queries: Any
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = browser(cast.ann)
    counts = []
    for accept in ("application/json", BROWSER):
        client.get(URL, headers={"accept": accept})
        with CaptureQueriesContext(connection) as seen:
            client.get(URL, headers={"accept": accept})
        counts.append(len(seen))
    assert counts[0] == counts[1]
