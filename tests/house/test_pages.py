"""Every editors' page of the demo, found by following the links: whole, without inline code, harmless to open."""

from __future__ import annotations

import re
from collections import Counter, deque

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import resolve

from promptlab.accounts import services
from promptlab.accounts.access import SYSTEM, Role
from promptlab.accounts.models import Team, User
from promptlab.management.demo import demo_team, seeding
from tests.support.walking import kind_of, links_on, registered_pages

PER_NAME = 3
"""Pages of one kind that are opened: the first ones that links lead to."""
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE)", re.I)


@pytest.fixture
def demo(db: None, monkeypatch: pytest.MonkeyPatch) -> Team:
    """The demo's data with fewer conversations, somebody who administers it and a key."""
    monkeypatch.setattr(seeding, "CONVERSATIONS", {"support": 60, "greeting": 12, "triage": 6})
    call_command("seed_demo", verbosity=0)
    team = demo_team()
    root = User.objects.create_superuser("root")
    services.add_member(SYSTEM, team, root, Role.ADMINISTRATOR)
    services.issue_key(SYSTEM, team, name="Shop", scopes=["read"])
    return team


def walk(client: Client, starts: list[str], per_name: int = PER_NAME) -> dict[str, str]:
    """Open pages as links lead from one to the next and return their HTML. Everything that is linked must open."""
    waiting, pages = deque(starts), {}
    opened: Counter[str] = Counter()
    while waiting:
        url = waiting.popleft()
        name = kind_of(url)
        if url in pages or opened[name] >= per_name or url.endswith(".csv"):
            continue
        opened[name] += 1
        answer = client.get(url, follow=True)
        assert answer.status_code == 200, f"{url} answered {answer.status_code}"
        pages[url] = answer.content.decode() if answer.headers["Content-Type"].startswith("text/html") else ""
        waiting.extend(links_on(url, pages[url]))
    return pages


def complaints(url: str, html: str) -> list[str]:
    """Return what is wrong with a page."""
    title = re.search(r"<title>(.*?)</title>", html, re.S)
    headings = re.findall(r"<h1[^>]*>(.*?)</h1>", html, re.S)
    wrong = {
        "not exactly one h1": len(headings) != 1,
        "no title": title is None or not title[1].strip(" |\n"),
        "an object nobody gave a name": "object (" in html,
        "a raw id as its name": any(UUID.search(text) for text in [*headings, title[1] if title else ""]),
        "an inline style": re.search(r'\sstyle="', html) is not None or "<style" in html,
        "an inline script": re.search(r"<script(?![^>]*\ssrc=)", html) is not None,
        "an inline handler": re.search(r'<[^>]+\son[a-z]+="', html) is not None,
        "a form without its token": len(re.findall(r'<form[^>]*method="post"', html))
        > html.count('name="csrfmiddlewaretoken"'),
        "two elements with one id": any(n > 1 for n in Counter(re.findall(r'\sid="([^"]+)"', html)).values()),
    }
    return [f"{url}: {what}" for what, is_so in wrong.items() if is_so]


@pytest.mark.timeout(400)
def test_every_page_opens_is_whole_and_changes_nothing(demo: Team) -> None:
    client = Client()
    client.force_login(User.objects.get(username="root"))
    with CaptureQueriesContext(connection) as queries:
        pages = walk(client, ["/admin/", *registered_pages()])
    names = {resolve(url.partition("?")[0]).url_name for url in pages}
    for act in ("deploy", "rollback", "undeploy", "archive", "compare", "settings", "history"):
        assert f"prompts_prompt_{act}" in names, act
    assert {"experiments_experiment_act", "accounts_apikey_revoke", "accounts_user_password"} <= names
    assert len(pages) > 80
    assert [wrong for url, html in pages.items() if html for wrong in complaints(url, html)] == []
    writes = [one["sql"][:200] for one in queries if WRITES.match(one["sql"]) and "django_session" not in one["sql"]]
    assert writes == []


@pytest.mark.timeout(400)
def test_nobody_is_led_to_a_page_that_refuses_them(demo: Team) -> None:
    for username in ("ana", "ben", "chloe", "vic"):
        client = Client()
        client.force_login(User.objects.get(username=username))
        # By role the pages of a kind differ more than by row.
        pages = walk(client, ["/admin/"], per_name=2)
        assert len(pages) > 30, username
        assert [wrong for url, html in pages.items() if html for wrong in complaints(url, html)] == []


@pytest.mark.django_db
def test_a_form_without_its_token_is_told_what_to_do() -> None:
    answer = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "ana"})
    said = answer.content.decode()
    assert answer.status_code == 403 and "<h1>This form was not taken</h1>" in said
    assert "Go back, reload, and send it again." in said and "Your role" not in said
