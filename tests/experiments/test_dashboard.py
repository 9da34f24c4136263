"""The experiment pages, as people see them."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import transaction
from django.test import Client
from django.utils import timezone

from experiments.dashboards import words
from experiments.models import Experiment, RampDecision, Variant
from experiments.services import lifecycle
from experiments.services.hours import Served
from experiments.services.rollups import Observation, add_observations
from promptlab.accounts.models import User
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_prompt, make_user

LIST = "/dashboards/experiments/"
PAGE = "/dashboards/experiments/tone/"


def browser(user: User | None) -> Client:
    client = Client()
    if user:
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def see(user: User, path: str = PAGE) -> str:
    """Return the words of a page, with plain spaces between them."""
    answer = browser(user).get(path)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


@pytest.fixture
def experiment(cast: Cast) -> Experiment:
    prompt = make_prompt(cast.team, "Hello {{name}}.", title="Support agent")
    return make_experiment(prompt, running=True, title="Warmer tone", key="tone", hypothesis="Warmth helps.")


def count(variant: Variant, **sums: int) -> None:
    one = variant.experiment
    served = Served(one.prompt_id, one.environment_id, variant.version_id, one.pk, one.phase, variant.pk)
    with transaction.atomic():
        add_observations([Observation(served, f"{variant.key}-u", timezone.now(), **sums)])


def aged(experiment: Experiment, days: int) -> None:
    Experiment.objects.update(started_at=timezone.now() - timedelta(days=days, minutes=1))


def test_the_list_names_every_experiment(cast: Cast, experiment: Experiment) -> None:
    count(experiment.variants.get(is_control=True), requests=1234, shown=1234, ratings=7, ups=5)
    words = see(cast.vic, LIST)
    for told in ("Warmer tone", "Running", "Support agent", "Production", "1,234", "7"):
        assert told in words


def test_an_empty_list_says_what_experiments_are_for(cast: Cast) -> None:
    assert "No experiments yet" in see(cast.vic, LIST)


def test_the_short_address_leads_to_the_list(cast: Cast) -> None:
    answer = browser(cast.vic).get("/dashboards/")
    assert (answer.status_code, answer.url) == (302, LIST)


def test_a_page_says_where_the_experiment_stands(cast: Cast, experiment: Experiment) -> None:
    control, other = experiment.variants.all()
    count(control, requests=300, shown=300, errors=3, ratings=200, ups=150)
    count(other, requests=280, shown=280, ratings=160, ups=80)
    aged(experiment, 5)
    words = see(cast.vic)
    assert "Running for 5 days. Thumbs-up so far: Current text 75.0 %, variant-1 50.0 %." in words
    for told in ("300", "200", "150", "75.0 %", "68.6–80.5 %", "Warmth helps.", "the 95 % score interval"):
        assert told in words
    assert "Hello {{name}}." in words
    assert "<svg" in browser(cast.vic).get(PAGE).content.decode()


def test_too_early_shows_counts_and_says_so(cast: Cast, experiment: Experiment) -> None:
    count(experiment.variants.get(is_control=True), requests=30, shown=30, ratings=12, ups=9)
    words = see(cast.vic)
    assert "Too early to say." in words
    assert "the least rated text has 0 of 100 ratings" in words
    assert "12" in words


@pytest.mark.parametrize(
    ("verb", "sentence"),
    [("pause", "Paused: everybody gets the current text"), ("stop", "Ended after"), ("kill", "Stopped at once.")],
)
def test_each_end_has_its_sentence(cast: Cast, experiment: Experiment, verb: str, sentence: str) -> None:
    lifecycle.VERBS[verb](cast.principal(cast.ben), experiment, note="Enough seen")
    words = see(cast.vic)
    assert sentence in words
    assert "Ben" in words
    assert "(Enough seen)" in words


def test_a_draft_has_not_started(cast: Cast) -> None:
    make_experiment(make_prompt(cast.team), key="tone")
    assert "Not started yet." in see(cast.vic)


def test_nobody_has_seen_it(cast: Cast, experiment: Experiment) -> None:
    assert "Nobody has seen it yet." in see(cast.vic)


def test_a_publisher_gets_the_buttons_that_work_now(cast: Cast, experiment: Experiment) -> None:
    page = browser(cast.ben).get(PAGE)
    assert [action["label"] for action in page.context["actions"]] == ["Decide", "Pause", "End", "Stop now"]
    assert [action["kind"] for action in page.context["actions"]] == ["primary", "plain", "plain", "danger"]
    for action in page.context["actions"]:
        assert action["url"] in page.content.decode()


def test_a_viewer_gets_no_buttons(cast: Cast, experiment: Experiment) -> None:
    assert browser(cast.vic).get(PAGE).context["actions"] == []


def test_what_editors_type_is_never_markup(cast: Cast) -> None:
    prompt = make_prompt(cast.team, title="<b>bold</b>")
    make_experiment(prompt, running=True, title="<script>x()</script>", key="tone")
    Variant.objects.update(name="<i>name</i>")
    html = browser(cast.vic).get(PAGE).content.decode()
    assert not re.search(r"<script>x|<b>bold|<i>name", html)


def test_two_variants_of_one_name_are_both_drawn(cast: Cast, experiment: Experiment) -> None:
    for variant in experiment.variants.all():
        count(variant, requests=5, shown=5, ratings=4, ups=2)
    Variant.objects.update(name="Same")
    assert "control" in browser(cast.vic).get(PAGE).context["split_chart"]


def test_the_fragment_is_the_numbers_alone(cast: Cast, experiment: Experiment) -> None:
    html = browser(cast.vic).get(f"{PAGE}live/").content.decode()
    assert "Nobody has seen it yet." in html
    assert "<html" not in html
    assert f"{PAGE}live/" in browser(cast.vic).get(PAGE).content.decode()


def test_an_ended_experiment_refreshes_until_the_end_has_arrived(cast: Cast, experiment: Experiment) -> None:
    lifecycle.stop(cast.principal(cast.ben), experiment)
    assert f"{PAGE}live/" in browser(cast.vic).get(PAGE).content.decode()
    with time_machine.travel(timezone.now() + timedelta(minutes=16)):
        assert f"{PAGE}live/" not in browser(cast.vic).get(PAGE).content.decode()


def test_the_csv_has_a_line_per_variant_and_no_formulas(cast: Cast, experiment: Experiment) -> None:
    count(experiment.variants.get(is_control=True), requests=8, shown=8, ratings=4, ups=3)
    Variant.objects.filter(is_control=True).update(name='=HYPERLINK("http://example.org")')
    Variant.objects.filter(is_control=False).update(name="\t@cmd")
    answer = browser(cast.vic).get(f"{PAGE}export.csv")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert (answer["Content-Type"], answer["Content-Disposition"]) == (
        "text/csv; charset=utf-8",
        'attachment; filename="tone.csv"',
    )
    assert [row["name"] for row in rows] == ['\'=HYPERLINK("http://example.org")', "'\t@cmd"]
    assert (rows[0]["shown"], rows[0]["ups"], rows[0]["approval"], rows[1]["approval"]) == ("8", "3", "0.75", "")


@pytest.mark.parametrize("path", [LIST, PAGE, f"{PAGE}live/", f"{PAGE}export.csv"])
def test_whoever_is_not_signed_in_is_sent_to_sign_in(cast: Cast, experiment: Experiment, path: str) -> None:
    answer = browser(None).get(path)
    assert (answer.status_code, answer.url) == (302, f"/admin/login/?next={path}")


def test_a_person_without_a_role_is_sent_to_sign_in(cast: Cast, experiment: Experiment) -> None:
    assert browser(make_user("nobody")).get(LIST).status_code == 302


@pytest.mark.parametrize("path", [PAGE, f"{PAGE}live/", f"{PAGE}export.csv"])
def test_a_stranger_finds_nothing(cast: Cast, experiment: Experiment, path: str) -> None:
    assert browser(cast.zoe).get(path).status_code == 404
    assert "Warmer tone" not in see(cast.zoe, LIST)


@pytest.mark.parametrize("key", ["nothing", "%00", "..%2f", "x" * 300])
def test_an_unknown_key_is_a_404_page(cast: Cast, key: str) -> None:
    answer = browser(cast.vic).get(f"{LIST}{key}/")
    assert answer.status_code == 404
    assert "text/html" in answer["Content-Type"]


def test_pages_are_only_read(cast: Cast, experiment: Experiment) -> None:
    assert browser(cast.ben).post(PAGE).status_code == 405


def test_somebody_in_two_teams_sees_each_teams_experiment(cast: Cast, experiment: Experiment) -> None:
    theirs = cast.zoe.memberships.get().team
    make_experiment(make_prompt(theirs), running=True, title="Their tone", key="tone")
    everywhere = make_user("root", is_superuser=True)
    links = re.findall(rf'href="({PAGE}\?team=\d+)"', browser(everywhere).get(LIST).content.decode())
    titles = [browser(everywhere).get(link).context["experiment"]["title"] for link in links]
    assert titles == ["Their tone", "Warmer tone"]


def test_the_pages_speak_spanish_where_it_is_translated(cast: Cast, experiment: Experiment) -> None:
    answer = browser(cast.vic).get(PAGE, headers={"accept-language": "es"})
    assert (answer.status_code, 'lang="es"' in answer.content.decode()) == (200, True)


def test_a_page_costs_the_same_however_much_happened(
    cast: Cast, experiment: Experiment, django_assert_max_num_queries: Any
) -> None:
    client = browser(cast.ben)
    client.get(PAGE)
    for _ in range(5):
        lifecycle.pause(cast.principal(cast.ben), experiment)
        lifecycle.resume(cast.principal(cast.ben), experiment)
    with django_assert_max_num_queries(16):
        client.get(PAGE)
    with django_assert_max_num_queries(13):
        client.get(LIST)


def test_every_step_of_a_launch_has_words() -> None:
    assert {f"ramp.{kind}" for kind in RampDecision.Kind.values} <= set(words.HAPPENED)
