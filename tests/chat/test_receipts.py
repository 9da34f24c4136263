"""Receipts: what somebody was served, from the answer to the rating, with and without a key."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from experiments import receipts
from experiments.models import Experiment, HourRollup
from feedback.models import Feedback
from feedback.services.batch import roll_up_feedback
from promptlab.accounts.access import Scope
from promptlab.asgi import application
from promptlab.chat.models import Message
from promptlab.chat.services.metering import roll_up_messages
from prompts.models import Version
from tests.support.api import Api
from tests.support.asgi import Answer, call
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_key, make_live, make_prompt, make_team, make_version, newest

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Shop:
    cast: Cast
    version: Version
    experiment: Experiment

    def post(self, path: str, body: Any, key: str | None = None, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return call(application, "POST", path, key=self.cast.key if key is None else key, body=body, headers=sent)

    def deployed(self) -> dict[str, Any]:
        answer = call(application, "GET", "/prompts/greeting/deployed?environment=production", key=self.cast.key)
        said: dict[str, Any] = answer.json()
        return said

    def chat(self, user: str = "user-1") -> dict[str, Any]:
        body = {"message": "Hi", "prompt": "greeting", "variables": {"name": "Ada"}, "user": user}
        return self.post("/chat", body).events()[-1]


@pytest.fixture
def shop(cast: Cast) -> Shop:
    """A prompt with an experiment on all its traffic."""
    prompt = make_prompt(cast.team, "Hello {{name}}.", title="Greeting")
    first = newest(prompt)
    make_version(prompt, "Hi {{name}}.")
    make_live(first)
    return Shop(cast, first, make_experiment(prompt, title="Shorter", running=True))


def test_every_text_in_the_payload_has_a_receipt_that_says_what_it_is(shop: Shop) -> None:
    said = shop.deployed()
    read = receipts.read(said["receipt"])
    assert (read.version_id, read.revision, read.variant_id) == (shop.version.pk, said["revision"], 0)
    arms = said["experiment"]["variants"]
    for arm, variant in zip(arms, shop.experiment.variants.order_by("position"), strict=True):
        read = receipts.read(arm["prompt"]["receipt"])
        assert (read.version_id, read.variant_id, read.phase) == (variant.version_id, variant.pk, 1)
        assert read.is_shared


def test_an_answer_ends_with_its_receipt_which_is_rated_without_a_key(shop: Shop) -> None:
    done = shop.chat()
    read = receipts.read(done["receipt"])
    assert read.answer == uuid.UUID(done["message_id"]).hex
    assert (read.unit, read.slot >= 0) == (receipts.pseudonym(shop.cast.team.pk, "user-1"), True)
    answer = shop.post("/feedback", {"receipt": done["receipt"], "rating": 1}, key="", origin="https://shop.example")
    assert answer.status == 202
    assert answer.headers["access-control-allow-origin"] == "*"
    row = Feedback.objects.get()
    assert (str(row.message.uid), row.rater, row.value) == (done["message_id"], "user-1", 1)


def test_changing_the_mind_by_receipt_is_one_rating(shop: Shop) -> None:
    receipt = shop.chat()["receipt"]
    for rating in (1, -1, -1):
        assert shop.post("/feedback", {"receipt": receipt, "rating": rating}, key="").status == 202
    assert Feedback.objects.get().value == -1


def test_any_page_may_ask_before_and_only_for_ratings(shop: Shop) -> None:
    asks = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    allowed = call(application, "OPTIONS", "/feedback", headers=asks)
    assert allowed.headers["access-control-allow-origin"] == "*"
    assert "authorization" not in allowed.headers["access-control-allow-headers"]
    for path in ("/chat", "/exposures", "/prompts/greeting/deployed"):
        assert "access-control-allow-origin" not in call(application, "OPTIONS", path, headers=asks).headers


def test_a_receipt_is_limited_by_itself(shop: Shop, settings: Any) -> None:
    settings.RATE_LIMIT_RECEIPT_PER_MINUTE = 3
    mine, other = shop.chat("user-1")["receipt"], shop.chat("user-2")["receipt"]
    said = [shop.post("/feedback", {"receipt": mine, "rating": 1}, key="").status for _ in range(5)]
    assert said == [202, 202, 202, 429, 429]
    assert shop.post("/feedback", {"receipt": other, "rating": 1}, key="").status == 202


def test_forged_changed_and_old_receipts_are_refused(shop: Shop) -> None:
    receipt = shop.chat()["receipt"]
    for wrong in ("x", receipt[:-1], receipt[:-2] + "AA", "a.b", receipt + "x" * 2000):
        answer = shop.post("/feedback", {"receipt": wrong, "rating": 1}, key="")
        assert (answer.status, answer.json()["code"]) == (400, "receipt_invalid")
    with time_machine.travel(timezone.now() + timedelta(days=181), tick=False):
        answer = shop.post("/feedback", {"receipt": receipt, "rating": 1}, key="")
    assert (answer.status, answer.json()["code"]) == (400, "receipt_expired")
    future = replace(receipts.read(receipt), at=receipts.read(receipt).at + 10_000)
    answer = shop.post("/feedback", {"receipt": receipts.write(future), "rating": 1}, key="")
    assert answer.json()["code"] == "receipt_invalid"
    assert not Feedback.objects.exists()


def test_without_key_and_receipt_nobody_rates(shop: Shop) -> None:
    message_id = shop.chat()["message_id"]
    assert shop.post("/feedback", {"message_id": message_id, "rating": 1}, key="").status == 401
    shared = shop.deployed()["receipt"]
    assert shop.post("/feedback", {"receipt": shared, "user": "u", "rating": 1}, key="").status == 401
    both = {"receipt": shop.chat()["receipt"], "message_id": message_id, "rating": 1}
    assert shop.post("/feedback", both).status == 400


def test_another_teams_key_cannot_use_a_receipt(shop: Shop) -> None:
    stranger = make_key(make_team())[1]
    body = {"receipt": shop.chat()["receipt"], "rating": 1}
    assert shop.post("/feedback", body, key=stranger).status == 404
    exposure = {"receipt": shop.deployed()["receipt"], "unit_id": "u"}
    assert shop.post("/exposures", exposure, key=stranger).status == 404


# Answers given elsewhere


def arm(shop: Shop, key: str = "control") -> str:
    arms = shop.deployed()["experiment"]["variants"]
    found: str = next(one["prompt"]["receipt"] for one in arms if one["key"] == key)
    return found


def test_who_was_shown_what_elsewhere_is_counted_on_the_variant_of_the_receipt(shop: Shop) -> None:
    receipt = arm(shop)
    items = [{"receipt": receipt, "unit_id": f"user-{number}", "input_tokens": 10} for number in range(5)]
    answer = shop.post("/exposures", items)
    assert (answer.status, len(answer.json()["ids"])) == (202, 5)
    rated = shop.post("/feedback", {"receipt": receipt, "user": "user-3", "rating": -1})
    assert rated.status == 202
    roll_up_messages()
    roll_up_feedback()
    sums = HourRollup.objects.get(variant__key="control")
    assert (sums.requests, sums.shown, sums.units, sums.ratings, sums.ups, sums.unpriced) == (5, 5, 5, 1, 0, 0)
    assert sums.input_tokens == 50
    assert Feedback.objects.get().message.uid in {uuid.UUID(uid) for uid in answer.json()["ids"]}


def test_the_same_exposure_again_is_the_same(shop: Shop) -> None:
    item = {"receipt": arm(shop), "unit_id": "user-1"}
    first, again = shop.post("/exposures", item), shop.post("/exposures", [item, item])
    assert again.json()["ids"] == [first.json()["id"]] * 2
    named = [shop.post("/exposures", {**item, "id": "answer-7"}).json()["id"] for _ in range(2)]
    assert named[0] == named[1] != first.json()["id"]
    assert Message.objects.count() == 2


def test_an_id_of_one_team_is_not_an_id_of_another(shop: Shop) -> None:
    team = make_team()
    make_live(newest(make_prompt(team, "Hello.", title="Greeting")))
    key = make_key(team)[1]
    theirs = call(application, "GET", "/prompts/greeting/deployed?environment=production", key=key).json()["receipt"]
    ours = shop.post("/exposures", {"receipt": arm(shop), "id": "same"}).json()["id"]
    assert shop.post("/exposures", {"receipt": theirs, "id": "same"}, key=key).json()["id"] != ours


def test_wrong_exposures_are_refused_all_together_each_by_name(shop: Shop) -> None:
    right = {"receipt": arm(shop), "unit_id": "u"}
    wrong = [right, {"receipt": "x", "unit_id": "u"}, {**right, "unit_id": ""}, {**right, "unit_id": "u" * 201}]
    answer = shop.post("/exposures", wrong)
    assert answer.status == 400
    assert [problem["field"] for problem in answer.json()["errors"]] == [
        "exposures.1.receipt", "exposures.2.unit_id", "exposures.3.unit_id",
    ]  # fmt: skip
    shapes = [3, {**right, "input_tokens": -1}, {**right, "input_tokens": True}, {**right, "cost_usd": "1"}, {}]
    answer = shop.post("/exposures", shapes)
    assert [problem["field"] for problem in answer.json()["errors"]][:3] == [
        "exposures.0", "exposures.1.input_tokens", "exposures.2.input_tokens",
    ]  # fmt: skip
    assert shop.post("/exposures", []).status == 400
    assert shop.post("/exposures", [right] * 1001).status == 400
    assert shop.post("/exposures", b"{").status == 400
    assert not Message.objects.exists()


def test_who_may_expose(shop: Shop) -> None:
    item = {"receipt": arm(shop), "unit_id": "u"}
    assert shop.post("/exposures", item, key="").status == 401
    assert shop.post("/exposures", item, key=make_key(shop.cast.team, Scope.READ)[1]).status == 403
    assert shop.post("/exposures", item, key=make_key(shop.cast.team, Scope.FEEDBACK)[1]).status == 202


# Explaining


def explained(shop: Shop, receipt: str) -> dict[str, Any]:
    answer = Api(shop.cast.key).get(f"/explain/{receipt}")
    assert answer.status_code == 200, answer.content
    said: dict[str, Any] = answer.json()
    return said


def test_an_answer_s_receipt_explains_text_and_split(shop: Shop) -> None:
    done = shop.chat()
    said = explained(shop, done["receipt"])
    assert (said["prompt"], said["version"], said["experiment"], said["variant"]) == (
        "greeting", done["version"], "shorter", done["variant"],
    )  # fmt: skip
    assert [rule["rule"] for rule in said["rules"]] == ["live", "split"]
    assert f"slot {said['slot']} of 10000" in said["rules"][1]["detail"]
    assert said["answer"]["message_id"] == done["message_id"]
    assert "Ada" in said["answer"]["upstream"][0]["content"]


def test_it_explains_what_was_served_then_whatever_is_live_now(shop: Shop) -> None:
    receipt = shop.deployed()["receipt"]
    make_live(make_version(shop.version.prompt, "Goodbye {{name}}."))
    said = explained(shop, receipt)
    assert (said["version"], said["content"], said["answer"]) == (1, "Hello {{name}}.", None)
    assert said["rules"][0]["rule"] == "live" and "version 1" in said["rules"][0]["detail"]


def test_a_pinned_version_is_explained_as_asked_for(shop: Shop) -> None:
    body = {"message": "Hi", "prompt": "greeting@2", "variables": {"name": "Ada"}}
    done = shop.post("/chat", body).events()[-1]
    assert [rule["rule"] for rule in explained(shop, done["receipt"])["rules"]] == ["live", "pinned"]


def test_strangers_learn_nothing_from_a_receipt(shop: Shop) -> None:
    receipt = shop.chat()["receipt"]
    assert Api(make_key(make_team())[1]).get(f"/explain/{receipt}").status_code == 404
    assert Api().get(f"/explain/{receipt}").status_code == 401
    assert Api(shop.cast.key).get("/explain/nonsense").json()["code"] == "receipt_invalid"
    write_only = Api(make_key(shop.cast.team, Scope.WRITE)[1]).get(f"/explain/{receipt}").json()
    assert write_only["answer"] is None
