"""Single calls of a prompt, as people see them: what each took, how it was rated, and no more of its text than is kept."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from feedback.services.batch import roll_up_feedback
from feedback.services.ingest import NewRating, accept
from feedback.services.privacy import set_privacy
from promptlab.accounts.access import SYSTEM
from promptlab.chat.models import Message
from promptlab.chat.services.conversations import set_retention
from promptlab.chat.services.metering import roll_up_messages
from prompts.models import Prompt
from tests.feedback.test_usage_pages import browser, see
from tests.support.cast import Cast
from tests.support.make import make_live, make_message, make_prompt, make_version, newest

pytestmark = pytest.mark.django_db


def page_of(prompt: Prompt, more: str = "") -> str:
    return f"/dashboards/usage/prompts/{prompt.pk}/calls/{more}"


@pytest.fixture
def prompt(cast: Cast) -> Prompt:
    """A prompt of two versions: one answer of the first two days ago, one of the second now that somebody disliked."""
    made = make_prompt(cast.team, title="Support reply")
    where = make_live(newest(made))
    common: dict[str, Any] = {"request_id": "trace-7", "content": "Write to ann@example.com.", "latency_ms": 1200}
    now = timezone.now()
    make_message(newest(made), where, ended_at=now - timedelta(days=2), model="small", **common)
    second = make_message(
        make_version(made), where, ended_at=now, model="large", cost_usd=Decimal("0.0042"), input_tokens=214, **common
    )
    accept(SYSTEM, NewRating(str(second.uid), -1))
    roll_up_messages()
    roll_up_feedback()
    return made


def test_each_call_is_told_with_what_it_took(cast: Cast, prompt: Prompt) -> None:
    words = see(cast.ann, page_of(prompt))
    newer, older = words.index(" large "), words.index(" small ")
    assert newer < older
    assert "1.2 s" in words and "$0.0042" in words and "214 →" in words and " down " in words and "trace-7" in words
    assert "Write to ann@example.com." in words and "Texts are kept until somebody removes them." in words


@pytest.mark.parametrize(
    ("asked", "models"),
    [
        ("?days=1", {"large"}),
        ("?version=1", {"small"}),
        ("?version=2&days=7", {"large"}),
        ("?environment=staging", set()),
        ("?version=a&before=-1&days=x", {"small", "large"}),
    ],
)
def test_filters_narrow_and_nonsense_does_not(cast: Cast, prompt: Prompt, asked: str, models: set[str]) -> None:
    words = see(cast.ann, page_of(prompt, asked))
    assert {name for name in ("small", "large") if f" {name} " in words} == models


def test_fifty_stand_on_a_page_and_older_ones_behind_it(cast: Cast, prompt: Prompt) -> None:
    where = make_live(newest(prompt))
    for _ in range(50):
        make_message(newest(prompt), where, ended_at=timezone.now(), model="many")
    first = browser(cast.ann).get(page_of(prompt)).content.decode()
    assert first.count(">many<") == 50 and ">large<" not in first
    last = Message.objects.filter(model="many").order_by("pk").first()
    assert last is not None
    rest = see(cast.ann, page_of(prompt, f"?before={last.pk}"))
    assert " large " in rest and " small " in rest and "Newest" in rest and "Older" not in rest


def test_what_is_tried_is_not_a_call(cast: Cast, prompt: Prompt) -> None:
    Message.objects.filter(model="large").update(purpose=Message.Purpose.TRY)
    assert " large " not in see(cast.ann, page_of(prompt))


def test_texts_are_shown_as_far_as_they_are_kept_and_to_those_who_may_read_them(cast: Cast, prompt: Prompt) -> None:
    assert "Write to" not in see(cast.vic, page_of(prompt)) and "Writers see them." in see(cast.vic, page_of(prompt))
    set_retention(SYSTEM, cast.team, 30)
    set_privacy(SYSTEM, cast.team, masked=["email"], keeps_text=True)
    words = see(cast.ann, page_of(prompt))
    assert "ann@example.com" not in words and "Write to" in words and "Texts are kept for 30 days." in words
    set_privacy(SYSTEM, cast.team, masked=[], keeps_text=False)
    assert "Write to" not in see(cast.ann, page_of(prompt)) and "keeps no texts" in see(cast.ann, page_of(prompt))


def test_the_file_has_a_row_for_each_call_and_no_text(cast: Cast, prompt: Prompt) -> None:
    Message.objects.filter(model="small").update(model="=1+1")
    file = browser(cast.vic).get(f"/dashboards/usage/prompts/{prompt.pk}/calls.csv").content.decode()
    second, first = csv.DictReader(io.StringIO(file))
    assert (second["version"], second["down"], second["cost_usd"], second["request_id"]) == (
        "2",
        "1",
        "0.004200000",
        "trace-7",
    )
    assert first["model"].startswith("'=") and "Write to" not in file


def test_the_tab_of_the_prompt_shows_the_newest(cast: Cast, prompt: Prompt) -> None:
    words = see(cast.ann, f"/admin/feedback/feedback/usage/{prompt.pk}/")
    assert "The newest calls" in words and "trace-7" in words and "All calls, and as CSV" in words


@pytest.mark.parametrize("path", ["calls/", "calls.csv"])
def test_a_stranger_finds_nothing(cast: Cast, prompt: Prompt, path: str) -> None:
    assert browser(cast.zoe).get(f"/dashboards/usage/prompts/{prompt.pk}/{path}").status_code == 404
    assert browser(None).get(f"/dashboards/usage/prompts/{prompt.pk}/{path}").status_code == 302


def test_a_page_costs_the_same_however_many_there_are(
    cast: Cast, prompt: Prompt, django_assert_max_num_queries: Any
) -> None:
    client = browser(cast.ann)
    client.get(page_of(prompt))
    with django_assert_max_num_queries(12):
        client.get(page_of(prompt))
