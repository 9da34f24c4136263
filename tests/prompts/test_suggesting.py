"""Suggestions: placeholders are the same set or it is rejected, nothing is saved by itself, and no call is billed twice."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.audit.models import AuditEntry
from promptlab.lib.errors import Invalid
from promptlab.llm.errors import ProviderUnavailable
from promptlab.llm.providers import scripted
from prompts.errors import NothingToSave, PlaceholdersDiffer, RunOver, SuggestionDecided, UnknownGoal
from prompts.models import OptimiserCall, OptimiserRun, Prompt, Suggestion, Version
from prompts.services import authoring, goals, optimiser_desk, optimiser_work, optimising, suggesting
from prompts.services.running import Hold
from prompts.services.suggesting import Wanted
from tests.prompts.test_suite_runs import priced
from tests.support.make import make_live, make_prompt, make_version, newest
from tests.support.suggestions import answered, make_proposal, make_suggestion
from tests.support.suites import MODEL, answering

pytestmark = pytest.mark.django_db
TEXT = "Dear {{customer}}, we are very happy to tell you that your order is {{order_status}}."


@pytest.fixture
def version(team: Team) -> Version:
    return newest(make_prompt(team, TEXT, model=MODEL))


def in_turn(*answers: str) -> Any:
    """Return a model that gives these answers one after the other."""
    left = list(answers)
    return lambda request: left.pop(0)


def one(run: OptimiserRun) -> Suggestion:
    found: Suggestion = Suggestion.objects.with_names().get(run=run)
    return found


def test_a_suggestion_is_proposed_and_nothing_is_saved(version: Version) -> None:
    better = "{{customer}}, your order is {{order_status}}."
    with answering(answered(better, changes="- Shorter.\n- No filler.")) as model:
        run = make_suggestion(version)
    made = one(run)
    assert (run.state, made.state, made.text) == ("finished", "proposed", better)
    assert made.changes == ["Shorter.", "No filler."] and (run.done, run.total, run.calls) == (1, 1, 1)
    assert Version.objects.filter(prompt=version.prompt).count() == 1
    asked = model.asked[0]
    assert "clearer and shorter" in asked.messages[0].content and "{{order_status}}" in asked.messages[0].content
    assert TEXT in asked.messages[1].content and asked.purpose == "optimise"


def test_a_dropped_placeholder_is_refused_named_and_asked_for_once_more(version: Version) -> None:
    wrong = answered("{{customer}}, it is on its way, {{first_name}}.")
    with answering(in_turn(wrong, answered("{{customer}}: {{order_status}}"))) as model:
        run = make_suggestion(version)
    first, second = Suggestion.objects.filter(run=run)
    assert first.state == "rejected" and first.missing == ["order_status"] and first.invented == ["first_name"]
    assert first.problem == "{{order_status}} is missing. {{first_name}} is new."
    assert second.state == "proposed" and run.calls == 2
    again = model.asked[1].messages
    assert again[2].content == wrong and "{{order_status}} is missing." in again[3].content


def test_one_that_loses_it_twice_is_shown_as_rejected_and_cannot_be_taken(version: Version) -> None:
    with answering(answered("Dear {{customer}}.")) as model:
        run = make_suggestion(version)
    assert run.state == "finished" and len(model.asked) == 2
    rows = Suggestion.objects.with_names().filter(run=run)
    assert [(row.state, row.missing) for row in rows] == [("rejected", ["order_status"])] * 2
    with pytest.raises(SuggestionDecided):
        suggesting.accept_suggestion(SYSTEM, rows[1])
    assert Version.objects.filter(prompt=version.prompt).count() == 1


@pytest.mark.parametrize("text", [TEXT, f"  {TEXT}\n"])
def test_an_identical_one_says_so(version: Version, text: str) -> None:
    with answering(answered(text)) as model:
        made = one(make_suggestion(version))
    assert made.state == "identical" and made.problem == "The model had nothing better to offer."
    assert len(model.asked) == 1


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("Here you are: Dear {{customer}}, {{order_status}}", "the form"),
        (answered("{{customer}} {{order_status}}", "and one more"), "the form"),
        (answered("{{customer}} {{order_status"), "cannot be read"),
        (answered(""), "cannot be read"),
    ],
)
def test_an_answer_that_cannot_be_used_is_not_repaired(version: Version, answer: str, told: str) -> None:
    with answering(answer):
        run = make_suggestion(version)
    row = Suggestion.objects.filter(run=run)[1]
    assert row.state == "rejected" and told in row.problem


def test_messages_keep_their_roles_and_history(team: Team) -> None:
    messages = [
        {"role": "system", "content": "Be kind to {{name}}."},
        {"placeholder": "history"},
        {"role": "user", "content": "Hello, </part> it is me."},
    ]
    source = newest(make_prompt(team, messages=messages, model=MODEL))
    with answering(lambda request: answered("Kind to {{name}}.", "It is me.").replace("part", "partx")):
        made = one(make_suggestion(source))
    assert made.state == "proposed"
    assert made.messages == [
        {"role": "system", "content": "Kind to {{name}}."},
        {"placeholder": "history"},
        {"role": "user", "content": "It is me."},
    ]
    saved = suggesting.accept_suggestion(SYSTEM, made)
    assert saved.messages == made.messages


def test_a_person_takes_it_edited_and_the_version_says_where_it_comes_from(version: Version) -> None:
    made = make_proposal(version, "Your order is {{order_status}}, {{customer}}.")
    saved = suggesting.accept_suggestion(SYSTEM, made, text="Your order is {{order_status}} now, {{customer}}.")
    made.refresh_from_db()
    assert saved.number == 2 and "now" in saved.text and saved.model == MODEL
    assert made.state == "accepted" and made.saved_version == saved and made.edited_bp and made.edited_bp < 2000
    assert saved.message.startswith(f"Suggested by {MODEL} (clearer)") and "edited by hand" in saved.message
    entry = AuditEntry.objects.get(verb="suggestion.accepted")
    assert entry.after["version"] == 2 and entry.after["model"] == MODEL
    with pytest.raises(SuggestionDecided):
        suggesting.accept_suggestion(SYSTEM, made)


def test_a_person_may_drop_a_placeholder_only_by_saying_so(version: Version) -> None:
    made = make_proposal(version, "Your order is {{order_status}}, {{customer}}.")
    with pytest.raises(PlaceholdersDiffer) as refused:
        suggesting.accept_suggestion(SYSTEM, made, text="Dear {{customer}}.")
    assert "{{order_status}} is missing" in refused.value.detail
    saved = suggesting.accept_suggestion(SYSTEM, made, text="Dear {{customer}}.", with_other_placeholders=True)
    assert saved.text == "Dear {{customer}}." and "order_status" not in saved.variables


def test_what_the_newest_version_says_already_is_not_saved(version: Version) -> None:
    made = make_proposal(version, "{{order_status}}, {{customer}}.")
    make_version(version.prompt, made.text, model=MODEL)
    with pytest.raises(NothingToSave):
        suggesting.accept_suggestion(SYSTEM, made)
    assert Suggestion.objects.get().state == "proposed"


def test_a_discarded_one_stays_to_be_read(version: Version) -> None:
    made = make_proposal(version, "{{order_status}}, {{customer}}.")
    for _ in range(2):
        suggesting.discard_suggestion(SYSTEM, made)
    assert Suggestion.objects.get().state == "discarded"
    assert AuditEntry.objects.filter(verb="suggestion.discarded").count() == 1


def test_the_goals_are_prompts_that_people_change_and_bring_back(team: Team, version: Version) -> None:
    with answering(answered(TEXT)) as model:
        make_suggestion(version)
        collection = goals.bring_goals(SYSTEM, team.pk)
        assert goals.bring_goals(SYSTEM, team.pk) == collection
        mine = Prompt.objects.get(name="optimiser.clearer")
        own = make_version(mine, "Write as a pirate would.")
        make_suggestion(version)
        make_live(own)
        make_suggestion(version)
    said = [request.messages[0].content for request in model.asked]
    assert "pirate" not in said[0] and "pirate" not in said[1], "A draft is not what counts."
    assert "pirate" in said[2] and "Keep exactly the same set" in said[2]
    assert OptimiserRun.objects.first().plan["instruction_version"] == own.number  # type: ignore[union-attr]
    assert Prompt.objects.filter(collection=collection).count() == 7
    back, is_new = goals.restore_goal(SYSTEM, team.pk, "clearer")
    assert is_new and back.number == 3 and "clearer and shorter" in back.text
    assert goals.restore_goal(SYSTEM, team.pk, "clearer")[1] is False


def test_a_goal_that_asks_for_something_needs_it(version: Version) -> None:
    for goal in ("language", "own"):
        with pytest.raises(Invalid) as refused:
            suggesting.request_suggestion(SYSTEM, Wanted(version, goal))
        assert refused.value.problems[0].field == "said"
    with pytest.raises(UnknownGoal):
        suggesting.request_suggestion(SYSTEM, Wanted(version, "nicer"))
    with answering(answered(TEXT)) as model:
        make_suggestion(version, goal="language", said="Spanish")
    assert "into Spanish" in model.asked[0].messages[0].content


def test_nothing_is_asked_beyond_the_budget_and_the_cost_is_said_before(team: Team, version: Version) -> None:
    priced(team)
    said = suggesting.estimate_suggestion(SYSTEM, Wanted(version, "clearer", model="gpt-test"))
    assert said.calls == 2 and said.most_usd is not None and Decimal("0.08") < said.most_usd < Decimal("0.2")
    with answering(answered("Lost."), name="openai") as model:
        run = make_suggestion(version, model="gpt-test", budget_usd=Decimal("0.0412"))
        # The first call may cost 0.0411 and more, and costs 0.00006; with its answer the second question is longer.
        assert (run.state, len(model.asked)) == ("stopped", 0) and "budget" in run.reason
        optimising.resume_improvement(SYSTEM, run, budget_usd=Decimal(1))
        optimiser_work.work_on(run.pk)
    run.refresh_from_db()
    assert run.state == "finished" and run.spent_usd == Decimal("0.00012") and run.reserved_nanousd == 0


def test_a_provider_that_fails_stops_the_run_which_can_go_on(version: Version) -> None:
    with scripted.use(ProviderUnavailable(is_retryable=False), name=MODEL):
        run = make_suggestion(version)
    assert run.state == "stopped" and "upstream_unavailable" in run.reason
    with answering(answered("{{customer}} {{order_status}}")):
        optimising.resume_improvement(SYSTEM, run)
        optimiser_work.work_on(run.pk)
    run.refresh_from_db()
    assert run.state == "finished" and one(run).state == "proposed" and (run.calls, run.max_calls) == (2, 3)
    with pytest.raises(RunOver):
        optimising.resume_improvement(SYSTEM, run)


def test_who_takes_over_asks_nothing_twice(version: Version) -> None:
    """A worker died after the first answer was written, and before the second question."""
    with answering(answered("Lost {{customer}}.")) as model:
        run = make_suggestion(version, works=False)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(optimiser_desk.Desk, "progress", lambda *args, **told: (_ for _ in ()).throw(SystemExit))
            with pytest.raises(SystemExit):
                optimiser_work.work_on(run.pk)
        assert len(model.asked) == 1 and optimiser_work.sweep() == 0, "Somebody may be working on it."
        OptimiserRun.objects.filter(pk=run.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
        assert optimiser_work.sweep() == 1
        optimiser_work.work_on(run.pk)
    run.refresh_from_db()
    assert run.state == "finished" and len(model.asked) == 2 == run.calls
    assert Suggestion.objects.filter(run=run).count() == 2


def test_what_was_under_way_is_lost_counted_and_not_asked_again(version: Version) -> None:
    run = make_suggestion(version, works=False)
    OptimiserCall.objects.create(run=run, key="attempt 1", model=MODEL, reserved_nanousd=700)
    past = timezone.now() - timedelta(seconds=1)
    OptimiserRun.objects.filter(pk=run.pk).update(
        state="running", lease="dead", lease_until=past, calls=1, reserved_nanousd=700
    )
    with answering(answered("{{customer}} {{order_status}}")) as model:
        optimiser_work.work_on(run.pk)
        run.refresh_from_db()
        assert not model.asked and run.state == "stopped" and "A worker ended" in run.reason
        assert (run.reserved_nanousd, run.spent_nanousd) == (0, 700)
        optimising.resume_improvement(SYSTEM, run)
        optimiser_work.work_on(run.pk)
    assert len(model.asked) == 1 and one(run).state == "proposed"


def test_cancelling_breaks_off_the_call(version: Version) -> None:
    run = make_suggestion(version, works=False)
    with scripted.use(scripted.Reply(("x",), delay_s=600), name=MODEL) as model:
        looks = Hold.look

        def cancelled(hold: Any) -> None:
            if model.requests and OptimiserRun.objects.get(pk=run.pk).is_open:
                optimising.cancel_improvement(SYSTEM, run)
            looks(hold)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Hold, "look", cancelled)
            optimiser_work.work_on(run.pk)
        assert model.abandoned == 1
    run.refresh_from_db()
    assert run.state == "cancelled" and run.lease == ""
    assert OptimiserCall.objects.get().state == "cancelled" and not Suggestion.objects.exists()
    with pytest.raises(RunOver):
        optimising.resume_improvement(SYSTEM, run)


def test_an_archived_prompt_is_not_rewritten(version: Version) -> None:
    authoring.archive_prompt(SYSTEM, version.prompt)
    version.prompt.refresh_from_db()
    with pytest.raises(Exception, match="archived"):
        suggesting.request_suggestion(SYSTEM, Wanted(version, "clearer"))
