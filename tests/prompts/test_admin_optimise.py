"""An editor asks for a better text, sees it beside the own, edits and saves it, or leaves it; all without code."""

from __future__ import annotations

from typing import Any

import pytest

from promptlab.accounts.access import SYSTEM
from prompts.models import Draft, OptimiserRun, Prompt, Suggestion, Version
from prompts.services import optimiser_work, optimising
from tests.prompts.test_admin_suites import signed_in, text, url
from tests.support.cast import Cast
from tests.support.make import make_prompt, newest
from tests.support.suggestions import answered, make_proposal, make_suggestion
from tests.support.suites import MODEL, answering

pytestmark = pytest.mark.django_db
ORDER = {"goal": "clearer", "said": "", "model": "echo", "budget": "1"}


@pytest.fixture
def prompt(cast: Cast) -> Prompt:
    return make_prompt(cast.team, "Hello {{name}}, it is {{order_status}}.", title="Greeting")


def test_a_text_is_asked_for_edited_and_saved(cast: Cast, prompt: Prompt) -> None:
    ann, page = signed_in(cast.ann), url("prompt_optimise", prompt.pk)
    assert "Follows the format more strictly" in text(ann.get(page))
    priced = text(ann.post(page, {**ORDER, "estimate": "1"}))
    assert "2 calls at most." in priced and "sent to echo" in priced and not OptimiserRun.objects.exists()
    begun = ann.post(page, {**ORDER, "go": "1"})
    run = OptimiserRun.objects.get()
    assert begun.url == url("optimiserrun_change", run.pk)
    assert "at work" in text(ann.get(begun.url)) and "Cancel…" in text(ann.get(begun.url))
    OptimiserRun.objects.update(model=MODEL)
    with answering(answered("{{name}}: {{order_status}}.", changes="- No greeting.")):
        optimiser_work.work_on(run.pk)
    shown = text(ann.get(begun.url))
    assert "All placeholders are still there." in shown and "No greeting." in shown and "What would change" in shown
    lost = ann.post(begun.url, {"part_1": "{{name}}.", "message": "", "save": "1"})
    assert lost.status_code == 200 and "{{order_status}} is missing" in text(lost) and "may be others" in text(lost)
    saved = ann.post(begun.url, {"part_1": "{{name}}:\r\n{{order_status}}!", "message": "", "save": "1"})
    version = Version.objects.get(prompt=prompt, number=2)
    assert saved.url == url("version_change", version.pk) and version.text == "{{name}}:\n{{order_status}}!"
    assert "suggested it from v1 (Clearer and shorter). Ann edited" in text(ann.get(saved.url))
    assert "Ann saved it as v2" in text(ann.get(begun.url))
    assert "Clearer and shorter" in text(ann.get(page))


def test_a_rejected_one_is_shown_in_red_and_offers_nothing(cast: Cast, prompt: Prompt) -> None:
    with answering(answered("Hello {{name}}.")):
        run = make_suggestion(newest(prompt), model=MODEL)
    shown = text(signed_in(cast.ann).get(url("optimiserrun_change", run.pk)))
    assert "<code>{{order_status}}</code> is missing." in shown and "Save as a new version" not in shown


def test_one_is_discarded_and_placeholders_may_go_when_it_is_said(cast: Cast, prompt: Prompt) -> None:
    ann = signed_in(cast.ann)
    for act in ({"discard": "1"}, {"part_1": "Hello.", "message": "No blanks.", "may_differ": "on", "save": "1"}):
        made = make_proposal(newest(prompt), "{{name}} {{order_status}}")
        assert ann.post(url("optimiserrun_change", made.run_id), act).status_code == 302
    assert list(Suggestion.objects.order_by("pk").values_list("state", flat=True)) == ["discarded", "accepted"]


def test_work_is_cancelled_or_goes_on(cast: Cast, prompt: Prompt) -> None:
    ann, run = signed_in(cast.ann), make_suggestion(newest(prompt), works=False)
    OptimiserRun.objects.update(state="stopped", reason="The budget has no room.")
    assert "Go on…" in text(ann.get(url("optimiserrun_change", run.pk)))
    assert "paid for twice" in text(ann.get(url("optimiserrun_go_on", run.pk)))
    ann.post(url("optimiserrun_go_on", run.pk), {"budget": "3"})
    run.refresh_from_db()
    assert run.state == "queued" and run.budget_usd == 3
    ann.post(url("optimiserrun_cancel", run.pk))
    run.refresh_from_db()
    assert run.state == "cancelled" and optimising.cancel_improvement(SYSTEM, run).state == "cancelled"


