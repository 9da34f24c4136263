"""How many statements each GET costs: exactly what `query_budgets.json` says, however many rows there are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from feedback.models import AnnotationItem, Feedback
from feedback.services import annotating, inbox, judging, replaying
from feedback.services.ingest import NewRating, accept
from feedback.services.judging import JudgePlan
from feedback.services.metrics import declare_metric
from feedback.services.replaying import ReplayPlan
from promptlab.accounts.access import SYSTEM, Role
from promptlab.accounts.auth import principal_of_user
from promptlab.accounts.models import Team
from promptlab.chat.models import Message
from promptlab.chat.services.budgeting import set_budget
from promptlab.chat.services.external import receipt_of
from promptlab.hooks.models import Endpoint
from promptlab.hooks.services import endpoints
from promptlab.lib.asgi import HotRoutes
from promptlab.llm.models import Provider
from promptlab.llm.services import price_list
from prompts.checks.cases import Case
from prompts.models import Environment, GoldenRun, Prompt, Suggestion, Suite, SuiteResult, SuiteRun, Version
from prompts.porting import formats
from prompts.services import collecting, commenting, favouring, fields, porting, reviewing, scheduling, suites, usage
from prompts.services.collecting import Place
from prompts.services.environments import Rules, change_environment, create_environment, freeze, named
from prompts.services.searching import SearchWanted, request_search
from tests.support.api import Api
from tests.support.asgi import call
from tests.support.make import (
    make_delivery,
    make_experiment,
    make_key,
    make_live,
    make_message,
    make_model,
    make_prompt,
    make_provider,
    make_user,
    make_version,
    newest,
)
from tests.support.ramps import make_ramp
from tests.support.suggestions import make_proposal
from tests.support.suites import make_run, make_suite

BUDGETS: dict[str, int] = json.loads((Path(__file__).parent / "query_budgets.json").read_text())
HOT = ("/bundle", "/prompts/greeting/deployed")
"""Answered before Django, from memory."""
_numbers = count(1)


@dataclass
class Library:
    """A team whose rows can be doubled, and the rows that addresses name."""

    team: Team
    api: Api
    prompt: Prompt
    ids: dict[str, Any]

    def grow(self) -> None:
        """Add as many rows again, of every kind that a list shows, each with all that a row shows of itself."""
        collection = collecting.create_collection(SYSTEM, self.team.pk, name=f"Collection {next(_numbers)}")
        for _ in range(3):
            writer = make_user("", self.team, Role.WRITER)
            tags = [f"tag-{next(_numbers)}", "common"]
            prompt = make_prompt(self.team, collection=collection, tags=tags, metadata={"size": next(_numbers)})
            collection = collecting.create_collection(
                SYSTEM, self.team.pk, name=f"Inside {next(_numbers)}", place=Place(parent=collection, has_parent=True)
            )
            favouring.rate(principal_of_user(writer), prompt, 4)
            favouring.rate(principal_of_user(writer), self.prompt, 4)
            usage.count(fetches={(prompt.pk, timezone.now().date()): 3})
            Prompt.objects.filter(pk=prompt.pk).update(owner=writer)
            for environment in ("development", "staging"):
                make_live(make_version(prompt), environment)
            experiment = make_experiment(prompt, running=True)
            variant = experiment.variants.get(is_control=False)
            answer = make_message(variant.version, experiment.environment, variant=variant, unit_id="user-1")
            self._rate(answer)
            self._care_for(answer)
            self._say(self.ids["conversation"])
            make_version(self.prompt)
            self._talk()
            make_key(self.team)
            make_ramp(self.team, f"Launch {next(_numbers)}")
            set_budget(SYSTEM, self.team, of=make_key(self.team)[0], period="day", limit_usd=Decimal(1))
            set_budget(SYSTEM, self.team, of=prompt, period="day", limit_usd=Decimal(1))
            set_budget(SYSTEM, self.team, of=experiment, period="day", limit_usd=Decimal(1))
            self._answer()
            endpoints.send_test(SYSTEM, make_delivery(self.team).endpoint)
            endpoints.send_test(SYSTEM, Endpoint.objects.get(pk=self.ids["webhook"]))
            self._test()
            self._replay()
            self._bring_in(3)

    def _care_for(self, answer: Message) -> None:
        """Have the answer commented, looked after, drawn for annotators and judged."""
        rating = _commented(answer)
        inbox.assign(SYSTEM, rating, make_user("", self.team, Role.WRITER))
        inbox.label(SYSTEM, rating, ["one", "other"])
        about = Feedback.objects.get(uid=self.ids["said"])
        inbox.add_note(SYSTEM, about, "Called.")
        inbox.save_as_case(SYSTEM, about, name=f"Comment {next(_numbers)}")
        assert answer.version is not None
        annotating.start_round(SYSTEM, answer.version.prompt, title="November")
        AnnotationItem.objects.create(round_id=self.ids["round"], message=answer)
        judging.set_judge(SYSTEM, answer.version.prompt, _judged(self.team))

    def _test(self) -> None:
        """Add a suite, a case and a run with another answer, and have an environment ask for it."""
        suite = make_suite(self.team, {}, name=f"suite-{next(_numbers)}")
        basics = Suite.objects.get(team=self.team, name="basics")
        case = suites.add_case(SYSTEM, basics, Case(f"case {next(_numbers)}", {"name": "x"}))
        make_run(suite, newest(self.prompt), "echo")
        make_proposal(newest(self.prompt), model="echo")
        Suggestion.objects.create(run_id=self.ids["improvement"], place=next(_numbers), model="echo", text="x")
        run = SuiteRun.objects.get(pk=self.ids["run"])
        SuiteResult.objects.create(run=run, place=case.pk, case_name=case.name, model="echo", state="passed")
        names = Environment.objects.get(team=self.team, name="preview-acme").suite_names
        where = change_environment(SYSTEM, named(self.team.pk, "preview-acme"), Rules(suites=[*names, suite.name]))
        GoldenRun.objects.create(
            environment=where, suite=suite, version=newest(self.prompt), night=timezone.now().date()
        )

    def _replay(self) -> int:
        """Rate answers, replay them, and return the replay's id."""
        version = newest(make_prompt(self.team))
        for _ in range(2):
            self._rate(make_message(version, variables={"name": "x"}))
        suite = make_suite(self.team, {}, {}, {}, {}, name=f"suite-{next(_numbers)}")
        search = request_search(SYSTEM, SearchWanted(version, suite))
        Suggestion.objects.create(run=search, facts={"score": 1.0, "passed": 1, "of": 1}, saved_version=version)
        self.ids.setdefault("search", search.pk)
        return replaying.request_replay(SYSTEM, version, ReplayPlan()).pk

    def _bring_in(self, count: int) -> int:
        """Import so many prompts; return the import's id."""
        names = [f"import-{next(_numbers)}" for _ in range(count)]
        text = json.dumps({"promptlab": 1, "prompts": [{"name": one, "versions": [{"text": one}]} for one in names]})
        return porting.run_import(SYSTEM, formats.read(text.encode()), self.team.pk).import_id or 0

    def _talk(self) -> int:
        """Say and plan something; return the plan's id."""
        newest = Version.objects.select_related("prompt").filter(prompt=self.prompt).order_by("-number")[0]
        reviewing.submit_for_review(SYSTEM, newest)
        for user in (make_user("", self.team, Role.WRITER), make_user("", self.team, Role.WRITER)):
            comment = commenting.add_comment(SYSTEM, self.prompt, f"Why, @{user.username}?", version=newest, line=1)
            commenting.resolve_comment(principal_of_user(user), comment)
        where, now = named(self.team.pk, "preview-acme"), timezone.now()
        freeze(SYSTEM, where, starts_at=now, ends_at=now + timedelta(days=1), reason="Holidays")
        return scheduling.schedule(SYSTEM, newest, where, now + timedelta(days=1)).pk

    def _answer(self) -> None:
        """Add a provider, a model of it, and a price and a model of the one that is there."""
        make_model(make_provider(self.team, kind="echo"))
        provider = Provider.objects.get(pk=self.ids["provider"])
        other = make_model(provider)
        make_model(provider, fallbacks=[other.name])
        price_list.set_price(SYSTEM, provider, model=other.name, token="input", usd_per_million=Decimal(1))

    def _say(self, conversation_id: int) -> Message:
        said = {"role": "user", "state": "completed", "content": "Q", "conversation_id": conversation_id}
        question = Message.objects.create(**said)
        Message.objects.filter(pk=question.pk).update(ended_at=question.created_at)
        answer: Message = Message.objects.create(
            **{**said, "role": "assistant", "content": "A"}, version=self.prompt.newest, variables={"name": "x"}
        )
        Message.objects.filter(pk=answer.pk).update(ended_at=answer.created_at)
        return answer

    def _rate(self, answer: Message) -> None:
        sent = self.api.post("/feedback", {"message_id": str(answer.uid), "rating": 1})
        assert sent.status_code == 202, sent.content


