"""One server with the demo in it and one browser for all tests here; both are skipped with a plain word where they cannot be."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.browser import chromium_here, running_browser
from tests.e2e.crawling import Crawl
from tests.e2e.desk import Desk
from tests.flows.server import LiveServer
from tests.support import template
from tests.support.scripted_upstream import Script, scripted_upstream

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

FURNISH = "from tests.e2e.furnishing import furnish; print(furnish({model!r}))"


class FurnishedServer(LiveServer):
    """A server that has its database furnished while its web process starts. `model` is where a model server listens."""

    told: dict[str, Any]

    def __init__(self, var: Path, model: str) -> None:
        super().__init__(var, with_worker=False, with_people=False)
        self.model = model
        self.env["LLM_ALLOWED_PRIVATE"] = "127.0.0.1"

    def start_web(self) -> None:
        with ThreadPoolExecutor(1) as aside:
            furnishing = aside.submit(self.python, FURNISH.format(model=self.model))
            super().start_web()
            self.told = json.loads(furnishing.result().splitlines()[-1])

    def start_worker(self) -> None:
        """Start one that does what somebody waits for, and has no clock."""
        if "worker" not in self.processes:
            self._start("worker", "celery", "-A", "promptlab", "worker", "-Q", "llm", "-P", "solo", "-l", "WARNING")


@dataclass
class House:
    """The running product. `key` is an API key of the team that works, `places` are addresses of what was furnished.

    `sessions`: of people who signed in already, by user name. `model`: what a model of the team that works will answer.
    """

    server: LiveServer
    model: Script
    key: str
    sessions: dict[str, str]
    places: dict[str, Any]
    crawl: Crawl | None = None

    @property
    def base(self) -> str:
        return self.server.base

    def admit(self, context: BrowserContext, username: str) -> BrowserContext:
        """Have them signed in wherever this browser goes."""
        context.add_cookies([{"name": "sessionid", "value": self.sessions[username], "url": self.base}])
        return context


@pytest.fixture(scope="session")
def _can_look() -> None:
    """Skip where there is nothing to look with, or nobody asked for it."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        pytest.skip("browser tests run alone: make test-browser")
    pytest.importorskip("playwright", reason="the Python package playwright is not installed: make test-browser")
    pytest.importorskip("axe_playwright_python", reason="the Python package axe-playwright-python is not installed")
    if chromium_here() is None:
        pytest.skip("there is no Chromium on this machine; on Debian and Ubuntu: apt install chromium")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Look last at what the crawl found: it goes on beside the others."""
    items.sort(key=_asks_for_the_crawl)


def _asks_for_the_crawl(item: pytest.Item) -> bool:
    return "crawled" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def house(_can_look: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The demo, and what the tasks need besides, served as it is served on a laptop; with it begins the crawl, if asked for."""
    with ExitStack() as closing:
        closing.enter_context(ThreadPoolExecutor(1)).submit(template.static_files)
        model = closing.enter_context(scripted_upstream())
        server = FurnishedServer(tmp_path_factory.mktemp("e2e"), model.address)
        told = closing.enter_context(server).told
        house = House(server, model, told.pop("key"), told.pop("sessions"), told)
        if any(_asks_for_the_crawl(item) for item in request.session.items):
            starts = {"cleo": [house.places["moves"], "/admin/"], "rita": house.places["rooms"]}
            house.crawl = Crawl(house, starts)
            closing.callback(house.crawl.stop)
            house.crawl.begin()
        yield house


@pytest.fixture(scope="session")
def crawled(house: House) -> Crawl:
    assert house.crawl is not None
    return house.crawl


@pytest.fixture(scope="session")
def chromium(_can_look: None) -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def desks(house: House, chromium: Browser) -> Iterator[Callable[..., Desk]]:
    """Return a maker of desks: each a person with a browser of their own, who uses a mouse or only keys.

    They are signed out, unless somebody is named.
    """
    with ExitStack() as closing:

        def sit_down(kind: type[Desk] = Desk, who: str = "", **options: Any) -> Desk:
            context = chromium.new_context(base_url=house.base, reduced_motion="reduce", **options)
            closing.callback(context.close)
            return kind((house.admit(context, who) if who else context).new_page())

        yield sit_down
