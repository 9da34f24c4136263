"""Every page of the demo as a browser shows it, found by following the links.

The first page of each kind is opened in one of two languages, at three widths, and one that holds something built as nothing
before is read by axe in one of eight ways (theme, width, language), in turn. `WHOLE=1 make test-browser` has each page read
in every way, filtered lists too: that takes minutes.
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
TURN = 5
"""From one page to the next, both the language and the width are another."""
WAYS = [(width, dark, language) for language in LOCALES for dark in (False, True) for width in (WIDE, PHONE)]


def kind_wanted(url: str) -> str:
    """Return its kind. A list that is filtered is one more kind only where all are looked at."""
    return kind_of(url) if WHOLE else kind_of(url).rstrip("?")


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

    def leave_out(self, url: str) -> None:
        """Count one as not seen, since it is empty: somebody else may have the same filled."""
        with self.ready:
            self.taken[kind_wanted(url)] -= 1

    def _take(self) -> str | None:
        with self.ready:
            while True:
                while self.urls:
                    url = self.urls.popleft()
                    if self.taken[kind := kind_wanted(url)] < PER_KIND:
                        self.taken[kind] += 1
                        self.busy += 1
                        return url
                if not self.busy:
                    return None
                self.ready.wait(1)


def look_at(lookers: dict[str, Looker], url: str, turn: int, read: set[str]) -> list[str]:
    """Look at one page, and return where it leads. `read` is what axe has seen the like of."""
    found: list[str] = []
    ways = WAYS if WHOLE else [WAYS[turn * TURN % len(WAYS)]]
    for language in dict.fromkeys(language for _, _, language in ways):
        looker = lookers[language]
        if not looker.open(url):
            continue
        found = list(looker.links())
        for width, dark, _ in (way for way in ways if way[2] == language):
            # A theme changes colours and nothing else: where the page is read in the light as well, only they are asked for.
            if WHOLE or looker.shows_more_than(read):
                looker.look(width=width, dark=dark, only=OF_COLOURS if dark and WHOLE else None)
        for width in (PHONE, NARROW):
            looker.fits(width)
        looker.leave()
    return found


def lane(house: House, waiting: Waiting, turns: Iterator[int], who: str, read: set[str]) -> list[Looker]:
    """Look at pages until there are none left; return what was found."""
    with running_browser() as browser:
        contexts = {
            language: house.admit(browser.new_context(base_url=house.base, locale=locale, reduced_motion="reduce"), who)
            for language, locale in LOCALES.items()
        }
        lookers = {language: Looker(context.new_page(), language) for language, context in contexts.items()}
        for url in waiting:
            waiting.add(look_at(lookers, url, next(turns), read))
            if any(looker.is_empty for looker in lookers.values() if looker.asked == url):
                waiting.leave_out(url)
    return list(lookers.values())


def walk(house: House, who: str, starts: list[str], taken: Counter[str], read: set[str]) -> list[Looker]:
    """Have somebody look at what kinds of pages nobody has `taken`, from there on where links lead; return what was found."""
    waiting, turns = Waiting(taken=taken), count()
    waiting.add(starts)
    with ThreadPoolExecutor(LANES) as lanes:
        running = [lanes.submit(lane, house, waiting, turns, who, read) for _ in range(LANES)]
        return [looker for one in running for looker in one.result()]


def test_every_page_is_readable_in_both_themes_widths_and_languages(house: House) -> None:
    taken: Counter[str] = Counter()
    read: set[str] = set()
    starts = [f"/admin/prompts/prompt/{house.places['mouse']['back']}/moves/", "/admin/"]
    lookers = walk(house, "cleo", starts, taken, read) + walk(house, "rita", house.places["rooms"], taken, read)
    weights: list[Weight] = [weight for looker in lookers for weight in looker.weights]
    print(f"{len(weights)} pages opened, {len(taken)} kinds\n{table(weights)}")
    faults = [fault for looker in lookers for fault in looker.faults]
    assert not faults, "\n".join(faults)
    assert len(taken) > 150
    for act in ("deploy", "rollback", "archive", "compare"):
        assert f"admin:prompts_prompt_{act}" in {kind.rstrip("?") for kind in taken}, act


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