def _commented(answer: Message) -> Feedback:
    """Return what somebody said of it in words."""
    said = accept(SYSTEM, NewRating(str(answer.uid), -1, comment="Too long.", user="reader"))
    return Feedback.objects.select_related("message__version__prompt").get(uid=said.feedback_id)


def _judged(team: Team) -> JudgePlan:
    return JudgePlan(make_prompt(team, "Rate {{answer}}."), 0.5, Decimal(1))


@pytest.fixture
def library(db: None, application: HotRoutes, monkeypatch: pytest.MonkeyPatch) -> Library:
    from promptlab.accounts import auth
    from tests.support.make import make_team

    monkeypatch.setattr(auth, "CACHE_S", 3600)  # or a slow machine asks for the key again, now and then

    team = make_team()
    api = Api(make_key(team)[1])
    prompt = make_prompt(team, title="Greeting", tags=["one"])
    second = make_version(prompt)
    experiment = make_experiment(prompt, running=True, title="Shorter")
    move = api.get("/deployments").json()["results"][0]["id"]
    conversation = make_message(prompt.newest).conversation
    ids = {"conversation": conversation.pk, "conversation_uid": conversation.uid, "move": move}
    ids["metric"] = declare_metric(SYSTEM, team.pk, key="accuracy", kind="score").pk
    ids["said"] = _commented(make_message(prompt.newest)).uid
    ids["round"] = annotating.start_round(SYSTEM, prompt, title="November").pk
    ids["judge"] = judging.set_judge(SYSTEM, prompt, _judged(team)).pk
    ids["tag"] = prompt.tags.get().pk
    ids["field"] = fields.create_field(SYSTEM, team.pk, key="size", type="number").pk
    shared = Place(visibility="everyone")
    make_prompt(team, collection=collecting.create_collection(SYSTEM, team.pk, name="Shared", place=shared))
    ids["collection"] = collecting.create_collection(SYSTEM, team.pk, name="Emails").pk
    found = Library(team, api, prompt, ids)
    ids["webhook"] = make_delivery(team).endpoint_id
    ids["ramp"] = make_ramp(team, "Farewell").pk
    provider = make_provider(team)
    ids["provider"] = provider.pk
    ids["budget"] = set_budget(SYSTEM, team, period="month", limit_usd=Decimal(1)).pk
    ids["model"] = make_model(provider, fallbacks=[make_model(provider).name]).pk
    create_environment(SYSTEM, team.pk, name="preview-acme")
    ids["schedule"] = found._talk()
    ids["import"] = found._bring_in(1)
    ids["message"] = found._say(conversation.pk).uid
    answered = found._say(make_message(prompt.newest).conversation_id)
    answered.environment, answered.revision = experiment.environment, 2
    ids["receipt"] = receipt_of(answered, team.pk)
    suite = make_suite(team)
    ids["case"], ids["run"] = suite.cases.get().pk, make_run(suite, newest(prompt), "echo").pk
    ids["improvement"] = make_proposal(newest(prompt), model="echo").run_id
    change_environment(SYSTEM, named(team.pk, "preview-acme"), Rules(suites=[suite.name]))
    ids["replay"] = found._replay()
    assert (second.number, experiment.key) == (2, "shorter")
    found.grow()
    api.get("/environments")
    return found


