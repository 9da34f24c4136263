"""What people come to do, done in a browser: how many presses it takes, with a mouse, without scripts, and by keys alone."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import pytest

from tests.e2e.conftest import House
from tests.e2e.desk import Desk, Keys
from tests.support.suggestions import answered

pytestmark = [pytest.mark.flow, pytest.mark.timeout(300)]
HANDS = {"mouse": Desk, "keys": Keys}
Desks = Callable[..., Desk]
SOON_S = 5.0


def both_hands(task: Callable[..., None]) -> Callable[..., None]:
    return pytest.mark.parametrize("hand", HANDS)(task)


def soon(house: House, name: str, text: str) -> None:
    """What applications are served becomes this within five seconds."""
    until = time.monotonic() + SOON_S
    url, key = f"{house.base}/prompts/{name}/deployed/?environment=production", {"X-API-Key": house.key}
    while (served := httpx.get(url, headers=key).json())["prompt_text"] != text:
        assert time.monotonic() < until, served


def write_a_prompt(desk: Desk, username: str, title: str) -> None:
    desk.sign_in(username).press("New prompt").write("Title", title)
    desk.write("Prompt text", "Greet {{name}} in one sentence.").press("Save as v1")
    assert "Version 1 is saved. It is not live yet." in desk.words, desk.words


@pytest.mark.parametrize(("hand", "scripts"), [("mouse", True), ("mouse", False), ("keys", True)])
def test_a_newcomer_puts_a_prompt_live_in_development(desks: Desks, hand: str, scripts: bool) -> None:
    desk = desks(HANDS[hand], java_script_enabled=scripts)
    write_a_prompt(desk, "walter", f"First steps {hand} {scripts}")
    desk.press("Put live in Development", "Put a version live in Development").press("Put v1 live")
    assert "v1 is live in Development" in desk.words, desk.words
    assert desk.presses <= 8


@both_hands
def test_two_people_bring_a_text_to_production(desks: Desks, hand: str) -> None:
    title = f"Four eyes by {hand}"
    walter, dora = desks(HANDS[hand]), desks(HANDS[hand])
    write_a_prompt(walter, "walter", title)
    walter.press("Edit").press("Ask for a review…").press("Ask for a review")
    dora.sign_in("dora").press("To review").press(title)
    dora.press("Approve").press("Approve")
    dora.press("Put live in Production").write("Why", "Ready")
    dora.press("Put v1 live in Production")
    assert "v1 is live in Production" in dora.words, dora.words
    assert walter.presses + dora.presses <= 14, (walter.presses, dora.presses)


@both_hands
def test_going_back_takes_two_presses(house: House, desks: Desks, hand: str) -> None:
    desk = desks(HANDS[hand], "petra")
    desk.open(f"/admin/prompts/prompt/{house.places[hand]['back']}/moves/")
    desk.press("Go back to v1").press("Go back to v1")
    soon(house, f"back-{hand}", "First {{name}}.")
    assert desk.presses <= 2


@both_hands
def test_stopping_an_experiment_takes_two_presses(house: House, desks: Desks, hand: str) -> None:
    desk = desks(HANDS[hand], "petra")
    desk.open(f"/dashboards/experiments/{house.places[hand]['stop']}/")
    desk.press("Stop now").press("Stop now")
    url, key = f"{house.base}/prompts/stop-{hand}/deployed/?environment=production", {"X-API-Key": house.key}
    until = time.monotonic() + SOON_S
    while httpx.get(url, headers=key).json()["experiment"]:
        assert time.monotonic() < until
    assert desk.presses <= 2


@both_hands
def test_a_suggestion_is_asked_for_edited_and_saved(house: House, desks: Desks, hand: str) -> None:
    house.server.start_worker()
    house.model.answers.append(answered("Greet {{name}} in one short sentence."))
    desk = desks(HANDS[hand], "walter")
    desk.open(f"/admin/prompts/prompt/{house.places[hand]['asked']}/change/").press("Help me write")
    desk.choose("Model", "scripted").press("Suggest a text")
    desk.page.get_by_role("button", name="Save as a new version").wait_for(timeout=60_000)
    desk.write("Suggested text", "Greet {{name}} warmly, in one short sentence.").press("Save as a new version")
    assert "v3 is saved. What is live did not change." in desk.words, desk.words
    assert "Greet {{name}} warmly, in one short sentence." in desk.words
    assert desk.presses <= 4


@both_hands
def test_an_experiment_is_set_up_and_started(desks: Desks, hand: str) -> None:
    desk = desks(HANDS[hand], "adam")
    desk.open("/admin/").press("Experiments").press("New experiment")
    desk.choose("Prompt", f"Asking by {hand}").write("Name", f"Asked by {hand}").press("Go on")
    desk.choose("Version", "v2").press("Go on").press("Go on")
    desk.write("Why", "To know").tick("I compared the texts").press("Start")
    assert "Running" in desk.words, desk.words
    assert desk.presses <= 8


def test_the_way_to_the_first_prompt_is_short(desks: Desks) -> None:
    """Two skip links lead past the menu and past the filters."""
    desk = desks(Keys, "ana")
    assert isinstance(desk, Keys)
    desk.open("/admin/prompts/prompt/")
    stops = 0
    for name in ("Skip to main content", "Skip to the list"):
        stops += desk.reach(desk.page.get_by_role("link", name=name))
        desk.page.keyboard.press("Enter")
    stops += desk.reach(desk.page.locator("#result_list tbody a").first)
    assert stops <= 12
