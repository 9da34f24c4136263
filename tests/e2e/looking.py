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
    from playwright.sync_api import Page

WIDE, PHONE, NARROW = 1400, 390, 320
MOST_BYTES = 40 * 1024
MOST_REQUESTS = 12
OF_COLOURS = ["color-contrast", "link-in-text-block"]
"""The rules whose answer the theme can change; they take longer than all others together."""
ALL: dict[str, Any] = {"rules": {"target-size": {"enabled": True}}}
COLOURS: dict[str, Any] = {"runOnly": {"type": "rule", "values": OF_COLOURS}}
ALL_BUT_COLOURS: dict[str, Any] = {"rules": {**ALL["rules"], **{rule: {"enabled": False} for rule in OF_COLOURS}}}
BEFORE = """
addEventListener("securitypolicyviolation", e => (window.refused ??= []).push(e.violatedDirective));
window.shapeOf = one => [one.parentElement, one].map(what => {
  const said = ["type", "role"].map(name => what.getAttribute(name) ?? "");
  return [what.localName, [...what.classList].sort().join("."), ...said].join(" ");
}).join(" > ");
"""
"""What a page is given before it begins: an ear for what the policy refuses, and how a part of it is built."""
AXE = """async ([rules, shapes]) => {
  const built = [...document.querySelectorAll("body *")].filter(one => shapes?.includes(shapeOf(one)));
  const where = built.length ? {include: built} : document;
  const {violations} = await axe.run(where, {resultTypes: ["violations"], preload: false, ...rules});
  return violations.map(one => `${one.id} (${one.impact}): ` + one.nodes.slice(0, 3).map(node => node.target).join(", "));
}"""
TOO_WIDE = """() => {
  const room = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= room) return [];
  const isCaught = one => one.closest(".scroll, .results, pre, table.diff") !== null;
  const isWide = one => one.getBoundingClientRect().right > room + 1 || one.scrollWidth > Math.max(room, one.clientWidth);
  const wide = [...document.querySelectorAll("body *")].filter(one => isWide(one) && !isCaught(one));
  const named = one => `${one.tagName}.${one.className} "${one.textContent.trim().slice(0, 40)}"`;
  return [`${wide.length} things`, ...wide.slice(-3).map(named)];
}"""
SEEN = """() => {
  const fetched = performance.getEntriesByType("resource").filter(one => one.initiatorType !== "fetch");
  const shapes = [...document.querySelectorAll("body *")].map(shapeOf);
  return {fetched: fetched.map(one => [one.name, one.encodedBodySize]), shapes: [...new Set(shapes)]};
}"""
"""What came with the page (a picture that is on it and its icon is fetched once), and how its parts are built."""
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
    shapes: set[str] = field(default_factory=set)
    html: str = ""
    width: int = 0
    is_dark: bool = False

    def __post_init__(self) -> None:
        self.page.add_init_script(BEFORE + axe_source())
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
        """Open a page and tell whether it is one."""
        from playwright.sync_api import Error

        self.asked = url
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
            seen = self.page.evaluate(SEEN)
            self.shapes = set(seen["shapes"])
            body = response.body()
            self.html = body.decode()
            self._weigh(body, dict(seen["fetched"]))
        return True

    def _weigh(self, body: bytes, fetched: dict[str, int]) -> None:
        weight = Weight(self.page.url, len(gzip.compress(body)) + sum(fetched.values()), 1 + len(fetched))
        self.weights.append(weight)
        if weight.size > MOST_BYTES or weight.requests > MOST_REQUESTS:
            self._note(f"weighs {weight.size} bytes in {weight.requests} requests")

    def show(self, width: int, *, dark: bool | None = None) -> None:
        """Have the page that is open in this width and, if said, theme."""
        if width != self.width:
            self.page.set_viewport_size({"width": width, "height": 900})
            self.width = width
        if dark is not None and dark != self.is_dark:
            self.page.emulate_media(color_scheme="dark" if dark else "light")
            self.is_dark = dark

    def read(
        self,
        width: int = WIDE,
        *,
        dark: bool = False,
        rules: dict[str, Any] = ALL,
        shapes: set[str] | None = None,
    ) -> None:
        """Have axe read the page that is open, in this width and theme, by these rules: it finds nothing.

        `shapes`: only what is built so.
        """
        self.show(width, dark=dark)
        for found in self.page.evaluate(AXE, [rules, sorted(shapes) if shapes else None]):
            self._note(f"{width} px, {'dark' if dark else 'light'}: {found}")

    def take_new(self, known: set[str]) -> set[str]:
        """Return how things here are built that are not `known`; they are known from now on."""
        new = self.shapes - known
        known |= new
        return new

    def fits(self, width: int) -> None:
        """Nothing sticks out sideways."""
        self.show(width)
        for found in self.page.evaluate(TOO_WIDE):
            self._note(f"{width} px, sticks out: {found}")

    def leave(self) -> None:
        """Note what the policy refused while the page was open."""
        for refused in self.page.evaluate("() => window.refused ?? []"):
            self._note(f"policy: {refused}")

    def links(self) -> Iterator[str]:
        from tests.support.walking import links_on

        path = self.page.url.removeprefix(f"http://{self.host}")
        yield from links_on(path, self.html)


def table(weights: list[Weight], most: int = 10) -> str:
    """Return the heaviest pages, for those who run the tests with -s."""
    heaviest: list[Any] = sorted(weights, key=lambda one: -one.size)[:most]
    return "\n".join(f"{one.size:>7} bytes {one.requests:>3} requests  {one.url}" for one in heaviest)
