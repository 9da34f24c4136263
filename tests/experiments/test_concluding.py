"""The end of an experiment that was decided, over REST and through the editors' two pages."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.urls import reverse

from experiments.models import Experiment, Ramp
from experiments.services import lifecycle
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.audit.models import AuditEntry
from prompts.models import Deployment
from tests.experiments.test_admin import signed_in, two_versions
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_key, make_prompt, make_version

pytestmark = pytest.mark.django_db
LESSON = "Short answers are rated better by four points."


@pytest.fixture
def running(team: Team) -> Experiment:
    prompt = make_prompt(team, title="Greeting")
    make_version(prompt)
    return make_experiment(prompt, running=True, title="Two")


def concluded(api: Api, **changes: Any) -> Any:
    body = {"outcome": "won", "lesson": LESSON, "keep": "variant-1", **changes}
    return api.post("/experiments/two/conclude", body)


def live(one: Experiment) -> int:
    return int(Deployment.objects.get(prompt=one.prompt, environment=one.environment).version.number)


def test_it_ends_with_what_was_learned_and_nothing_else_moves(api: Api, running: Experiment) -> None:
    said = concluded(api).json()
    assert (said["state"], said["outcome"], said["lesson"], said["kept_variant"]) == (
        "stopped",
        "won",
        LESSON,
        "variant-1",
    )
    assert said["ended_at"] and said["concluded_at"]
    assert live(running) == 1
    entry = AuditEntry.objects.latest("id")
    assert (entry.verb, entry.note, entry.before["state"], entry.after["kept"]) == (
        "experiment.concluded", LESSON, "running", "variant-1",
    )  # fmt: skip
    assert concluded(api).json() == said
    again = concluded(api, outcome="lost")
    assert (again.status_code, again.json()["code"]) == (409, "concluded_already")


def test_the_text_that_stays_goes_live_at_once_or_gradually(api: Api, team: Team, running: Experiment) -> None:
    assert concluded(api, put_live="now").status_code == 200
    assert live(running) == 2
    prompt = make_prompt(team, title="Farewell")
    make_version(prompt)
    other = make_experiment(prompt, running=True, title="Other")
    body = {"outcome": "won", "lesson": LESSON, "keep": "variant-1", "put_live": "gradually"}
    assert api.post("/experiments/other/conclude", body).json()["state"] == "stopped"
    assert live(other) == 1
    ramp = Ramp.objects.get()
    assert (ramp.state, ramp.experiment.variants.get(is_control=False).version.number) == ("running", 2)


def test_one_that_was_killed_is_concluded_later_and_a_draft_is_not(api: Api, team: Team, running: Experiment) -> None:
    lifecycle.kill(SYSTEM, running, note="It insults people")
    said = concluded(api, outcome="lost", keep="control").json()
    assert (said["state"], said["end_note"], said["kept_variant"]) == ("killed", "It insults people", "control")
    make_experiment(make_prompt(team), title="A draft", key="draft")
    answer = api.post("/experiments/draft/conclude", {"outcome": "won", "lesson": LESSON, "keep": "control"})
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"outcome": "great"}, "outcome"),
        ({"lesson": "Short."}, "lesson"),
        ({"keep": "nobody"}, "keep"),
        ({"keep": None}, "keep"),
        ({"put_live": "soon"}, "put_live"),
    ],
)
def test_what_is_missing_is_said_by_field(api: Api, running: Experiment, changes: dict[str, Any], field: str) -> None:
    answer = concluded(api, **changes)
    assert answer.status_code == 400
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert Experiment.objects.get().state == "running"


def test_a_refused_deployment_concludes_nothing(api: Api, team: Team, running: Experiment) -> None:
    running.variants.filter(key="variant-1").update(model="other")
    assert concluded(api, put_live="now").json()["code"] == "not_a_version"
    assert concluded(Api(make_key(team, "write")[1])).status_code == 403
    assert Experiment.objects.get().state == "running"


def test_editors_decide_in_two_pages(cast: Cast) -> None:
    one = make_experiment(two_versions(cast), running=True, title="Formal or not")
    client = signed_in(cast.ben)
    url = reverse("admin:experiments_experiment_conclude", args=[one.pk])
    first = client.get(url).content.decode()
    assert "Which text stays?" in first
    assert re.findall(r'value="([^"]*)" selected', first) == ["", ""]
    empty = client.get(url, {"outcome": "won", "lesson": "", "keep": ""}).content.decode()
    assert 'href="#id_lesson"' in empty and 'href="#id_keep"' in empty
    query = {"outcome": "won", "lesson": LESSON, "keep": "variant-1"}
    second = client.get(url, query).content.decode()
    assert LESSON in second and "At once, for everybody" in second
    assert Experiment.objects.get().state == "running"
    address = f"{url}?{'&'.join(f'{name}={value}' for name, value in query.items())}"
    assert 'href="#id_put_live"' in client.post(address, {}).content.decode()
    done = client.post(address, {"put_live": "now"}, follow=True).content.decode()
    assert "is concluded." in done and LESSON in done
    assert (Experiment.objects.get().outcome, live(one)) == ("won", 2)
