"""Every address of the API, as somebody without a key, a stranger, and keys of every scope find it."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver

from experiments.models import AnalysisSnapshot
from experiments.services import approving, ramping
from experiments.services.concluding import Conclusion
from feedback.services import annotating, judging, replaying
from feedback.services.ingest import NewRating, accept
from feedback.services.judging import JudgePlan
from feedback.services.metrics import declare_metric
from feedback.services.replaying import ReplayPlan
from promptlab import urls
from promptlab.accounts.access import OF_SCOPE, SYSTEM, Scope
from promptlab.accounts.models import Membership, Team
from promptlab.chat.services.budgeting import set_budget
from promptlab.chat.services.external import receipt_of
from promptlab.llm.services import price_list
from prompts.models import Environment, Prompt, Version
from prompts.services.searching import SearchWanted, request_search
from tests.support.api import Api
from tests.support.cast import Cast, make_cast
from tests.support.make import (
    make_delivery,
    make_experiment,
    make_key,
    make_message,
    make_model,
    make_prompt,
    make_provider,
    make_version,
    newest,
)
from tests.support.ramps import make_ramp
from tests.support.suggestions import make_proposal, make_suggestion
from tests.support.suites import make_run, make_suite

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Call:
    """One method at one address. `needs`: the capability; "" when any key will do. `is_own`: it is about nobody's rows."""

    method: str
    path: str
    needs: str
    body: Any = None
    is_own: bool = False