def test_the_goals_become_prompts_and_are_restored(cast: Cast, prompt: Prompt) -> None:
    ann, page = signed_in(cast.ann), url("prompt_optimise_goals", prompt.pk)
    assert "Make prompts of them" in text(ann.get(page))
    assert ann.post(page, {"bring": "1"}).status_code == 302
    assert "Restore the shipped text" in text(ann.get(page)) and Prompt.objects.count() == 8
    assert ann.post(page, {"restore": "clearer"}).status_code == 302


def test_who_may_only_look_changes_nothing(cast: Cast, prompt: Prompt) -> None:
    made, vic, zoe = make_proposal(newest(prompt)), signed_in(cast.vic), signed_in(cast.zoe)
    for name, pk in (("prompt_optimise", prompt.pk), ("prompt_optimise_goals", prompt.pk)):
        assert vic.get(url(name, pk)).status_code == 200
        assert vic.post(url(name, pk), {**ORDER, "go": "1"}).status_code == 403
        assert zoe.get(url(name, pk)).status_code == 404
    run = url("optimiserrun_change", made.run_id)
    assert "Discard" not in text(vic.get(run)) and vic.post(run, {"discard": "1"}).status_code == 403
    assert zoe.get(run).status_code == 404
    any_list: Any = vic.get(url("optimiserrun_changelist"))
    assert "Greeting v1" in text(any_list)


def test_both_are_tried_side_by_side_with_what_was_edited(cast: Cast, prompt: Prompt) -> None:
    ann = signed_in(cast.ann)
    made = make_proposal(newest(prompt), "Hi {{name}}: {{order_status}}.")
    here, page = url("optimiserrun_change", made.run_id), url("optimiserrun_try", made.run_id)
    assert "Try both…" in text(ann.get(here))
    carried = text(ann.post(page, {"part_1": "Good day {{name}}: {{order_status}}.", "message": "", "try": "1"}))
    assert "Good day {{name}}" in carried and OptimiserRun.objects.count() == 1
    order = {"part_1": "Good day {{name}}.", "said": "Where is it?", "model": "echo", "budget": "1", "go": "1"}
    assert "blank_name" in text(ann.post(page, order)), "What is not filled in is said before anything is asked."
    asked = ann.post(page, {**order, "blank_name": "Bo", "blank_order_status": "late"})
    pair = OptimiserRun.objects.get(kind="pair")
    assert asked.url == url("optimiserrun_change", pair.pk)
    assert 'http-equiv="refresh"' in text(ann.get(asked.url))
    OptimiserRun.objects.filter(pk=pair.pk).update(model=MODEL)
    with answering(lambda request: f"To <{request.messages[0].content}>"):
        optimiser_work.work_on(pair.pk)
    shown = text(ann.get(asked.url))
    assert (
        "To &lt;Hello Bo, it is late.&gt;" in shown and "To &lt;Good day Bo.&gt;" in shown and "Where is it?" in shown
    )
    assert shown.count("Where is it?") == 1, "What both were asked is said once."
    assert 'http-equiv="refresh"' not in shown and asked.url in text(ann.get(here))
    assert Version.objects.filter(prompt=prompt).count() == 1


def test_an_edited_one_is_kept_as_a_draft_that_nothing_writes_over(cast: Cast, prompt: Prompt) -> None:
    ann, made = signed_in(cast.ann), make_proposal(newest(prompt), "{{name}} {{order_status}}")
    here = url("optimiserrun_change", made.run_id)
    kept = ann.post(here, {"part_1": "{{name}}! {{order_status}}", "message": "", "keep": "1"})
    assert kept.url == url("prompt_change", prompt.pk)
    draft = Draft.objects.get()
    assert draft.body["content"] == "{{name}}! {{order_status}}" and draft.body["message"].startswith("Suggested by")
    assert "{{name}}! {{order_status}}" in text(ann.get(kept.url))
    again = ann.post(here, {"part_1": "Other {{name}} {{order_status}}", "message": "", "keep": "1"})
    assert again.status_code == 200 and Draft.objects.get() == draft and draft.body == Draft.objects.get().body
    assert Suggestion.objects.get().state == "proposed"