def spent_on(library: Library, statements: list[str]) -> dict[str, list[str]]:
    """Return the statements of each GET."""
    spent = {}
    for path in BUDGETS:
        if path in HOT:
            continue
        statements.clear()
        answer = library.api.get("/api/v1" + path.format(**library.ids))
        assert answer.status_code == 200, answer.content
        spent[path] = list(statements)
    return spent


def test_a_get_costs_what_it_always_did_however_many_rows_there_are(library: Library, statements: list[str]) -> None:
    few = spent_on(library, statements)
    library.grow()
    many = spent_on(library, statements)
    for path, asked in few.items():
        shown = "\n".join(many[path])
        assert len(asked) == len(many[path]), f"{path} costs more with more rows: {shown}"
        assert len(asked) == BUDGETS[path], (
            f"{path}: write {len(asked)} into query_budgets.json if it is meant.\n{shown}"
        )


@pytest.mark.django_db(transaction=True)
def test_fetching_what_is_live_costs_nothing(application: HotRoutes, statements: list[str], settings: Any) -> None:
    from tests.support.make import make_team

    settings.REVISION_CHECK_S = 3600
    team = make_team()
    prompt = make_prompt(team, title="Greeting")
    make_live(prompt.newest)  # type: ignore[arg-type]
    key = make_key(team)[1]
    for path in HOT:
        call(application, "GET", path, key=key)
        statements.clear()
        assert call(application, "GET", path, key=key).status == 200
        assert len(statements) == BUDGETS[path] == 0


def test_every_get_of_the_api_has_a_budget() -> None:
    from tests.accounts.test_every_route import CALLS

    def shape(path: str) -> str:
        return path.partition("?")[0].replace("{conversation}", "{conversation_uid}").replace("{prompt}", "greeting")

    asked = {shape(one.path) for one in CALLS if one.method == "GET" and one.needs != "a person"}
    assert asked <= {path.partition("?")[0] for path in BUDGETS}
