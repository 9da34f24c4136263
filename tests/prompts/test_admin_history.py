"""Promoting, going back to any earlier move, and what was live at a moment, through the pages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from promptlab.audit.models import AuditEntry
from prompts.models import Deployment, DeploymentEvent, Prompt
from prompts.services import authoring
from prompts.services.environments import Rules, change_environment, named
from tests.support.cast import Cast
from tests.support.make import make_live, make_prompt, make_version, newest

pytestmark = pytest.mark.django_db


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def url(prompt: Prompt, act: str, *args: object) -> str:
    return reverse(f"admin:prompts_prompt_{act}", args=[prompt.pk, *args])


def html(answer: Any) -> str:
    return answer.content.decode()


def live(prompt: Prompt, environment: str = "production") -> int | None:
    pointer = Deployment.objects.filter(prompt=prompt, environment__name=environment).first()
    return pointer.version.number if pointer and pointer.version else None


def seen(prompt: Prompt, environment: str = "production") -> int:
    pointer = Deployment.objects.filter(prompt=prompt, environment__name=environment).first()
    return pointer.event_id if pointer else 0


@pytest.fixture
def prompt(cast: Cast) -> Prompt:
    """Version 1, 2 and 3 were live in Production one after the other; version 3 is in Staging, too."""
    one = make_prompt(cast.team, "One.", title="Greeting")
    make_live(newest(one))
    make_live(make_version(one, "Two."))
    make_live(make_version(one, "Three."))
    make_live(newest(one), "staging")
    return one


def move_of(prompt: Prompt, number: int) -> DeploymentEvent:
    return DeploymentEvent.objects.get(
        prompt=prompt, to_version__number=number, environment__name="production", kind="deploy"
    )


def promoting(prompt: Prompt, **fields: Any) -> dict[str, Any]:
    return {"version": 4, "seen": seen(prompt), "note": "Checked", "compared": "on", **fields}


def test_promoting_shows_the_difference_and_moves_the_pointer(cast: Cast, prompt: Prompt) -> None:
    make_live(make_version(prompt, "Four for {{name}}."), "staging")
    ben, address = signed_in(cast.ben), url(prompt, "promote", "staging", "production")
    assert address in html(ben.get(url(prompt, "moves")))
    shown = html(ben.get(address))
    assert "v4 is live in Staging." in shown and "Apps in Production get v4 instead of v3." in shown
    assert "<del>Three</del>" in shown and "New blanks: {{name}}" in shown and 'name="due_at"' not in shown
    assert 'href="#id_apps_know"' in html(ben.post(address, promoting(prompt)))
    assert live(prompt) == 3
    done = html(ben.post(address, promoting(prompt, apps_know="on"), follow=True))
    assert "v4 is live in Production." in done and f'href="{url(prompt, "rollback", "production")}"' in done
    assert live(prompt) == 4
    assert "v4 is live there already." in html(ben.get(address))
    ben.post(address, promoting(prompt, apps_know="on"))
    assert DeploymentEvent.objects.filter(prompt=prompt, to_version__number=4).count() == 2


def test_what_went_live_there_meanwhile_is_shown_before_it_is_promoted(cast: Cast, prompt: Prompt) -> None:
    make_live(make_version(prompt, "Four."), "staging")
    sent = promoting(prompt)
    make_live(make_version(prompt, "Five."), "staging")
    ben, address = signed_in(cast.ben), url(prompt, "promote", "staging", "production")
    shown = html(ben.post(address, sent))
    assert "Another version is live there by now." in shown and 'name="version" value="5"' in shown
    assert live(prompt) == 3
    ben.post(address, promoting(prompt, version=5))
    assert live(prompt) == 5


def test_rules_stand_in_the_way_of_promoting_unless_the_glass_is_broken(cast: Cast, prompt: Prompt) -> None:
    make_live(make_version(prompt, "Four."), "staging")
    change_environment(cast.principal(cast.cleo), named(cast.team.pk, "production"), Rules(is_protected=True))
    address = url(prompt, "promote", "staging", "production")
    shown = html(signed_in(cast.ben).get(address))
    assert "needs 1 more approval" in shown and "id_break_glass" not in shown
    signed_in(cast.ben).post(address, promoting(prompt, break_glass="Customers see wrong prices."))
    assert live(prompt) == 3
    cleo = signed_in(cast.cleo)
    assert 'href="#id_break_glass"' in html(cleo.post(address, promoting(prompt, break_glass="short")))
    cleo.post(address, promoting(prompt, break_glass="Customers see wrong prices."))
    assert live(prompt) == 4
    assert AuditEntry.objects.get(verb="deployment.break_glass").note == "Customers see wrong prices."


def test_nothing_is_promoted_from_where_nothing_is_live_or_to_the_same_place(cast: Cast, prompt: Prompt) -> None:
    ben = signed_in(cast.ben)
    assert ben.get(url(prompt, "promote", "development", "production")).status_code == 404
    assert ben.get(url(prompt, "promote", "nowhere", "production")).status_code == 404
    address = url(prompt, "promote", "staging", "staging")
    assert "is live there already" in html(ben.get(address))
    refused = html(ben.post(address, promoting(prompt, version=3, seen=seen(prompt, "staging"))))
    assert "is live there already" in refused
    assert "/promote/" not in html(ben.get(url(prompt, "moves")))


def test_any_earlier_move_is_made_live_again(cast: Cast, prompt: Prompt) -> None:
    ben, address = signed_in(cast.ben), url(prompt, "return", move_of(prompt, 1).pk)
    assert f'href="{address}"' in html(ben.get(url(prompt, "moves")))
    assert address in html(ben.get(reverse("admin:prompts_deploymentevent_change", args=[move_of(prompt, 1).pk])))
    shown = html(ben.get(address))
    assert "Go back to v1" in shown and "<del>Three</del>" in shown and live(prompt) == 3
    sent = {"seen": seen(prompt), "reason": "Complaints", "note": ""}
    done = html(ben.post(address, sent, follow=True))
    assert "v1 is live again in Production." in done and live(prompt) == 1
    undo = url(prompt, "return", move_of(prompt, 3).pk)
    assert f'<a href="{undo}">Undo (back to v3)</a>' in done
    assert "Somebody moved it meanwhile." in html(ben.post(address, sent))
    ben.post(undo, {"seen": seen(prompt)})
    assert live(prompt) == 3
    assert DeploymentEvent.objects.filter(prompt=prompt, kind="rollback").count() == 2


def test_going_back_to_a_move_passes_a_missing_review(cast: Cast, prompt: Prompt) -> None:
    change_environment(cast.principal(cast.cleo), named(cast.team.pk, "production"), Rules(is_protected=True))
    signed_in(cast.ben).post(url(prompt, "return", move_of(prompt, 1).pk), {"seen": seen(prompt)})
    assert live(prompt) == 1


def test_what_was_stopped_is_served_again_by_undo(cast: Cast, prompt: Prompt) -> None:
    ben = signed_in(cast.ben)
    sent = {"seen": seen(prompt), "note": "Moved"}
    done = html(ben.post(url(prompt, "undeploy", "production"), sent, follow=True))
    undo = url(prompt, "return", move_of(prompt, 3).pk)
    assert f'<a href="{undo}">Undo (back to v3)</a>' in done and live(prompt) is None
    assert "Now nothing is live there." in html(ben.get(undo))
    back = html(ben.post(undo, {"seen": seen(prompt)}, follow=True))
    assert "v3 is live again in Production." in back and "Undo (stop serving it)" in back
    assert live(prompt) == 3


def test_there_is_no_way_back_to_what_is_live_or_to_what_was_no_move_of_this(cast: Cast, prompt: Prompt) -> None:
    ben, now = signed_in(cast.ben), move_of(prompt, 3)
    assert ben.get(url(prompt, "return", now.pk)).status_code == 409
    assert url(prompt, "return", now.pk) not in html(ben.get(url(prompt, "moves")))
    assert "LiveAlready" not in html(ben.post(url(prompt, "return", now.pk), {"seen": seen(prompt)}))
    other = make_prompt(cast.team)
    make_live(newest(other))
    assert ben.get(url(other, "return", now.pk)).status_code == 404
    assert ben.get(url(prompt, "return", 10**9)).status_code == 404
    assert live(prompt) == 3


def test_what_was_live_at_a_moment(cast: Cast) -> None:
    now = timezone.now()
    with time_machine.travel(now - timedelta(days=3), tick=False):
        prompt = make_prompt(cast.team, "One.")
        make_live(newest(prompt))
    with time_machine.travel(now - timedelta(days=1), tick=False):
        make_live(make_version(prompt, "Two."))
    vic = signed_in(cast.vic)

    def then(days: float) -> str:
        moment = timezone.localtime(now - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M")
        shown = html(vic.get(url(prompt, "moves"), {"at": moment}))
        assert f'value="{moment}"' in shown
        return shown[shown.index('id="moment"') : shown.index('id="moves"')]

    assert "<strong>v1</strong>" in then(2) and then(2).count("Nothing was live") == 2
    assert "<strong>v2</strong>" in then(0.5) and "This version is live now." in then(0.5)
    assert then(4).count("Nothing was live") == 3
    odd = html(vic.get(url(prompt, "moves"), {"at": "yesterday"}))
    assert 'href="#id_at"' in odd and "Write a day and a time" in odd


def test_a_long_history_has_pages(cast: Cast, prompt: Prompt, django_assert_max_num_queries: Any) -> None:
    ben = signed_in(cast.ben)
    with django_assert_max_num_queries(17) as few:
        ben.get(url(prompt, "moves"))
    for _ in range(26):
        make_live(newest(prompt), "development")
        make_live(prompt.versions.select_related("prompt").get(number=1), "development")
    with django_assert_max_num_queries(len(few)):
        first = html(ben.get(url(prompt, "moves")))
    assert "Page 1 of 2" in first and 'href="?page=2"' in first
    assert "Page 2 of 2" in html(ben.get(url(prompt, "moves") + "?page=2"))


def test_moves_are_closed_to_viewers_writers_and_strangers(cast: Cast, prompt: Prompt) -> None:
    make_live(make_version(prompt, "Four."), "staging")
    pages = [url(prompt, "promote", "staging", "production"), url(prompt, "return", move_of(prompt, 1).pk)]
    for user in (cast.vic, cast.ann):
        client = signed_in(user)
        for place in (url(prompt, "change"), url(prompt, "moves")):
            shown = html(client.get(place))
            assert "/promote/" not in shown and "/return/" not in shown
        for address in pages:
            assert client.get(address).status_code == 403
            assert client.post(address, promoting(prompt)).status_code == 403
    for address in [*pages, url(prompt, "moves")]:
        assert signed_in(cast.zoe).get(address).status_code == 404
        assert signed_in(cast.zoe).post(address, promoting(prompt)).status_code == 404
        assert Client().post(address).status_code == 302
    assert live(prompt) == 3


def test_an_archived_prompt_is_not_promoted(cast: Cast, prompt: Prompt) -> None:
    make_live(make_version(prompt, "Four."), "staging")
    authoring.archive_prompt(cast.principal(cast.ann), prompt)
    ben = signed_in(cast.ben)
    assert "/promote/" not in html(ben.get(url(prompt, "moves")))
    refused = html(ben.post(url(prompt, "promote", "staging", "production"), promoting(prompt)))
    assert "archived" in refused and live(prompt) == 3
