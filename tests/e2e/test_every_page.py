"""Every page of the demo, and of a team that has what the demo has not, as a browser shows it."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.e2e.conftest import House
from tests.e2e.crawling import LOCALES, WAYS, Crawl
from tests.e2e.desk import Desk
from tests.e2e.looking import ALL, COLOURS, PHONE, Looker, Weight, table

pytestmark = [pytest.mark.flow, pytest.mark.timeout(5400 if os.environ.get("WHOLE") else 900)]


def test_every_page_is_readable_in_both_themes_widths_and_languages(crawled: Crawl) -> None:
    lookers = crawled.lookers()
    weights: list[Weight] = [weight for looker in lookers for weight in looker.weights]
    print(f"{len(weights)} pages opened, {len(crawled.taken)} kinds\n{table(weights)}")
    faults = [fault for looker in lookers for fault in looker.faults]
    assert not faults, "\n".join(faults)
    assert len(crawled.taken) > 150
    for act in ("deploy", "rollback", "archive", "compare"):
        assert f"admin:prompts_prompt_{act}" in {kind.rstrip("?") for kind in crawled.taken}, act


def test_signing_in_and_what_is_nowhere_are_readable_too(house: House, desks: Callable[..., Desk]) -> None:
    for language, locale in LOCALES.items():
        looker = Looker(desks(locale=locale).page, language)
        for url, status in {"/admin/login/": 200, "/mail/nowhere/": 404}.items():
            assert looker.open(url, status=status)
            for width, dark, _ in WAYS[:4]:
                looker.read(width, dark=dark, rules=COLOURS if dark else ALL)
            looker.leave()
        desk = Desk(looker.page).enter("cleo", "a wrong one")
        looker.read(PHONE)
        desk.enter("vic")
        for url in ("/admin/nowhere/", "/admin/prompts/prompt/999999/change/", "/admin/accounts/apikey/"):
            assert looker.open(url, status=404 if "apikey" not in url else 403)
            looker.read(PHONE, dark=True)
        # A browser says of every page that is not there that it is not.
        faults = [fault for fault in looker.faults if "Failed to load resource" not in fault]
        assert not faults, "\n".join(faults)
