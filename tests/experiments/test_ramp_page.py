"""The page of a gradual launch: its steps, what the next one lacks, a tile per measure, and the way back."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from experiments.admin import ramp_page
from experiments.models import Ramp, RampDecision
from experiments.services import ramping
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import User
from tests.support.cast import Cast
from tests.support.ramps import feed, make_ramp

LIST = "/admin/experiments/ramp/"


@pytest.fixture
def ramp(cast: Cast) -> Ramp:
    return make_ramp(cast.team)


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def see(user: User, ramp: Ramp) -> str:
    answer = browser(user).get(f"{LIST}{ramp.pk}/change/")
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode())).replace("&#x27;", "'")


def test_it_says_where_it_is_and_what_is_missing(cast: Cast, ramp: Ramp) -> None:
    for key in ("live", "new"):
        feed(ramp, key, 50, ups=18, ratings=20, latency_ms=400)
    words = see(cast.vic, ramp)
    assert re.search(r"1\s%\s+Now .* 10\s%\s+To come .* Everyone\s+To come", words)
    assert "150 of 200 requests of each text." in words
    assert re.search(r"(1 hour|60 minutes) more at this step\.", words)
    assert re.search(r"If that does not come in (24 hours|1 day), it waits for a person\.", words)


def test_a_tile_has_the_difference_its_range_the_limit_and_a_word(cast: Cast, ramp: Ramp) -> None:
    feed(ramp, "live", 300, ups=240, ratings=300, latency_ms=400)
    feed(ramp, "new", 300, ups=231, ratings=300, latency_ms=600)
    html = browser(cast.vic).get(f"{LIST}{ramp.pk}/change/").content.decode()
    tiles = ramp_page.tiles(ramping.standing(ramp))
    approval, success, wait = tiles
    assert (approval.change, approval.limit, approval.kind) == ("−3.0\u00a0points", "−5.0\u00a0points", "ok")
    assert (success.words, wait.words) == ("Fine", "Over the limit, proven")
    assert wait.change.startswith("+") and wait.limit == "+10.0\u00a0%"
    assert html.count('class="goal"') == 2 * len(tiles) and html.count('class="zero"') == 2 * len(tiles)
    for tile in tiles:
        assert tile.words in html and tile.span in html


def test_a_launch_that_was_taken_back_says_when_and_why(cast: Cast, ramp: Ramp) -> None:
    feed(ramp, "live", 300, ups=270, ratings=300, latency_ms=400)
    feed(ramp, "new", 300, ups=120, ratings=300, latency_ms=400)
    assert ramping.tick(ramp.pk, timezone.now()) is not None
    words = see(cast.vic, ramp)
    assert "Users like it less, proven. Thumbs-up rate: −50.0 points" in words
    assert "Over the limit, proven" in words
    assert "Ended here" in words and "Not reached" in words
    assert "What the next step still lacks" not in words
    assert "No process says what it serves" in words


def test_everyone_goes_back_in_two_clicks(cast: Cast, ramp: Ramp) -> None:
    client = browser(cast.ben)
    page = client.get(f"{LIST}{ramp.pk}/change/")
    back = next(one["url"] for one in page.context["actions"] if one["label"] == "Send everyone back")
    client.get(back)
    done = client.post(back, {"note": ""}, follow=True)
    assert "Somebody decided." in done.content.decode()
    assert Ramp.objects.get(pk=ramp.pk).state == Ramp.State.ROLLED_BACK


def test_a_held_launch_waits_for_a_person(cast: Cast, ramp: Ramp) -> None:
    ramping.hold(SYSTEM, ramp)
    words = see(cast.vic, ramp)
    assert "Somebody stopped it here." in words
    assert "Only publishers hold a launch" in words
    assert "Let it go on" in see(cast.ben, ramp)


def test_every_rule_of_a_decision_has_words(cast: Cast, ramp: Ramp) -> None:
    both = {"start", "stop", "kill"}
    rules = {f"guard_{name}" for name in ("approval", "success", "latency", "format")}
    for rule in (*Ramp.Reason.values, *rules, "clean_requests", "not_worse", "live_version_moved"):
        assert "_" not in ramp_page.rule(rule), rule
    assert {f"experiment_{verb}" for verb in both - {"start"}} <= set(ramp_page.RULES)


def test_times_pass_as_fast_as_the_launch_does(cast: Cast, ramp: Ramp, settings: object) -> None:
    settings.RAMP_TIME_FACTOR = 60.0  # type: ignore[attr-defined]
    assert re.search(r"(1 minute|\d\d seconds) more at this step\.", see(cast.vic, ramp))


def test_a_page_costs_the_same_however_long_it_goes(
    cast: Cast, ramp: Ramp, django_assert_max_num_queries: object
) -> None:
    client = browser(cast.vic)
    for _ in range(3):
        ramping.hold(SYSTEM, Ramp.objects.get(pk=ramp.pk))
        ramping.go_on(SYSTEM, Ramp.objects.get(pk=ramp.pk), note="Again")
    feed(ramp, "live", 5, latency_ms=300)
    feed(ramp, "new", 5, latency_ms=300)
    assert RampDecision.objects.count() == 7
    assert timezone.now() - ramp.started_at < timedelta(minutes=10)
    client.get(f"{LIST}{ramp.pk}/change/")
    with django_assert_max_num_queries(12):  # type: ignore[operator]
        client.get(f"{LIST}{ramp.pk}/change/")


def test_the_next_step_comes_earlier_with_a_reason_and_once(cast: Cast, ramp: Ramp) -> None:
    client, address = browser(cast.ben), f"{LIST}{ramp.pk}/go-earlier/act/"
    html = client.get(address).content.decode()
    assert "You decide in place of the numbers" in html and f'name="step" value="{ramp.stage_version}"' in html
    assert 'href="#id_note"' in client.post(address, {"step": ramp.stage_version}).content.decode()
    for told in ("took the next step", "It moved on meanwhile"):
        done = client.post(address, {"step": ramp.stage_version, "note": "It is Friday."}, follow=True)
        assert told in done.content.decode()
    assert Ramp.objects.get(pk=ramp.pk).stage_index == 1


def test_the_page_before_an_act_shows_the_numbers_it_rests_on(cast: Cast, ramp: Ramp) -> None:
    feed(ramp, "live", 60, ups=40, ratings=50)
    feed(ramp, "new", 60, ups=30, ratings=50)
    client = browser(cast.ben)
    for verb in ("hold", "go-earlier", "send-back"):
        words = re.sub(r"\s+", " ", client.get(f"{LIST}{ramp.pk}/{verb}/act/").content.decode())
        assert "What the numbers say now" in words and "Thumbs-up rate: −20.0" in words, verb
        assert ("What the next step still lacks" in words) is (verb == "go-earlier")


def test_why_everyone_was_sent_back_is_said_in_words_and_in_ones_language(cast: Cast, ramp: Ramp) -> None:
    feed(ramp, "live", 150, ups=110, ratings=120)
    feed(ramp, "new", 150, ups=40, ratings=120)
    ramping.tick(ramp.pk)
    client, address = browser(cast.ben), f"/dashboards/experiments/{ramp.experiment.key}/"
    assert "Reason: Sent back: users like it less, proven." in client.get(address).content.decode()
    told = client.get(address, headers={"accept-language": "es"}).content.decode()
    assert "Devuelto: está demostrado que gusta menos." in told