TEXT = {"title": "New", "content": "Hi {{name}}."}
IMPORTED = {"name": "imported", "versions": [{"text": "Imported."}]}
MOVE = {"prompt_name": "greeting", "environment": "production"}
UP = {"prompt_name": "greeting", "from_environment": "production", "to_environment": "staging"}
EXPERIMENT = {
    "title": "Another",
    "prompt_name": "greeting",
    "environment": "staging",
    "variants": [
        {"key": "control", "version": 1, "weight": 50},
        {"key": "new", "version": 2, "weight": 50},
    ],
}
SHARES = {"variants": [{"key": "control", "weight_bp": 4000}, {"key": "variant-1", "weight_bp": 6000}]}
CONCLUSION = {"outcome": "no_difference", "lesson": "Length is no matter.", "keep": "control"}
DOUBTED = {"outcome": "won", "lesson": "Length is no matter.", "keep": "variant-1"}
PRICE = {"model": "llama", "token": "input", "usd_per_million": "1"}
CALLS = [
    Call("GET", "/collections", "prompt.read", is_own=True),
    Call("POST", "/collections", "prompt.write", {"name": "New"}, is_own=True),
    Call("GET", "/collections/{collection}", "prompt.read"),
    Call("PUT", "/collections/{collection}", "prompt.write", {"name": "New"}),
    Call("PATCH", "/collections/{collection}", "prompt.write", {"name": "New"}),
    Call("DELETE", "/collections/{collection}", "prompt.write"),
    Call("POST", "/collections/{collection}/restore", "prompt.write"),
    Call("GET", "/tags", "prompt.read", is_own=True),
    Call("GET", "/tags/{tag}", "prompt.read"),
    Call("PATCH", "/tags/{tag}", "prompt.write", {"name": "new"}),
    Call("DELETE", "/tags/{tag}", "prompt.write"),
    Call("POST", "/tags/{tag}/merge", "prompt.write", {"into": "{other_tag}"}),
    Call("GET", "/fields", "prompt.read", is_own=True),
    Call("POST", "/fields", "team.admin", {"key": "audience"}, is_own=True),
    Call("GET", "/fields/{field}", "prompt.read"),
    Call("PATCH", "/fields/{field}", "team.admin", {"title": "New"}),
    Call("DELETE", "/fields/{field}", "team.admin"),
    Call("PUT", "/prompts/greeting/favourite", "a person"),
    Call("DELETE", "/prompts/greeting/favourite", "a person"),
    Call("PUT", "/prompts/greeting/rating", "a person", {"stars": 5}),
    Call("DELETE", "/prompts/greeting/rating", "a person"),
    Call("GET", "/prompts/greeting/ratings", "prompt.read"),
    Call("GET", "/prompts/greeting/usage", "prompt.read"),
    Call("GET", "/environments", "prompt.read", is_own=True),
    Call("GET", "/prompts", "prompt.read", is_own=True),
    Call("POST", "/prompts", "prompt.write", TEXT, is_own=True),
    Call("GET", "/prompts/greeting", "prompt.read"),
    Call("PUT", "/prompts/{prompt}", "prompt.write", TEXT),
    Call("PATCH", "/prompts/greeting", "prompt.write", {"title": "New"}),
    Call("DELETE", "/prompts/{prompt}", "prompt.write"),
    Call("GET", "/prompts/greeting/draft", "prompt.read"),
    Call("PUT", "/prompts/greeting/draft", "prompt.write", {"content": "Half a {{tho"}),
    Call("DELETE", "/prompts/greeting/draft", "prompt.write"),
    Call("POST", "/prompts/greeting/draft/save", "prompt.write", {"content": "New {{name}}."}),
    Call("POST", "/prompts/greeting/rename", "prompt.write", {"name": "salutation"}),
    Call("GET", "/prompts/greeting/versions", "prompt.read"),
    Call("POST", "/prompts/greeting/versions", "prompt.write", {"content": "New {{name}}."}),
    Call("GET", "/prompts/greeting/versions/1", "prompt.read"),
    Call("POST", "/prompts/greeting/versions/1/revert", "prompt.write"),
    Call("POST", "/prompts/greeting/versions/1/fork", "prompt.write", {"title": "Copy"}),
    Call("POST", "/prompts/greeting/versions/1/render", "prompt.read", {"variables": {"name": "x"}}),
    Call("GET", "/prompts/greeting/versions/1/diff/2", "prompt.read"),
    Call("GET", "/prompts/greeting/versions/1/served-with", "prompt.read"),
    Call("GET", "/prompts/greeting/used-by", "prompt.read"),
    Call("GET", "/export", "prompt.read", is_own=True),
    Call("POST", "/import", "prompt.write", {"promptlab": 1, "prompts": []}, is_own=True),
    Call("GET", "/imports", "prompt.read", is_own=True),
    Call("GET", "/imports/{import}", "prompt.read"),
    Call("POST", "/imports/{import}/undo", "prompt.write"),
    Call("GET", "/deployments", "prompt.read", is_own=True),
    Call("POST", "/deployments", "prompt.deploy", {**MOVE, "version": 2}),
    Call("POST", "/deployments/rollback", "prompt.deploy", MOVE),
    Call("GET", "/deployments/{move}", "prompt.read"),
    Call("POST", "/deployments/promote", "prompt.deploy", UP),
    Call("POST", "/deployments/undeploy", "prompt.deploy", MOVE),
    Call("GET", "/prompts/greeting/live?environment=production", "prompt.read"),
    Call("GET", "/deployments/{move}/convergence", "prompt.read"),
    Call("GET", "/environments/preview-acme/convergence", "prompt.read"),
    Call("GET", "/schedules", "prompt.read", is_own=True),
    Call("POST", "/schedules", "prompt.deploy", {**MOVE, "version": 2, "due_at": "2099-01-01T09:00:00Z"}),
    Call("GET", "/schedules/{schedule}", "prompt.read"),
    Call("DELETE", "/schedules/{schedule}", "prompt.deploy"),
    Call("POST", "/environments", "team.admin", {"name": "preview"}, is_own=True),
    Call("GET", "/environments/preview-acme", "prompt.read"),
    Call("PATCH", "/environments/preview-acme", "team.admin", {"is_protected": True}),
    Call("GET", "/environments/preview-acme/freezes", "prompt.read"),
    Call(
        "POST",
        "/environments/preview-acme/freezes",
        "team.admin",
        {"ends_at": "2099-01-01T09:00:00Z", "reason": "x"},
    ),
    Call("DELETE", "/environments/preview-acme/freezes/{freeze}", "team.admin"),
    Call("POST", "/prompts/greeting/versions/1/submit", "prompt.write"),
    Call("POST", "/prompts/greeting/versions/2/approve", "prompt.review"),
    Call("POST", "/prompts/greeting/versions/2/request-changes", "prompt.review", {"comment": "Too long by far."}),
    Call("POST", "/prompts/greeting/versions/2/withdraw", "prompt.write"),
    Call("GET", "/reviews", "prompt.read", is_own=True),
    Call("GET", "/prompts/greeting/comments", "prompt.read"),
    Call("POST", "/prompts/greeting/comments", "prompt.comment", {"text": "Why?"}),
    Call("POST", "/comments/{comment}", "prompt.comment", {"text": "Because."}),
    Call("PATCH", "/comments/{comment}", "prompt.comment", {"resolved": True}),
    Call("GET", "/experiments", "experiment.read", is_own=True),
    Call("POST", "/experiments", "experiment.write", EXPERIMENT),
    Call("GET", "/experiments/shorter", "experiment.read"),
    Call("PATCH", "/experiments/shorter", "experiment.write", {"title": "Shortest"}),
    Call("POST", "/experiments/shorter/start", "experiment.run"),
    Call("PUT", "/experiments/{running}/overrides", "experiment.run", {"overrides": {}}),
    Call("POST", "/experiments/{running}/coverage", "experiment.run", {"coverage_bp": 5000}),
    Call("POST", "/experiments/{running}/shares", "experiment.run", SHARES),
    Call("POST", "/experiments/{running}/deal-anew", "experiment.run", {"note": "A bug."}),
    Call("POST", "/experiments/{experiment}/kill", "experiment.run"),
    Call("POST", "/experiments/{running}/conclude", "experiment.run", CONCLUSION),
    Call("GET", "/experiments/shorter/conclusions", "experiment.read"),
    Call("POST", "/experiments/{doubted}/conclusions", "experiment.run", DOUBTED),
    Call("POST", "/experiments/{asked}/conclusions/{request}/withdraw", "experiment.run"),
    Call("POST", "/experiments/{asked}/conclusions/{request}/approve", "a person"),
    Call("POST", "/experiments/{asked}/conclusions/{request}/refuse", "a person", {"note": "No."}),
    Call("GET", "/experiments/shorter/assignment?unit_id=1", "experiment.read"),
    Call("GET", "/experiments/shorter/phases", "experiment.read"),
    Call("GET", "/experiments/shorter/checklist", "experiment.read"),
    Call("GET", "/experiments/shorter/results", "experiment.read"),
    Call("GET", "/ramps", "experiment.read", is_own=True),
    Call("GET", "/ramps/{ramp}", "experiment.read"),
    Call("POST", "/ramps/{ramp}/hold", "prompt.deploy"),
    Call("POST", "/ramps/{held}/go-on", "prompt.deploy"),
    Call("POST", "/ramps/{earlier}/go-earlier", "prompt.deploy", {"note": "It is Friday.", "step": 1}),
    Call("POST", "/ramps/{ramp}/send-back", "prompt.deploy"),
    Call("GET", "/feedback", "feedback.read", is_own=True),
    Call("GET", "/feedback/stats", "feedback.read", is_own=True),
    Call("GET", "/feedback/metrics", "feedback.read", is_own=True),
    Call("POST", "/feedback/metrics", "team.admin", {"key": "new", "kind": "boolean"}, is_own=True),
    Call("GET", "/feedback/metrics/{metric}", "feedback.read"),
    Call("PATCH", "/feedback/metrics/{metric}", "team.admin", {"title": "New"}),
    Call("GET", "/feedback/usage?prompt=greeting", "feedback.read"),
    Call("GET", "/usage?by=version", "feedback.read", is_own=True),
    Call("GET", "/inbox", "feedback.read", is_own=True),
    Call("GET", "/inbox/{said}", "feedback.read"),
    Call("PATCH", "/inbox/{said}", "prompt.comment", {"labels": ["tone"], "is_settled": True}),
    Call("POST", "/inbox/{said}/notes", "prompt.comment", {"text": "Called."}),
    Call("POST", "/inbox/{said}/case", "prompt.write", {"name": "New"}),
    Call("GET", "/annotation", "feedback.read", is_own=True),
    Call("POST", "/annotation", "prompt.write", {"title": "New", "prompt": "greeting"}),
    Call("GET", "/annotation/{round}", "feedback.read"),
    Call("GET", "/annotation/{round}/next", "a person"),
    Call("PUT", "/annotation/{round}/answers/{drawn}", "a person", {"value": 1}),
    Call("POST", "/annotation/{round}/end", "prompt.write"),
    Call("GET", "/judges", "feedback.read", is_own=True),
    Call("PUT", "/judges", "prompt.write", {"prompt": "greeting", "by": "judge", "share": 0.1, "day_usd": "1"}),
    Call("GET", "/judges/{judge}", "feedback.read"),
    Call("POST", "/judges/{judge}/run", "prompt.write"),
    Call("DELETE", "/feedback/{rating}", "feedback.write"),
    Call("GET", "/searches", "prompt.read", is_own=True),
    Call("POST", "/searches", "prompt.write", {"prompt": "parting", "suite": "many"}),
    Call("POST", "/searches/estimate", "prompt.write", {"prompt": "parting", "suite": "many"}),
    Call("GET", "/searches/{search}", "prompt.read"),
    Call("GET", "/replays", "prompt.read", is_own=True),
    Call("POST", "/replays", "prompt.write", {"prompt": "parting"}),
    Call("POST", "/replays/estimate", "prompt.write", {"prompt": "parting"}),
    Call("GET", "/replays/{replay}", "prompt.read"),
    Call("POST", "/replays/{replay}/cases", "prompt.write"),
    Call("GET", "/privacy", "team.admin", is_own=True),
    Call("PUT", "/privacy", "team.admin", {"masked": ["email"], "keeps_text": True}, is_own=True),
    Call("POST", "/units/erase", "team.admin", {"unit_id": "customer-1"}, is_own=True),
    Call("GET", "/explain/{receipt}", "prompt.read"),
    Call("GET", "/messages/{message}", "chat.read"),
    Call("GET", "/budgets", "team.admin", is_own=True),
    Call("POST", "/budgets", "team.admin", {"period": "day", "limit_usd": "5"}, is_own=True),
    Call("GET", "/budgets/{budget}", "team.admin"),
    Call("PATCH", "/budgets/{budget}", "team.admin", {"limit_usd": "6"}),
    Call("DELETE", "/budgets/{budget}", "team.admin"),
    Call("GET", "/conversations", "chat.read", is_own=True),
    Call("GET", "/conversations/retention", "team.admin", is_own=True),
    Call("PUT", "/conversations/retention", "team.admin", {"days": 30}, is_own=True),
    Call("GET", "/conversations/{conversation}", "chat.read"),
    Call("PATCH", "/conversations/{conversation}", "chat.write", {"title": "New"}),
    Call("POST", "/conversations/{conversation}/archive", "chat.write"),
    Call("POST", "/conversations/{conversation}/unarchive", "chat.write"),
    Call("GET", "/conversations/{conversation}/messages", "chat.read"),
    Call("GET", "/me", "", is_own=True),
    Call("GET", "/me/notifications", "", is_own=True),
    Call("PATCH", "/me/notifications", "a person", {"mail": {"mention": False}}),
    Call("GET", "/keys", "key.admin", is_own=True),
    Call("POST", "/keys", "key.admin", {"name": "x", "scopes": ["read"]}, is_own=True),
    Call("DELETE", "/keys/{key}", "key.admin"),
    Call("POST", "/keys/{key}/rotate", "key.admin"),
    Call("GET", "/webhooks", "webhook.admin", is_own=True),
    Call("POST", "/webhooks", "webhook.admin", {"url": "https://hooks.example.com/in"}, is_own=True),
    Call("GET", "/webhooks/{webhook}", "webhook.admin"),
    Call("PATCH", "/webhooks/{webhook}", "webhook.admin", {"description": "New"}),
    Call("DELETE", "/webhooks/{webhook}", "webhook.admin"),
    Call("POST", "/webhooks/{webhook}/rotate", "webhook.admin"),
    Call("POST", "/webhooks/{webhook}/test", "webhook.admin"),
    Call("GET", "/webhooks/{webhook}/deliveries", "webhook.admin"),
    Call("POST", "/webhooks/deliveries/{delivery}/replay", "webhook.admin"),
    Call("GET", "/providers", "provider.admin", is_own=True),
    Call("POST", "/providers", "provider.admin", {"name": "New", "kind": "echo"}, is_own=True),
    Call("GET", "/providers/{provider}", "provider.admin"),
    Call("PATCH", "/providers/{provider}", "provider.admin", {"region_note": "EU"}),
    Call("DELETE", "/providers/{provider}?confirm=Practice", "provider.admin"),
    Call("POST", "/providers/{provider}/check", "provider.admin"),
    Call("GET", "/providers/{provider}/prices", "provider.admin"),
    Call("POST", "/providers/{provider}/prices", "provider.admin", PRICE),
    Call("DELETE", "/prices/{price}", "provider.admin"),
    Call("GET", "/masking", "provider.admin", is_own=True),
    Call("PUT", "/masking", "provider.admin", {"kinds": ["email"], "patterns": {}}, is_own=True),
    Call("GET", "/models", "prompt.read", is_own=True),
    Call("POST", "/models", "provider.admin", {"provider_id": "{provider}", "name": "new"}),
    Call("GET", "/models/{model}", "prompt.read"),
    Call("PATCH", "/models/{model}", "provider.admin", {"tier": "economy"}),
    Call("DELETE", "/models/{model}", "provider.admin"),
    Call("POST", "/estimate", "prompt.read", {"text": "Hello"}, is_own=True),
    Call("GET", "/suites", "prompt.read", is_own=True),
    Call("POST", "/suites", "prompt.write", {"name": "new"}, is_own=True),
    Call("GET", "/suites/basics", "prompt.read"),
    Call("PATCH", "/suites/basics", "prompt.write", {"description": "New"}),
    Call("DELETE", "/suites/basics", "prompt.write"),
    Call("GET", "/suites/basics/cases", "prompt.read"),
    Call("POST", "/suites/basics/cases", "prompt.write", {"name": "new"}),
    Call("GET", "/suites/basics/cases/{case}", "prompt.read"),
    Call("PUT", "/suites/basics/cases/{case}", "prompt.write", {"name": "new"}),
    Call("DELETE", "/suites/basics/cases/{case}", "prompt.write"),
    Call("POST", "/suites/basics/import", "prompt.write", {"name": "new"}),
    Call("GET", "/suites/basics/export", "prompt.read"),
    Call("POST", "/suites/basics/estimate", "prompt.write", {"prompt": "greeting"}),
    Call("POST", "/suites/basics/runs", "prompt.write", {"prompt": "greeting"}),
    Call("GET", "/runs", "prompt.read", is_own=True),
    Call("GET", "/drift", "prompt.read", is_own=True),
    Call("GET", "/runs/{run}", "prompt.read"),
    Call("POST", "/runs/{run}/cancel", "prompt.write"),
    Call("POST", "/runs/{run}/go-on", "prompt.write"),
    Call("GET", "/runs/{run}/results", "prompt.read"),
    Call("GET", "/runs/{run}/compare/{run}", "prompt.read"),
    Call("GET", "/prompts/greeting/versions/2/verdicts", "prompt.read"),
    Call("POST", "/prompts/greeting/versions/2/verdicts", "prompt.write"),
    Call("GET", "/prompts/greeting/versions/2/contract", "prompt.read"),
    Call("POST", "/prompts/greeting/versions/2/optimize", "prompt.write", {"goal": "clearer"}),
    Call("POST", "/prompts/greeting/versions/2/optimize/estimate", "prompt.write", {"goal": "clearer"}),
    Call("GET", "/improvements", "prompt.read", is_own=True),
    Call("GET", "/improvements/{improvement}", "prompt.read"),
    Call("POST", "/improvements/{waiting}/cancel", "prompt.write"),
    Call("POST", "/improvements/{waiting}/go-on", "prompt.write"),
    Call("POST", "/suggestions/{suggestion}/accept", "prompt.write"),
    Call("POST", "/suggestions/{suggestion}/try", "prompt.write", {"variables": {"name": "Ann"}}),
    Call("POST", "/suggestions/{suggestion}/discard", "prompt.write"),
    Call("GET", "/goals", "prompt.read", is_own=True),
    Call("POST", "/goals/clearer/restore", "prompt.write", is_own=True),
]


