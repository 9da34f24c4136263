"""From a transaction to a receiver: signed, once if it works, again until it does, never what was rolled back."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail as django_mail
from django.db import connection, transaction
from django.utils import timezone

from experiments.models import AnalysisSnapshot, Ramp
from experiments.services import approving, concluding, lifecycle, ramping
from experiments.services.concluding import Conclusion
from experiments.services.ramp_stages import DEFAULT_STAGES
from promptlab.accounts.access import SYSTEM, Role
from promptlab.accounts.auth import principal_of_user
from promptlab.accounts.models import Team
from promptlab.audit.models import AuditEntry
from promptlab.chat.allowances import span
from promptlab.chat.errors import BudgetUsedUp
from promptlab.chat.services.budgeting import set_budget
from promptlab.chat.services.reserving import note_refusal
from promptlab.hooks.models import Delivery, Endpoint, OutboxEvent
from promptlab.hooks.services import endpoints, posting, sending, signing
from promptlab.hooks.services.outbox import TYPES, emit
from promptlab.hooks.tasks import fan_out_and_send, send_mails
from promptlab.lib.sealing import unseal
from prompts.services import authoring, deploying
from tests.hooks.receiver import Got, Receiver
from tests.support.make import make_experiment, make_live, make_prompt, make_team, make_user, make_version, newest
from tests.support.suggestions import make_suggestion
from tests.support.suites import MODEL, make_nights, make_run, make_suite

pytestmark = pytest.mark.django_db
State = Delivery.State


def happen(team: Team, **data: Any) -> OutboxEvent:
    with transaction.atomic():
        return emit(team.pk, "prompt.created", {"prompt": "greeting", **data}, about="prompts/greeting")


def come_due() -> None:
    """Let the time of every waiting delivery come."""
    Delivery.objects.update(next_at=timezone.now())


def verified(got: Got, *secrets: str) -> None:
    sent_at = int(got.headers["webhook-timestamp"])
    expected = signing.signatures(secrets, got.headers["webhook-id"], sent_at, got.body)
    assert got.headers["webhook-signature"] == expected
    assert abs(timezone.now().timestamp() - sent_at) < 60


def test_a_signature_is_the_one_of_the_published_example() -> None:
    signed = signing.signatures(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_library_for_receivers_accepts_what_we_send(team: Team, endpoint: Endpoint, receiver: Receiver) -> None:
    library = pytest.importorskip("standardwebhooks")
    happen(team)
    fan_out_and_send()
    got = receiver.got[0]
    assert library.Webhook(unseal(endpoint.sealed_secret)).verify(got.body, got.headers)["type"] == "prompt.created"


def test_an_event_is_delivered_signed_and_once(team: Team, endpoint: Endpoint, receiver: Receiver) -> None:
    event = happen(team, actor="Änn")
    fan_out_and_send()
    fan_out_and_send()
    [got] = receiver.got
    assert (got.path, got.headers["webhook-id"]) == ("/hook", event.webhook_id)
    assert got.headers["content-type"] == "application/json"
    verified(got, unseal(endpoint.sealed_secret))
    said = json.loads(got.body)
    assert (said["type"], said["data"]) == ("prompt.created", {"prompt": "greeting", "actor": "Änn"})
    assert said["timestamp"].endswith("Z")
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts, delivery.last_status) == (State.DELIVERED, 1, 200)
    assert delivery.delivered_at is not None


def test_what_is_rolled_back_is_never_told(team: Team, endpoint: Endpoint, receiver: Receiver) -> None:
    with transaction.atomic():
        make_prompt(team)
        transaction.set_rollback(True)
    fan_out_and_send()
    assert (receiver.got, OutboxEvent.objects.count()) == ([], 0)


@pytest.mark.django_db(transaction=True)
def test_an_event_outside_a_transaction_is_a_mistake() -> None:
    with pytest.raises(AssertionError):
        emit(make_team().pk, "prompt.created", {}, about="x")


def test_an_unknown_type_and_too_much_data_are_mistakes(team: Team) -> None:
    for type_, data in (("prompt.painted", {}), ("prompt.created", {"text": "x" * 20_000})):
        with pytest.raises(ValueError, match=r"no type|longer"), transaction.atomic():
            emit(team.pk, type_, data, about="x")


def test_it_is_sent_again_under_the_same_id_until_it_works(team: Team, endpoint: Endpoint, receiver: Receiver) -> None:
    receiver.script.extend([500, 302, 200])
    receiver.headers["location"] = receiver.url + "/elsewhere"
    happen(team)
    states = []
    for _ in range(3):
        fan_out_and_send()
        states.append(Delivery.objects.values_list("state", "last_error").get())
        come_due()
    assert states == [("failed", "answered 500"), ("failed", "redirected"), ("delivered", "")]
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
    assert len({got.body for got in receiver.got}) == 1
    assert {got.path for got in receiver.got} == {"/hook"}
    endpoint.refresh_from_db()
    assert endpoint.failing_since is None


def test_waits_follow_the_schedule_and_then_it_is_given_up(
    team: Team, endpoint: Endpoint, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.0)
    receiver.script.extend([500] * 10)
    happen(team)
    waits = []
    for _ in range(10):
        fan_out_and_send()
        delivery = Delivery.objects.get()
        waits.append(round((delivery.next_at - timezone.now()).total_seconds()))
        come_due()
    assert waits[:9] == pytest.approx([5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400], abs=2)
    assert (delivery.state, delivery.attempts, len(receiver.got)) == (State.DEAD, 10, 10)
    fan_out_and_send()
    assert len(receiver.got) == 10


@pytest.mark.parametrize(
    ("value", "least"), [("120", 120), ("0", 5), ("soon", 5), ("999999999", 86_400), ("-5", 5), ("9" * 400, 5)]
)
def test_a_receiver_that_asks_for_time_gets_it(
    team: Team, endpoint: Endpoint, receiver: Receiver, value: str, least: int
) -> None:
    receiver.script.append(503)
    receiver.headers["retry-after"] = value
    happen(team)
    fan_out_and_send()
    wait = (Delivery.objects.get().next_at - timezone.now()).total_seconds()
    assert least - 1 <= wait <= least * 1.2 + 1


def test_a_date_can_be_asked_for_as_well() -> None:
    assert posting._retry_after("Fri, 31 Dec 2100 23:59:59 GMT") > 86_400
    assert posting._retry_after("Fri, 31 Dec 1999 23:59:59 GMT") == 0


def test_a_410_switches_the_endpoint_off(team: Team, endpoint: Endpoint, receiver: Receiver) -> None:
    receiver.script.append(410)
    happen(team)
    fan_out_and_send()
    happen(team)
    fan_out_and_send()
    endpoint.refresh_from_db()
    assert (endpoint.is_active, len(receiver.got)) == (False, 1)
    assert "410" in endpoint.disabled_reason and endpoint.disabled_at is not None
    assert Delivery.objects.get().state == State.DEAD
    assert AuditEntry.objects.filter(verb="webhook.disabled").count() == 1


def test_administrators_are_told_that_it_is_off_and_nobody_else(
    team: Team, endpoint: Endpoint, receiver: Receiver
) -> None:
    make_user("cleo", team, Role.ADMINISTRATOR, email="cleo@example.com")
    make_user("ann", team, Role.WRITER, email="ann@example.com")
    receiver.script.append(410)
    happen(team)
    fan_out_and_send()
    send_mails()
    [told] = django_mail.outbox
    assert (told.recipients(), told.subject) == (["cleo@example.com"], "The webhook to 127.0.0.1 is switched off")
    assert "answered 410" in told.body and f"/admin/hooks/endpoint/{endpoint.pk}/change/" in told.body


def test_days_of_failure_switch_it_off_and_nothing_waiting_is_lost(
    team: Team, endpoint: Endpoint, receiver: Receiver
) -> None:
    Endpoint.objects.update(failing_since=timezone.now() - sending.PATIENCE - timedelta(minutes=1))
    receiver.script.append(500)
    happen(team)
    fan_out_and_send()
    come_due()
    fan_out_and_send()
    endpoint.refresh_from_db()
    assert (endpoint.is_active, len(receiver.got)) == (False, 1)
    endpoints.update_endpoint(SYSTEM, endpoint, endpoints.EndpointChanges(is_active=True))
    fan_out_and_send()
    assert Delivery.objects.get().state == State.DELIVERED


def test_a_slow_receiver_is_given_up_in_time_and_holds_up_nobody(
    team: Team, endpoint: Endpoint, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "TIMEOUT_S", 0.3)
    receiver.script.append("slow")
    happen(team)
    happen(team)
    fan_out_and_send()
    states = sorted(Delivery.objects.values_list("state", "last_error"))
    assert states == [("delivered", ""), ("failed", "timed out")]


def test_a_receiver_that_is_not_there_is_tried_again(team: Team, endpoint: Endpoint) -> None:
    Endpoint.objects.update(url="http://127.0.0.1:1/")
    happen(team)
    fan_out_and_send()
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.last_status, delivery.last_error) == (State.FAILED, None, "not reached")


class Died(BaseException):
    """The process ends."""


def test_what_a_dead_process_had_claimed_is_sent_again_under_the_same_id(
    team: Team, endpoint: Endpoint, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    happen(team)
    sending.fan_out()

    def die(*args: object) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(sending, "_settle", die)
        with pytest.raises(Died):
            sending.send_due()
    assert sending.send_due() == 0, "the lease still runs"
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts) == (State.WAITING, 1)
    assert delivery.next_at - timezone.now() > timedelta(seconds=posting.TIMEOUT_S)
    come_due()
    assert sending.send_due() == 1
    assert len(receiver.got) == 2
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
    assert Delivery.objects.get().state == State.DELIVERED


def test_a_late_failure_does_not_undo_a_later_success(team: Team, endpoint: Endpoint, receiver: Receiver) -> None:
    happen(team)
    sending.fan_out()
    [late] = sending._claim(1)
    come_due()
    sending.send_due()
    sending._settle(late, posting.Outcome(error="timed out"))
    assert Delivery.objects.get().state == State.DELIVERED


@pytest.mark.django_db(transaction=True)
def test_nobody_sends_inside_a_transaction(team: Team, endpoint: Endpoint, receiver: Receiver) -> None:
    happen(team)
    sending.fan_out()
    with pytest.raises(RuntimeError), transaction.atomic():
        sending.send_due()
    assert receiver.got == []


def test_only_who_asked_hears_and_only_of_their_own_team(team: Team, receiver: Receiver) -> None:
    def listen(owner: Team, path: str, *types: str) -> None:
        endpoints.create_endpoint(SYSTEM, owner.pk, url=f"{receiver.url}/{path}", event_types=types)

    listen(team, "all")
    listen(team, "prompts", "prompt.created")
    listen(team, "live", "deployment.created")
    listen(make_team(), "stranger")
    happen(team)
    fan_out_and_send()
    assert sorted(got.path for got in receiver.got) == ["/hook/all", "/hook/prompts"]


def test_during_rotation_both_secrets_sign(team: Team, endpoint: Endpoint, receiver: Receiver) -> None:
    _rotated, secret = endpoints.rotate_secret(SYSTEM, endpoint)
    happen(team)
    fan_out_and_send()
    before = unseal(endpoint.sealed_secret)
    assert secret != before
    verified(receiver.got[0], secret, before)
    Endpoint.objects.update(old_secret_until=timezone.now())
    happen(team)
    fan_out_and_send()
    verified(receiver.got[1], secret)


def test_another_address_never_gets_the_old_secret(team: Team, endpoint: Endpoint, receiver: Receiver) -> None:
    endpoints.rotate_secret(SYSTEM, endpoint)
    changes = endpoints.EndpointChanges(url=receiver.url + "/moved")
    changed, secret = endpoints.update_endpoint(SYSTEM, endpoint, changes)
    assert secret and [unseal(one) for one in changed.sealed_secrets] == [secret]
    happen(team)
    fan_out_and_send()
    verified(receiver.got[0], secret)


def test_a_delivery_can_be_sent_again(team: Team, endpoint: Endpoint, receiver: Receiver) -> None:
    happen(team)
    fan_out_and_send()
    endpoints.replay(SYSTEM, Delivery.objects.get())
    fan_out_and_send()
    first, second = receiver.got
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_senders_at_once_never_send_the_same(team: Team, endpoint: Endpoint, receiver: Receiver) -> None:
    for _ in range(30):
        happen(team)
    sending.fan_out()

    def send() -> int:
        try:
            return sum(iter(lambda: sending.send_due(5), 0))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        counts = [future.result() for future in [pool.submit(send) for _ in range(4)]]
    assert sum(counts) == len(receiver.got) == 30
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 30


SECRET_TEXT = "Never tell {{name}} this."


def _prompt(team: Team) -> Any:
    return make_prompt(team, SECRET_TEXT, title="Greeting")


def _moves(team: Team) -> None:
    prompt = _prompt(team)
    where = make_live(newest(prompt))
    make_live(make_version(prompt))
    deploying.rollback(SYSTEM, prompt, where)
    deploying.undeploy(SYSTEM, prompt, where)


def _experiment(*verbs: str) -> Callable[[Team], None]:
    def act(team: Team) -> None:
        one = make_experiment(_prompt(team))
        for verb in verbs:
            one = lifecycle.VERBS[verb](SYSTEM, one)

    return act


def _concluded(team: Team) -> None:
    one = make_experiment(_prompt(team), running=True)
    concluding.conclude(SYSTEM, one, Conclusion("lost", "Never tell: the old one is better.", "control"))


def _concluded_by_two(team: Team) -> None:
    """One asks to keep what is worse; the second person refuses, and approves it when asked again."""
    one = make_experiment(_prompt(team), running=True)
    AnalysisSnapshot.objects.create(
        experiment=one, phase=1, as_of=timezone.now(), verdict="worse", inputs={}, code_version="2",
        results={"verdict": "worse", "about": "variant-1"},
    )  # fmt: skip
    ann, ben = (replace(principal_of_user(make_user("", team, Role.PUBLISHER)), label="PromptLab") for _ in range(2))
    wanted = Conclusion("won", "Never tell: the new one is better.", "variant-1")
    approving.refuse_conclusion(ben, approving.ask_conclusion(ann, one, wanted), note="Never tell.")
    approving.approve_conclusion(ben, approving.ask_conclusion(ann, one, wanted))


def _ramp(*acts: Callable[..., object]) -> Callable[[Team], None]:
    def act(team: Team) -> None:
        prompt = _prompt(team)
        where = make_live(newest(prompt))
        ramp = ramping.start_ramp(SYSTEM, make_version(prompt), where, stages=DEFAULT_STAGES[:2])
        for step in acts:
            step(ramp)

    return act


def _inconclusive(ramp: Ramp) -> None:
    Ramp.objects.filter(pk=ramp.pk).update(state="held", hold_reason="inconclusive")


def _hold(ramp: Ramp) -> None:
    ramping.hold(SYSTEM, ramp)


def _go_on(ramp: Ramp) -> None:
    ramping.go_on(SYSTEM, ramp, note="Never tell anybody.")


def _send_back(ramp: Ramp) -> None:
    ramping.send_back(SYSTEM, ramp)


def _kill(ramp: Ramp) -> None:
    lifecycle.kill(SYSTEM, ramp.experiment)


def _spend(team: Team) -> None:
    """Refuse a call twice."""
    budget = set_budget(SYSTEM, team, of=_prompt(team), period="day", limit_usd=Decimal(1))
    facts = {"id": budget.pk, "of": "prompt", "name": "greeting", "limit_usd": "1", "period": "day"}
    refusal = BudgetUsedUp(facts, span("day", timezone.now())[0], 60)
    note_refusal(refusal)
    note_refusal(refusal)


def _try(team: Team) -> None:
    suite = make_suite(team, {"expected": "Never tell anybody.", "variables": {"name": "Never tell anybody."}})
    make_run(suite, newest(_prompt(team)), "echo")


def _suggest(team: Team) -> None:
    make_suggestion(newest(_prompt(team)), goal="own", said="Never tell anybody.", model="echo")


def _drift(team: Team) -> None:
    suite = make_suite(team, *({"variables": {"name": f"Never tell {n}"}} for n in range(10)))
    make_nights(suite, make_prompt(team, title="Greeting", model=MODEL), "good", "Never tell anybody.")


def _change(prompt: Any) -> None:
    changes = authoring.PromptChanges(description="Never tell anybody.", tags=("a",))
    authoring.update_prompt(SYSTEM, prompt, changes)
    authoring.update_prompt(SYSTEM, prompt, changes)


HAPPENINGS: list[tuple[Callable[[Team], object], list[str]]] = [
    (_prompt, ["prompt.created"]),
    (lambda team: _change(_prompt(team)), ["prompt.created", "prompt.updated"]),
    (lambda team: make_version(_prompt(team), SECRET_TEXT + " x"), ["prompt.created", "version.created"]),
    (lambda team: authoring.archive_prompt(SYSTEM, _prompt(team)), ["prompt.created", "prompt.archived"]),
    (
        _moves,
        ["prompt.created", "deployment.created", "version.created", "deployment.created",
         "deployment.rolled_back", "deployment.created"],
    ),
    (
        _experiment("start", "pause", "resume", "stop"),
        ["experiment.started", "experiment.paused", "experiment.resumed", "experiment.stopped"],
    ),
    (_experiment("kill", "kill"), ["experiment.killed"]),
    (_concluded, ["experiment.started", "experiment.concluded"]),
    (
        _concluded_by_two,
        ["experiment.started", "experiment.conclusion_asked", "experiment.conclusion_refused",
         "experiment.conclusion_asked", "experiment.concluded"],
    ),
    (_ramp(_hold, _go_on, _send_back), ["ramp.started", "ramp.held", "ramp.resumed", "ramp.rolled_back"]),
    (_ramp(_inconclusive, _go_on, _inconclusive, _go_on), ["ramp.started", "ramp.advanced", "ramp.completed"]),
    (_ramp(_kill), ["ramp.started", "ramp.aborted"]),
    (_spend, ["prompt.created", "budget.exceeded"]),
    (_try, ["prompt.created", "suite.finished"]),
    (_suggest, ["prompt.created", "optimiser.ended"]),
    (_drift, ["prompt.created", "deployment.created", "suite.finished", "suite.finished", "suite.drifted"]),
]  # fmt: skip


@pytest.mark.parametrize(("act", "types"), HAPPENINGS)
def test_what_happens_is_written_with_names_and_numbers_and_no_text(
    team: Team, act: Callable[[Team], object], types: list[str]
) -> None:
    act(team)
    events = list(OutboxEvent.objects.filter(team=team).order_by("id"))
    kinds = {name.partition(".")[0] for name in types}
    assert [event.type for event in events if event.type.partition(".")[0] in kinds] == types
    for event in events:
        assert event.type in TYPES
        assert event.data["actor"] == "PromptLab"
        assert event.data["prompt"] == "greeting"
        assert "Never tell" not in json.dumps(event.data)


def test_everything_that_is_offered_happens_somewhere() -> None:
    """A type that nothing emits must not be offered; a new one says here what makes it happen."""
    assert {name for _, types in HAPPENINGS for name in types} == set(TYPES)


def test_a_change_of_a_prompt_names_the_fields(team: Team) -> None:
    _change(_prompt(team))
    assert OutboxEvent.objects.get(type="prompt.updated").data["changed"] == "description tags"


def test_a_move_tells_where_and_what(team: Team) -> None:
    _moves(team)
    moves = [event.data for event in OutboxEvent.objects.filter(type__startswith="deployment").order_by("id")]
    assert [(one["version"], one["previous_version"]) for one in moves] == [(1, None), (2, 1), (1, 2), (None, 1)]
    assert [one["environment"] for one in moves] == ["production"] * 4
    assert [one["revision"] for one in moves] == sorted({one["revision"] for one in moves})
