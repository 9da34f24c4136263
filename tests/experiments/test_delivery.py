"""`GET /prompts/{name}/deployed/`: what applications live on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from django.db.models import F
from promptlab_sdk.kernel.spec import Delivery

from experiments import delivery, moves, receipts
from experiments import entries as entries_module
from experiments.delivery import deliver
from experiments.errors import ReceiptInvalid
from experiments.services import lifecycle
from promptlab.accounts import auth, services
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import ApiKey, Team
from promptlab.lib.asgi import HotRoutes
from promptlab.lib.threads import giving_back
from prompts import revisions
from prompts.errors import NotDeployed
from prompts.models import Deployment, Environment, Prompt, Version
from prompts.services import deploying, naming
from tests.support.asgi import Answer, acall, call
from tests.support.make import make_experiment, make_key, make_live, make_prompt, make_team, make_version, newest

pytestmark = pytest.mark.django_db(transaction=True)
URL = "/prompts/greeting/deployed/?environment=production"


@dataclass
class Shop:
    """A prompt with two versions, the first one live in Production, and a caller with a key."""

    application: HotRoutes
    team: Team
    prompt: Prompt
    first: Version
    second: Version
    production: Environment
    key: str

    def get(self, target: str = URL, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return call(self.application, "GET", target, key=self.key, headers=sent)

    def version(self) -> int:
        number: int = self.get().json()["version"]
        return number


@pytest.fixture
def shop(application: HotRoutes) -> Shop:
    team = make_team()
    prompt = make_prompt(team, "Hello {{name}}.", title="Greeting", version_string="v1.0.0")
    second = make_version(prompt, "Hi {{name}}.", version_string="v1.1.0")
    first = Version.objects.select_related("prompt").get(prompt=prompt, number=1)
    return Shop(application, team, prompt, first, second, make_live(first), make_key(team, "read")[1])


# What is in it


def test_the_payload_says_everything_an_application_needs(shop: Shop) -> None:
    answer = shop.get()
    assert answer.status == 200
    said = answer.json()
    assert receipts.read(said.pop("receipt")).version_id == shop.first.pk
    assert said == {
        "name": "greeting",
        "version": 1,
        "version_string": "v1.0.0",
        "type": "text",
        "prompt_text": "Hello {{name}}.",
        "messages": [],
        "model": "",
        "parameters": {},
        "variables": {"name": {"type": "string", "required": True}},
        "sha256": shop.first.checksum,
        "environment": "production",
        "revision": 1,
        "experiment": None,
    }
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-promptlab-revision"] == "1"
    assert answer.headers["content-length"] == str(len(answer.body))


def test_a_chat_prompt_is_delivered_as_its_messages(shop: Shop) -> None:
    messages = [{"role": "system", "content": "Be kind, {{name}}."}, {"placeholder": "history"}]
    talk = make_prompt(shop.team, messages=messages, title="Talk", model="gpt-4o", parameters={"temperature": 0})
    make_live(talk.newest)  # type: ignore[arg-type]
    found = shop.get("/prompts/talk/deployed/?environment=production").json()
    assert (found["type"], found["prompt_text"], found["messages"]) == ("chat", "", messages)
    assert (found["model"], found["parameters"]) == ("gpt-4o", {"temperature": 0})


def test_a_running_experiment_comes_along_as_ranges(shop: Shop) -> None:
    experiment = make_experiment(shop.prompt, weights=(5000, 5000), coverage_bp=2000, running=True, title="Shorter")
    found = shop.get().json()
    assert (found["version"], found["revision"]) == (1, 2)
    ours = found["experiment"]
    assert (ours["id"], ours["key"], ours["phase"], ours["state"], ours["seed"]) == (
        experiment.pk, "shorter", 1, "running", experiment.seed,
    )  # fmt: skip
    assert [(v["key"], v["is_control"], v["ranges"], v["prompt"]["version"]) for v in ours["variants"]] == [
        ("control", True, [[0, 1000]], 1),
        ("variant-1", False, [[5000, 6000]], 2),
    ]
    assert ours["variants"][1]["prompt"]["prompt_text"] == "Hi {{name}}."
    assert Delivery.from_dict(found).to_dict() == found


def test_it_answers_under_both_addresses(shop: Shop) -> None:
    for path in ("/prompts/greeting/deployed", "/api/v1/prompts/greeting/deployed/"):
        assert shop.get(f"{path}?environment=production").json() == shop.get().json()


def test_head_answers_as_get_does(shop: Shop) -> None:
    get = shop.get()
    head = call(shop.application, "HEAD", URL, key=shop.key)
    for name in ("etag", "content-length", "content-type", "x-promptlab-revision", "cache-control"):
        assert head.headers[name] == get.headers[name]
    assert head.status == 200


# ETags


def test_whoever_has_it_already_gets_no_body(shop: Shop) -> None:
    etag = shop.get().headers["etag"]
    assert not etag.startswith("W/")
    for said in (etag, f"W/{etag}", f'"other", {etag}', f'"other",W/{etag} ', "*"):
        answer = shop.get(If_None_Match=said)
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag), said
        assert answer.headers["x-promptlab-revision"] == "1"
        assert "private" in answer.headers["cache-control"]
    for said in ('"other"', etag.strip('"'), ""):
        assert shop.get(If_None_Match=said).status == 200, said


def test_every_process_gives_the_same_etag(shop: Shop) -> None:
    etag = shop.get().headers["etag"]
    delivery.entries.clear()
    assert shop.get().headers["etag"] == etag


def test_every_change_of_what_is_served_makes_a_new_etag(shop: Shop) -> None:
    seen = [shop.get().headers["etag"]]
    experiment = make_experiment(shop.prompt)
    for act in (
        lambda: lifecycle.start(SYSTEM, experiment),
        lambda: lifecycle.pause(SYSTEM, experiment),
        lambda: lifecycle.kill(SYSTEM, experiment),
        lambda: deploying.deploy(SYSTEM, shop.second, shop.production),
    ):
        act()
        seen.append(shop.get().headers["etag"])
    assert len(set(seen)) == len(seen)


def test_answers_of_different_callers_are_kept_apart_by_caches(shop: Shop) -> None:
    assert {"Authorization", "X-API-Key"} <= set(shop.get().headers["vary"].split(", "))


# What is not there, and who may


NOT_LIVE: list[tuple[str, str, str]] = [
    ("/prompts/greeting/deployed/?environment=staging", "greeting", "staging"),
    ("/prompts/nobody/deployed/", "nobody", "production"),
    ("/prompts/greeting/deployed/?environment=moon", "greeting", "moon"),
    ("/prompts/Greeting/deployed/", "Greeting", "production"),
    ("/prompts/greeting/deployed/?environment=production'%20OR%201=1--", "greeting", "production'"),
]


def test_what_is_not_live_is_a_404_that_names_prompt_and_environment(shop: Shop) -> None:
    for target, prompt, environment in NOT_LIVE:
        answer = shop.get(target)
        assert (answer.status, answer.json()["code"]) == (404, "not_deployed")
        assert prompt in answer.json()["detail"]
        assert environment in answer.json()["detail"]


def test_a_nul_is_refused(shop: Shop) -> None:
    for target in ("/prompts/a\x00b/deployed", "/prompts/greeting/deployed?environment=%00"):
        assert shop.get(target).status == 400


def test_another_team_s_prompt_is_not_there(shop: Shop) -> None:
    stranger = make_key(make_team())[1]
    shop.get()
    assert call(shop.application, "GET", URL, key=stranger).status == 404


def test_it_takes_a_key(shop: Shop) -> None:
    shop.get()
    for key in ("", "nonsense", "pl_AbCd1234_" + "x" * 43):
        answer = call(shop.application, "GET", URL, key=key)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_it_takes_the_right_to_read(shop: Shop) -> None:
    answer = call(shop.application, "GET", URL, key=make_key(shop.team, "chat", "feedback")[1])
    assert (answer.status, answer.json()["code"]) == (403, "forbidden")


def test_a_key_of_one_environment_gets_no_other(shop: Shop) -> None:
    make_live(shop.second, "staging")
    key = make_key(shop.team, "read", environments=["staging"])[1]
    answer = call(shop.application, "GET", URL, key=key)
    assert (answer.status, answer.json()["code"]) == (403, "environment_not_allowed")
    assert call(shop.application, "GET", "/prompts/greeting/deployed", key=key).json()["version"] == 2


def test_production_is_meant_when_nothing_else_is_said(shop: Shop) -> None:
    for query in ("", "?environment=", "?env=production", "?environment=staging&environment=production"):
        assert shop.get(f"/prompts/greeting/deployed{query}").json()["environment"] == "production"


def test_a_revoked_key_is_refused(shop: Shop) -> None:
    key, secret = make_key(shop.team, "read")
    assert call(shop.application, "GET", URL, key=secret).status == 200
    services.revoke_key(SYSTEM, key)
    assert call(shop.application, "GET", URL, key=secret).status == 401


@pytest.mark.usefixtures("fresh_limits")
def test_its_budget_is_its_own(shop: Shop, settings: Any) -> None:
    settings.RATE_LIMIT_DELIVERY_PER_MINUTE = 2
    key = make_key(shop.team, "read", calls_per_hour=1)[1]
    answers = [call(shop.application, "GET", URL, key=key) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert int(answers[2].headers["retry-after"]) >= 1


# How fresh it is


def test_a_move_of_this_process_is_served_at_once(shop: Shop, settings: Any) -> None:
    settings.REVISION_CHECK_S = 3600
    assert shop.version() == 1
    deploying.deploy(SYSTEM, shop.second, shop.production)
    assert shop.version() == 2
    deploying.rollback(SYSTEM, shop.prompt, shop.production)
    assert shop.version() == 1
    deploying.undeploy(SYSTEM, shop.prompt, shop.production)
    assert shop.get().status == 404
    deploying.rollback(SYSTEM, shop.prompt, shop.production)
    assert shop.version() == 1


def test_an_experiment_killed_in_this_process_is_gone_at_once(shop: Shop, settings: Any) -> None:
    settings.REVISION_CHECK_S = 3600
    experiment = make_experiment(shop.prompt, running=True)
    assert shop.get().json()["experiment"]["state"] == "running"
    lifecycle.pause(SYSTEM, experiment)
    assert shop.get().json()["experiment"]["state"] == "paused"
    lifecycle.kill(SYSTEM, experiment)
    assert shop.get().json()["experiment"] is None


def test_a_move_of_another_process_is_served_after_the_check_s_time(shop: Shop, settings: Any) -> None:
    settings.REVISION_CHECK_S = 3600
    assert shop.version() == 1
    Environment.objects.filter(pk=shop.production.pk).update(revision=F("revision") + 1)
    Deployment.objects.filter(prompt=shop.prompt).update(version=shop.second)
    assert shop.version() == 1
    revisions.known(shop.production.pk).good_until = time.monotonic()
    assert shop.version() == 2


def test_the_check_s_time_is_well_below_a_second(settings: Any) -> None:
    assert settings.REVISION_CHECK_S <= 0.5


def test_taking_the_live_version_back_takes_it_back_from_everybody(shop: Shop, settings: Any) -> None:
    """What is live is the pointer: an experiment whose control is not live any more does not go on serving it."""
    settings.REVISION_CHECK_S = 3600
    deploying.deploy(SYSTEM, shop.second, shop.production)
    variants = [
        lifecycle.NewVariant("control", shop.second, 5000),
        lifecycle.NewVariant("other", make_version(shop.prompt), 5000),
    ]
    experiment = lifecycle.create_experiment(SYSTEM, shop.prompt, shop.production, title="X", variants=variants)
    lifecycle.start(SYSTEM, experiment)
    assert shop.get().json()["experiment"] is not None
    deploying.rollback(SYSTEM, shop.prompt, shop.production)
    found = shop.get().json()
    assert (found["version"], found["experiment"]) == (1, None)
    deploying.deploy(SYSTEM, shop.second, shop.production)
    assert shop.get().json()["experiment"]["key"] == "x"


def test_what_is_fresh_asks_nobody_and_the_rest_asks_little(shop: Shop, settings: Any, statements: list[str]) -> None:
    settings.REVISION_CHECK_S = 3600
    ask = (shop.team.pk, "production", "greeting")
    for is_old, expected in ((False, 2), (False, 0), (True, 1), (False, 0)):
        if is_old:
            revisions.known(shop.production.pk).good_until = 0
        statements.clear()
        deliver(*ask)
        assert len(statements) == expected, statements


def test_a_fresh_answer_over_the_whole_way_asks_nobody(shop: Shop, settings: Any, statements: list[str]) -> None:
    settings.REVISION_CHECK_S = 3600
    shop.get()
    statements.clear()
    assert shop.get().status == 200
    assert statements == []


# What moved elsewhere


@pytest.fixture
def other(shop: Shop) -> Prompt:
    """Another prompt that is live in Production."""
    prompt = make_prompt(shop.team, title="Other")
    make_live(newest(prompt))
    return prompt


def test_a_move_of_another_prompt_is_stamped_on_as_it_would_be_loaded(
    shop: Shop, other: Prompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_experiment(shop.prompt, running=True)
    before = shop.get()
    make_live(make_version(other))
    with monkeypatch.context() as closed:
        closed.setattr(delivery, "_load", None)
        stamped = shop.get()
    delivery.entries.clear()
    loaded = shop.get()
    assert stamped.json()["revision"] == before.json()["revision"] + 1
    assert (stamped.body, stamped.headers["etag"]) == (loaded.body, loaded.headers["etag"])


def test_a_move_is_read_once_for_all_prompts(shop: Shop, other: Prompt, settings: Any, statements: list[str]) -> None:
    settings.REVISION_CHECK_S = 3600
    names = ["greeting", *(newest_live(shop) for _ in range(3)), "other"]
    for name in names:
        deliver(shop.team.pk, "production", name)
    make_live(make_version(other))
    spent = []
    for name in names:
        statements.clear()
        assert deliver(shop.team.pk, "production", name).revision == 6
        spent.append(len(statements))
    assert spent == [2, 0, 0, 0, 2]


def newest_live(shop: Shop) -> str:
    prompt = make_prompt(shop.team)
    make_live(newest(prompt))
    return prompt.name


def test_a_move_known_here_costs_a_reader_no_thread(
    shop: Shop, other: Prompt, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REVISION_CHECK_S = 3600
    shop.get()
    make_live(make_version(other))
    moves.between(shop.production, 2, 3)
    monkeypatch.setattr(delivery, "_refresh", None)
    assert shop.get().json()["revision"] == 3


def test_a_revision_that_names_nobody_makes_everything_anew(shop: Shop, other: Prompt) -> None:
    assert shop.get().json()["revision"] == 2
    naming.rename_prompt(SYSTEM, shop.prompt, "welcome")
    answer = shop.get()
    assert (answer.json()["name"], "deprecation" in answer.headers) == ("welcome", True)


def test_a_prompt_under_its_former_name_is_not_taken_for_another(shop: Shop, other: Prompt) -> None:
    naming.rename_prompt(SYSTEM, shop.prompt, "welcome")
    assert shop.version() == 1
    deploying.deploy(SYSTEM, shop.second, shop.production)
    assert shop.version() == 2


def test_a_receipt_that_cannot_be_read_any_more_is_made_anew(
    shop: Shop, other: Prompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.get()
    make_live(make_version(other))

    def refuse(token: str) -> None:
        raise ReceiptInvalid

    monkeypatch.setattr(receipts, "read", refuse)
    assert shop.get().json()["revision"] == 3


def test_memory_is_bounded(shop: Shop, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries_module, "OVERHEAD", 400_000)
    settings.DELIVERY_MEMORY_MB = 1
    for _ in range(4):
        prompt = make_prompt(shop.team)
        make_live(prompt.newest)  # type: ignore[arg-type]
        deliver(shop.team.pk, "production", prompt.name)
    assert len(delivery.entries) == 2
    assert delivery.entries.size == sum(entry.size for entry in delivery.entries._entries.values()) < 1_000_000


def test_unknown_names_are_not_kept(shop: Shop) -> None:
    for number in range(3):
        with pytest.raises(NotDeployed):
            deliver(shop.team.pk, "production", f"nobody-{number}")
    assert len(delivery.entries) == 0


def test_callers_at_once_wait_for_one_load(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[int] = []
    load = delivery._load

    def counted(key: delivery.Key) -> delivery.Entry:
        loaded.append(1)
        time.sleep(0.05)
        return load(key)

    monkeypatch.setattr(delivery, "_load", counted)

    async def stampede() -> list[Answer]:
        return await asyncio.gather(*(acall(shop.application, "GET", URL, key=shop.key) for _ in range(100)))

    assert {answer.status for answer in asyncio.run(stampede())} == {200}
    assert len(loaded) == 1
    delivery.entries.clear()
    with ThreadPoolExecutor(20) as pool:
        found = list(
            pool.map(lambda _: giving_back(lambda: deliver(shop.team.pk, "production", "greeting")), range(20))
        )
    assert len(loaded) == 2
    assert len({id(entry) for entry in found}) == 1


def test_what_is_asked_for_at_once_for_the_first_time_is_loaded_together(
    shop: Shop, settings: Any, statements: list[str]
) -> None:
    settings.REVISION_CHECK_S = 3600
    make_experiment(shop.prompt, running=True)
    names = ["greeting", *(newest_live(shop) for _ in range(8))]
    expected = {name: deliver(shop.team.pk, "production", name).body for name in names}
    asked = [*names, "nobody"]

    async def ask() -> list[delivery.Entry | BaseException]:
        every = (delivery.adeliver(shop.team.pk, "production", name) for name in asked)
        return await asyncio.gather(*every, return_exceptions=True)

    for _ in range(2):
        delivery.entries.clear()
        statements.clear()
        found = asyncio.run(ask())
        assert isinstance(found.pop(), NotDeployed)
        assert {one.prompt_name: one.body for one in found if isinstance(one, delivery.Entry)} == expected
    assert len(statements) <= 10, statements


def test_a_load_that_began_before_a_move_is_not_what_later_callers_get(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, late = delivery._load, [True]

    def load_and_move(key: delivery.Key) -> delivery.Entry:
        entry = load(key)
        if late and late.pop():
            deploying.deploy(SYSTEM, shop.second, shop.production)
        return entry

    monkeypatch.setattr(delivery, "_load", load_and_move)
    assert shop.version() == 2


# What lies ready is what the route itself answers


@pytest.fixture
def quick_calls(monkeypatch: pytest.MonkeyPatch, application: HotRoutes) -> list[bool]:
    """Note of each request whether it was answered by what lay ready."""
    calls: list[bool] = []
    quick = application.quick

    def noted(scope: Any) -> Any:
        found = quick(scope)
        calls.append(found is not None)
        return found

    monkeypatch.setattr(application, "quick", noted)
    return calls


def headers_of(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name != "x-request-id"}


def test_the_second_answer_is_ready_and_is_the_same(shop: Shop, settings: Any, quick_calls: list[bool]) -> None:
    settings.REVISION_CHECK_S = 3600
    etag = shop.get().headers["etag"]
    addresses = (URL, "/api/v1" + URL, URL.replace("d/?", "d?"), "/prompts/greeting/deployed")
    sent: list[dict[str, str]] = [
        {},
        {"If-None-Match": etag},
        {"If-None-Match": f'"x", W/{etag}'},
        {"If-None-Match": "*"},
    ]
    for target in addresses:
        for headers in sent:
            delivery.entries.clear()
            slow = shop.get(target, **headers)
            auth.verified.get(auth.digest(shop.key)).good_until += 3600  # type: ignore[union-attr]
            quick_calls.clear()
            ready = shop.get(target, **headers)
            assert quick_calls == [True]
            assert (ready.status, ready.body, headers_of(ready)) == (slow.status, slow.body, headers_of(slow))
            assert ready.headers["x-request-id"] != slow.headers["x-request-id"]
    assert shop.get(X_Request_ID="abc-1").headers["x-request-id"] == "abc-1"
    assert len(shop.get(X_Request_ID='a"b').headers["x-request-id"]) == 32


def test_what_is_not_plain_is_left_to_the_route(shop: Shop, settings: Any, quick_calls: list[bool]) -> None:
    settings.REVISION_CHECK_S = 3600
    settings.CORS_ALLOWED_ORIGINS = frozenset({"https://app.example"})
    shop.get()
    stranger = make_key(make_team())[1]
    quick_calls.clear()
    assert shop.get(Origin="https://app.example").headers["access-control-allow-origin"] == "https://app.example"
    assert call(shop.application, "HEAD", URL, key=shop.key).status == 200
    assert call(shop.application, "GET", URL, key=shop.key, headers={"Authorization": "Bearer x"}).status == 200
    assert call(shop.application, "GET", URL, key=stranger).status == 404
    assert call(shop.application, "GET", URL).status == 401
    assert shop.get("/x/prompts/greeting/deployed").status == 404
    assert shop.get("/prompts/a/greeting/deployed").status == 404
    assert shop.get("/prompts/nobody/deployed").status == 404
    assert quick_calls == [False] * 8


def test_a_former_name_lies_ready_with_its_warning(shop: Shop, settings: Any, quick_calls: list[bool]) -> None:
    settings.REVISION_CHECK_S = 3600
    naming.rename_prompt(SYSTEM, shop.prompt, "welcome")
    slow = shop.get()
    quick_calls.clear()
    ready = shop.get()
    assert quick_calls == [True]
    assert headers_of(ready) == headers_of(slow)
    assert "deprecation" in ready.headers


def test_a_right_taken_away_is_taken_from_what_lies_ready(shop: Shop, settings: Any, quick_calls: list[bool]) -> None:
    settings.REVISION_CHECK_S = 3600
    key, secret = make_key(shop.team, "read")
    for _ in range(2):
        assert call(shop.application, "GET", URL, key=secret).status == 200
    ApiKey.objects.filter(pk=key.pk).update(scopes="chat")
    auth.verified._entries[auth.digest(secret)].good_until = 0
    assert call(shop.application, "GET", URL, key=secret).status == 403
    services.revoke_key(SYSTEM, key)
    assert call(shop.application, "GET", URL, key=secret).status == 401
    assert quick_calls == [False, True, False, False]


def test_what_lay_ready_is_counted_and_told_in_one_line(
    shop: Shop, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from experiments.api.ready import served

    settings.REVISION_CHECK_S = 3600
    served.tell()
    etag = shop.get().headers["etag"]
    caplog.clear()
    for _ in range(3):
        shop.get()
    shop.get(If_None_Match=etag)
    assert not caplog.records
    served.tell()
    served.tell()
    assert [(record.msg["ok"], record.msg["not_modified"]) for record in caplog.records] == [(3, 1)]  # type: ignore[index]


def test_what_lay_ready_goes_with_its_entry_and_with_its_revision(
    shop: Shop, settings: Any, quick_calls: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries_module, "OVERHEAD", 600_000)
    settings.DELIVERY_MEMORY_MB = 1
    other = make_prompt(shop.team)
    make_live(other.newest)  # type: ignore[arg-type]
    shop.get()
    shop.get()
    place = delivery.entries._places[shop.team.pk, "production"]
    assert list(place.ready) == ["greeting"]
    shop.get(f"/prompts/{other.name}/deployed")
    assert list(place.ready) == [other.name]
    shop.get()
    quick_calls.clear()
    deploying.deploy(SYSTEM, shop.second, shop.production)
    assert shop.get().json()["version"] == 2
    assert quick_calls == [False]
    assert shop.get().json()["version"] == 2
    assert quick_calls == [False, True]
    assert list(place.ready) == ["greeting"]


# Without a database


def test_without_a_database_it_is_served_from_memory(
    shop: Shop, settings: Any, no_database: Callable[[], None]
) -> None:
    settings.REVISION_CHECK_S = 0
    before = shop.get()
    no_database()
    after = shop.get()
    assert (after.status, after.body, after.headers["etag"]) == (200, before.body, before.headers["etag"])
    assert shop.get(If_None_Match=before.headers["etag"]).status == 304


def test_without_a_database_for_long_the_keys_known_here_go_on_working(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, no_database: Callable[[], None]
) -> None:
    monkeypatch.setattr(auth, "CACHE_S", 0.0)
    assert shop.get().status == 200
    no_database()
    assert shop.get().status == 200
    assert call(shop.application, "GET", URL, key="pl_AbCd1234_" + "x" * 43).status == 503


def test_a_key_known_to_be_revoked_does_not_come_back_when_the_database_goes(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, no_database: Callable[[], None]
) -> None:
    monkeypatch.setattr(auth, "CACHE_S", 0.0)
    assert shop.get().status == 200
    ApiKey.objects.update(revoked_at=F("created_at"))
    assert shop.get().status == 401
    no_database()
    assert shop.get().status == 503


def test_without_a_database_what_is_not_in_memory_is_a_503(shop: Shop, no_database: Callable[[], None]) -> None:
    shop.get()
    no_database()
    answer = shop.get("/prompts/other/deployed")
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")


def test_without_redis_nothing_changes(shop: Shop, no_redis: None) -> None:
    assert shop.version() == 1