@pytest.fixture(scope="module")
def acme(kept_for_the_file: None) -> tuple[Cast, dict[str, Any]]:
    """The cast, and the ids of their rows, one of each kind."""
    cast = make_cast()
    return cast, _rows_of(cast)


@pytest.fixture
def cast(acme: tuple[Cast, dict[str, Any]], db: None) -> Cast:
    return deepcopy(acme[0])


@pytest.fixture
def ids(acme: tuple[Cast, dict[str, Any]], db: None) -> dict[str, Any]:
    return dict(acme[1])


def _rows_of(cast: Cast) -> dict[str, Any]:
    api = Api(cast.key)
    collection = api.post("/collections", {"name": "Emails"}).json()["id"]
    prompt = make_prompt(cast.team, title="Greeting", tags=["one", "other"])
    tag, other_tag = prompt.tags.order_by("name")
    make_version(prompt)
    experiment = make_experiment(prompt, title="Shorter")
    api.post("/deployments", {**MOVE, "version": 2})
    move = api.post("/deployments", {**MOVE, "version": 1}).json()["id"]
    message = make_message(prompt.newest)
    asked = _asked(message)
    asked.environment, asked.revision = Environment.objects.get(team=cast.team, name="production"), 1
    delivery = make_delivery(cast.team)
    return {
        "collection": collection,
        "tag": tag.pk,
        "other_tag": other_tag.pk,
        "field": api.post("/fields", {"key": "owner"}).json()["id"],
        "prompt": prompt.pk,
        "experiment": experiment.pk,
        "running": make_experiment(make_prompt(cast.team, title="Thanks"), running=True).pk,
        "ramp": make_ramp(cast.team, "Farewell").pk,
        "held": ramping.hold(SYSTEM, make_ramp(cast.team, "Welcome")).pk,
        "earlier": make_ramp(cast.team, "Goodbye").pk,
        "move": move,
        **_talk(cast, api),
        "message": asked.uid,
        "metric": declare_metric(SYSTEM, cast.team.pk, key="accuracy", kind="score").pk,
        "rating": accept(SYSTEM, NewRating(str(asked.uid), 1)).feedback_id,
        "conversation": message.conversation.uid,
        "receipt": receipt_of(asked, cast.team.pk),
        "key": make_key(cast.team)[0].pk,
        "webhook": delivery.endpoint_id,
        "delivery": delivery.pk,
        **_answering(cast),
        "budget": set_budget(SYSTEM, cast.team, of=prompt, period="month", limit_usd=Decimal(5)).pk,
        **_tested(cast, prompt),
        **_replayed(cast),
        **_doubted(cast),
        **_cared_for(cast, prompt),
    }


