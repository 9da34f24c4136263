"""What going live changes for callers: held against the names of what they sent, tokens and dollars."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from promptlab.accounts.models import ApiKey
from promptlab.chat.services.metering import roll_up_messages
from prompts.models import CallerDay, Environment, Prompt, Version
from prompts.services import calling, contracting
from prompts.services.calling import Call
from tests.prompts.test_admin_suites import signed_in, text, url
from tests.prompts.test_suite_runs import priced
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_key, make_live, make_message, make_prompt, make_version, newest

pytestmark = pytest.mark.django_db


@pytest.fixture
def prompt(cast: Cast) -> Prompt:
    return make_prompt(cast.team, "Hello {{name}}.", title="Greeting", model="gpt-test")


@pytest.fixture
def production(prompt: Prompt) -> Environment:
    return make_live(newest(prompt))


def asked(version: Version, where: Environment, key: ApiKey | None, times: int = 1, **sent: str) -> None:
    """Have an application be answered."""
    for _ in range(times):
        answer = make_message(version, where, variables=sent, input_tokens=100, output_tokens=20)
        answer.conversation.key = key
        answer.conversation.save()


def test_a_new_variable_breaks_those_who_do_not_send_it(cast: Cast, prompt: Prompt, production: Environment) -> None:
    shop, app, site = (make_key(cast.team, name=name)[0] for name in ("shop", "app", "site"))
    live = newest(prompt)
    asked(live, production, shop, 3, name="Ann")
    asked(live, production, app, name="Bob")
    asked(live, production, site, name="Cleo", locale="es")
    roll_up_messages()
    wanted = make_version(prompt, "Hello {{name}}, in {{locale}}.", model="gpt-test")
    found = contracting.contract_of(wanted, production)
    assert found is not None and (found.calls, found.callers, found.new_names) == (5, 3, ("locale",))
    assert [(one.caller, one.never, one.calls) for one in found.broken] == [("shop", True, 3), ("app", True, 1)]
    assert found.sentence.startswith("breaks 2 callers that do not send locale, +")
    assert not CallerDay.objects.filter(name__in=("Ann", "es")).exists(), "Names, never values."
    page = text(signed_in(cast.ben).get(f"{url('prompt_deploy', prompt.pk, 'production')}?version=2"))
    assert "It breaks 2 callers that do not send locale: shop, app." in page and "5 calls by 3 callers" in page


def test_who_sends_it_sometimes_is_told_apart(cast: Cast, prompt: Prompt, production: Environment) -> None:
    shop = make_key(cast.team, name="shop")[0]
    asked(newest(prompt), production, shop, name="Ann")
    asked(newest(prompt), production, shop, name="Ann", locale="es")
    roll_up_messages()
    wanted = make_version(prompt, "{{name}} {{locale}}")
    found = contracting.contract_of(wanted, production)
    assert found is not None and [one.never for one in found.broken] == [False]
    page = signed_in(cast.ben).get(f"{url('prompt_deploy', prompt.pk, 'production')}?version={wanted.number}")
    assert "Seen: 2 calls by 1 caller in the last" in text(page)
    assert "breaks 1 caller that does not always send locale" in found.sentence


def test_a_default_breaks_nobody_and_nobody_called(prompt: Prompt, production: Environment) -> None:
    told = {"locale": {"type": "string", "required": True, "default": "en"}}
    asked(newest(prompt), production, None, name="Ann")
    roll_up_messages()
    found = contracting.contract_of(make_version(prompt, "{{name}} {{locale}}", variables=told), production)
    assert found is not None and found.broken == ()
    assert contracting.contract_of(newest(prompt), Environment.objects.get(name="staging")) is None
    assert contracting.contract_of(Version.objects.get(prompt=prompt, number=1), production) is None


def test_tokens_become_dollars_a_day(cast: Cast, prompt: Prompt, production: Environment) -> None:
    priced(cast.team)
    asked(newest(prompt), production, None, 4, name="Ann")
    roll_up_messages()
    CallerDay.objects.update(day=timezone.now().date() - timedelta(days=1))
    longer = make_version(prompt, "Hello {{name}}." + " Be kind." * 100, model="gpt-test")
    found = contracting.contract_of(longer, production)
    assert found is not None and found.tokens is not None and found.tokens >= 200
    # Four calls in two days, at one dollar for a million tokens in.
    assert found.usd_per_day == Decimal(found.tokens) * 2 / 1_000_000
    unpriced = make_version(prompt, "Hi {{name}}.", model="llama-x")
    other = contracting.contract_of(unpriced, production)
    assert other is not None and other.usd_per_day is None and other.model_after == "llama-x"


def test_schema_and_tools_are_told(prompt: Prompt, production: Environment) -> None:
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
    wanted = make_version(
        prompt, "Hello {{name}}.", model="gpt-test", tools=[tool], output_schema={"type": "object", "properties": {}}
    )
    found = contracting.contract_of(wanted, production)
    assert found is not None and found.sentence == "another shape of the answer, new tool look_up"


def test_the_api_says_it_before_the_move_and_with_it(cast: Cast, prompt: Prompt, production: Environment) -> None:
    asked(newest(prompt), production, make_key(cast.team, name="shop")[0], name="Ann")
    roll_up_messages()
    make_version(prompt, "{{name}} {{locale}}", model="gpt-test")
    api = Api(cast.key)
    said = api.get("/prompts/greeting/versions/2/contract").json()["contract"]
    assert said["broken"] == [{"caller": "shop", "names": ["locale"], "never": True, "calls": 1}]
    move = {"prompt_name": "greeting", "environment": "production", "version": 2}
    moved = api.post("/deployments", {**move, "confirm": True})
    assert moved.status_code == 201 and moved.json()["contract"]["sentence"] == said["sentence"]
    again = api.post("/deployments", move)
    assert again.status_code == 200 and again.json()["contract"] is None
    assert Api(cast.stranger_key).get("/prompts/greeting/versions/2/contract").status_code == 404


def test_old_days_are_forgotten_and_nobody_fills_the_table(prompt: Prompt, production: Environment) -> None:
    today = timezone.now().date()
    who: Any = (prompt.pk, production.pk, today, 0)
    for number in range(30):
        calling.count([Call(who, 1, 1, tuple(f"made_up_{number}_{one}" for one in range(10)))])
    assert CallerDay.objects.exclude(name="").count() <= calling.MOST_NAMES + 10
    assert CallerDay.objects.get(name="").calls == 30
    CallerDay.objects.update(day=today - timedelta(days=30))
    assert calling.forget_old() > 100 and not CallerDay.objects.exists()
