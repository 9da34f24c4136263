"""What is made of ratings: files, sums in declared metrics, and how a prompt is used."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from feedback.services.batch import roll_up_feedback
from feedback.services.ingest import NewRating, accept
from feedback.services.metrics import declare_metric
from promptlab.accounts.access import SYSTEM
from promptlab.chat.services.metering import roll_up_messages
from promptlab.lib.asgi import HotRoutes
from prompts.models import Prompt
from tests.support.api import Api
from tests.support.asgi import call
from tests.support.cast import Cast
from tests.support.make import make_live, make_message, make_prompt, make_version, newest

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def prompt(cast: Cast) -> Prompt:
    """Return a prompt with two versions: five answers of each, the first rated in many ways."""
    declare_metric(SYSTEM, cast.team.pk, key="accuracy", kind="score", low=0, high=10)
    declare_metric(SYSTEM, cast.team.pk, key="taste", kind="category", categories=["terse", "wordy"])
    prompt = make_prompt(cast.team, title="Support reply")
    for version in (newest(prompt), make_version(prompt)):
        where = make_live(version)
        for n in range(5):
            answer = make_message(version, where, unit_id=f"customer-{n}", latency_ms=100 * (n + 1))
            say(answer, -1 if n == 0 else 1, comment="=1+1" if n == 0 else "")
            if version.number == 1:
                say(answer, n, metric="accuracy")
                say(answer, "wordy" if n else "terse", metric="taste")
                say(answer, 1, source="judge", user="judge")
    roll_up_messages()
    roll_up_feedback()
    return prompt


def say(answer: Any, value: Any, **more: Any) -> None:
    accept(SYSTEM, NewRating(str(answer.uid), value, **more))


def test_the_file_holds_everything_and_no_formula(cast: Cast, prompt: Prompt, application: HotRoutes) -> None:
    def export(query: str, key: str = cast.key) -> Any:
        return call(application, "GET", f"/feedback/export{query}", key=key)

    answer = export("?format=csv&prompt=support-reply")
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    assert len(rows) == 25
    assert {row["comment"] for row in rows} == {"", "'=1+1"}
    assert (rows[0]["metric"], rows[0]["value"], rows[0]["version"]) == ("rating", "-1", "1")
    lines = [json.loads(line) for line in export("?metric=taste").body.splitlines()]
    assert [line["value"] for line in lines] == ["terse", "wordy", "wordy", "wordy", "wordy"]
    assert export("", cast.stranger_key).body == b""
    for query in ("?format=xml", "?since=never", "?prompt=%00"):
        assert export(query).status == 400


def test_stats_tell_each_metric_and_source_beside_approval(cast: Cast, prompt: Prompt) -> None:
    stats = Api(cast.key).get("/feedback/stats?prompt=support-reply").json()
    assert (stats["totals"]["rated"], stats["totals"]["up"]) == (10, 8)
    told = [(one["metric"], one["source"], one["choice"], one["ratings"], one["mean"]) for one in stats["metrics"]]
    assert told == [
        ("accuracy", "end_user", "", 5, 2.0),
        ("rating", "judge", "", 5, 1.0),
        ("taste", "end_user", "terse", 1, None),
        ("taste", "end_user", "wordy", 4, None),
    ]
    assert Api(cast.stranger_key).get("/feedback/stats").json()["metrics"] == []


def test_use_is_told_by_version(cast: Cast, prompt: Prompt) -> None:
    api = Api(cast.key)
    told = api.get("/feedback/usage?prompt=support-reply").json()
    totals = told["totals"]
    assert (totals["calls"], totals["rated"], totals["up"], totals["coverage"]) == (10, 10, 8, 1.0)
    assert totals["cost_usd"] == "0.010000000"
    assert (totals["median_ms"], totals["p95_ms"]) == (pytest.approx(300, rel=0.045), pytest.approx(500, rel=0.045))
    assert [(one["version"], one["calls"], one["approval"]) for one in told["versions"]] == [(2, 5, 0.8), (1, 5, 0.8)]
    assert told["versions"][0]["approval_low"] < 0.8 < told["versions"][0]["approval_high"]
    assert api.get("/feedback/usage?prompt=support-reply&environment=staging").json()["totals"]["calls"] == 0
    assert api.get("/feedback/usage?prompt=nothing").status_code == 404
    assert api.get("/feedback/usage").json()["errors"][0]["field"] == "prompt"
    assert api.get("/feedback/usage?prompt=support-reply&days=0").status_code == 400


def test_editors_see_the_use_on_a_page(cast: Cast, prompt: Prompt) -> None:
    client = Client()
    client.force_login(cast.vic)
    url = reverse("admin:feedback_feedback_usage", args=[prompt.pk])
    html = client.get(url).content.decode()
    assert "80.0" in html and "v2" in html and "$0.01" in html
    assert "No calls in this time" in client.get(f"{url}?environment=staging&days=x").content.decode()
    assert url in client.get(reverse("admin:prompts_prompt_change", args=[prompt.pk])).content.decode()
    client.force_login(cast.zoe)
    assert client.get(url).status_code == 404