def _replayed(cast: Cast) -> dict[str, Any]:
    """Return a replay and a search that wait."""
    version = newest(make_prompt(cast.team, title="Parting"))
    accept(SYSTEM, NewRating(str(make_message(version, variables={"name": "x"}).uid), -1))
    replay = replaying.request_replay(SYSTEM, version, ReplayPlan())
    search = request_search(SYSTEM, SearchWanted(version, make_suite(cast.team, {}, {}, {}, {}, name="many")))
    return {"replay": replay.pk, "search": search.pk}


def _doubted(cast: Cast) -> dict[str, Any]:
    """Return an experiment whose numbers say otherwise, and one about which another person was asked."""
    doubted, asked = (
        make_experiment(make_prompt(cast.team, title=title), running=True) for title in ("Doubted", "Asked")
    )
    said = {"verdict": "worse", "results": {"verdict": "worse", "about": "variant-1"}, "inputs": {}}
    for one in (doubted, asked):
        AnalysisSnapshot.objects.create(experiment=one, phase=1, as_of=one.started_at, code_version="2", **said)
    by = cast.principal(cast.ben)
    request = approving.ask_conclusion(by, asked, Conclusion(DOUBTED["outcome"], DOUBTED["lesson"], DOUBTED["keep"]))
    return {"doubted": doubted.pk, "asked": asked.pk, "request": request.pk}


