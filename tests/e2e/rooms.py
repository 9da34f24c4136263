"""A team that has one of everything the demo has none of, so that a browser sees those pages filled."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.urls import reverse

from experiments.services import drafting, sharing, targeting
from experiments.services.drafting import DraftChanges
from feedback.services import replaying
from feedback.services.annotating import start_round
from feedback.services.ingest import NewRating, accept
from feedback.services.judging import JudgePlan, set_judge
from feedback.services.privacy import set_privacy
from feedback.services.replaying import ReplayPlan
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.llm.services.hiding import set_masking
from prompts.models import Prompt, Suite
from prompts.services import optimiser_work, testing
from prompts.services.environments import Rules, change_environment
from prompts.services.searching import SearchWanted, request_search
from tests.support.make import (
    make_delivery,
    make_experiment,
    make_live,
    make_message,
    make_model,
    make_prompt,
    make_provider,
    make_version,
    newest,
)
from tests.support.suggestions import answered, make_suggestion
from tests.support.suites import MODEL, answering, make_nights, make_suite

WORSE, BETTER = "I do not know.", "Of course. Your parcel arrives on Thursday."


def write_rooms(team: Team) -> list[str]:
    """Write them, and return the addresses of what no list of another team leads to."""
    prompt = make_prompt(team, "You answer {{name}} about parcels.", title="Parcel questions", model=MODEL)
    suite = make_suite(
        team, *({"variables": {"name": name}} for name in ("Ann", "Ben", "Cleo", "Dora", "Emil", "Fay")), name="parcels"
    )
    nights = _of_nights(team, suite)
    made = [*_of_models(team), *_of_ratings(team, prompt), *_of_suggestions(prompt, suite), *_of_experiments(prompt)]
    pages = [reverse(f"admin:{one._meta.label_lower.replace('.', '_')}_change", args=[one.pk]) for one in made]
    return [*pages, *nights, f"/admin/prompts/prompt/{prompt.pk}/optimise/", "/admin/"]


def _of_models(team: Team) -> list[Any]:
    provider = make_provider(team, name="OpenAI")
    model = make_model(provider, "gpt-4.1-mini")
    set_masking(SYSTEM, team.pk, kinds=["email", "phone"], patterns={"order": r"ORD-\d{4,6}"})
    set_privacy(SYSTEM, team, masked=["email"], keeps_text=True)
    delivery = make_delivery(team)
    return [provider, model, delivery, delivery.endpoint]


def _of_ratings(team: Team, prompt: Prompt) -> list[Any]:
    """A judge, a round of annotation, comments, and a replay of what was rated."""
    version, where = newest(prompt), make_live(newest(prompt))
    for number in range(8):
        told = {"content": BETTER if number % 2 else WORSE, "variables": {"name": f"Fay {number}"}}
        answer = make_message(version, where, unit_id=f"customer-{number}", **told)
        accept(SYSTEM, NewRating(str(answer.uid), 1 if number % 2 else -1, comment=f"Comment {number}."))
    by = make_prompt(team, "Is {{answer}} good by {{rubric}}?", title="Verdict", model=MODEL)
    make_live(newest(by))
    judge = set_judge(SYSTEM, prompt, JudgePlan(by, 0.5, Decimal(1), rubric="Is it short and true?"))
    rounds = start_round(SYSTEM, prompt, title="Answers of November")
    candidate = make_version(prompt, "You answer {{name}} about parcels, in one sentence.", model=MODEL)
    replay = replaying.request_replay(SYSTEM, candidate, ReplayPlan())
    with answering(BETTER):
        testing.work_on(replay.run_id)
    return [judge, rounds, replay]


def _of_suggestions(prompt: Prompt, suite: Suite) -> list[Any]:
    """A suggestion that waits, one that is refused, and a search."""
    version = newest(prompt)
    with answering(answered("You answer {{name}} about parcels. Be short.", changes="- It asks for short answers.")):
        waits = make_suggestion(version)
        search = request_search(SYSTEM, SearchWanted(version, suite, max_calls=60))
        optimiser_work.work_on(search.pk)
    with answering(answered("You answer about parcels.")):
        refused = make_suggestion(version)
    return [waits, refused]


def _of_experiments(prompt: Prompt) -> list[Any]:
    """A draft halfway through its steps, for some people in a part of a namespace; one that runs, and a link to it."""
    namespace = targeting.create_namespace(SYSTEM, prompt.team, "parcels")
    others = make_prompt(prompt.team, "First {{name}}.", title="Parcel letters", model=MODEL)
    make_version(others, "Second {{name}}.", model=MODEL)
    running = make_experiment(others, title="Shorter letters", running=True)
    link = sharing.share(SYSTEM, running, days=7)
    draft = make_experiment(make_prompt(prompt.team, "Hello {{name}}.", title="Parcel greetings"), title="Warmer")
    setup = {"condition": {"country": "de"}, "namespace": namespace.key, "namespace_ranges": [[0, 5000]]}
    drafting.edit_draft(SYSTEM, draft, DraftChanges(setup=setup))
    return [namespace, running, link, draft]


def _of_nights(team: Team, suite: Suite) -> list[str]:
    """Three nights, of which the second is worse. Nothing else is live yet; what goes live afterwards need not pass."""
    watched = make_prompt(team, title="Watched at night", model=MODEL)
    first, *_ = make_nights(suite, watched, "good", "bad", "bad")
    change_environment(SYSTEM, first.environment, Rules(suites=[]))
    version = reverse("admin:prompts_version_change", args=[newest(watched).pk])
    return [f"/admin/prompts/goldenrun/?environment={first.environment.name}", version]
