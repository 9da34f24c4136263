"""One server with the demo in it and one browser for all tests here; both are skipped with a plain word where they cannot be."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.browser import chromium_here, running_browser
from tests.e2e.desk import Desk
from tests.flows.server import LiveServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

FURNISH = "from tests.e2e.furnishing import furnish; print(furnish())"


@dataclass(frozen=True)
class House:
    """The running product. `key` is an API key of the demo's team, `places` are addresses of what was furnished.

    `sessions`: of people who signed in already, by user name.
    """

    server: LiveServer
    key: str
    sessions: dict[str, str]
    places: dict[str, Any]

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


@pytest.fixture(scope="session")
def house(_can_look: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The demo, and what the tasks need besides, served as it is served on a laptop; without a worker."""
    with LiveServer(tmp_path_factory.mktemp("e2e"), with_worker=False) as server:
        told = json.loads(server.python(FURNISH).splitlines()[-1])
        yield House(server, told.pop("key"), told.pop("sessions"), told)


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
