"""Every page of the demo as a browser shows it, found by following the links.

The first page of each kind is opened in both languages, at three widths, and read by axe in one of eight ways (theme, width,
language), in turn. `WHOLE=1 make test-browser` has each read in every way, which takes many minutes.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from threading import Condition

import pytest

from tests.e2e.browser import running_browser
from tests.e2e.conftest import House
from tests.e2e.desk import Desk
from tests.e2e.looking import NARROW, OF_COLOURS, PHONE, WIDE, Looker, Weight, table
from tests.support.walking import kind_of

pytestmark = [pytest.mark.flow, pytest.mark.timeout(1200)]
WHOLE = bool(os.environ.get("WHOLE"))
PER_KIND = 1
LANES = 2
"""Browsers at once: as many as the machine has cores."""
LOCALES = {"en": "en-GB", "es": "es-ES"}
WAYS = [(width, dark, language) for language in LOCALES for dark in (False, True) for width in (WIDE, PHONE)]


@dataclass
class Waiting:
    """Addresses that links led to, handed out once, a few of each kind, to all lanes; empty when nobody finds more."""

    urls: deque[str] = field(default_factory=deque)
    seen: set[str] = field(default_factory=set)
    taken: Counter[str] = field(default_factory=Counter)
    busy: int = 0
    ready: Condition = field(default_factory=Condition)

    def add(self, urls: list[str]) -> None:
        with self.ready:
            for url in urls:
                if url not in self.seen and not url.endswith((".csv", ".json", ".jsonl", ".yaml")):
                    self.seen.add(url)
                    self.urls.append(url)
            self.ready.notify_all()

    def __iter__(self) -> Iterator[str]:
        while (url := self._take()) is not None:
            yield url
            with self.ready:
                self.busy -= 1
                self.ready.notify_all()

    def _take(self) -> str | None:
        with self.ready:
            while True:
                while self.urls:
                    url = self.urls.popleft()
                    kind = kind_of(url)
                    if self.taken[kind] < PER_KIND:
                        self.taken[kind] += 1
                        self.busy += 1
                        return url
                if not self.busy:
                    return None
                self.ready.wait(1)


def look_at(lookers: dict[str, Looker], url: str, turn: int) -> list[str]:
    """Look at one page, and return where it leads."""
    found: list[str] = []
    ways = WAYS if WHOLE else [WAYS[turn % len(WAYS)]]
    for language, looker in lookers.items():
        if not looker.open(url):
            continue
        found = list(looker.links())
        for width, dark, _ in (way for way in ways if way[2] == language):
            # A theme changes colours and nothing else: where the page is read in the light as well, only they are asked for.
            looker.look(width=width, dark=dark, only=OF_COLOURS if dark and WHOLE else None)
        for width in (PHONE, NARROW):
            looker.fits(width)
        looker.leave()
    return found


def lane(house: House, waiting: Waiting, turns: Iterator[int]) -> list[Looker]:
    """Look at pages until there are none left; return what was found."""
    with running_browser() as browser:
        contexts = {
            language: browser.new_context(base_url=house.base, locale=locale, reduced_motion="reduce")
            for language, locale in LOCALES.items()
        }
        lookers = {language: Looker(context.new_page(), language) for language, context in contexts.items()}
        for looker in lookers.values():
            Desk(looker.page).enter("cleo")
        for url in waiting:
            waiting.add(look_at(lookers, url, next(turns)))
    return list(lookers.values())


def test_every_page_is_readable_in_both_themes_widths_and_languages(house: House) -> None:
    waiting, turns = Waiting(), count()
    waiting.add(["/admin/"])
    with ThreadPoolExecutor(LANES) as lanes:
        running = [lanes.submit(lane, house, waiting, turns) for _ in range(LANES)]
        lookers = [looker for one in running for looker in one.result()]
    weights: list[Weight] = [weight for looker in lookers for weight in looker.weights]
    print(f"{len(weights)} pages opened, {len(waiting.taken)} kinds\n{table(weights)}")
    faults = [fault for looker in lookers for fault in looker.faults]
    assert not faults, "\n".join(faults)
    assert len(waiting.taken) > 80
    for act in ("deploy", "rollback", "archive", "compare"):
        assert f"admin:prompts_prompt_{act}" in set(waiting.taken) | {kind.rstrip("?") for kind in waiting.taken}, act


def test_signing_in_and_what_is_nowhere_are_readable_too(house: House, desks: Callable[..., Desk]) -> None:
    for language, locale in LOCALES.items():
        looker = Looker(desks(locale=locale).page, language)
        for url, status in {"/admin/login/": 200, "/mail/nowhere/": 404}.items():
            assert looker.open(url, status=status)
            for width, dark, _ in WAYS[:4]:
                looker.look(width=width, dark=dark)
            looker.leave()
        desk = Desk(looker.page).enter("cleo", "a wrong one")
        looker.look(width=PHONE)
        desk.enter("vic")
        for url in ("/admin/nowhere/", "/admin/prompts/prompt/999999/change/", "/admin/accounts/apikey/"):
            assert looker.open(url, status=404 if "apikey" not in url else 403)
            looker.look(width=PHONE, dark=True)
        # A browser says of every page that is not there that it is not.
        faults = [fault for fault in looker.faults if "Failed to load resource" not in fault]
        assert not faults, "\n".join(faults)
