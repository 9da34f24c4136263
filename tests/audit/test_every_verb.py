"""Every service that changes something writes what it did, once, in the same transaction, and nothing when nothing changed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from importlib import import_module
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from experiments.models import AnalysisSnapshot, Experiment
from experiments.services import approving, concluding, lifecycle, phasing, ramping, sharing, targeting
from experiments.services import drafting as experiment_drafts
from experiments.services.concluding import Conclusion
from experiments.services.drafting import DraftChanges
from experiments.services.lifecycle import NewVariant
from feedback.models import Feedback
from feedback.services import annotating, erasing, evolving, inbox, judging, metrics, privacy, replaying
from feedback.services.ingest import NewRating, accept
from feedback.services.replaying import ReplayPlan
from promptlab.accounts import services as accounts
from promptlab.accounts.access import SYSTEM, Principal, Role
from promptlab.accounts.auth import principal_of_user
from promptlab.accounts.models import Membership
from promptlab.audit.admin import SENTENCES, sentence
from promptlab.audit.models import AuditEntry
from promptlab.chat.models import Conversation
from promptlab.chat.services import budgeting, conversations, repricing
from promptlab.hooks.services import choosing, endpoints
from promptlab.hooks.services.endpoints import EndpointChanges
from promptlab.llm.services import checking, hiding, modelling, price_list, providing
from prompts.checks.cases import Case
from prompts.models import ImportRun, OptimiserRun, Prompt, Version
from prompts.porting.bundle import Bundle
from prompts.services import (
    authoring,
    collecting,
    commenting,
    deploying,
    drafting,
    environments,
    favouring,
    fields,
    goals,
    naming,
    optimising,
    porting,
    reviewing,
    scheduling,
    searching,
    suggesting,
    suite_gate,
    suite_runs,
    suites,
    tagging,
    taking_back,
)
from prompts.services.authoring import PromptChanges
from prompts.services.contents import content_of
from prompts.services.searching import SearchWanted
from prompts.services.suggesting import Wanted as Wish
from prompts.services.suite_runs import Wanted
from tests.support.cast import Cast, make_cast
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
)
from tests.support.suggestions import make_proposal, make_suggestion
from tests.support.suites import make_run, make_suite

pytestmark = pytest.mark.django_db
MODULES = (
    "promptlab.accounts.services",
    "prompts.services.authoring",
    "prompts.services.collecting",
    "prompts.services.commenting",
    "prompts.services.deploying",
    "prompts.services.drafting",
    "prompts.services.favouring",
    "prompts.services.fields",
    "prompts.services.tagging",
    "prompts.services.environments",
    "prompts.services.reviewing",
    "prompts.services.scheduling",
    "prompts.services.naming",
    "prompts.services.porting",
    "prompts.services.exporting",
    "prompts.services.import_plans",
    "prompts.services.taking_back",
    "prompts.services.suites",
    "prompts.services.suite_runs",
    "prompts.services.suite_gate",
    "prompts.services.goals",
    "prompts.services.optimising",
    "prompts.services.suggesting",
    "experiments.services.lifecycle",
    "experiments.services.drafting",
    "experiments.services.concluding",
    "experiments.services.approving",
    "experiments.services.phasing",
    "experiments.services.ramping",
    "experiments.services.sharing",
    "experiments.services.targeting",
    "promptlab.hooks.services.endpoints",
    "promptlab.hooks.services.choosing",
    "promptlab.chat.services.conversations",
    "promptlab.llm.services.providing",
    "promptlab.llm.services.modelling",
    "promptlab.llm.services.price_list",
    "promptlab.llm.services.checking",
    "promptlab.llm.services.hiding",
    "promptlab.chat.services.repricing",
    "promptlab.chat.services.budgeting",
    "feedback.services.erasing",
    "feedback.services.metrics",
    "feedback.services.annotating",
    "feedback.services.inbox",
    "feedback.services.evolving",
    "feedback.services.replaying",
    "prompts.services.searching",
    "feedback.services.judging",
    "feedback.services.privacy",
)


@dataclass
class World:
    """Cleo administers; everything a verb needs is made before it is called."""

    cast: Cast
    cleo: Principal
    prompt: Prompt
    first: Version
    second: Version

    @property
    def team_id(self) -> int:
        return self.cast.team.pk


@pytest.fixture(scope="module")
def made_world(kept_for_the_file: None) -> World:
    cast = make_cast()
    prompt = make_prompt(cast.team)
    second = make_version(prompt)
    first = Version.objects.select_related("prompt").get(prompt=prompt, number=1)
    return World(cast, principal_of_user(cast.cleo), prompt, first, second)


@pytest.fixture
def world(made_world: World, db: None) -> World:
    return deepcopy(made_world)


Step = Callable[[], object]


def _add_member(w: World) -> Step:
    user = make_user()
    return lambda: accounts.add_member(w.cleo, w.cast.team, user, Role.VIEWER)


def _save_person(w: World) -> Step:
    person = w.cast.ann
    person.first_name = "Anna"
    return lambda: accounts.save_person(w.cleo, person, {w.cast.team: {Role.WRITER, Role.REVIEWER}})


def _remove_role(w: World) -> Step:
    membership = Membership.objects.get(user=w.cast.ann)
    return lambda: accounts.remove_role(w.cleo, membership)


def _key(act: Callable[..., object]) -> Callable[[World], Step]:
    def prepare(w: World) -> Step:
        key, _ = make_key(w.cast.team, "read")
        return lambda: act(w.cleo, key)

    return prepare


def _conversation(act: Callable[..., object], *said: Any, is_archived: bool = False) -> Callable[[World], Step]:
    def prepare(w: World) -> Step:
        archived_at = timezone.now() if is_archived else None
        one = Conversation.objects.create(team=w.cast.team, prompt=w.prompt, archived_at=archived_at)
        return lambda: act(w.cleo, one, *said)

    return prepare


def _collection(act: Callable[..., object], **changes: Any) -> Callable[[World], Step]:
    def prepare(w: World) -> Step:
        one = collecting.create_collection(w.cleo, w.team_id, name="Old")
        return lambda: act(w.cleo, one, **changes)

    return prepare


def _restore_collection(w: World) -> Step:
    one = collecting.create_collection(w.cleo, w.team_id, name="Old")
    collecting.archive_collection(w.cleo, one)
    return lambda: collecting.restore_collection(w.cleo, one)


def _tag(act: Callable[..., object], *said: Any) -> Callable[[World], Step]:
    def prepare(w: World) -> Step:
        one, other = tagging.tags_named(w.team_id, ["one", "other"])
        w.prompt.tags.set([one])
        return lambda: act(w.cleo, one, *(said or (other,)))

    return prepare


def _field(act: Callable[..., object], *said: Any) -> Callable[[World], Step]:
    def prepare(w: World) -> Step:
        one = fields.create_field(w.cleo, w.team_id, key="owner")
        return lambda: act(w.cleo, one, *said)

    return prepare


def _favoured(act: Callable[..., object], *before: Callable[..., object], **said: Any) -> Callable[[World], Step]:
    def prepare(w: World) -> Step:
        for earlier in before:
            earlier(w.cleo, w.prompt, **({"stars": 5} if earlier is favouring.rate else {}))
        return lambda: act(w.cleo, w.prompt, **said)

    return prepare


def _restore(w: World) -> Step:
    authoring.archive_prompt(w.cleo, w.prompt)
    return lambda: authoring.restore_prompt(w.cleo, w.prompt)


def _metric(w: World, **changes: Any) -> Step:
    if not changes:
        return lambda: metrics.declare_metric(w.cleo, w.team_id, key="accuracy", kind="score")
    one = metrics.declare_metric(w.cleo, w.team_id, key="accuracy", kind="score")
    return lambda: metrics.change_metric(w.cleo, one, changes)  # type: ignore[arg-type]


def _round(w: World, *, ends: bool = False) -> Step:
    make_message(w.first)

    def start() -> Any:
        return annotating.start_round(w.cleo, w.prompt, title="November")

    one = start() if ends else None
    return (lambda: annotating.close_round(w.cleo, one)) if one else start


def _ask_to_judge(w: World) -> Step:
    judge = _set_judge(w)()
    return lambda: judging.ask_to_judge(w.cleo, judge)


def _set_judge(w: World) -> Step:
    plan = judging.JudgePlan(make_prompt(w.cast.team, "Rate {{answer}}."), 0.5, Decimal(1))
    return lambda: judging.set_judge(w.cleo, w.prompt, plan)


def _set_privacy(w: World) -> Step:
    return lambda: privacy.set_privacy(w.cleo, w.cast.team, masked=["email"], keeps_text=True)


def _comment_of_user(act: Callable[..., object], *said: Any, before: Any = None) -> Callable[[World], Step]:
    def prepare(w: World) -> Step:
        accept(SYSTEM, NewRating(str(make_message(w.first).uid), -1, comment="Wrong."))
        rating = Feedback.objects.select_related("message__version__prompt").get()
        if before:
            before(w.cleo, rating)
        return lambda: act(w.cleo, rating, *(one(w) if callable(one) else one for one in said))

    return prepare


def _replayed(verb: Callable[..., object]) -> Callable[[World], Step]:
    def prepare(w: World) -> Step:
        accept(SYSTEM, NewRating(str(make_message(w.first, variables={"name": "x"}).uid), -1))
        return lambda: verb(w.cleo, w.second, ReplayPlan(model="echo"))

    return prepare


def _search(verb: Callable[..., object]) -> Callable[[World], Step]:
    return lambda w: _of(w, verb, SearchWanted(w.second, make_suite(w.cast.team, {}, {}, {}, {})))


def _save_disagreements(w: World) -> Step:
    made: Any = _replayed(replaying.request_replay)(w)()
    said = {"check": "preferred", "passed": True, "detail": "Better.", "score": 1.0}
    made.run.results.update(state="passed", text="Better.", outcomes=[said])
    return lambda: replaying.save_disagreements(w.cleo, made)


def _rollback(w: World) -> Step:
    make_live(w.first)
    where = make_live(w.second)
    return lambda: deploying.rollback(w.cleo, w.prompt, where, note="too long")


def _undeploy(w: World) -> Step:
    where = make_live(w.first)
    return lambda: deploying.undeploy(w.cleo, w.prompt, where)


def _deploy(w: World) -> Step:
    where = environments.named(w.team_id, "staging")
    return lambda: deploying.deploy(w.cleo, w.first, where)


def _promote(w: World) -> Step:
    staging = make_live(w.first, "staging")
    where = environments.named(w.team_id, "production")
    return lambda: deploying.promote(w.cleo, w.prompt, staging, where)


def _change_environment(w: World) -> Step:
    where = environments.named(w.team_id, "staging")
    return lambda: environments.change_environment(w.cleo, where, environments.Rules(is_protected=True))


def _freeze(w: World) -> Step:
    where = environments.named(w.team_id, "staging")
    now = timezone.now()
    until = now + timedelta(hours=1)
    return lambda: environments.freeze(w.cleo, where, starts_at=now, ends_at=until, reason="Holidays")


def _thaw(w: World) -> Step:
    window: Any = _freeze(w)()
    return lambda: environments.thaw(w.cleo, window)


def _schedule(w: World) -> Step:
    where = environments.named(w.team_id, "staging")
    due = timezone.now() + timedelta(hours=1)
    return lambda: scheduling.schedule(w.cleo, w.first, where, due)


def _cancel(w: World) -> Step:
    planned: Any = _schedule(w)()
    return lambda: scheduling.cancel(w.cleo, planned)


def _reviewed(act: Callable[..., object], **said: Any) -> Callable[[World], Step]:
    def prepare(w: World) -> Step:
        reviewing.submit_for_review(w.cleo, w.second)
        return lambda: act(w.cleo, w.second, **said)

    return prepare


def _comment(act: Callable[..., object], *said: Any, after: Callable[..., object] | None = None) -> Any:
    def prepare(w: World) -> Step:
        one = commenting.add_comment(w.cleo, w.prompt, "Why?")
        if after:
            after(w.cleo, one)
        return lambda: act(w.cleo, one, *said)

    return prepare


def _create_experiment(w: World) -> Step:
    where = make_live(w.first)
    variants = [NewVariant("control", w.first, 5000), NewVariant("new", w.second, 5000)]
    return lambda: lifecycle.create_experiment(w.cleo, w.prompt, where, title="Shorter", variants=variants)


def _begin_draft(w: World) -> Step:
    where = make_live(w.first)
    return lambda: experiment_drafts.begin_draft(w.cleo, w.prompt, where, title="Shorter")


def _edit_draft(w: World) -> Step:
    one = make_experiment(w.prompt)
    return lambda: experiment_drafts.edit_draft(w.cleo, one, DraftChanges(title="Longer"))


def _experiment(verb: str, *before: str) -> Callable[[World], Step]:
    def prepare(w: World) -> Step:
        one = make_experiment(w.prompt)
        for earlier in before:
            one = lifecycle.VERBS[earlier](w.cleo, one)
        return lambda: lifecycle.VERBS[verb](w.cleo, one, note="because")

    return prepare


def _phase(act: Callable[..., object], *said: Any, **more: Any) -> Callable[[World], Step]:
    def prepare(w: World) -> Step:
        one = make_experiment(w.prompt, running=True)
        return lambda: act(w.cleo, one, *said, **more)

    return prepare


AGAINST = Conclusion("won", "Short is better.", "variant-1")


def _against_numbers(w: World) -> Experiment:
    one = make_experiment(w.prompt, running=True)
    results = {"verdict": "worse", "about": "variant-1"}
    AnalysisSnapshot.objects.create(
        experiment=one, phase=1, as_of=timezone.now(), verdict="worse", inputs={}, results=results, code_version="2"
    )
    return one


def _ask_conclusion(w: World) -> Step:
    one = _against_numbers(w)
    return lambda: approving.ask_conclusion(w.cleo, one, AGAINST)


def _asked_conclusion(act: Callable[..., object], **said: Any) -> Callable[[World], Step]:
    def prepare(w: World) -> Step:
        asked = approving.ask_conclusion(w.cast.principal(w.cast.ben), _against_numbers(w), AGAINST)
        return lambda: act(w.cleo, asked, **said)

    return prepare


def _create_namespace(w: World) -> Step:
    keys = iter(("checkout", "other"))
    return lambda: targeting.create_namespace(w.cleo, w.cast.team, next(keys))


def _set_overrides(w: World) -> Step:
    one = make_experiment(w.prompt, running=True)
    return lambda: targeting.set_overrides(w.cleo, one, {"tester": "variant-1"})


def _unshare(w: World) -> Step:
    link = sharing.share(w.cleo, make_experiment(w.prompt, running=True), days=7)
    return lambda: sharing.unshare(w.cleo, link)


def _start_ramp(w: World) -> Step:
    where = make_live(w.first)
    return lambda: ramping.start_ramp(w.cleo, w.second, where)


def _ramp(act: Callable[..., object], *before: Callable[..., object]) -> Callable[[World], Step]:
    def prepare(w: World) -> Step:
        one = ramping.start_ramp(w.cleo, w.second, make_live(w.first))
        for step in before:
            step(w.cleo, one)
        return lambda: act(w.cleo, one)

    return prepare


def _drafted(act: Callable[..., object]) -> Callable[[World], Step]:
    def prepare(w: World) -> Step:
        drafting.keep_draft(w.cleo, w.prompt, {"content": "New {{name}}."})
        return lambda: act(w.cleo, w.prompt)

    return prepare


def _import(w: World) -> Step:
    bundle = porting.export_prompts(w.cleo, Prompt.objects.filter(pk=w.prompt.pk))
    bundle = replace(bundle, prompts=(replace(bundle.prompts[0], title="Another"),))
    return lambda: porting.run_import(w.cleo, bundle, w.team_id)


def _undo_import(w: World) -> Step:
    _import(w)()
    run = ImportRun.objects.get()
    return lambda: taking_back.undo_import(w.cleo, run)


def _endpoint(act: Callable[..., object], **changes: Any) -> Callable[[World], Step]:
    def prepare(w: World) -> Step:
        one = make_delivery(w.cast.team).endpoint
        return lambda: act(w.cleo, one, **changes)

    return prepare


def _provider(act: Callable[..., object], *said: Any) -> Callable[[World], Step]:
    def prepare(w: World) -> Step:
        one = make_provider(w.cast.team, name="Old", kind="echo")
        return lambda: act(w.cleo, one, *said)

    return prepare


def _model(act: Callable[..., object], *said: Any) -> Callable[[World], Step]:
    def prepare(w: World) -> Step:
        one = make_model(make_provider(w.cast.team))
        return lambda: act(w.cleo, one, *said)

    return prepare


def _set_price(w: World) -> Step:
    one, start = make_provider(w.cast.team), timezone.now()
    said = {"model": "gpt-5", "token": "input", "usd_per_million": Decimal(1), "valid_from": start}
    return lambda: price_list.set_price(w.cleo, one, **said)


def _remove_price(w: World) -> Step:
    one: Any = _set_price(w)()
    return lambda: price_list.remove_price(w.cleo, one)


def _reprice(w: World) -> Step:
    make_message(w.first, cost_usd=None)
    return lambda: repricing.reprice(w.cleo, w.cast.team)


def _set_budget(w: World) -> Step:
    said = {"of": w.prompt, "period": "day", "limit_usd": Decimal(5)}
    return lambda: budgeting.set_budget(w.cleo, w.cast.team, **said)


def _remove_budget(w: World) -> Step:
    one: Any = _set_budget(w)()
    return lambda: budgeting.remove_budget(w.cleo, one)


def _erase_unit(w: World) -> Step:
    make_message(w.first, unit_id="customer-1")
    return lambda: erasing.erase_unit(w.cleo, w.cast.team, "customer-1")


def _replay(w: World) -> Step:
    one = make_delivery(w.cast.team)
    return lambda: endpoints.replay(w.cleo, one)


def _rename_environment(w: World) -> Step:
    one = environments.create_environment(w.cleo, w.team_id, name="preview")
    return lambda: environments.rename_environment(w.cleo, one, "trial")


def _in_suite(w: World, verb: Callable[..., object], *args: Any) -> Step:
    suite = make_suite(w.cast.team)
    return lambda: verb(w.cleo, suite, *args)


def _suite(verb: Callable[..., object], *args: Any) -> Callable[[World], Step]:
    return lambda w: _in_suite(w, verb, *args)


def _case(verb: Callable[..., object], *args: Any) -> Callable[[World], Step]:
    return lambda w: _of(w, verb, make_suite(w.cast.team).cases.get(), *args)


def _of(w: World, verb: Callable[..., object], *args: Any) -> Step:
    return lambda: verb(w.cleo, *args)


def _asked(verb: Callable[..., object]) -> Callable[[World], Step]:
    return lambda w: _in_suite(w, verb, Wanted(w.second, ["echo"]))


def _run(verb: Callable[..., object], **columns: Any) -> Callable[[World], Step]:
    def prepare(w: World) -> Step:
        run = make_run(make_suite(w.cast.team), w.second, works=False)
        type(run).objects.filter(pk=run.pk).update(**columns or {"state": "queued"})
        return _of(w, verb, run)

    return prepare


GOALS_BROUGHT = ["collection.created", *["prompt.created"] * 7]


def _goal_changed(w: World) -> Step:
    """The text of a goal is another one than the shipped."""
    goals.bring_goals(w.cleo, w.team_id)
    make_version(Prompt.objects.get(name="optimiser.own"), "Write it.")
    return lambda: goals.restore_goal(w.cleo, w.team_id, "own")


def _wanted(verb: Callable[..., object]) -> Callable[[World], Step]:
    return lambda w: lambda: verb(w.cleo, Wish(w.second, "clearer", model="echo"))


def _improved(verb: Callable[..., object], *, state: str = "") -> Callable[[World], Step]:
    def prepare(w: World) -> Step:
        run = make_suggestion(w.second, works=False, model="echo")
        if state:
            OptimiserRun.objects.filter(pk=run.pk).update(state=state)
        return lambda: verb(w.cleo, run)

    return prepare


def _proposed(verb: Callable[..., object]) -> Callable[[World], Step]:
    return lambda w: _of(w, verb, make_proposal(w.second, model="echo"))


def _gated(verb: Callable[..., object], *more: str) -> Callable[[World], Step]:
    def prepare(w: World) -> Step:
        where = environments.named(w.team_id, "production")
        environments.change_environment(w.cleo, where, environments.Rules(suites=[make_suite(w.cast.team).name]))
        return _of(w, verb, w.second, *([where] if more else []))

    return prepare


NEW = content_of(text="Something else, {{name}}.")
VERBS: dict[str, tuple[Callable[[World], Step], list[str]]] = {
    "create_team": (lambda w: lambda: accounts.create_team(w.cleo, "New"), ["team.created"]),
    "rename_team": (lambda w: lambda: accounts.rename_team(w.cleo, w.cast.team, "New"), ["team.renamed"]),
    "save_person": (_save_person, ["person.changed", "member.added"]),
    "change_password": (
        lambda w: lambda: accounts.change_password(w.cleo, w.cast.ann, "a long enough one"),
        ["person.password"],
    ),
    "change_own_account": (
        lambda w: (
            lambda: accounts.change_own_account(w.cleo, first_name="Cleopatra", last_name="", has_single_keys=True)
        ),
        ["account.changed"],
    ),
    "sign_out_everywhere": (lambda w: lambda: accounts.sign_out_everywhere(w.cleo), ["account.signed_out"]),
    "choose_language": (lambda w: lambda: accounts.choose_language(w.cleo, "es"), ["language.chosen"]),
    "add_member": (_add_member, ["member.added"]),
    "remove_role": (_remove_role, ["member.removed"]),
    "issue_key": (
        lambda w: lambda: accounts.issue_key(w.cleo, w.cast.team, name="x", scopes=["read"]),
        ["key.issued"],
    ),
    "rotate_key": (_key(accounts.rotate_key), ["key.rotated", "key.issued"]),
    "revoke_key": (_key(accounts.revoke_key), ["key.revoked"]),
    "create_collection": (
        lambda w: lambda: collecting.create_collection(w.cleo, w.team_id, name="New"),
        ["collection.created"],
    ),
    "update_collection": (_collection(collecting.update_collection, name="New"), ["collection.changed"]),
    "archive_collection": (_collection(collecting.archive_collection), ["collection.archived"]),
    "restore_collection": (_restore_collection, ["collection.restored"]),
    "rename_tag": (_tag(tagging.rename_tag, "new"), ["tag.renamed"]),
    "merge_tags": (_tag(tagging.merge_tags), ["tag.merged"]),
    "delete_tag": (
        lambda w: lambda: tagging.delete_tag(w.cleo, tagging.tags_named(w.team_id, ["one"])[0]),
        ["tag.deleted"],
    ),
    "create_field": (lambda w: lambda: fields.create_field(w.cleo, w.team_id, key="owner"), ["field.created"]),
    "update_field": (_field(fields.update_field, fields.FieldChanges(title="Who owns it")), ["field.changed"]),
    "delete_field": (_field(fields.delete_field), ["field.deleted"]),
    "add_favourite": (_favoured(favouring.add_favourite), ["favourite.added"]),
    "remove_favourite": (_favoured(favouring.remove_favourite, favouring.add_favourite), ["favourite.removed"]),
    "rate": (_favoured(favouring.rate, stars=4), ["rating.given"]),
    "take_back_rating": (_favoured(favouring.take_back_rating, favouring.rate), ["rating.taken_back"]),
    "create_prompt": (
        lambda w: lambda: authoring.create_prompt(w.cleo, w.team_id, title="New", content=NEW),
        ["prompt.created"],
    ),
    "update_prompt": (
        lambda w: lambda: authoring.update_prompt(w.cleo, w.prompt, PromptChanges(title="New", tags=("a",))),
        ["prompt.changed"],
    ),
    "update_prompt with content": (
        lambda w: lambda: authoring.update_prompt(w.cleo, w.prompt, PromptChanges(content=NEW)),
        ["version.created"],
    ),
    "create_version": (lambda w: lambda: authoring.create_version(w.cleo, w.prompt, NEW), ["version.created"]),
    "revert_version": (lambda w: lambda: authoring.revert_version(w.cleo, w.first), ["version.created"]),
    "fork_prompt": (lambda w: lambda: authoring.fork_prompt(w.cleo, w.first, "Copy"), ["prompt.created"]),
    "rename_prompt": (lambda w: lambda: naming.rename_prompt(w.cleo, w.prompt, "other"), ["prompt.renamed"]),
    "keep_draft": (lambda w: lambda: drafting.keep_draft(w.cleo, w.prompt, {"content": "{{"}), ["draft.kept"]),
    "discard_draft": (_drafted(drafting.discard_draft), ["draft.discarded"]),
    "publish_draft": (_drafted(drafting.publish_draft), ["version.created", "draft.saved"]),
    "export_prompts": (lambda w: lambda: porting.export_prompts(w.cleo, [w.prompt.name]), []),
    "plan_import": (lambda w: lambda: porting.plan_import(w.cleo, Bundle(), w.team_id), []),
    "run_import": (_import, ["prompt.changed", "prompt.imported"]),
    "undo_import": (_undo_import, ["prompt.changed", "import.undone"]),
    "archive_prompt": (lambda w: lambda: authoring.archive_prompt(w.cleo, w.prompt), ["prompt.archived"]),
    "restore_prompt": (_restore, ["prompt.restored"]),
    "deploy": (_deploy, ["deployment.deploy"]),
    "rollback": (_rollback, ["deployment.rollback"]),
    "undeploy": (_undeploy, ["deployment.undeploy"]),
    "create_environment": (
        lambda w: lambda: environments.create_environment(w.cleo, w.team_id, name="preview"),
        ["environment.created"],
    ),
    "rename_environment": (_rename_environment, ["environment.renamed"]),
    "promote": (_promote, ["deployment.deploy"]),
    "change_environment": (_change_environment, ["environment.changed"]),
    "freeze": (_freeze, ["environment.frozen"]),
    "thaw": (_thaw, ["environment.thawed"]),
    "schedule": (_schedule, ["deployment.scheduled"]),
    "cancel": (_cancel, ["deployment.cancelled"]),
    "submit_for_review": (lambda w: lambda: reviewing.submit_for_review(w.cleo, w.second), ["version.submitted"]),
    "approve": (_reviewed(reviewing.approve), ["version.approved"]),
    "request_changes": (
        _reviewed(reviewing.request_changes, comment="Too long by far."),
        ["version.changes_requested"],
    ),
    "withdraw": (_reviewed(reviewing.withdraw), ["version.withdrawn"]),
    "add_comment": (lambda w: lambda: commenting.add_comment(w.cleo, w.prompt, "Why?"), ["comment.written"]),
    "reply": (_comment(commenting.reply, "Because."), ["comment.written"]),
    "edit_comment": (_comment(commenting.edit_comment, "Why not?"), ["comment.edited"]),
    "resolve_comment": (_comment(commenting.resolve_comment), ["comment.resolved"]),
    "reopen_comment": (_comment(commenting.reopen_comment, after=commenting.resolve_comment), ["comment.reopened"]),
    "create_experiment": (_create_experiment, ["experiment.created"]),
    "begin_draft": (_begin_draft, ["experiment.created"]),
    "edit_draft": (_edit_draft, ["experiment.edited"]),
    "start": (_experiment("start"), ["experiment.start"]),
    "pause": (_experiment("pause", "start"), ["experiment.pause"]),
    "resume": (_experiment("resume", "start", "pause"), ["experiment.resume"]),
    "stop": (_experiment("stop", "start"), ["experiment.stop"]),
    "kill": (_experiment("kill", "start"), ["experiment.kill"]),
    "set_overrides": (_set_overrides, ["experiment.overrides"]),
    "change_coverage": (_phase(phasing.change_coverage, 5000), ["experiment.coverage"]),
    "change_shares": (_phase(phasing.change_shares, {"control": 4000, "variant-1": 6000}), ["experiment.shares"]),
    "deal_anew": (_phase(phasing.deal_anew, note="A bug."), ["experiment.dealt_anew"]),
    "conclude": (
        _phase(concluding.conclude, Conclusion("won", "Short is better.", "variant-1")),
        ["experiment.concluded"],
    ),
    "share": (_phase(sharing.share, days=7), ["experiment.shared"]),
    "unshare": (_unshare, ["experiment.unshared"]),
    "ask_conclusion": (_ask_conclusion, ["experiment.conclusion_asked"]),
    "approve_conclusion": (
        _asked_conclusion(approving.approve_conclusion),
        ["experiment.conclusion_approved", "experiment.concluded"],
    ),
    "refuse_conclusion": (
        _asked_conclusion(approving.refuse_conclusion, note="No."),
        ["experiment.conclusion_refused"],
    ),
    "withdraw_conclusion": (_asked_conclusion(approving.withdraw_conclusion), ["experiment.conclusion_withdrawn"]),
    "create_namespace": (_create_namespace, ["namespace.created"]),
    "start_ramp": (_start_ramp, ["ramp.started"]),
    "hold": (_ramp(ramping.hold), ["ramp.held"]),
    "go_on": (_ramp(ramping.go_on, ramping.hold), ["ramp.resumed"]),
    "go_earlier": (_ramp(partial(ramping.go_earlier, note="Friday.")), ["ramp.advanced"]),
    "send_back": (_ramp(ramping.send_back), ["ramp.rolled_back"]),
    "rename_conversation": (
        _conversation(conversations.rename_conversation, "New"),
        ["conversation.renamed"],
    ),
    "archive_conversation": (_conversation(conversations.archive_conversation), ["conversation.archived"]),
    "unarchive_conversation": (
        _conversation(conversations.unarchive_conversation, is_archived=True),
        ["conversation.unarchived"],
    ),
    "set_retention": (
        lambda w: lambda: conversations.set_retention(w.cleo, w.cast.team, 30),
        ["retention.changed"],
    ),
    "create_endpoint": (
        lambda w: lambda: endpoints.create_endpoint(w.cleo, w.team_id, url="https://hooks.example.com"),
        ["webhook.created"],
    ),
    "update_endpoint": (
        _endpoint(endpoints.update_endpoint, changes=EndpointChanges(url="https://new.example.com")),
        ["webhook.changed"],
    ),
    "rotate_secret": (_endpoint(endpoints.rotate_secret), ["webhook.rotated"]),
    "remove_endpoint": (_endpoint(endpoints.remove_endpoint), ["webhook.removed"]),
    "send_test": (_endpoint(endpoints.send_test), ["webhook.tested"]),
    "replay": (_replay, ["webhook.replayed"]),
    "create_provider": (
        lambda w: lambda: providing.create_provider(w.cleo, w.team_id, {"name": "New", "kind": "echo"}),
        ["provider.created"],
    ),
    "update_provider": (_provider(providing.update_provider, {"region_note": "EU"}), ["provider.changed"]),
    "remove_provider": (_provider(providing.remove_provider), ["provider.removed"]),
    "check_provider": (_provider(checking.check_provider), ["provider.checked"]),
    "create_model": (_provider(modelling.create_model, {"name": "new"}), ["model.created"]),
    "update_model": (_model(modelling.update_model, {"tier": "economy"}), ["model.changed"]),
    "remove_model": (_model(modelling.remove_model), ["model.removed"]),
    "set_price": (_set_price, ["price.set"]),
    "remove_price": (_remove_price, ["price.removed"]),
    "set_masking": (
        lambda w: lambda: hiding.set_masking(w.cleo, w.team_id, kinds=["email"], patterns={}),
        ["masking.changed"],
    ),
    "reprice": (_reprice, ["messages.repriced"]),
    "ask_repricing": (lambda w: lambda: repricing.ask_repricing(w.cleo, w.cast.team), ["repricing.asked"]),
    "set_budget": (_set_budget, ["budget.set"]),
    "remove_budget": (_remove_budget, ["budget.removed"]),
    "erase_unit": (_erase_unit, ["unit.erased"]),
    "assign": (_comment_of_user(inbox.assign, lambda w: w.cast.ann), ["inbox.assigned"]),
    "label": (_comment_of_user(inbox.label, ["tone"]), ["inbox.labelled"]),
    "settle": (_comment_of_user(inbox.settle), ["inbox.settled"]),
    "reopen": (_comment_of_user(inbox.reopen, before=inbox.settle), ["inbox.reopened"]),
    "add_note": (_comment_of_user(inbox.add_note, "Called."), ["inbox.noted"]),
    "save_as_case": (_comment_of_user(inbox.save_as_case), ["suite.created", "suite.case_added"]),
    "request_replay": (
        _replayed(replaying.request_replay),
        ["suite.created", "suite.run_requested", "replay.requested"],
    ),
    "estimate_replay": (_replayed(replaying.estimate_replay), []),
    "save_disagreements": (_save_disagreements, ["suite.case_added", "replay.cases_saved"]),
    "estimate_search": (_search(searching.estimate_search), []),
    "request_search": (_search(searching.request_search), ["optimiser.requested"]),
    "request_evolution": (_search(evolving.request_evolution), ["optimiser.requested"]),
    "start_round": (_round, ["annotation.started"]),
    "close_round": (lambda w: _round(w, ends=True), ["annotation.ended"]),
    "set_judge": (_set_judge, ["judge.set"]),
    "ask_to_judge": (_ask_to_judge, ["judge.asked"]),
    "set_privacy": (_set_privacy, ["privacy.changed"]),
    "declare_metric": (_metric, ["metric.declared"]),
    "change_metric": (lambda w: _metric(w, title="How exact"), ["metric.changed"]),
    "create_suite": (lambda w: lambda: suites.create_suite(w.cleo, w.team_id, name="new"), ["suite.created"]),
    "update_suite": (_suite(suites.update_suite, suites.SuiteChanges(name="new")), ["suite.changed"]),
    "archive_suite": (_suite(suites.archive_suite), ["suite.archived"]),
    "add_case": (_suite(suites.add_case, Case("new")), ["suite.case_added"]),
    "update_case": (_case(suites.update_case, Case("new")), ["suite.case_changed"]),
    "delete_case": (_case(suites.delete_case), ["suite.case_removed"]),
    "import_cases": (_suite(suites.import_cases, b"name\nnew\n", "csv"), ["suite.cases_imported"]),
    "request_run": (_asked(suite_runs.request_run), ["suite.run_requested"]),
    "estimate_run": (_asked(suite_runs.estimate_run), []),
    "cancel_run": (_run(suite_runs.cancel_run), ["suite.run_cancelled"]),
    "resume_run": (_run(suite_runs.resume_run, state="stopped"), ["suite.run_resumed"]),
    "bring_goals": (lambda w: lambda: goals.bring_goals(w.cleo, w.team_id), GOALS_BROUGHT),
    "restore_goal": (_goal_changed, ["version.created"]),
    "request_suggestion": (_wanted(suggesting.request_suggestion), ["optimiser.requested"]),
    "estimate_suggestion": (_wanted(suggesting.estimate_suggestion), []),
    "cancel_improvement": (_improved(optimising.cancel_improvement), ["optimiser.cancelled"]),
    "resume_improvement": (_improved(optimising.resume_improvement, state="stopped"), ["optimiser.resumed"]),
    "accept_suggestion": (_proposed(suggesting.accept_suggestion), ["version.created", "suggestion.accepted"]),
    "keep_suggestion": (_proposed(suggesting.keep_suggestion), ["draft.kept"]),
    "discard_suggestion": (_proposed(suggesting.discard_suggestion), ["suggestion.discarded"]),
    "request_missing": (_gated(suite_gate.request_missing, "where"), ["suite.run_requested"]),
    "queue_for_review": (_gated(suite_gate.queue_for_review), ["suite.run_requested"]),
    "choose_mails": (lambda w: lambda: choosing.choose_mails(w.cleo, {"mention": False}), ["notifications.changed"]),
}
REPEATABLE = (
    "rename_team", "save_person", "rename_environment",
    "add_member", "revoke_key", "update_collection", "archive_collection", "update_prompt",
    "update_prompt with content", "create_version", "rename_prompt", "run_import", "keep_draft", "discard_draft",
    "archive_prompt", "restore_prompt", "deploy", "kill", "hold", "send_back",
    "save_disagreements", "assign", "label", "settle", "reopen", "set_judge", "set_privacy", "close_round", "change_metric",
    "erase_unit", "promote", "change_environment", "thaw", "cancel", "submit_for_review", "approve", "edit_comment",
    "resolve_comment", "reopen_comment", "update_endpoint", "choose_mails", "edit_draft",
    "ask_conclusion", "approve_conclusion", "refuse_conclusion", "withdraw_conclusion",
    "restore_collection", "rename_tag", "update_field", "add_favourite", "remove_favourite", "rate", "take_back_rating",
    "rename_conversation", "archive_conversation", "unarchive_conversation", "set_retention",
    "update_provider", "update_model", "set_price", "reprice", "set_budget",
    "update_suite", "archive_suite", "update_case", "delete_case", "cancel_run", "resume_run", "request_missing",
    "bring_goals", "restore_goal", "cancel_improvement", "resume_improvement", "discard_suggestion",
)  # fmt: skip
"""Verbs that change nothing when they are done a second time."""


def entries() -> list[AuditEntry]:
    return list(AuditEntry.objects.order_by("id"))


@pytest.mark.parametrize("verb", VERBS)
def test_a_change_is_one_entry_and_done_again_it_is_none(world: World, verb: str) -> None:
    prepare, expected = VERBS[verb]
    step = prepare(world)
    before = len(entries())
    step()
    written = entries()[before:]
    assert [entry.verb for entry in written] == expected
    for entry in written:
        assert (entry.actor_kind, entry.actor_id, entry.actor_label) == ("user", world.cast.cleo.pk, "Cleo")
        assert entry.target_label
        assert not {"None", "–"} & set(sentence(entry).split()), sentence(entry)
        assert entry.team_id == world.team_id or entry.verb == "team.created"
    if verb in REPEATABLE:
        step()
        assert entries()[before + len(written) :] == []


@pytest.mark.parametrize("verb", VERBS)
def test_a_change_that_is_rolled_back_leaves_no_entry(world: World, verb: str) -> None:
    step = VERBS[verb][0](world)
    before = len(entries())
    with transaction.atomic():
        step()
        transaction.set_rollback(True)
    assert len(entries()) == before


def test_what_was_there_before_is_kept_with_what_is_there_now(world: World) -> None:
    authoring.update_prompt(world.cleo, world.prompt, PromptChanges(title="New title", description="Why"))
    entry = entries()[-1]
    assert entry.before == {"title": world.prompt.title, "description": ""}
    assert entry.after == {"title": "New title", "description": "Why"}


def test_no_verb_is_missing_here() -> None:
    """A new service has to say here what it records."""
    found = {
        name
        for module in map(import_module, MODULES)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and not name.startswith("_")
        and next(iter(inspect.signature(function).parameters), "") == "actor"
    }
    assert found == {verb.split(" ")[0] for verb in VERBS}


def test_every_verb_has_a_sentence() -> None:
    verbs = {verb for _, recorded in VERBS.values() for verb in recorded}
    assert verbs - set(SENTENCES) == set()
