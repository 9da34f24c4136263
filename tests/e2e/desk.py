"""A person at a browser: finds things by their words, and counts what they press. With a mouse, or with keys alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import ElementHandle, Locator, Page

PASSWORD = "a long secret"
MOST_STOPS = 250
"""So many times Tab is pressed before something counts as out of reach."""
WHERE_AM_I = """target => {
  // A part of a browser's own field (the calendar of a date) has the focus for itself, and the browser's own mark.
  const at = document.activeElement, look = getComputedStyle(at), box = at.getBoundingClientRect();
  const isMarked = !at.matches(":focus") || (look.outlineStyle !== "none" && parseFloat(look.outlineWidth) >= 2);
  const isSeen = box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight;
  const name = (at.textContent.trim() || at.getAttribute("aria-label") || at.name || at.tagName).slice(0, 50);
  return {isThere: at === target, isPage: at === document.body, isVisible: isMarked && isSeen, name};
}"""


class Desk:
    """Somebody with a mouse. `presses` counts links, buttons and boxes; typing and choosing from a list are free."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.presses = 0

    def open(self, path: str) -> Desk:
        self.page.goto(path)
        return self

    def sign_in(self, username: str) -> Desk:
        """Start at the front door."""
        self.open("/admin/").write("User name", username).write("Password", PASSWORD).press("Sign in")
        return self

    def enter(self, username: str, password: str = PASSWORD) -> Desk:
        """Sign in whatever language the page speaks, and count nothing."""
        self.open("/admin/login/")
        self.page.locator("#id_username").fill(username)
        self.page.locator("#id_password").fill(password)
        with self.page.expect_navigation():
            self.page.locator("#login-form [type=submit]").click()
        return self

    @property
    def words(self) -> str:
        """What the page says."""
        return " ".join(self.page.locator("main").inner_text().split())

    def press(self, *names: str) -> Desk:
        """Press the first thing that says one of these words, and wait for the page it leads to."""
        with self.page.expect_navigation():
            self._press(self._found(names))
        self.presses += 1
        return self

    def tick(self, label: str) -> Desk:
        self._press(self._field(label))
        self.presses += 1
        return self

    def write(self, label: str, text: str) -> Desk:
        self._field(label).fill(text)
        return self

    def choose(self, label: str, option: str) -> Desk:
        field = self._field(label)
        words = field.locator("option").all_inner_texts()
        field.select_option(label=next(one for one in words if re.search(option, one)))
        return self

    def _press(self, what: Locator) -> None:
        what.click()

    def _field(self, label: str) -> Locator:
        return self.page.locator("main").get_by_label(re.compile(rf"^\s*{label}", re.I)).locator("visible=true").first

    def _found(self, names: tuple[str, ...]) -> Locator:
        """Return the thing: buttons before links, and what the page is about before the menu around it."""
        for place in (self.page.locator("main"), self.page.locator("body")):
            for name in names:
                wanted = re.compile(rf"^\s*{name}", re.I)
                for role in ("button", "link"):
                    found = place.get_by_role(role, name=wanted).locator("visible=true")  # type: ignore[arg-type]
                    if found.count():
                        return found.first
        offered = self.page.locator("main :is(a, button):visible").all_inner_texts()
        raise AssertionError(f"Nothing says {names} at {self.page.url}. There is {offered}. {self.words[:600]}")


class Keys(Desk):
    """Somebody without a mouse. Wherever Tab leads, they must see where they are."""

    def _press(self, what: Locator) -> None:
        self.reach(what)
        is_box = what.evaluate("one => one.matches('input:is([type=checkbox], [type=radio])')")
        self.page.keyboard.press("Space" if is_box else "Enter")

    def write(self, label: str, text: str) -> Desk:
        self.reach(self._field(label))
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(text)
        return self

    def choose(self, label: str, option: str) -> Desk:
        field = self._field(label)
        self.reach(field)
        words = field.locator("option").all_inner_texts()
        wanted = next(number for number, one in enumerate(words) if re.search(option, one))
        self.page.keyboard.press("Home")
        for _ in range(wanted):
            self.page.keyboard.press("ArrowDown")
        assert field.evaluate("one => one.selectedIndex") == wanted
        return self

    def reach(self, what: Locator) -> int:
        """Press Tab until it has the focus, seeing every stop; return how many stops that took."""
        target: ElementHandle | None = what.element_handle()
        for stop in range(1, MOST_STOPS):
            self.page.keyboard.press("Tab")
            here = self.page.evaluate(WHERE_AM_I, target)
            assert here["isVisible"] or here["isPage"], f"nobody sees the focus on {here} at {self.page.url}"
            if here["isThere"]:
                return stop
        raise AssertionError(f"Tab does not lead to {what} at {self.page.url}")