def _cared_for(cast: Cast, prompt: Prompt) -> dict[str, Any]:
    """Return a comment, a round of annotation with an answer to rate, and a judge."""
    answer = make_message(newest(prompt), content="Hello!")
    said = accept(SYSTEM, NewRating(str(answer.uid), -1, comment="Too long."))
    drawn = annotating.start_round(SYSTEM, prompt, title="November")
    by = make_prompt(cast.team, "Rate {{answer}}.", title="Judge")
    judge = judging.set_judge(SYSTEM, prompt, JudgePlan(by, 0.5, Decimal(1)))
    return {"said": said.feedback_id, "round": drawn.pk, "drawn": drawn.items.get(message=answer).pk, "judge": judge.pk}


def _tested(cast: Cast, prompt: Prompt) -> dict[str, Any]:
    """Return a case of a suite, and a run of it that waits."""
    suite = make_suite(cast.team)
    run = make_run(suite, newest(prompt), works=False)
    return {"case": suite.cases.get().pk, "run": run.pk, **_suggested(newest(prompt))}


def _suggested(version: Version) -> dict[str, Any]:
    """Return a suggestion to decide, its run, and a run that waits."""
    made = make_proposal(version, model="echo")
    waiting = make_suggestion(version, works=False, model="echo")
    return {"suggestion": made.pk, "improvement": made.run_id, "waiting": waiting.pk}


