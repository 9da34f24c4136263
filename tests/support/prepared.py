"""Six experiments whose outcome is known: a clear win, a clear loss, no difference, too early, a broken split, other raters.

Days go by on the clock: what users did is added to the sums, and a worker's analysis is kept at the end of each day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from experiments.models import Experiment, Variant
from experiments.services import analysis
from experiments.services.rollups import Observation, add_observations
from experiments.services.targeting import Setup
from promptlab.accounts.models import Team
from promptlab.management.demo.clock import clock_at
from tests.support.make import make_experiment, make_prompt, make_version
from tests.support.ramps import served_by

DAY = timedelta(days=1)
Pair = tuple[float, float]
"""For the current text and for the other one."""


@dataclass(frozen=True, slots=True)
class Story:
    """`people` and `rated` are of each day; `liked` and `rated` are shares. `planned`: ratings to decide at."""

    key: str
    title: str
    verdict: str
    days: int
    people: tuple[int, int]
    liked: Pair
    rated: Pair = (0.6, 0.6)
    wait_ms: tuple[int, int] = (820, 840)
    planned: int | None = None


STORIES = (
    Story("clear-win", "Steps first", "ahead", 10, (170, 170), (0.62, 0.76), planned=4000),
    Story("clear-loss", "Without a greeting", "worse", 3, (120, 120), (0.78, 0.55), wait_ms=(820, 1340)),
    Story("no-difference", "Shorter sentences", "no_difference", 14, (200, 200), (0.7, 0.705), planned=3000),
    Story("too-early", "With the first name", "too_early", 1, (45, 45), (0.7, 0.75), planned=2000),
    Story("broken-split", "Two questions back", "do_not_trust", 5, (150, 100), (0.7, 0.74)),
    Story("raters-differ", "An emoji at the end", "keep_going", 7, (150, 150), (0.72, 0.75), (0.6, 0.42), planned=3000),
)


def make_stories(team: Team, now: datetime | None = None) -> dict[str, Experiment]:
    """Return all six by their keys, each on a prompt of its own."""
    return {story.key: make_story(team, story, now) for story in STORIES}


def make_story(team: Team, story: Story, now: datetime | None = None) -> Experiment:
    """Return one experiment that ran for so many days until `now`."""
    now = now or timezone.now()
    with clock_at(now - story.days * DAY - timedelta(minutes=5)):
        prompt = make_prompt(team, "Answer {{question}} for {{company}}.", title=f"Support: {story.title.lower()}")
        make_version(prompt, f"{story.title}: answer {{{{question}}}} for {{{{company}}}}.")
        setup = Setup(planned_size=story.planned)
        experiment = make_experiment(
            prompt, running=True, title=story.title, key=story.key, hypothesis="People like it better.", setup=setup
        )
    Variant.objects.filter(experiment=experiment, is_control=False).update(name=story.title)
    control, other = experiment.variants.all()
    for day in range(story.days):
        moment = now - (story.days - day - 1) * DAY - timedelta(minutes=3)
        for index, variant in enumerate((control, other)):
            with transaction.atomic():
                add_observations(list(_day(story, variant, index, day, moment)))
        analysis.analyse(experiment, moment + timedelta(minutes=2))
    return experiment


def _day(story: Story, variant: Variant, index: int, day: int, at: datetime) -> Iterator[Observation]:
    """What the people of one day did who met this text: each asks once, some rate."""
    served, people = served_by(variant), story.people[index]
    rating = round(people * story.rated[index])
    liking = round(rating * story.liked[index])
    for number in range(people):
        unit = f"{variant.key}-{day}-{number}"
        wait = story.wait_ms[index] // 2 + 7 * (number % 90)
        yield Observation(
            served,
            unit,
            at,
            requests=1,
            shown=1,
            errors=int(number % 97 == 96),
            latency_ms=wait,
            cost_usd=Decimal("0.0004") + Decimal(number % 11) / 100_000,
        )
        if number < rating:
            yield Observation(served, unit, at, ratings=1, ups=int(number < liking))
