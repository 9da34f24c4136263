"""What somebody typed is still there: after a reload, a signed-out session, a mistake, a colleague, a model, another tab."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import House
from tests.e2e.desk import Desk

pytestmark = [pytest.mark.flow, pytest.mark.timeout(300)]
Desks = Callable[..., Desk]
WORDS = "Greet {{name}}, and ask how the day was."
KEPT = re.compile(r"Draft kept at \d\d:\d\d")


@pytest.fixture
def prompt(house: House, request: pytest.FixtureRequest) -> int:
    """A prompt of this test's own, by its id."""
    return made(house, title=request.node.name.replace("_", " "))


def made(house: House, **said: Any) -> int:
    body = {"content": "Greet {{name}}.", **said}
    answer = httpx.post(f"{house.base}/prompts", headers={"X-API-Key": house.key}, json=body)
    assert answer.status_code == 201, answer.text
    pk: int = answer.json()["id"]
    return pk


def at_the_text(desks: Desks, prompt: int) -> Desk:
    return desks(who="walter").open(f"/admin/prompts/prompt/{prompt}/change/")


def text_of(desk: Desk) -> str:
    return desk.page.get_by_label("Prompt text").input_value()


def type_and_wait(desk: Desk) -> None:
    """Type, stop, and see that it is kept."""
    desk.page.get_by_label("Prompt text").fill(WORDS)
    desk.page.get_by_role("status").filter(has_text=KEPT).wait_for(timeout=15_000)


def test_words_stay_after_a_reload(desks: Desks, prompt: int) -> None:
    desk = at_the_text(desks, prompt)
    type_and_wait(desk)
    desk.page.reload()
    assert text_of(desk) == WORDS
    assert "This is your draft" in desk.words


def test_words_that_nobody_waited_for_are_offered_after_a_reload(desks: Desks, prompt: int) -> None:
    """The server was out of reach: this browser has them, and says so."""
    desk = at_the_text(desks, prompt)
    desk.page.route("**/keep/", lambda route: route.abort())
    desk.write("Prompt text", WORDS)
    desk.page.get_by_role("status").filter(has_text="Your text is kept in this browser").wait_for(timeout=15_000)
    desk.page.reload()
    assert text_of(desk) == "Greet {{name}}."
    desk.page.get_by_role("button", name="Use it").click()
    assert text_of(desk) == WORDS


def test_words_stay_when_the_session_ends(desks: Desks, prompt: int) -> None:
    desk = at_the_text(desks, prompt).write("Prompt text", WORDS).write("What changed", "Warmer")
    desk.page.context.clear_cookies(name="sessionid")
    desk.press("Save as v2")
    desk.write("User name", "walter").write("Password", "a long secret").press("Sign in")
    assert WORDS in desk.page.content()
    desk.press("Go on", "Send", "Save")
    assert "v2 is saved" in desk.words, desk.words
    assert text_of(desk) == WORDS


def test_words_stay_after_a_mistake(desks: Desks, prompt: int) -> None:
    desk = at_the_text(desks, prompt).write("Prompt text", f"{WORDS} {{{{open").write("What changed", "Warmer")
    desk.press("Save as v2")
    assert text_of(desk) == f"{WORDS} {{{{open"
    assert desk.page.get_by_role("alert").evaluate("one => one === document.activeElement")


def test_words_stay_when_a_colleague_was_faster(house: House, desks: Desks, prompt: int) -> None:
    desk = at_the_text(desks, prompt).write("Prompt text", WORDS).write("What changed", "Warmer")
    said = {"content": "Greet {{name}} loudly.", "message": "Louder"}
    httpx.post(f"{house.base}/prompts/{prompt}/versions", headers={"X-API-Key": house.key}, json=said)
    desk.press("Save as v2")
    assert "Your text is below, nothing is lost" in desk.words, desk.words
    assert text_of(desk) == WORDS
    desk.press("Save mine as v3")
    assert "v3 is saved" in desk.words and text_of(desk) == WORDS


def test_words_stay_when_the_model_does_not_answer(house: House, desks: Desks) -> None:
    pk = made(house, title="Asking nobody", model="gpt-4o")
    desk = desks(who="walter").open(f"/admin/chat/conversation/try/?prompt={pk}")
    desk.write("name", "Ann").write("Your message", "Are you there?")
    desk.page.keyboard.press("Control+Enter")
    desk.page.get_by_role("alert").wait_for()
    assert desk.page.get_by_label("Your message").input_value() == "Are you there?"
    assert desk.page.get_by_label("name", exact=True).input_value() == "Ann"


def test_words_stay_in_another_tab_and_another_window(desks: Desks, prompt: int) -> None:
    desk = at_the_text(desks, prompt)
    type_and_wait(desk)
    desk.press("Versions").press("Edit")
    assert text_of(desk) == WORDS
    other = desk.page.context.new_page()
    other.goto(f"/admin/prompts/prompt/{prompt}/change/")
    assert other.get_by_label("Prompt text").input_value() == WORDS


def test_keys_do_what_the_page_says_they_do(desks: Desks, prompt: int) -> None:
    desk = at_the_text(desks, prompt).write("What changed", "Warmer").write("Prompt text", WORDS)
    with desk.page.expect_navigation():
        desk.page.keyboard.press("Control+s")
    assert "v2 is saved" in desk.words, desk.words
    desk.page.keyboard.press("/")
    assert desk.page.locator("#find").evaluate("one => one === document.activeElement")
    desk.page.keyboard.press("/")
    assert desk.page.locator("#find").input_value() == "/"


def test_the_browser_asks_before_settings_are_left(desks: Desks, prompt: int) -> None:
    asked: list[str] = []
    desk = desks(who="walter").open(f"/admin/prompts/prompt/{prompt}/settings/")
    desk.page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    desk.page.get_by_label("Title").click()
    desk.page.keyboard.insert_text("More ")
    desk.page.reload()
    assert asked == ["beforeunload"]
