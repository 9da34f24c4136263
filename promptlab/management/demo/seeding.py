"""The demo's life in the order it happened, so that every history reads in time. All of it is written, or none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone

from experiments import delivery
from experiments.models import Experiment
from experiments.services import analysis, lifecycle
from experiments.services.lifecycle import NewVariant
from feedback.models import Feedback
from feedback.services import inbox, metrics
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.management.demo.clock import clock_at
from promptlab.management.demo.newsroom import Newsroom
from promptlab.management.demo.people import PEOPLE, acting_as, demo_team, make_person, people_of, set_password
from promptlab.management.demo.samples import BACK, Draft, Move, Sample
from promptlab.management.demo.texts import COLLECTIONS, SAMPLES
from promptlab.management.demo.traffic import Traffic, roll_up
from prompts import resolve
from prompts.models import Collection, Prompt
from prompts.services import authoring, collecting, deploying
from prompts.services.contents import content_of
from prompts.services.environments import named

Say = Callable[[str], None]
Step = tuple[datetime, Callable[[], None]]

FIRST_DAY = 31.0
GREETING_ENDS = 12.0
SUPPORT_STARTS = 9.0
CONVERSATIONS = {"support": 270, "greeting": 46, "triage": 24}


def seed(say: Say, password: str = "") -> bool:
    """Write the demo and tell whether there was anything to write. A password, if given, is set in any case."""
    team = demo_team()
    is_new = not Prompt.objects.filter(team=team, name=SAMPLES[0].name).exists()
    if is_new:
        try:
            with transaction.atomic():
                _Seeding(team, say).run()
        finally:
            # Payloads that were made meanwhile would say what nobody else sees if this was rolled back.
            delivery.entries.clear()
    if password:
        people = set_password(team, password)
        say(f"The password of {', '.join(person.username for person in people)} is set.")
    return is_new


class _Seeding:
    """One run. Steps are collected with their moments, then taken in the order of time."""

    def __init__(self, team: Team, say: Say) -> None:
        self.team = team
        self.say = say
        self.now = timezone.now()
        self.steps: list[Step] = []

    def run(self) -> None:
        self.at(FIRST_DAY, self._people)
        self.at(FIRST_DAY - 0.1, self._collections)
        for sample in SAMPLES:
            for number, draft in enumerate(sample.drafts, 1):
                self.at(draft.days_ago, partial(self._version, sample, number, draft))
            for move in sample.moves:
                self.at(move.days_ago, partial(self._move, sample, move))
        self._experiments()
        Newsroom(self.team, self.now).steps(self.at)
        for moment, step in sorted(self.steps, key=lambda step: step[0]):
            with clock_at(moment):
                step()
        roll_up()
        analysis.analyse_all(self.now)

    def at(self, days_ago: float, step: Callable[[], None]) -> None:
        self.steps.append((self.now - timedelta(days=days_ago), step))

    def _people(self) -> None:
        for person in PEOPLE:
            account = make_person(self.team, person)
            self.say(f"person {account.username} ({person.role})")

    def _collections(self) -> None:
        for name, description in COLLECTIONS.items():
            collecting.create_collection(acting_as(self.team, "ana"), self.team.pk, name=name, description=description)
            self.say(f"collection {name}")

    def _version(self, sample: Sample, number: int, draft: Draft) -> None:
        content = content_of(
            text=draft.text, messages=draft.messages, parameters=draft.parameters, model_texts=draft.model_texts
        )
        actor = acting_as(self.team, draft.by)
        if number == 1:
            authoring.create_prompt(
                actor,
                self.team.pk,
                title=sample.title,
                content=content,
                name=sample.name,
                description=sample.description,
                collection=Collection.objects.get(team=self.team, name=sample.collection),
                tags=sample.tags,
                version_string=draft.version_string,
                message=draft.note,
            )
        else:
            prompt = resolve.prompt_named(self.team.pk, sample.name)
            authoring.create_version(actor, prompt, content, version_string=draft.version_string, message=draft.note)
        self.say(f"prompt {sample.name} v{number}")

    def _move(self, sample: Sample, move: Move) -> None:
        prompt = resolve.prompt_named(self.team.pk, sample.name)
        where = named(self.team.pk, move.environment)
        if move.to == BACK:
            deploying.rollback(acting_as(self.team, move.by), prompt, where, note=move.note)
        else:
            version = resolve.version_of(prompt, str(move.to))
            deploying.deploy(acting_as(self.team, move.by), version, where, note=move.note, confirm=True)
        self.say(f"live {sample.name} v{move.to} in {move.environment}" if move.to != BACK else f"back {sample.name}")

    def _experiments(self) -> None:
        self.at(GREETING_ENDS + 8.2, self._set_up_greeting)
        self.at(GREETING_ENDS + 8, partial(self._start, "greeting-with-name"))
        self.at(GREETING_ENDS + 0.1, partial(self._real_time, self._greeting_traffic))
        self.at(GREETING_ENDS, self._end_greeting)
        self.at(SUPPORT_STARTS + 0.2, self._set_up_support)
        self.at(SUPPORT_STARTS, partial(self._start, "short-steps"))
        self.at(0, self._support_traffic)

    def _set_up_greeting(self) -> None:
        self._set_up(
            "chat-greeting",
            key="greeting-with-name",
            title="Greeting with the name",
            hypothesis="We expect more thumbs-up when visitors are greeted by name, because it feels personal.",
            alternative=(2, "with-name", "With the name"),
        )

    def _set_up_support(self) -> None:
        self._set_up(
            "support-reply",
            key="short-steps",
            title="Short steps in support replies",
            hypothesis="We expect more thumbs-up with numbered steps, because customers skim on their phones.",
            alternative=(3, "steps-first", "Steps first"),
        )

    def _set_up(
        self, prompt_name: str, *, key: str, title: str, hypothesis: str, alternative: tuple[int, str, str]
    ) -> None:
        live = resolve.live_version(self.team.pk, prompt_name, "production")
        assert live.version is not None
        number, variant_key, name = alternative
        lifecycle.create_experiment(
            acting_as(self.team, "ana"),
            live.prompt,
            live.environment,
            title=title,
            key=key,
            hypothesis=hypothesis,
            variants=[
                NewVariant("control", live.version, 5000, "Current text"),
                NewVariant(variant_key, resolve.version_of(live.prompt, str(number)), 5000, name),
            ],
        )
        self.say(f"experiment {key}")

    def _experiment(self, key: str) -> Any:
        return Experiment.objects.get(team=self.team, key=key)

    def _start(self, key: str) -> None:
        lifecycle.start(
            acting_as(self.team, "chloe"), self._experiment(key), note="Both texts were checked", confirm=True
        )

    def _end_greeting(self) -> None:
        note = "Enough seen: visitors like their name. v2 goes live."
        lifecycle.stop(acting_as(self.team, "chloe"), self._experiment("greeting-with-name"), note=note)

    def _real_time(self, step: Callable[[], None]) -> None:
        """Traffic counts its days from today, whatever the clock shows around it."""
        with clock_at(self.now):
            step()

    def _greeting_traffic(self) -> None:
        traffic = Traffic(self.team, seed=11)
        traffic.greetings(GREETING_ENDS + 7.9, GREETING_ENDS + 0.2, CONVERSATIONS["greeting"])
        self.say(f"traffic of chat-greeting: {traffic.answers} answers, {traffic.ratings} ratings")

    def _support_traffic(self) -> None:
        metrics.declare_metric(SYSTEM, self.team.pk, key="solved", kind="boolean", title="Solved the problem")
        traffic = Traffic(self.team, metric="solved")
        traffic.triage(8, CONVERSATIONS["triage"])
        traffic.support(SUPPORT_STARTS - 0.1, CONVERSATIONS["support"])
        self.say(f"traffic of support-reply and ticket-triage: {traffic.answers} answers, {traffic.ratings} ratings")
        self._look_after_comments()

    def _look_after_comments(self) -> None:
        """Ana took the newest complaint, and said what it is about."""
        complaints = Feedback.objects.filter(team=self.team, value=-1).exclude(comment="").order_by("-pk")
        for complaint, labels in zip(complaints[:2], (["too long"], ["wrong facts"]), strict=False):
            inbox.label(acting_as(self.team, "ana"), complaint, labels)
        if complaints:
            inbox.assign(acting_as(self.team, "chloe"), complaints[0], people_of(self.team)["ana"])
            inbox.add_note(acting_as(self.team, "ana"), complaints[0], "The third this week. v3 is shorter.")