def _answering(cast: Cast) -> dict[str, Any]:
    """Return who answers, with what, and what that costs."""
    provider = make_provider(cast.team, name="Practice", kind="echo")
    price = price_list.set_price(SYSTEM, provider, model="echo", token="input", usd_per_million=Decimal(1))
    return {"provider": provider.pk, "model": make_model(provider, "rehearsal").pk, "price": price.pk}


def _talk(cast: Cast, api: Api) -> dict[str, Any]:
    """Return what is planned, frozen, said and to be reviewed."""
    assert api.post("/environments", {"name": "preview-acme"}).status_code == 201
    api.post("/prompts/greeting/versions/2/submit")
    due, until = "2099-01-01T09:00:00Z", {"ends_at": "2099-01-01T09:00:00Z", "reason": "x"}
    return {
        "schedule": api.post("/schedules", {**MOVE, "version": 2, "due_at": due}).json()["id"],
        "freeze": api.post("/environments/preview-acme/freezes", until).json()["id"],
        "comment": api.post("/prompts/greeting/comments", {"text": "Why?"}).json()["id"],
        "import": api.post("/import", {"promptlab": 1, "prompts": [IMPORTED]}).json()["id"],
    }


def _asked(answer: Any) -> Any:
    """Give the answer its question: what was sent upstream is shown with it."""
    from promptlab.chat.models import Message

    said = {"role": "user", "state": "completed", "content": "Hello?", "ended_at": answer.created_at}
    Message.objects.create(conversation=answer.conversation, **said)
    return Message.objects.create(
        conversation=answer.conversation,
        role="assistant",
        state="completed",
        version=answer.version,
        variables={"name": "x"},
    )


