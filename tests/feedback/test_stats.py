"""GET /feedback/stats: what is acknowledged is counted, rolled up or not."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.utils import timezone

from experiments.models import Experiment, HourRollup, Variant
from experiments.stats.proportion import wilson
from feedback.models import Feedback
from feedback.results import feedback_stats
from feedback.services.batch import roll_up_feedback
from feedback.services.ingest import NewRating, accept
from promptlab.accounts.access import SYSTEM
from promptlab.chat.models import Message
from promptlab.chat.services.metering import roll_up_messages
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_key, make_live, make_message, make_prompt, newest


@pytest.fixture
def experiment(cast: Cast) -> Experiment:
    return make_experiment(make_prompt(cast.team, name="support"), running=True, title="Tone", key="tone")


def answer(variant: Variant, unit_id: str = "u1") -> Message:
    return make_message(variant.version, variant.experiment.environment, variant=variant, unit_id=unit_id)


def rate(message: Message, value: int) -> None:
    accept(SYSTEM, NewRating(str(message.uid), value))


def stats(key: str, query: str = "") -> Any:
    found = Api(key).get(f"/api/v1/feedback/stats{query}")
    assert found.status_code == 200, found.json()
    return found.json()


def crowd(variant: Variant, ups: int, downs: int, silent: int = 0) -> None:
    for number in range(ups + downs + silent):
        message = answer(variant, f"{variant.key}-{number}")
        if number < ups + downs:
            rate(message, 1 if number < ups else -1)


def test_each_variant_has_its_counts(cast: Cast, experiment: Experiment) -> None:
    control, other = experiment.variants.all()
    crowd(control, 3, 1, silent=4)
    crowd(other, 1, 1)
    found = stats(cast.read_key, "?experiment=tone")
    low, high = wilson(3, 4)
    assert found["variants"] == [
        {
            "experiment": "tone",
            "phase": 1,
            "variant": "control",
            "is_control": True,
            "prompt": "support",
            "version": 1,
            "version_string": control.version.version_string,
            "shown": 8,
            "rated": 4,
            "up": 3,
            "down": 1,
            "approval": 0.75,
            "approval_low": low,
            "approval_high": high,
            "coverage": 0.5,
        },
        {**found["variants"][1], "variant": "variant-1", "version": 2, "shown": 2, "rated": 2, "approval": 0.5},
    ]
    assert [(one["version"], one["rated"]) for one in found["versions"]] == [(1, 4), (2, 2)]
    assert "variant" not in found["versions"][0]
    assert {name: found["totals"][name] for name in ("shown", "rated", "up", "down")} == {
        "shown": 10,
        "rated": 6,
        "up": 4,
        "down": 2,
    }
    assert found["since"] is None


def test_the_answer_is_the_same_before_between_and_after_rolling_up(cast: Cast, experiment: Experiment) -> None:
    control, other = experiment.variants.all()
    crowd(control, 3, 1, silent=4)
    crowd(other, 1, 2)
    before = stats(cast.read_key)
    roll_up_messages()
    between = stats(cast.read_key)
    roll_up_feedback()
    after = stats(cast.read_key)
    assert before == between == after
    assert after["totals"]["rated"] == 7


def test_a_changed_mind_counts_at_once(cast: Cast, experiment: Experiment) -> None:
    message = answer(experiment.variants.get(is_control=True))
    rate(message, 1)
    roll_up_messages()
    roll_up_feedback()
    rate(message, -1)
    assert (stats(cast.read_key)["totals"]["up"], stats(cast.read_key)["totals"]["rated"]) == (0, 1)
    roll_up_feedback()
    assert stats(cast.read_key)["totals"]["down"] == 1


def test_nothing_yet_is_null_and_not_zero(cast: Cast, experiment: Experiment) -> None:
    found = stats(cast.read_key, "?experiment=tone")
    assert [one["variant"] for one in found["variants"]] == ["control", "variant-1"]
    for counts in (found["totals"], *found["variants"], *found["versions"]):
        assert (counts["shown"], counts["rated"]) == (0, 0)
        assert [counts[n] for n in ("approval", "approval_low", "approval_high", "coverage")] == [None] * 4


def test_versions_outside_of_experiments_are_counted(cast: Cast) -> None:
    version = newest(make_prompt(cast.team, name="billing"))
    rate(make_message(version, make_live(version)), 1)
    found = stats(cast.read_key, "?prompt=billing")
    assert found["variants"] == []
    assert [(one["prompt"], one["version"], one["up"]) for one in found["versions"]] == [("billing", 1, 1)]


def test_it_narrows_to_a_prompt_by_name_or_id(cast: Cast, experiment: Experiment) -> None:
    version = newest(make_prompt(cast.team, name="billing"))
    rate(make_message(version, make_live(version)), 1)
    rate(answer(experiment.variants.get(is_control=True)), -1)
    assert stats(cast.read_key, "?prompt=billing")["totals"]["up"] == 1
    assert stats(cast.read_key, f"?prompt={experiment.prompt_id}")["totals"]["down"] == 1
    assert stats(cast.read_key, "?experiment=tone")["totals"]["rated"] == 1


def test_failed_and_plain_answers_are_not_shown(cast: Cast, experiment: Experiment) -> None:
    control = experiment.variants.get(is_control=True)
    make_message(control.version, experiment.environment, variant=control, unit_id="u", state=Message.State.FAILED)
    make_message(None, team=cast.team)
    make_message(control.version, None)
    assert stats(cast.read_key)["totals"]["shown"] == 0


def test_since_counts_from_its_full_hour_on(cast: Cast, experiment: Experiment) -> None:
    control = experiment.variants.get(is_control=True)
    old, new = answer(control, "u1"), answer(control, "u2")
    now = timezone.now()
    Message.objects.filter(pk=old.pk).update(ended_at=now - timedelta(days=9))
    rate(old, 1)
    rate(new, 1)
    Feedback.objects.filter(message=old).update(updated_at=now - timedelta(days=9))
    for _ in range(2):
        found = stats(cast.read_key, f"?since={(now - timedelta(days=1)).date()}")
        assert (found["totals"]["shown"], found["totals"]["rated"]) == (1, 1)
        roll_up_messages()
        roll_up_feedback()
    assert stats(cast.read_key, "?since=2026-01-05T10:45:00%2B02:00")["since"] == "2026-01-05T08:00:00Z"
    assert stats(cast.read_key, "?since=2026-01-05T10:45:00+02:00")["since"] == "2026-01-05T08:00:00Z"
    assert stats(cast.read_key, "?since=2026-01-05T10:45:00Z")["since"] == "2026-01-05T10:00:00Z"


def test_a_window_that_opens_between_a_rating_and_its_change_stays_possible(cast: Cast, experiment: Experiment) -> None:
    message = answer(experiment.variants.get(is_control=True))
    rate(message, 1)
    Feedback.objects.update(updated_at=datetime(2026, 1, 1, tzinfo=UTC))
    roll_up_messages()
    roll_up_feedback()
    rate(message, -1)
    roll_up_feedback()
    totals = stats(cast.read_key, "?since=2026-01-02")["totals"]
    assert (totals["rated"], totals["up"], totals["down"]) == (0, 0, 0)


@pytest.mark.parametrize(
    "since", ["yesterday", "2026-13-01", "2026-02-30", "12", "2026-01-01T25:00:00", "0001-01-01T00:00:00%2B05:00"]
)
def test_a_since_that_is_no_date_is_a_400(cast: Cast, since: str) -> None:
    refused = Api(cast.read_key).get(f"/feedback/stats?since={since}")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "since")


@pytest.mark.parametrize(("query", "code"), [("experiment", "experiment_not_found"), ("prompt", "prompt_not_found")])
def test_what_is_unknown_is_not_found(cast: Cast, query: str, code: str) -> None:
    missing = Api(cast.read_key).get(f"/feedback/stats?{query}=nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, code)


@pytest.mark.parametrize("name", ["experiment", "prompt", "since"])
def test_a_nul_in_the_address_is_a_400(cast: Cast, name: str) -> None:
    refused = Api(cast.read_key).get(f"/feedback/stats?{name}=%00")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, name)


def test_a_stranger_sees_nothing_of_it(cast: Cast, experiment: Experiment) -> None:
    rate(answer(experiment.variants.get(is_control=True)), 1)
    assert stats(cast.stranger_key)["totals"]["rated"] == 0
    assert Api(cast.stranger_key).get("/feedback/stats?experiment=tone").status_code == 404
    assert Api(cast.stranger_key).get("/feedback/stats?prompt=support").status_code == 404


def test_it_takes_a_key_that_may_read(cast: Cast) -> None:
    assert Api().get("/feedback/stats").status_code == 401
    refused = Api(make_key(cast.team, "feedback")[1]).get("/feedback/stats")
    assert (refused.status_code, "read" in refused.json()["detail"]) == (403, True)


def test_a_signed_in_person_may_look(cast: Cast, experiment: Experiment) -> None:
    rate(answer(experiment.variants.get(is_control=True)), 1)
    client = Client()
    client.force_login(cast.vic, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/feedback/stats/").json()["totals"]["rated"] == 1


@pytest.mark.parametrize("path", ["/feedback/stats", "/feedback/stats/", "/api/v1/feedback/stats/"])
def test_every_spelling_of_the_address_answers(cast: Cast, path: str) -> None:
    assert Api(cast.read_key).get(path).status_code == 200


def test_the_sums_are_one_statement(cast: Cast, experiment: Experiment, django_assert_max_num_queries: Any) -> None:
    control, other = experiment.variants.all()
    crowd(control, 2, 1)
    roll_up_messages()
    crowd(other, 2, 1)
    Api(cast.read_key).get("/feedback/stats")
    with django_assert_max_num_queries(5) as seen:  # the experiment; the sums; names of variants, versions; metrics
        Api(cast.read_key).get("/feedback/stats?experiment=tone")
    counting = [q["sql"] for q in seen.captured_queries if HourRollup._meta.db_table in q["sql"]]
    assert len(counting) == 1
    assert Message._meta.db_table in counting[0]


@pytest.mark.django_db(transaction=True)
def test_a_roll_up_that_commits_meanwhile_neither_doubles_nor_hides_a_rating(cast: Cast) -> None:
    experiment = make_experiment(make_prompt(cast.team), running=True)
    crowd(experiment.variants.get(is_control=True), 30, 20)
    seen: set[tuple[int, int, int]] = set()
    errors: list[BaseException] = []
    over = threading.Event()

    def roll_up() -> None:
        try:
            while roll_up_messages(limit=2) + roll_up_feedback(limit=2):
                continue
        except Exception as error:  # noqa: BLE001  (whatever it is, the main thread shows it)
            errors.append(error)
        finally:
            over.set()
            connections["default"].close()

    thread = threading.Thread(target=roll_up)
    thread.start()
    while not over.is_set():
        totals = feedback_stats(SYSTEM).totals
        seen.add((totals.shown, totals.rated, totals.up))
    thread.join(60)
    assert (errors, seen) == ([], {(50, 50, 30)})
