"""What the demo's people do around their prompts: launch step by step, review, discuss, plan, give stars, set limits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from experiments.models import Ramp, Stage
from experiments.services import ramping
from experiments.services.ramp_stages import DEFAULT_STAGES
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.chat.services.budgeting import set_budget
from promptlab.management.demo.clock import clock_at
from promptlab.management.demo.people import acting_as
from promptlab.management.demo.talk import COMPANY
from promptlab.management.demo.traffic import Traffic, roll_up
from prompts import resolve
from prompts.checks.cases import Case, Check
from prompts.checks.kinds import checked
from prompts.models import Prompt
from prompts.services import (
    authoring,
    commenting,
    environments,
    favouring,
    fields,
    reviewing,
    scheduling,
    suite_runs,
    suites,
)
from prompts.services.authoring import PromptChanges
from prompts.services.suite_runs import Wanted

At = Callable[[float, Callable[[], None]], None]

HALF = (Stage(5000, 3600, 86_400),)
"""Half of all units at once: enough for a small shop to see a bad text the same day."""
BLURB_STARTS = 3.2
BLURB_LOOKS = (3.15, 3.1, 3.05, 3.0)
SUMMARY_STARTS = 0.2


class Newsroom:
    """The steps, each to be taken when the clock shows its moment. `now` is the moment the demo is written."""

    def __init__(self, team: Team, now: datetime) -> None:
        self.team = team
        self.now = now

    def steps(self, at: At) -> None:
        """Hand every step over with the number of days ago it was taken."""
        at(20, self._limit_of_triage)
        at(18.3, self._fields)
        at(13.5, self._talk_about_the_short_text)
        at(6.6, self._review_of_the_apology)
        at(4.4, self._stars)
        at(BLURB_STARTS, partial(self._launch, "product-blurb", 3, HALF, "Numbers only if they are given"))
        for begin, end in zip((BLURB_STARTS, *BLURB_LOOKS), BLURB_LOOKS, strict=False):
            at(end, partial(self._blurbs, begin, end))
        at(1.6, self._suite)
        at(1.5, self._ask_for_a_review)
        at(1.2, self._plan)
        at(0, self._limit_of_the_team)
        at(SUMMARY_STARTS, partial(self._launch, "contract-summary", 3, DEFAULT_STAGES, "One percent first"))

    def _prompt(self, name: str) -> Prompt:
        return resolve.prompt_named(self.team.pk, name)

    def _fields(self) -> None:
        fields.create_field(
            SYSTEM,
            self.team.pk,
            key="channel",
            title="Channel",
            type="choice",
            choices=["mail", "chat", "shop", "none"],
        )
        fields.create_field(SYSTEM, self.team.pk, key="checked-on", title="Last checked by Legal", type="date")
        channels = {"support-reply": "mail", "chat-greeting": "chat", "product-blurb": "shop", "ticket-triage": "none"}
        for name, channel in channels.items():
            authoring.update_prompt(SYSTEM, self._prompt(name), PromptChanges(metadata={"channel": channel}))

    def _limit_of_triage(self) -> None:
        prompt = self._prompt("ticket-triage")
        set_budget(SYSTEM, self.team, period="month", limit_usd=Decimal(5), of=prompt)

    def _limit_of_the_team(self) -> None:
        """Set when all was said: the answers of the model without a price would each be warned of."""
        set_budget(SYSTEM, self.team, period="month", limit_usd=Decimal(50), takes_unpriced=True)

    def _talk_about_the_short_text(self) -> None:
        prompt = self._prompt("support-reply")
        version = resolve.version_of(prompt, "3")
        asked = commenting.add_comment(
            acting_as(self.team, "chloe"), prompt, "Is this too short for complaints?", version=version, line=1
        )
        answer = "For complaints we have a prompt of their own. Let us try both on real customers and see."
        commenting.reply(acting_as(self.team, "ana"), asked, answer)
        commenting.resolve_comment(acting_as(self.team, "chloe"), asked)

    def _review_of_the_apology(self) -> None:
        version = resolve.version_of(self._prompt("complaint-apology"), "2")
        reviewing.submit_for_review(acting_as(self.team, "ana"), version, note="Legal asked for a next step")
        reviewing.approve(acting_as(self.team, "ben"), version, comment="Clear, and it promises nothing.")

    def _stars(self) -> None:
        for name, who, stars, note in (
            ("support-reply", "ben", 5, "Saves us an hour a day"),
            ("support-reply", "chloe", 4, ""),
            ("ticket-triage", "chloe", 3, "Mixes up returns and exchanges"),
        ):
            favouring.rate(acting_as(self.team, who), self._prompt(name), stars, note=note)
        favouring.add_favourite(acting_as(self.team, "ana"), self._prompt("support-reply"))

    def _launch(self, name: str, number: int, stages: tuple[Stage, ...], note: str) -> None:
        version = resolve.version_of(self._prompt(name), str(number))
        where = environments.named(self.team.pk, "production")
        ramping.start_ramp(acting_as(self.team, "chloe"), version, where, stages=stages, note=note, confirm=True)

    def _blurbs(self, begin: float, end: float) -> None:
        """Some hours of traffic, and a look at it: what workers do every few minutes."""
        ramp = Ramp.objects.open().filter(experiment__prompt__name="product-blurb", experiment__team=self.team).first()
        if ramp is None:
            return
        with clock_at(self.now):
            Traffic(self.team, seed=int(end * 100)).blurbs(begin, end)
        roll_up()
        ramping.tick(ramp.pk)

    def _suite(self) -> None:
        """A suite of three cases, and a run of the newest text that a worker carries out once there is one."""
        prompt = self._prompt("support-reply")
        actor = acting_as(self.team, "ana")
        suite = suites.create_suite(
            actor,
            self.team.pk,
            name="support-basics",
            prompt=prompt,
            description="What every answer to a customer keeps to",
            checks=[_check("not_contains", values=["guarantee", "refund is certain"])],
        )
        for name, question, word in (
            ("late-parcel", "Where is my parcel?", "parcel"),
            ("wrong-size", "I need size L.", "size"),
            ("code", "My discount code does not work.", "code"),
        ):
            blanks = {"company": COMPANY, "customer_name": "Lena", "question": question}
            suites.add_case(actor, suite, Case(name, blanks, checks=(_check("contains", values=[word]),)))
        suite.refresh_from_db()
        suite_runs.request_run(actor, suite, Wanted(resolve.version_of(prompt, "4")))

    def _ask_for_a_review(self) -> None:
        prompt = self._prompt("support-reply")
        version = resolve.version_of(prompt, "4")
        reviewing.submit_for_review(acting_as(self.team, "ana"), version, note="Please look at the last sentence")
        commenting.add_comment(
            acting_as(self.team, "ana"),
            prompt,
            "@ben is a colleague always there within one working day?",
            version=version,
            line=2,
        )

    def _plan(self) -> None:
        """The next step of two texts: in three days, and none in the last week of the year."""
        version = resolve.version_of(self._prompt("ticket-triage"), "3")
        production = environments.named(self.team.pk, "production")
        scheduling.schedule(
            acting_as(self.team, "chloe"),
            version,
            production,
            (self.now + timedelta(days=3)).replace(minute=0, second=0, microsecond=0),
            note="After the weekly meeting",
            confirm=True,
        )
        first = self.now + timedelta(days=60)
        environments.freeze(
            SYSTEM,
            production,
            starts_at=first,
            ends_at=first + timedelta(days=4),
            reason="Stocktaking: nothing changes",
        )


def _check(kind: str, **options: Any) -> Check:
    return Check(kind, checked(kind, options))