def send(api: Api, call: Call, ids: dict[str, Any]) -> Any:
    """Send the call and take back what it changed."""
    with transaction.atomic():
        path = "/api/v1" + call.path.format(**ids)
        body = {k: v.format(**ids) if v in ("{other_tag}", "{provider}") else v for k, v in (call.body or {}).items()}
        answer = api._send(call.method, path, body) if call.method != "GET" else api.get(path)
        transaction.set_rollback(True)
    return answer


def test_without_a_key_nothing_is_told(ids: dict[str, Any]) -> None:
    nobody = Api()
    for call in CALLS:
        answer = send(nobody, call, ids)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), call


def test_a_stranger_finds_nothing(cast: Cast, ids: dict[str, Any]) -> None:
    stranger = Api(cast.stranger_key)
    for call in CALLS:
        answer = send(stranger, call, ids)
        if call.is_own:
            assert answer.status_code < 300, (call, answer.content)
            assert b"greeting" not in answer.content.lower(), call
            assert b"emails" not in answer.content.lower(), call
        else:
            assert answer.status_code == 404, (call, answer.content)


@pytest.mark.parametrize("scope", Scope)
def test_each_scope_does_what_it_says_and_no_more(cast: Cast, ids: dict[str, Any], scope: Scope) -> None:
    api = Api(make_key(cast.team, scope)[1])
    for call in CALLS:
        answer = send(api, call, ids)
        if not call.needs or call.needs in OF_SCOPE[scope]:
            assert answer.status_code < 300, (call, answer.content)
        elif call.method == "GET" and call.is_own:
            assert answer.status_code == 403 or shows_nothing(answer.json()), call
        else:
            assert answer.status_code in (403, 404), (call, answer.content)


def shows_nothing(body: Any) -> bool:
    return not (body["results"] if isinstance(body, dict) else body)


