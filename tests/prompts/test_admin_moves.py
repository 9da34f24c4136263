"""Putting live, going back and stopping, through the pages before each move."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from promptlab.accounts.access import SYSTEM
from prompts.models import Deployment, DeploymentEvent, Prompt
from prompts.services import authoring
from tests.support.cast import Cast
from tests.support.make import make_live, make_prompt, make_version, newest


def signed_in(user: object) -> Client:
    client = Client()
    client.force_login(user)
    return client


def url(prompt: Prompt, act: str, environment: str = "production") -> str:
    return reverse(f"admin:prompts_prompt_{act}", args=[prompt.pk, environment])


def live(prompt: Prompt, environment: str = "production") -> int | None:
    pointer = Deployment.objects.filter(prompt=prompt, environment__name=environment).first()
    return pointer.version.number if pointer and pointer.version else None


def seen(prompt: Prompt, environment: str = "production") -> int:
    pointer = Deployment.objects.filter(prompt=prompt, environment__name=environment).first()
    return pointer.event_id if pointer else 0


def deploying(prompt: Prompt, environment: str = "production", **fields: Any) -> dict[str, Any]:
    """What the page sends: the newest version, with a reason and the tick."""
    sent = {"version": newest(prompt).number, "seen": seen(prompt, environment), "note": "Checked", "compared": "on"}
    return {**sent, **fields}


def test_the_page_says_what_will_happen_and_moves_nothing(cast: Cast) -> None:
    prompt = make_prompt(cast.team, "Hello.")
    make_live(newest(prompt))
    make_version(prompt, "Good day.")
    html = signed_in(cast.ben).get(url(prompt, "deploy")).content.decode()
    assert "Apps in Production get v2 instead of v1." in html
    assert "Customers see this within a minute. You can undo it with one click." in html
    assert "<td><del>Hello</del>.</td><td><ins>Good day</ins>.</td>" in html
    assert "Put v2 live in Production" in html
    assert live(prompt) == 1


def test_putting_live_moves_the_pointer_and_offers_the_way_back(cast: Cast) -> None:
    prompt = make_prompt(cast.team, "Hello.")
    make_live(newest(prompt))
    make_version(prompt, "Good day.")
    client = signed_in(cast.ben)
    html = client.post(url(prompt, "deploy"), deploying(prompt), follow=True).content.decode()
    assert "v2 is live in Production." in html
    assert f'<a href="{url(prompt, "rollback")}">Undo (back to v1)</a>' in html
    assert live(prompt) == 2
    event = DeploymentEvent.objects.first()
    assert (event.note, event.actor) == ("Checked", cast.ben)


def test_another_version_can_be_chosen_without_javascript(cast: Cast) -> None:
    prompt = make_prompt(cast.team, "One.")
    make_version(prompt, "Two.")
    make_version(prompt, "Three.")
    client = signed_in(cast.ben)
    html = client.get(url(prompt, "deploy") + "?version=2").content.decode()
    assert "Put v2 live in Production" in html and '<option value="2" selected>' in html
    client.post(url(prompt, "deploy"), deploying(prompt, version=2))
    assert live(prompt) == 2


def test_production_takes_a_reason_and_a_look(cast: Cast) -> None:
    prompt = make_prompt(cast.team, "Hello.")
    make_live(newest(prompt))
    make_version(prompt, "Good day.")
    client = signed_in(cast.ben)
    html = client.post(url(prompt, "deploy"), deploying(prompt, note="")).content.decode()
    assert 'href="#id_note"' in html
    sent = deploying(prompt, note="typed words")
    del sent["compared"]
    html = client.post(url(prompt, "deploy"), sent).content.decode()
    assert 'href="#id_compared"' in html and "typed words" in html
    assert live(prompt) == 1


def test_other_environments_take_no_reason(cast: Cast) -> None:
    prompt = make_prompt(cast.team)
    signed_in(cast.ben).post(url(prompt, "deploy", "staging"), {"version": 1, "seen": 0, "note": ""})
    assert live(prompt, "staging") == 1


def test_other_blanks_have_to_be_known_to_the_apps(cast: Cast) -> None:
    prompt = make_prompt(cast.team, "Hello {{name}}.")
    make_live(newest(prompt))
    make_version(prompt, "Hello {{first_name}}.")
    client = signed_in(cast.ben)
    html = client.get(url(prompt, "deploy")).content.decode()
    assert "New blanks: {{first_name}}." in html and "Blanks that are gone: {{name}}." in html
    html = client.post(url(prompt, "deploy"), deploying(prompt)).content.decode()
    assert 'href="#id_apps_know"' in html
    assert live(prompt) == 1
    client.post(url(prompt, "deploy"), deploying(prompt, apps_know="on"))
    assert live(prompt) == 2


def test_sending_the_page_twice_moves_once(cast: Cast) -> None:
    prompt = make_prompt(cast.team)
    sent = deploying(prompt)
    client = signed_in(cast.ben)
    client.post(url(prompt, "deploy"), sent)
    html = client.post(url(prompt, "deploy"), sent).content.decode()
    assert "live there already" in html
    assert DeploymentEvent.objects.count() == 1


def test_two_publishers_at_once_the_second_looks_again(cast: Cast) -> None:
    prompt = make_prompt(cast.team, "One.")
    make_live(newest(prompt))
    make_version(prompt, "Two.")
    make_version(prompt, "Three.")
    mine = deploying(prompt)
    make_live(prompt.versions.get(number=2))
    client = signed_in(cast.ben)
    html = client.post(url(prompt, "deploy"), mine).content.decode()
    assert "Somebody moved it meanwhile." in html and "instead of v2" in html
    assert live(prompt) == 2
    client.post(url(prompt, "deploy"), deploying(prompt))
    assert live(prompt) == 3


def test_writers_put_live_in_development_only(cast: Cast) -> None:
    prompt = make_prompt(cast.team)
    client = signed_in(cast.ann)
    client.post(url(prompt, "deploy", "development"), {"version": 1, "seen": 0})
    assert live(prompt, "development") == 1
    for answer in (client.get(url(prompt, "deploy")), client.post(url(prompt, "deploy"), deploying(prompt))):
        assert answer.status_code == 403
        assert "publisher" in answer.content.decode()
    assert live(prompt) is None


def test_buttons_are_there_for_who_may_press_them(cast: Cast) -> None:
    prompt = make_prompt(cast.team)
    page = reverse("admin:prompts_prompt_moves", args=[prompt.pk])
    assert url(prompt, "deploy") in signed_in(cast.ben).get(page).content.decode()
    writers = signed_in(cast.ann).get(page).content.decode()
    assert url(prompt, "deploy", "development") in writers and url(prompt, "deploy") not in writers
    assert "Only publishers change this." in writers


def test_an_archived_prompt_does_not_go_live(cast: Cast) -> None:
    prompt = make_prompt(cast.team)
    authoring.archive_prompt(SYSTEM, prompt)
    html = signed_in(cast.ben).post(url(prompt, "deploy"), deploying(prompt)).content.decode()
    assert "archived" in html
    assert live(prompt) is None


def test_going_back_takes_two_clicks_and_no_reason(cast: Cast) -> None:
    prompt = make_prompt(cast.team, "One.")
    make_live(newest(prompt))
    make_live(make_version(prompt, "Two."))
    client = signed_in(cast.ben)
    page = client.get(reverse("admin:prompts_prompt_moves", args=[prompt.pk])).content.decode()
    assert "Go back to v1…" in page and url(prompt, "rollback") in page
    html = client.get(url(prompt, "rollback")).content.decode()
    assert "Go back to v1" in html and "<ins>One</ins>." in html
    assert live(prompt) == 2
    sent = {"seen": seen(prompt), "reason": "Complaints", "note": "three mails"}
    done = client.post(url(prompt, "rollback"), sent, follow=True).content.decode()
    assert "v1 is live again in Production." in done and "Undo (back to v2)" in done
    assert live(prompt) == 1
    assert DeploymentEvent.objects.first().note == "Complaints: three mails"


def test_going_back_twice_by_mistake_goes_back_once(cast: Cast) -> None:
    prompt = make_prompt(cast.team, "One.")
    for text in ("Two.", "Three."):
        make_live(newest(prompt))
        make_version(prompt, text)
    make_live(newest(prompt))
    sent = {"seen": seen(prompt)}
    client = signed_in(cast.ben)
    client.post(url(prompt, "rollback"), sent)
    html = client.post(url(prompt, "rollback"), sent).content.decode()
    assert "Somebody moved it meanwhile." in html
    assert live(prompt) == 2


@pytest.mark.parametrize("act", ["rollback", "undeploy"])
def test_what_was_never_live_cannot_be_taken_back(cast: Cast, act: str) -> None:
    prompt = make_prompt(cast.team, title="Never")
    answer = signed_in(cast.ben).get(url(prompt, act))
    assert answer.status_code == 404
    assert "No version of Never is live in Production." in answer.content.decode()


def test_the_first_live_version_has_nothing_before_it(cast: Cast) -> None:
    prompt = make_prompt(cast.team)
    make_live(newest(prompt))
    assert signed_in(cast.ben).get(url(prompt, "rollback")).status_code == 409
    page = reverse("admin:prompts_prompt_moves", args=[prompt.pk])
    assert "Go back to" not in signed_in(cast.ben).get(page).content.decode()


def test_stopping_says_what_apps_get_then_stops(cast: Cast) -> None:
    prompt = make_prompt(cast.team, name="greeting")
    make_live(newest(prompt))
    client = signed_in(cast.ben)
    html = client.get(url(prompt, "undeploy")).content.decode()
    assert "Apps that ask for greeting in Production get an error" in html
    assert 'href="#id_note"' in client.post(url(prompt, "undeploy"), {"seen": seen(prompt)}).content.decode()
    done = client.post(url(prompt, "undeploy"), {"seen": seen(prompt), "note": "Moved"}, follow=True).content.decode()
    assert "Production no longer serves this prompt." in done and "Undo (back to v1)" in done
    assert live(prompt) is None


@pytest.mark.parametrize("act", ["deploy", "rollback", "undeploy"])
def test_moves_are_closed_to_strangers_and_viewers(cast: Cast, act: str) -> None:
    prompt = make_prompt(cast.team, "One.")
    make_live(newest(prompt))
    make_live(make_version(prompt, "Two."))
    sent = deploying(prompt, version=1)
    assert Client().post(url(prompt, act), sent).status_code == 302
    assert signed_in(cast.zoe).post(url(prompt, act), sent).status_code == 404
    assert signed_in(cast.vic).post(url(prompt, act), sent).status_code == 403
    assert signed_in(cast.ben).get(url(prompt, act, "nowhere")).status_code == 404
    assert live(prompt) == 2


def test_no_move_without_the_forms_token(cast: Cast) -> None:
    prompt = make_prompt(cast.team)
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.ben)
    assert client.post(url(prompt, "deploy"), deploying(prompt)).status_code == 403
    assert live(prompt) is None


def test_the_page_before_a_move_asks_few_questions(cast: Cast, django_assert_max_num_queries) -> None:
    prompt = make_prompt(cast.team, "One.")
    make_live(newest(prompt))
    make_live(make_version(prompt, "Two."))
    make_version(prompt, "Three.")
    client = signed_in(cast.ben)
    for act in ("deploy", "rollback", "undeploy"):
        with django_assert_max_num_queries(22):
            client.get(url(prompt, act))


def test_a_move_can_be_looked_up_with_what_it_changed(cast: Cast) -> None:
    prompt = make_prompt(cast.team, "One.", title="Greeting")
    make_live(newest(prompt))
    make_live(make_version(prompt, "Two."))
    event = DeploymentEvent.objects.first()
    page = reverse("admin:prompts_deploymentevent_change", args=[event.pk])
    html = signed_in(cast.vic).get(page).content.decode()
    assert "Greeting v2 in Production" in html and "<ins>Two</ins>." in html
    assert signed_in(cast.zoe).get(page).status_code == 404
    pointer = Deployment.objects.get(prompt=prompt)
    answer = signed_in(cast.vic).get(reverse("admin:prompts_deployment_change", args=[pointer.pk]))
    assert answer.headers["Location"] == reverse("admin:prompts_prompt_change", args=[prompt.pk])
