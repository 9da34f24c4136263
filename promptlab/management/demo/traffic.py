"""The demo's traffic: conversations, answers and ratings, through the same services that applications use.

No model is called: the answers are written here, and cost what the model they are said to come from would have cost.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.utils import timezone

from experiments import delivery
from feedback.services.batch import roll_up_feedback
from feedback.services.ingest import NewRating, accept
from promptlab import llm
from promptlab.accounts.access import Principal
from promptlab.accounts.models import Team
from promptlab.chat.services.ending import Outcome, finish_turn, priced
from promptlab.chat.services.metering import roll_up_messages
from promptlab.chat.services.turn import TurnInput, TurnPlan, prepare_turn
from promptlab.management.demo import talk
from promptlab.management.demo.clock import clock_at
from promptlab.management.demo.people import shop

MODEL = "gpt-4.1-mini"
UNPRICED_MODEL = "support-bot-preview"
"""A model of one's own that no price table knows: its costs are unknown, not 0."""
CUSTOMERS = 140
FAILING = 0.02
RATED = 108
"""Ratings per text of the running experiment: enough to compare."""
APPROVAL = {"control": 0.66, "steps-first": 0.81, "with-name": 0.75, "live": 0.92, "new": 0.4}


@dataclass(frozen=True, slots=True)
class Said:
    """An answer that came, to be rated later."""

    plan: TurnPlan
    at: datetime
    variant: str


