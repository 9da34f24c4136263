"""What is wrong with a page that a browser shows: for its reader, for its policy, for its width and weight."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Page, Response

WIDE, PHONE, NARROW = 1400, 390, 320
MOST_BYTES = 40 * 1024
MOST_REQUESTS = 12
Rules = list[str] | None
OF_COLOURS = ["color-contrast", "link-in-text-block"]
"""The rules whose answer the theme can change."""
NOTED = "addEventListener('securitypolicyviolation', e => (window.refused ??= []).push(e.violatedDirective))"
AXE = """async ([place, only]) => {
  const options = {resultTypes: ["violations"], preload: false, rules: {"target-size": {enabled: true}}};
  if (only) Object.assign(options, {runOnly: {type: "rule", values: only}, rules: {}});
  const {violations} = await axe.run(place ?? document, options);
  return violations.map(one => `${one.id} (${one.impact}): ` + one.nodes.slice(0, 3).map(node => node.target).join(", "));
}"""
SHAPE = """() => [...document.querySelectorAll("body *")].map(one => [one.parentElement, one].map(what => {
  const said = ["type", "role"].map(name => what.getAttribute(name) ?? "");
  return [what.localName, [...what.classList].sort().join("."), ...said].join(" ");
}).join(" > "))"""
TOO_WIDE = """() => {
  const room = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= room) return [];
  const isCaught = one => one.closest(".scroll, .results, pre, table.diff") !== null;
  const isWide = one => one.getBoundingClientRect().right > room + 1 || one.scrollWidth > Math.max(room, one.clientWidth);
  const wide = [...document.querySelectorAll("body *")].filter(one => isWide(one) && !isCaught(one));
  const named = one => `${one.tagName}.${one.className} "${one.textContent.trim().slice(0, 40)}"`;
  return [`${wide.length} things`, ...wide.slice(-3).map(named)];
}"""
FETCHED = """() => performance.getEntriesByType("resource").filter(one => one.initiatorType !== "fetch")
  .map(one => [one.name, one.encodedBodySize])"""
"""A picture that is on the page and its icon is fetched once."""
SOMETHING_ELSE = "net::ERR_ABORTED"
"""A file to keep, not a page to look at."""


@cache
def axe_source() -> str:
    import axe_playwright_python

    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()


@dataclass
class Weight:
    """What a page costs somebody who was never here: bytes as they are sent, and requests."""

    url: str
    size: int
    requests: int


@dataclass
class Looker:
    """A page in a browser whose faults are collected. The policy is enforced: axe comes in by the back door."""

    page: Page
    language: str
    is_weighed: bool = True
    faults: list[str] = field(default_factory=list)
    weights: list[Weight] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.add_init_script(NOTED)
        self.page.on("console", lambda said: self._note(f"console: {said.text}") if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self._note(f"script: {error}"))
        self.page.on("request", lambda asked: self._ask(asked.url))
        self.host = ""
        self.asked = ""

    @property
    def is_empty(self) -> bool:
        """Tell whether the page says that there is nothing yet."""
        return self.page.locator("main .empty").count() > 0

    def _note(self, what: str) -> None:
        self.faults.append(f"{self.page.url} ({self.language}): {what}")

    def _ask(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss") and self.host and parts.netloc != self.host:
            self._note(f"asks another host: {url}")

    def open(self, url: str, *, status: int = 200) -> bool:
        """Open a page, wide and light, and tell whether it is one."""
        from playwright.sync_api import Error

        self.asked = url
        self.page.set_viewport_size({"width": WIDE, "height": 900})
        self.page.emulate_media(color_scheme="light")
        try:
            response = self.page.goto(url)
        except Error as error:
            if SOMETHING_ELSE not in error.message and "Download" not in error.message:
                raise
            return False
        self.host = urlsplit(self.page.url).netloc
        if response is None or "text/html" not in response.headers.get("content-type", ""):
            return False
        if response.status != status:
            self._note(f"answered {response.status}")
        if self.is_weighed:
            self._weigh(response)
        return True

    def _weigh(self, response: Response) -> None:
        fetched: dict[str, int] = dict(self.page.evaluate(FETCHED))
        size = len(gzip.compress(response.body())) + sum(fetched.values())
        weight = Weight(self.page.url, size, 1 + len(fetched))
        self.weights.append(weight)
        if weight.size > MOST_BYTES or weight.requests > MOST_REQUESTS:
            self._note(f"weighs {weight.size} bytes in {weight.requests} requests")

    def look(self, *, width: int = WIDE, dark: bool = False, place: str | None = None, only: Rules = None) -> None:
        """Look at the page that is open in this width and theme: nothing sticks out, and axe finds nothing.

        `place`: only in this part of it; `only`: only by these rules.
        """
        self.page.emulate_media(color_scheme="dark" if dark else "light")
        self.page.set_viewport_size({"width": width, "height": 900})
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.evaluate(axe_source())
        for found in self.page.evaluate(AXE, [place, only]):
            self._note(f"{width} px, {'dark' if dark else 'light'}: {found}")

    def shows_more_than(self, read: set[str]) -> bool:
        """Tell whether something here is built as nothing that was `read`; it is counted as read from now on."""
        shape = set(self.page.evaluate(SHAPE))
        is_new = not shape <= read
        read |= shape
        return is_new

    def fits(self, width: int) -> None:
        """Nothing sticks out sideways."""
        self.page.set_viewport_size({"width": width, "height": 900})
        for found in self.page.evaluate(TOO_WIDE):
            self._note(f"{width} px, sticks out: {found}")

    def leave(self) -> None:
        """Note what the policy refused while the page was open."""
        for refused in self.page.evaluate("() => window.refused ?? []"):
            self._note(f"policy: {refused}")

    def links(self) -> Iterator[str]:
        from tests.support.walking import links_on

        path = self.page.url.removeprefix(f"http://{self.host}")
        yield from links_on(path, self.page.content())


def table(weights: list[Weight], most: int = 10) -> str:
    """Return the heaviest pages, for those who run the tests with -s."""
    heaviest: list[Any] = sorted(weights, key=lambda one: -one.size)[:most]
    return "\n".join(f"{one.size:>7} bytes {one.requests:>3} requests  {one.url}" for one in heaviest)
