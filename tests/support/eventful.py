"""Days on which much happens: answers of all kinds, ratings that change and are taken back, counted as they come.

Rows are written as chat leaves them, ratings come in through the door, and workers' own functions add them up. What the
pages have to say of it is in `recount`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from experiments.models import DayMark, Experiment, Ramp, Variant
from experiments.services import analysis, ramping
from experiments.services.targeting import Setup
from feedback.services.batch import roll_up_feedback
from feedback.services.ingest import Accepted, NewRating, accept_all
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.chat.models import Conversation, Message
from promptlab.chat.services.metering import roll_up_messages
from promptlab.management.demo.clock import clock_at
from prompts.models import Environment, Prompt, Version
from tests.support.make import make_experiment, make_live, make_prompt, make_version

DAY = timedelta(days=1)
ANSWERS = 0.55
"""Of the events; the others are ratings."""
CHANGED, TAKEN_BACK, LATE = 0.15, 0.1, 0.2
"""Of the ratings. Late ones are about answers of the days before."""
MEETS_BOTH = 50
"""One unit in so many is served the other text from some day on."""
BATCH = 500
EachDay = Callable[["World", datetime], None]


@dataclass(frozen=True, slots=True)
class Text:
    """A text that is served somewhere: how many like it, and how much slower than usual it is."""

    version: Version
    place: Environment
    variant: Variant | None = None
    liked: float = 0.7
    slow: float = 1.0
    model: str = "small"


@dataclass(slots=True)
class World:
    """What is there: an experiment, a gradual launch, a prompt that changed on the way, one in Staging."""

    team: Team
    began_at: datetime
    days: int
    experiment: Experiment
    ramp: Ramp
    changing: Prompt
    newer: Version
    tested: list[Text]
    launched: list[Text]
    others: list[Text]
    talks: dict[int, Conversation]
    events: int = 0
    said: list[NewRating] = field(default_factory=list)


def make_world(team: Team, events: int, *, days: int = 10, seed: int = 1, each_day: EachDay | None = None) -> World:
    """Return a world in which so many events happened in so many days up to now. `each_day` is called as each ends."""
    now, chance = timezone.now(), random.Random(seed)
    with clock_at(now - days * DAY - timedelta(minutes=1)):
        world = _furnished(team, now - days * DAY, days)
    DayMark.objects.update(counted_from=None)
    known: list[Message] = []
    for day in range(days):
        end = world.began_at + (day + 1) * DAY
        with clock_at(end):
            if day == days // 2:
                make_live(world.newer)
            _one_day(world, chance, day, events // days, known)
        if each_day is not None:
            each_day(world, end)
    return world


def _furnished(team: Team, began_at: datetime, days: int) -> World:
    tested = make_prompt(team, title="Support reply")
    make_version(tested)
    setup = Setup(planned_size=100_000)
    experiment = make_experiment(tested, running=True, title="Steps first", key="steps-first", setup=setup)
    launched = make_prompt(team, title="Greeting")
    where = make_live(launched.newest)
    ramp = ramping.start_ramp(SYSTEM, make_version(launched), where)
    changing, idle = make_prompt(team, title="Triage"), make_prompt(team, title="Summary")
    older, newer = changing.newest, make_version(changing)
    live, new = ramp.experiment.variants.select_related("version").order_by("-key").reverse()
    return World(
        team=team,
        began_at=began_at,
        days=days,
        experiment=experiment,
        ramp=ramp,
        changing=changing,
        newer=newer,
        tested=[
            Text(one.version, experiment.environment, one, liked, slow)
            for one, liked, slow in zip(_variants(experiment), (0.62, 0.71), (1.0, 1.3), strict=True)
        ],
        launched=[
            Text(launched.newest, where),
            Text(live.version, where, live),
            Text(new.version, where, new, 0.66, 1.05),
        ],
        others=[
            Text(older, make_live(older), model="large"),
            Text(newer, make_live(older), liked=0.5, model=""),
            Text(idle.newest, make_live(idle.newest, "staging"), liked=0.9),
        ],
        talks={
            one.pk: Conversation.objects.create(team=team, prompt=one) for one in (tested, launched, changing, idle)
        },
    )


def _variants(experiment: Experiment) -> list[Variant]:
    return list(experiment.variants.select_related("version", "experiment"))


def _one_day(world: World, chance: random.Random, day: int, events: int, known: list[Message]) -> None:
    """Let a day pass: answers, what is said of them and of older ones, and a worker's analysis when it ends."""
    answers = [_answer(world, chance, day, events) for _ in range(round(events * ANSWERS))]
    answers.sort(key=lambda one: one.ended_at or world.began_at)
    Message.objects.bulk_create(answers, batch_size=BATCH)
    known += answers
    _count(roll_up_messages)
    left = events - len(answers)
    while left > 0:
        batch = [_rating(world, chance, answers, known) for _ in range(min(left, BATCH))]
        outcomes = accept_all([(SYSTEM, one) for one in batch])
        assert all(isinstance(one, Accepted) for one in outcomes), outcomes
        left -= len(batch)
        _count(roll_up_feedback)
    world.events += events
    experiment = Experiment.objects.get(pk=world.experiment.pk)
    analysis.analyse(experiment, timezone.now())