class Traffic:
    """One run of the traffic. The same seed says the same things; who is served which text is not in our hand.

    `metric`: of yes and no, in which a third of those who rate answer, too.
    """

    def __init__(self, team: Team, seed: int = 7, metric: str = "") -> None:
        self.actor: Principal = shop(team)
        self.metric = metric
        self.chance = random.Random(seed)
        self.ratings = 0
        self.answers = 0

    def support(self, days: float, conversations: int) -> None:
        """Customers ask, over the last days until now; a fifth of them ask again."""
        delivery.entries.clear()
        said: list[Said] = []
        for moment in self._moments(days, 0.05, conversations):
            number = self.chance.randrange(CUSTOMERS)
            question = self.chance.choice(talk.QUESTIONS)
            said += self._support_talk(moment, number, question)
        self._rate(said, RATED)

    def _support_talk(self, at: datetime, number: int, question: talk.Question) -> list[Said]:
        first = self._support_turn(at, number, question, question.text, "")
        said = [first] if first else []
        if first and self.chance.random() < 0.2:
            later = at + timedelta(minutes=self.chance.randint(1, 9))
            again = self._support_turn(later, number, question, question.follow_up, str(first.plan.conversation_uid))
            said += [again] if again else []
        return said

    def _support_turn(
        self, at: datetime, number: int, question: talk.Question, text: str, conversation_id: str
    ) -> Said | None:
        name = talk.NAMES[number % len(talk.NAMES)]
        turn = TurnInput(
            message=text,
            prompt="support-reply",
            variables={"company": talk.COMPANY, "customer_name": name, "question": text},
            environment="production",
            conversation_id=conversation_id,
            unit_id=f"customer-{1000 + number}",
            model=UNPRICED_MODEL if self.chance.random() < 0.04 else MODEL,
        )

        def answer(variant: str) -> str:
            body = question.steps if variant == "steps-first" else question.warm
            greeting = f"Hello {name}," if variant == "steps-first" else f"Hello {name}, thank you for writing."
            return f"{greeting}\n\n{body}\n\nYour {talk.COMPANY} team"

        return self._turn(at, turn, answer)

    def greetings(self, days_from: float, days_to: float, conversations: int) -> None:
        """Visitors open the chat, while the experiment on the greeting runs."""
        delivery.entries.clear()
        said = []
        for moment in self._moments(days_from, days_to, conversations):
            number = self.chance.randrange(CUSTOMERS)
            name = talk.NAMES[number % len(talk.NAMES)]
            turn = TurnInput(
                message=self.chance.choice(talk.OPENERS),
                prompt="chat-greeting",
                variables={"company": talk.COMPANY, "first_name": name},
                environment="production",
                unit_id=f"visitor-{1000 + number}",
                model=MODEL,
            )
            said.append(self._turn(moment, turn, partial(_greeting, name)))
        self._rate([one for one in said if one], 16)

    def blurbs(self, days_from: float, days_to: float, products: int = 30) -> None:
        """Editors of the shop have texts for products written, and rate each, while a new text is launched by steps."""
        delivery.entries.clear()
        said = []
        for moment in self._moments(days_from, days_to, products):
            product = self.chance.choice(tuple(talk.PRODUCTS))
            turn = TurnInput(
                message="Write it.",
                prompt="product-blurb",
                variables={"product": product, "audience": "hikers", "facts": "none given"},
                environment="production",
                unit_id=f"product-{self.chance.randrange(100_000)}",
                model=MODEL,
            )
            said.append(self._turn(moment, turn, partial(_blurb, product)))
        self._rate([one for one in said if one], products)

    def triage(self, days: float, tickets: int) -> None:
        """Tickets are sorted; nobody rates that."""
        delivery.entries.clear()
        for moment in self._moments(days, 0.1, tickets):
            ticket, topic = self.chance.choice(talk.TICKETS)
            turn = TurnInput(
                message="Sort this ticket.",
                prompt="ticket-triage",
                variables={"ticket": ticket},
                environment="production",
                model=MODEL,
            )
            self._turn(moment, turn, partial(_topic, topic))

    def _moments(self, days_from: float, days_to: float, count: int) -> list[datetime]:
        """Return moments between so many days ago and so many days ago, oldest first."""
        now = timezone.now()
        return sorted(now - timedelta(days=self.chance.uniform(days_to, days_from)) for _ in range(count))

    def _turn(self, at: datetime, turn: TurnInput, answer: Callable[[str], str]) -> Said | None:
        with clock_at(at):
            plan = prepare_turn(self.actor, turn)
        variant = plan.variant or ""
        text = answer(variant)
        outcome, took_ms = self._outcome(plan, text, at)
        ended = at + timedelta(milliseconds=took_ms)
        with clock_at(ended):
            finish_turn(plan.answer, priced(plan.answer, outcome))
        self.answers += 1
        return Said(plan, ended, variant) if outcome.completion else None

    def _outcome(self, plan: TurnPlan, text: str, at: datetime) -> tuple[Outcome, int]:
        luck = self.chance.random()
        if luck < FAILING:
            return Outcome.of(None, llm.ProviderTimeout(), "", None), 20_000
        first_ms = self.chance.randint(240, 900)
        if luck < FAILING + 0.01:
            return Outcome.of(None, None, text[: len(text) // 2], first_ms), first_ms + 400
        usage = llm.Usage(sum(len(one.content) for one in plan.request.messages) // 4, len(text) // 4)
        took_ms = first_ms + usage.output_tokens * self.chance.randint(9, 16)
        completion = llm.Completion(
            text=text,
            model=plan.request.model,
            provider="openai",
            usage=usage,
            cost_usd=llm.price(plan.request.model, usage, at),
            finish_reason=llm.FinishReason.STOP,
            latency_ms=took_ms,
            first_token_ms=first_ms,
        )
        return Outcome.of(completion, None, text, first_ms), took_ms

    def _rate(self, said: list[Said], per_variant: int) -> None:
        """Have some answers of each text rated, a few minutes after they came, in the order of time."""
        by_variant: dict[str, list[Said]] = defaultdict(list)
        for one in said:
            by_variant[one.variant].append(one)
        chosen = [
            one for of_one in by_variant.values() for one in self.chance.sample(of_one, min(per_variant, len(of_one)))
        ]
        for one in sorted(chosen, key=lambda one: one.at):
            self._rate_one(one)

    def _rate_one(self, one: Said) -> None:
        likes = self.chance.random() < APPROVAL.get(one.variant, 0.7)
        comment = self.chance.choice(talk.LIKED if likes else talk.DISLIKED) if self.chance.random() < 0.3 else ""
        rating = NewRating(
            message_id=str(one.plan.answer.uid),
            value=1 if likes else -1,
            comment=comment,
            key=f"demo-{one.plan.answer.uid}",
        )
        later = min(one.at + timedelta(minutes=self.chance.uniform(0.5, 30)), timezone.now())
        with clock_at(later):
            accept(self.actor, rating)
            if self.metric and self.ratings % 3 == 0:
                accept(self.actor, NewRating(rating.message_id, likes, metric=self.metric))
        self.ratings += 1


def roll_up() -> None:
    """Add all of it to the sums that pages read; what workers otherwise do every second."""
    roll_up_messages()
    roll_up_feedback()


def _topic(topic: str, _variant: str) -> str:
    return topic


def _greeting(name: str, variant: str) -> str:
    return talk.GREETINGS[2 if variant == "with-name" else 1].format(name=name)


def _blurb(product: str, variant: str) -> str:
    return talk.PRODUCTS[product][variant == "new"]