def test_a_viewer_changes_nothing(cast: Cast, ids: dict[str, Any]) -> None:
    viewer = Api()
    viewer.client.force_login(cast.vic)
    for call in CALLS:
        if not call.needs.endswith((".write", ".deploy", ".run", ".admin")):
            continue
        answer = send(viewer, call, ids)
        if call.needs in ("key.admin", "webhook.admin", "provider.admin"):
            assert answer.status_code in (403, 404) or shows_nothing(answer.json()), call
        else:
            assert (answer.status_code, answer.json()["data"]["needs"]) == (403, call.needs), call


def test_a_method_that_is_not_there_names_those_that_are(cast: Cast, ids: dict[str, Any]) -> None:
    client = Api(cast.key).client
    for path in {call.path for call in CALLS}:
        there = {call.method for call in CALLS if call.path == path}
        asked = client.options(path.format(**ids))
        assert asked.status_code == 204, path
        assert there <= set(asked.headers["Allow"].split(", ")), path
        refused = client.generic("TRACE", path.format(**ids))
        assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed"), path
        assert there <= set(refused.headers["Allow"].split(", ")), path


def test_an_answer_in_another_language_than_json_is_not_offered(cast: Cast) -> None:
    assert Api(cast.key).get("/prompts", Accept="text/html").json()["code"] == "not_acceptable"


@pytest.mark.parametrize(
    "kind", ["application/json", "application/x-www-form-urlencoded", "text/plain; charset=x", "x"]
)
def test_json_is_read_whatever_the_caller_calls_it(cast: Cast, kind: str) -> None:
    """`curl -d` says that it sends a form."""
    body = b'{"title": "x", "content": "y"}'
    assert Api(cast.key).client.generic("POST", "/prompts", body, content_type=kind).status_code == 201
    person = Client()
    person.force_login(cast.ann)
    assert person.generic("POST", "/prompts", body, content_type=kind).status_code == 201


def test_a_form_is_not_json(cast: Cast) -> None:
    answer = Api(cast.key).client.post("/prompts", {"title": "x", "content": "y"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")


def test_nobody_learns_what_another_team_has_by_naming_the_team(cast: Cast, ids: dict[str, Any]) -> None:
    stranger = Api(cast.stranger_key)
    for path, body in (
        ("/deployments", {**MOVE, "version": 1}),
        ("/deployments", {**MOVE, "version": 99}),
        ("/deployments/rollback", MOVE),
        ("/experiments", EXPERIMENT),
    ):
        real, made_up = (
            stranger.post(path, {**body, "team_id": cast.team.pk, "prompt_name": name}, **{"X-Request-ID": "same"})
            for name in ("greeting", "whatever")
        )
        assert real.status_code == made_up.status_code == 404
        assert real.content.replace(b"greeting", b"whatever") == made_up.content


def test_somebody_in_two_teams_is_asked_which_one_is_meant(cast: Cast, ids: dict[str, Any]) -> None:
    elsewhere = Team.objects.get(name="Elsewhere")
    Membership.objects.create(team=elsewhere, user=cast.ben, role="publisher")
    other = make_prompt(elsewhere, title="Greeting")
    api = Api()
    api.client.force_login(cast.ben)
    move = {**MOVE, "version": 1}
    for answer in (
        api.get("/prompts/greeting"),
        api.post("/deployments", move),
        api.post("/deployments/rollback", MOVE),
    ):
        assert (answer.status_code, answer.json()["code"]) == (400, "team_needed")
    assert api.get(f"/prompts/{other.pk}").json()["title"] == "Greeting"
    assert api.post("/deployments", {**move, "team_id": elsewhere.pk}).status_code == 201


def patterns(found: list[URLPattern | URLResolver], before: str = "") -> Iterator[str]:
    for entry in found:
        address = before + str(entry.pattern).lstrip("^")
        if isinstance(entry, URLResolver):
            yield from patterns(entry.url_patterns, address)
        else:
            yield address


def test_no_route_is_missing_here(ids: dict[str, Any]) -> None:
    """A new route says here who may call it."""
    import re

    known = [call.path.format(**ids).lstrip("/").partition("?")[0] for call in CALLS]
    missing = [address for address in patterns(urls.API) if not any(re.match(address, path) for path in known)]
    assert missing == []