def _count(roll_up: Callable[[], int]) -> None:
    while roll_up():
        pass


def _answer(world: World, chance: random.Random, day: int, events: int) -> Message:
    unit = chance.randrange(max(200, events))
    text = _text(world, chance, day, unit)
    at = world.began_at + day * DAY + timedelta(seconds=chance.uniform(1, 86_000))
    is_external, is_failed = chance.random() < 0.08, chance.random() < 0.03
    wait = None if chance.random() < 0.05 else max(0, int(text.slow * chance.lognormvariate(6.6, 0.5)))
    cost = None if chance.random() < 0.15 else Decimal(chance.randrange(1, 9_000_000)) / 10**9
    served: dict[str, Any] = {"version": text.version, "environment": text.place}
    if text.variant is not None:
        served |= {"experiment": text.variant.experiment, "phase": 1, "served_variant": text.variant}
        served["assigned_variant"] = text.variant
    elif chance.random() < 0.02:
        served = {"environment": text.place}
    return Message(
        conversation=world.talks[text.version.prompt_id],
        role=Message.Role.ASSISTANT,
        state=Message.State.FAILED if is_failed else Message.State.COMPLETED,
        purpose=Message.Purpose.TRY if text.variant is None and chance.random() < 0.03 else Message.Purpose.CHAT,
        content="An answer.",
        unit_id=f"u{unit}",
        model=text.model,
        ended_at=at,
        latency_ms=wait,
        first_token_ms=None if is_external or is_failed or chance.random() < 0.02 else 40,
        is_external=is_external,
        cost_usd=cost,
        input_tokens=None if chance.random() < 0.03 else chance.randrange(3_000),
        output_tokens=chance.randrange(600),
        **served,
    )


def _text(world: World, chance: random.Random, day: int, unit: int) -> Text:
    """Return what a unit is served: always the same text of an experiment, but for the few who meet both."""
    where = chance.random()
    if where < 0.5:
        has_moved = unit % MEETS_BOTH == 0 and day >= world.days // 2
        return world.tested[(unit + has_moved) % 2]
    if where < 0.75:
        return world.launched[{0: 1, 1: 2}.get(unit % 5, 0)]
    if where < 0.9:
        return world.others[int(day >= world.days // 2)]
    return world.others[2]


def _rating(world: World, chance: random.Random, today: Sequence[Message], known: Sequence[Message]) -> NewRating:
    """Return a first rating, or what somebody says who changes their mind or takes it back."""
    kind = chance.random()
    if world.said and kind < CHANGED + TAKEN_BACK:
        before = chance.choice(world.said[-20_000:])
        value = None if kind < TAKEN_BACK or before.value is None else -int(before.value)
        return NewRating(before.message_id, value, user=before.user)
    about = chance.choice(known if chance.random() < LATE else today)
    is_up = chance.random() < _liked(world, about)
    comment = "Not what I asked." if not is_up and chance.random() < 0.1 else ""
    user = "a colleague" if chance.random() < 0.1 else ""
    said = NewRating(str(about.uid), 1 if is_up else -1, user=user, comment=comment)
    world.said.append(said)
    return said


def _liked(world: World, about: Message) -> float:
    texts = (*world.tested, *world.launched, *world.others)
    return next((one.liked for one in texts if one.version.pk == about.version_id), 0.5)
