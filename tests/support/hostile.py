"""Texts that must be shown as text wherever somebody reads them, and a team whose rows hold them."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from experiments.models import Variant
from feedback.models import Replay
from feedback.services.ingest import NewRating, accept
from feedback.services.replaying import ReplayPlan, request_replay
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.auth import principal_of_user
from promptlab.accounts.models import Team, User
from promptlab.chat.models import Message
from prompts.models import Collection, Prompt
from prompts.services import collecting, commenting, deploying, optimiser_work, testing
from prompts.services.environments import named
from prompts.services.reviewing import submit_for_review
from prompts.services.searching import SearchWanted, request_search
from tests.support.make import make_experiment, make_message, make_prompt, make_version, newest
from tests.support.suggestions import answered, make_suggestion
from tests.support.suites import MODEL, answering, make_run, make_suite

MARK = "<script>window.pwned=1</script>"
SHORT = f'{MARK}"><img src=x onerror=window.pwned=1>{{{{ {{% load x %}} \u202etfel ot thgir\u2066'
BLANKS = "{% load %} {{name}} \u202eevil\u202c \u200f" + MARK
ONE_LINE = MARK + "x" * 100_000
MANY_LINES = "\n".join(f"{number} {MARK}" for number in range(2_000))


def write_hostile(team: Team, person: User) -> dict[str, str]:
    """Put such texts wherever somebody may write. Returns where they are shown: what it is -> address."""
    collection = collecting.create_collection(principal_of_user(person), team.pk, name=SHORT[:200], description=SHORT)
    prompt = make_prompt(
        team, BLANKS + ONE_LINE, title=SHORT, name="hostile", description=ONE_LINE[:9_000], collection=collection
    )
    line = newest(prompt)
    lines = make_version(prompt, BLANKS + MANY_LINES, message=SHORT)
    experiment = make_experiment(prompt, title=SHORT, hypothesis=ONE_LINE[:9_000], running=True)
    deploying.deploy(SYSTEM, lines, named(team.pk, "staging"), note=SHORT, confirm=True)
    commenting.add_comment(principal_of_user(person), prompt, ONE_LINE[:9_000])
    commenting.add_comment(principal_of_user(person), prompt, SHORT, version=lines, line=1)
    answer = _answer(Variant.objects.filter(experiment=experiment).select_related("version__prompt__team")[0], ONE_LINE)
    _answer(None, MANY_LINES, team=team)
    accept(principal_of_user(person), NewRating(str(answer.uid), -1, comment=ONE_LINE[:4_000], user="somebody"))
    return {
        **_tried(team, person),
        "before it is tried": f"{_at('chat_conversation_try')}?prompt={prompt.pk}",
        "the prompt": _at("prompts_prompt_change", prompt.pk),
        "a version in one line": _at("prompts_version_change", line.pk),
        "a version of many lines": _at("prompts_version_change", lines.pk),
        "the comparison": f"{_at('prompts_prompt_compare', prompt.pk)}?a=1&b=2",
        "before it goes live": f"{_at('prompts_prompt_deploy', prompt.pk, 'production')}?version=2",
        "the discussion": _at("prompts_prompt_discussion", prompt.pk),
        "what was live": _at("prompts_prompt_moves", prompt.pk),
        "the list": _at("prompts_prompt_changelist"),
        "the collection": _at("prompts_collection_change", Collection.objects.get(team=team).pk),
        "the conversation": _at("chat_conversation_change", answer.conversation_id),
        "the ratings": _at("feedback_feedback_changelist"),
        "the experiment": _at("experiments_experiment_change", experiment.pk),
        "the results": reverse("dashboards:experiment", args=[experiment.key]),
        "the activity log": _at("audit_auditentry_changelist"),
    }


def _tried(team: Team, person: User) -> dict[str, str]:
    """Have such a text and such answers reviewed, tested, replayed, improved and searched; return where that is shown."""
    actor = principal_of_user(person)
    prompt = make_prompt(team, BLANKS, title=SHORT, name="hostile-tried", model=MODEL)
    version = newest(prompt)
    with answering(ONE_LINE):
        suite = make_suite(team, *[_case(number) for number in range(6)], name="hostile")
        run = make_run(suite, version)
        replay = _replayed(prompt)
    with answering(answered(f"{BLANKS} {MANY_LINES[:9_000]}", changes=f"- {SHORT}")):
        suggestion = make_suggestion(version)
        search = request_search(SYSTEM, SearchWanted(version, suite, max_calls=60))
        optimiser_work.work_on(search.pk)
    review, _ = submit_for_review(actor, make_version(prompt, f"{BLANKS} once more", message=SHORT), note=SHORT)
    return {
        "the run of a suite": _at("prompts_suiterun_change", run.pk),
        "the suite": _at("prompts_suite_change", suite.pk),
        "the replay": _at("feedback_replay_change", replay.pk),
        "the suggestion": _at("prompts_optimiserrun_change", suggestion.pk),
        "the search": _at("prompts_search_change", search.pk),
        "the review": _at("prompts_version_change", review.version_id),
        "the reviews": _at("prompts_reviewrequest_changelist"),
    }


def _case(number: int) -> dict[str, Any]:
    return {"name": f"{number} {SHORT}"[:100], "variables": {"name": SHORT}, "expected": ONE_LINE[:9_000]}


def _replayed(prompt: Prompt) -> Replay:
    """Return a replay of answers that were rated with such comments."""
    version = newest(prompt)
    for number, value in enumerate((1, -1)):
        rated = make_message(
            version, None, unit_id=f"somebody-{number}", content=ONE_LINE[:90_000], variables={"name": SHORT}
        )
        accept(SYSTEM, NewRating(str(rated.uid), value, comment=SHORT))
    replay = request_replay(SYSTEM, version, ReplayPlan())
    testing.work_on(replay.run_id)
    return replay


def _answer(variant: Variant | None, said: str, **fields: Any) -> Message:
    """Return an answer in a conversation where both sides say such things."""
    where = variant.experiment.environment if variant else None
    answer = make_message(
        variant.version if variant else None, where, variant=variant, unit_id=SHORT[:100], content=said, **fields
    )
    Message.objects.create(conversation=answer.conversation, role=Message.Role.USER, content=said, state="completed")
    return answer


def _at(name: str, *args: Any) -> str:
    return reverse(f"admin:{name}", args=args)
