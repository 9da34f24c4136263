"""What people disliked, beside the results: the newest of each text, for those who may read it, as far as it is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from experiments.dashboards import answers
from experiments.models import Experiment, Variant
from feedback.admin import disliked
from feedback.models import Feedback
from feedback.services import privacy
from promptlab.accounts.access import SYSTEM, Principal
from promptlab.chat.models import Message
from tests.experiments.test_dashboard import browser, see
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_message, make_prompt

PAGE = "/dashboards/experiments/tone/"


@pytest.fixture
def experiment(cast: Cast) -> Experiment:
    return make_experiment(make_prompt(cast.team), running=True, key="tone")


def down(variant: Variant, comment: str, *, value: int = -1, **fields: Any) -> Feedback:
    message = make_message(variant.version, variant.experiment.environment, variant=variant, **fields)
    return Feedback.objects.create(team=variant.experiment.team, message=message, value=value, comment=comment)


def test_the_newest_of_each_text_are_shown_beside_it(cast: Cast, experiment: Experiment) -> None:
    control, other = experiment.variants.all()
    for number in range(7):
        down(control, f"Too cold {number}")
    down(other, "Too warm", content="My dearest friend!")
    down(control, "Lovely", value=1)
    words = see(cast.vic, PAGE)
    assert "Too cold 6" in words and "Too cold 2" in words and "Too cold 1" not in words
    assert "Too warm" in words and "My dearest friend!" in words
    assert "Lovely" not in words


def test_who_may_not_read_answers_sees_none(cast: Cast, experiment: Experiment) -> None:
    down(experiment.variants.get(is_control=True), "Too cold")
    for missing in disliked.NEEDED:
        granted = frozenset({"experiment.read", *disliked.NEEDED}) - {missing}
        reader = Principal(kind="user", id=cast.vic.pk, label="Vic", grants={cast.team.pk: granted})
        assert answers.disliked_of(reader, experiment) == []


def test_what_is_not_kept_is_not_shown(cast: Cast, experiment: Experiment) -> None:
    control = experiment.variants.get(is_control=True)
    down(control, "Write to ann@example.org", content="Or to bob@example.org")
    privacy.set_privacy(SYSTEM, cast.team, masked=["email"], keeps_text=True)
    words = see(cast.vic, PAGE)
    assert "Write to" in words and "example.org" not in words
    privacy.set_privacy(SYSTEM, cast.team, masked=[], keeps_text=False)
    words = see(cast.vic, PAGE)
    assert "Write to" not in words and "The words are not kept." in words


def test_ratings_that_nobody_counts_are_said_to_be_late(cast: Cast, experiment: Experiment) -> None:
    down(experiment.variants.get(is_control=True), "Slow")
    assert "The oldest rating waits" not in see(cast.vic, PAGE)
    Feedback.objects.update(updated_at=timezone.now() - timedelta(minutes=5))
    assert "The oldest rating waits" in see(cast.vic, PAGE)


def test_nothing_of_another_experiment_is_read(cast: Cast, experiment: Experiment) -> None:
    other = make_experiment(make_prompt(cast.team), running=True, key="other")
    down(other.variants.get(is_control=True), "Somewhere else")
    assert "Somewhere else" not in see(cast.vic, PAGE)
    assert Message.objects.count() == 1
    assert browser(cast.vic).get("/dashboards/experiments/other/").status_code == 200
