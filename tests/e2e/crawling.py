"""Opening every page there is, by following the links, a page of each kind once, in several browsers at a time.

Each page is opened in one of two languages and fits on two narrow screens. By default axe reads it in one of eight ways (theme,
width, language), in turn, and the colours of what is built as nothing before. With WHOLE=1 every page is read in
every way, filtered lists too: that takes many minutes. With PICTURES=FOLDER each kind is photographed besides.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Condition
from typing import TYPE_CHECKING, Any

from tests.e2e.browser import running_browser
from tests.e2e.looking import ALL, ALL_BUT_COLOURS, COLOURS, NARROW, PHONE, WIDE, Looker
from tests.support.walking import kind_of

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

    from tests.e2e.conftest import House

WHOLE = bool(os.environ.get("WHOLE"))
PICTURES = os.environ.get("PICTURES", "")
"""A folder for a picture of every kind of page, wide in the light and in the dark, and on a phone."""
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
    is_over: bool = False
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

    def stop(self) -> None:
        with self.ready:
            self.is_over = True
            self.ready.notify_all()

    def _take(self) -> str | None:
        with self.ready:
            while not self.is_over:
                while self.urls:
                    url = self.urls.popleft()
                    if self.taken[kind := kind_wanted(url)] < PER_KIND:
                        self.taken[kind] += 1
                        self.busy += 1
                        return url
                if not self.busy:
                    return None
                self.ready.wait(1)
            return None


class Crawl:
    """Pages opened aside, as one person after the other: `starts` says where each begins.

    Somebody opens only what kinds of pages nobody did before them.
    """

    def __init__(self, house: House, starts: dict[str, list[str]]) -> None:
        self.house = house
        self.taken: Counter[str] = Counter()
        self.known: set[str] = set()
        """How things are built whose colours axe has read."""
        self.turns = count()
        self.waiting = {who: Waiting(taken=self.taken) for who in starts}
        for who, urls in starts.items():
            self.waiting[who].add(urls)
        self._lanes = ThreadPoolExecutor(LANES)
        self._running: list[Future[list[Looker]]] = []

    def begin(self) -> None:
        self._running = [self._lanes.submit(self._lane) for _ in range(LANES)]

    def lookers(self) -> list[Looker]:
        """Wait until all is opened, and return those who looked."""
        return [looker for one in self._running for looker in one.result()]

    def stop(self) -> None:
        for waiting in self.waiting.values():
            waiting.stop()
        self._lanes.shutdown()

    def _lane(self) -> list[Looker]:
        with running_browser() as browser:
            asked: dict[str, Any] = {"base_url": self.house.base, "reduced_motion": "reduce"}
            contexts = {language: browser.new_context(locale=locale, **asked) for language, locale in LOCALES.items()}
            lookers = {language: Looker(context.new_page(), language) for language, context in contexts.items()}
            for who, waiting in self.waiting.items():
                self._walk(who, waiting, contexts, lookers)
        return list(lookers.values())

    def _walk(
        self, who: str, waiting: Waiting, contexts: dict[str, BrowserContext], lookers: dict[str, Looker]
    ) -> None:
        for context in contexts.values():
            self.house.admit(context, who)
        for url in waiting:
            waiting.add(self._look_at(lookers, url, next(self.turns)))
            if any(looker.is_empty for looker in lookers.values() if looker.asked == url):
                waiting.leave_out(url)

    def _look_at(self, lookers: dict[str, Looker], url: str, turn: int) -> list[str]:
        """Look at one page, and return where it leads."""
        found: list[str] = []
        ways = WAYS if WHOLE else [WAYS[turn * TURN % len(WAYS)]]
        for language in dict.fromkeys(language for _, _, language in ways):
            looker = lookers[language]
            if looker.open(url):
                found = list(looker.links())
                self._see(looker, [way for way in ways if way[2] == language])
        return found

    def _see(self, looker: Looker, ways: list[tuple[int, bool, str]]) -> None:
        """See the page that is open in these ways; each width is taken once, first the one that it has."""
        new = looker.take_new(self.known)
        for width in sorted({PHONE, NARROW, *(way[0] for way in ways)}, key=lambda one: one != looker.width):
            if width != WIDE:
                looker.fits(width)
            for dark in (dark for wide, dark, _ in ways if wide == width):
                if WHOLE:
                    # A theme changes colours and nothing else.
                    looker.read(width, dark=dark, rules=COLOURS if dark else ALL)
                    continue
                looker.read(width, dark=dark, rules=ALL_BUT_COLOURS)
                if new:
                    looker.read(width, dark=dark, rules=COLOURS, shapes=new)
        if PICTURES:
            name = kind_wanted(looker.asked).rpartition(":")[2]
            for width, dark in ((WIDE, False), (WIDE, True), (PHONE, False)):
                looker.show(width, dark=dark)
                picture = Path(PICTURES) / f"{name}-{width}-{'dark' if dark else 'light'}.png"
                looker.page.screenshot(path=picture, full_page=True)
        looker.leave()
