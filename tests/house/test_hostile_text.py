"""What people and models write is shown as text: on every page, however it is meant."""

from __future__ import annotations

import html

import pytest
from django.test import Client

from promptlab.accounts.access import Role
from prompts.services.environments import ensure_defaults
from tests.house.test_pages import walk
from tests.support.hostile import MARK, write_hostile
from tests.support.make import make_team, make_user


@pytest.mark.timeout(400)
def test_no_page_takes_a_text_for_markup(db: None) -> None:
    team = make_team("Elsewhere")
    ensure_defaults(team.pk)
    person = make_user("hugo", team, Role.ADMINISTRATOR)
    places = write_hostile(team, person)
    client = Client()
    client.force_login(person)
    for what, url in places.items():
        assert html.escape(MARK) in client.get(url).content.decode(), what
    for url, page in walk(client, ["/admin/", *places.values()]).items():
        assert MARK not in page and "<img src=x" not in page, url
        assert not [
            line for line in page.splitlines() if "{%" in line and "load x" not in line and "load %}" not in line
        ], url
