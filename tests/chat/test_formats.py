"""Answers that do not keep the format their version declares are counted as such, and guarded against."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import Sum

from experiments.models import HourRollup
from experiments.services import ramping
from promptlab.accounts.access import SYSTEM
from promptlab.chat.models import Message
from promptlab.chat.services import formats
from promptlab.chat.services.metering import roll_up_messages
from prompts import checks
from prompts.models import Version
from tests.support.make import make_live, make_message, make_prompt, make_team, make_version, newest

pytestmark = pytest.mark.django_db
SCHEMA = {"type": "object", "required": ["mood"], "properties": {"mood": {"type": "string"}}}


def shaped(**fields: Any) -> Version:
    return newest(make_prompt(make_team(), **(fields or {"output_schema": SCHEMA})))


def answered(version: Version, text: str, **fields: Any) -> Message:
    return make_message(version, make_live(version), content=text, **fields)


def test_each_answer_with_a_format_is_held_against_it() -> None:
    version = shaped()
    where = make_live(version)
    texts = ('{"mood": "fine"}', '{"mood": 3}', "Fine.", '{"mood": "fine"')
    rows = [make_message(version, where, content=text) for text in texts]
    assert [formats.kept(rows)[row.pk] for row in rows] == [True, False, False, False]
    assert roll_up_messages() == 4
    assert HourRollup.objects.aggregate(n=Sum("checked"), bad=Sum("misfits")) == {"n": 4, "bad": 3}


def test_json_alone_is_a_format_too() -> None:
    version = shaped(parameters={"response_format": {"type": "json_object"}})
    rows = [answered(version, "[1]"), answered(version, "[1")]
    assert list(formats.kept(rows).values()) == [True, False]


def test_where_nothing_can_be_said_nothing_is_counted(django_assert_num_queries: Any) -> None:
    version = shaped()
    where = make_live(version)
    rows = [
        make_message(version, where, content="", tool_calls=[{"id": "c1"}]),
        make_message(version, where, content="Fi", state=Message.State.CANCELLED),
        make_message(version, where, content="", is_external=True),
        make_message(version, where, content="Fine.", purpose=Message.Purpose.TRY),
        make_message(version, where, content=""),
    ]
    assert formats.kept(rows) == {}
    plain = answered(newest(make_prompt(make_team())), "Fine.")
    with django_assert_num_queries(1):
        assert formats.kept([plain]) == {}


def test_what_takes_too_long_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def decide(kind: str, options: Any, answer: checks.Answer, *, limit_s: float) -> checks.Outcome:
        asked.append(limit_s)
        return checks.Outcome(None, "It took longer.")

    monkeypatch.setattr(checks, "decide", decide)
    version = shaped()
    row = answered(version, "{}")
    assert formats.kept([row]) == {}
    monkeypatch.setattr(formats, "BATCH_LIMIT_S", -1.0)
    assert formats.kept([row]) == {}
    assert asked == [formats.LIMIT_S]


def test_a_launch_that_breaks_the_format_is_sent_back() -> None:
    prompt = make_prompt(make_team(), output_schema=SCHEMA)
    where = make_live(newest(prompt))
    ramp = ramping.start_ramp(SYSTEM, make_version(prompt, output_schema=SCHEMA), where, confirm=True)
    for variant in ramp.experiment.variants.all():
        for number in range(210):
            text = "Fine." if not variant.is_control and number % 4 == 0 else '{"mood": "fine"}'
            make_message(variant.version, where, variant=variant, unit_id=f"{variant.key}-{number}", content=text)
    roll_up_messages()
    decision = ramping.tick(ramp.pk)
    assert decision is not None and (decision.kind, decision.rule) == ("rolled_back", "guard_format")
    assert sum(one["alpha"] for one in decision.numbers["guard"]) <= 0.01
