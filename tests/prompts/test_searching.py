"""A prompt that evolves against a suite: it finds what is planted, within its budget, and never sees what is held out."""

from __future__ import annotations

import random
import re
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from feedback.services.ingest import NewRating, accept
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.lib.errors import DomainError, Invalid
from promptlab.llm.types import CompletionRequest
from prompts.models import OptimiserCall, OptimiserRun, Suite, Version
from prompts.services import optimiser_desk, optimiser_work
from prompts.services.searching import SearchWanted, request_search
from prompts.services.suggesting import accept_suggestion
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_message, make_prompt, newest
from tests.support.suggestions import answered
from tests.support.suites import MODEL, answering, make_suite

pytestmark = pytest.mark.django_db
FACTS = {"refund": "14 days", "shipping": "3.90 euros", "hours": "9 to 17"}
START = "You answer {{name}}."


class Planted:
    """A model that knows of each question only what the prompt says, and proposes what failing checks name: one fact at a
    time, and often rubbish, other placeholders, or a text that forgets what was there."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.told: list[str] = []

    def __call__(self, request: CompletionRequest) -> str:
        if request.purpose == "optimise":
            return self.propose(request)
        asked = str(request.messages[-1].content)
        kind = next(kind for kind in FACTS if kind in asked)
        return f"It is {FACTS[kind]}." if FACTS[kind] in str(request.messages[0].content) else "I do not know."

    def propose(self, request: CompletionRequest) -> str:
        frame, shown = (str(one.content) for one in request.messages[:2])
        self.told.append(frame)
        (text,) = re.findall(r'<part number="1">\n(.*?)\n</part>', shown, re.DOTALL)
        missing = sorted(set(re.findall(r"Missing: ([^.]+(?:\.\d+)?[^.]*)\.", frame)))
        throw = self.dice.random()
        if throw < 0.15 or not missing:
            return answered(f"{text} Be kind.")
        if throw < 0.25:
            return "I would rather not."
        if throw < 0.35:
            return answered(text.replace("{{name}}", "them"))
        if throw < 0.5:
            return answered(f"{START} Know this: {self.dice.choice(missing)}.")
        return answered(f"{text} Know this: {self.dice.choice(missing)}.")


def make_planted(team: Team, name: str = "planted") -> tuple[Suite, Version]:
    """Return a suite of 15 questions of three kinds, and a prompt that knows nothing."""
    cases: list[dict[str, Any]] = [
        {
            "variables": {"name": f"Fay {n}"},
            "messages": [{"role": "user", "content": f"{kind} question {n}?"}],
            "checks": [{"kind": "contains", "options": {"values": [fact]}}],
        }
        for n in range(5)
        for kind, fact in FACTS.items()
    ]
    return make_suite(team, *cases, checks=[], name=name), newest(make_prompt(team, START, model=MODEL))


def searched(suite: Suite, version: Version, model: Planted, **told: Any) -> OptimiserRun:
    wanted = SearchWanted(version, suite, **{"max_calls": 200, **told})
    run = request_search(SYSTEM, wanted)
    with answering(model):
        optimiser_work.work_on(run.pk)
    run.refresh_from_db()
    return run


def test_three_planted_facts_are_found_by_at_least_nine_seeds_of_ten(team: Team) -> None:
    suite, version = make_planted(team)
    found, calls = 0, []
    for seed in range(10):
        run = searched(suite, version, Planted(seed), seed=seed)
        assert run.state == "finished" and run.calls <= run.max_calls, run.reason
        best = run.suggestions.first()
        found += best is not None and all(fact in best.text for fact in FACTS.values())
        calls.append(run.calls)
        if best is not None and run.found["ended"] == "perfect":
            assert best.facts["held_out_passed"] == best.facts["held_out_of"] == 5
    assert found >= 9, (found, calls)


def test_what_is_held_out_is_asked_at_the_end_and_told_to_nobody(team: Team) -> None:
    suite, version = make_planted(team)
    model = Planted(1)
    run = request_search(SYSTEM, SearchWanted(version, suite, max_calls=200))
    with answering(model) as rules:
        optimiser_work.work_on(run.pk)
    run.refresh_from_db()
    held = [case["messages"][0]["content"] for case in run.plan["held_out"]]
    assert len(held) == 5 and not set(held) & {case["messages"][0]["content"] for case in run.plan["search"]}
    assert not any(question in told for told in model.told for question in held)
    asked = [(one.purpose, str(one.messages[-1].content)) for one in rules.asked]
    first = min(place for place, (_, said) in enumerate(asked) if said in held)
    assert all(said in held for _, said in asked[first:]), "After that nothing is searched any more."
    start, winner = run.found["start"], run.found["winner"]
    assert (start["held_out_passed"], winner["held_out_passed"], winner["held_out_of"]) == (0, 5, 5)
    assert winner["low"] < 1 and winner["passed"] == winner["of"] == 10


def test_what_is_found_waits_and_is_saved_by_a_person(team: Team) -> None:
    suite, version = make_planted(team)
    run = searched(suite, version, Planted(2))
    best = run.suggestions.get(place=1)
    assert best.state == "proposed" and version.prompt.versions.count() == 1
    saved = accept_suggestion(SYSTEM, best)
    assert all(fact in saved.text for fact in FACTS.values()) and "search" in saved.message


def test_a_search_that_is_handed_on_goes_the_same_way_and_asks_nothing_twice(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, version = make_planted(team)
    whole = searched(suite, version, Planted(3), seed=3)
    monkeypatch.setattr(optimiser_desk, "SLICE_S", 0.3)
    model = Planted(3)
    run = request_search(SYSTEM, SearchWanted(version, suite, max_calls=200, seed=3))
    slices = 0
    with answering(model):
        while OptimiserRun.objects.open().filter(pk=run.pk).exists():
            optimiser_work.work_on(run.pk)
            slices += 1
            assert slices < 200
    run.refresh_from_db()
    assert (run.state, run.calls, run.found) == ("finished", whole.calls, whole.found)
    keys = list(OptimiserCall.objects.filter(run=run).values_list("key", flat=True))
    assert len(keys) == len(set(keys)) == run.calls


@pytest.mark.parametrize("calls", [22, 40, 70])
def test_the_end_is_paid_for_before_the_search(team: Team, calls: int) -> None:
    suite, version = make_planted(team)
    run = searched(suite, version, Planted(4), max_calls=calls)
    assert run.state == "finished" and run.calls <= calls
    assert run.found["start"]["held_out_of"] == run.found["winner"]["held_out_of"] == 5


def test_money_bounds_it_too(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    suite, version = make_planted(team)
    for module in ("optimiser_desk", "scoring", "searching"):
        monkeypatch.setattr(f"prompts.services.{module}.worst_case", lambda request, team_id: 10_000_000)
    run = searched(suite, version, Planted(5), budget_usd=Decimal("0.5"))
    assert run.state == "finished" and run.spent_usd <= Decimal("0.5") and run.calls <= 50
    assert run.found["ended"] == "budget" and run.found["winner"]["held_out_of"] == 5


def test_what_people_said_is_told_to_the_model_that_proposes(team: Team) -> None:
    suite, version = make_planted(team)
    model = Planted(6)
    searched(suite, version, model, comments=["Far too cold."])
    assert all("- Far too cold." in told for told in model.told)


def test_over_rest_and_in_the_browser(cast: Cast) -> None:
    suite, version = make_planted(cast.team)
    api = Api(cast.key)
    rate = {"content": "An answer.", "unit_id": "customer-7", "variables": {"name": "x"}}
    accept(SYSTEM, NewRating(str(make_message(version, **rate).uid), -1, comment="customer-7 says: too cold, a@b.io"))
    body = {"prompt": version.prompt.name, "suite": suite.name, "max_calls": 200, "budget_usd": "1", "seed": 2}
    assert api.post("/searches/estimate", body).json() == {"calls": 200, "most_usd": "1.000000000"}
    made = api.post("/searches", body)
    assert made.status_code == 201 and made.json()["state"] == "queued", made.content
    model = Planted(2)
    with answering(model):
        optimiser_work.work_on(made.json()["id"])
    assert all("- customer says: too cold, " in told and "a@b.io" not in told for told in model.told)
    shown = api.get(f"/searches/{made.json()['id']}").json()
    assert shown["ended"] == "perfect" and shown["start"]["held_out_passed"] == 0
    assert shown["found"][0]["worth"]["held_out_passed"] == 5 and shown["found"][0]["state"] == "proposed"
    for wrong, status in (({"max_calls": 0}, 400), ({"suite": "none"}, 404), ({"prompt": "none"}, 404)):
        assert api.post("/searches", {**body, **wrong}).status_code == status
    assert Api(cast.read_key).post("/searches", body).status_code == 403
    assert Api(cast.stranger_key).get(f"/searches/{made.json()['id']}").status_code == 404

    ann = Client()
    ann.force_login(cast.ann)
    begin = reverse("admin:prompts_search_begin", args=[version.pk])
    page = ann.get(reverse("admin:prompts_version_change", args=[version.pk])).content.decode()
    assert f'href="{begin}"' in page
    said = {"suite": suite.pk, "percent": 34, "max_calls": 50, "budget_usd": "1"}
    assert "The search has begun." in ann.post(begin, said, follow=True).content.decode()
    page = ann.get(reverse("admin:prompts_search_change", args=[made.json()["id"]])).content.decode()
    assert "The best text" in page and "held out: 5 of 5 pass" in page
    save = reverse("admin:prompts_search_save", args=[made.json()["id"], shown["found"][0]["id"]])
    assert f'href="{save}"' in page
    assert "Launch it gradually in Production" in ann.get(save).content.decode()
    went = ann.post(save, {"then": "review"}, follow=True)
    assert "It is saved as v2." in went.content.decode()
    assert went.redirect_chain[-1][0] == reverse(
        "admin:prompts_version_submit", args=[Version.objects.get(prompt=version.prompt, number=2).pk]
    )
    waiting = OptimiserRun.objects.filter(state="queued").get()
    ann.post(reverse("admin:prompts_search_cancel", args=[waiting.pk]))
    waiting.refresh_from_db()
    assert waiting.state == "cancelled"


def test_what_cannot_be_searched_is_refused(team: Team) -> None:
    suite = make_suite(team, {}, {}, {})
    version = newest(make_prompt(team, "Hello {{name}}.", model=MODEL))
    with pytest.raises(DomainError) as few:
        request_search(SYSTEM, SearchWanted(version, suite))
    assert few.value.code == "suite_not_ready"
    other = make_suite(team, name="other", prompt=make_prompt(team))
    with pytest.raises(Invalid, match="another prompt"):
        request_search(SYSTEM, SearchWanted(version, other))
    with pytest.raises(Invalid):
        request_search(SYSTEM, SearchWanted(version, suite, held_out=0))
    many, version = make_planted(team)
    with pytest.raises(Invalid, match="takes 20 calls"):
        request_search(SYSTEM, SearchWanted(version, many, max_calls=19))
