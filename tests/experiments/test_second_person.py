"""Concluding against the numbers takes a second person, over REST and through the editors' pages."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from django.utils import timezone

from experiments.errors import ConcludedAlready, NotAskedAnyMore, OtherPersonNeeded
from experiments.models import AnalysisSnapshot, ConclusionRequest, Experiment
from experiments.services import approving, concluding
from experiments.services.against import is_against
from experiments.services.concluding import Conclusion
from experiments.stats.verdict import Said, Verdict
from promptlab.accounts.access import Principal
from promptlab.accounts.models import User
from promptlab.audit.models import AuditEntry
from promptlab.hooks.models import Mail
from promptlab.hooks.services.letters import letter
from prompts.models import Deployment, Environment
from tests.experiments.test_admin import page_of, signed_in, two_versions
from tests.experiments.test_ramps_at_once import at_once
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_admin, make_experiment, make_prompt

pytestmark = pytest.mark.django_db
LESSON = "We like the formal one all the same."
BODY = {"outcome": "won", "lesson": LESSON, "keep": "variant-1", "put_live": "now"}


def analysed(one: Experiment, verdict: Verdict, about: str = "") -> None:
    AnalysisSnapshot.objects.create(
        experiment=one, phase=one.phase, as_of=timezone.now(), verdict=verdict, inputs={}, code_version="2",
        results={"verdict": verdict.value, "about": about, "changes": {}},
    )  # fmt: skip


@pytest.fixture
def worse(cast: Cast) -> Experiment:
    for person in (cast.ben, cast.cleo):
        User.objects.filter(pk=person.pk).update(email=f"{person.username}@example.com")
    one = make_experiment(two_versions(cast), running=True, title="Two")
    analysed(one, Verdict.WORSE, "variant-1")
    return one


@pytest.mark.parametrize(
    ("verdict", "about", "outcome", "keep", "against"),
    [
        (Verdict.AHEAD, "b", "won", "b", False),
        (Verdict.AHEAD, "b", "won", "c", True),
        (Verdict.AHEAD, "b", "no_difference", "control", True),
        (Verdict.WORSE, "b", "lost", "control", False),
        (Verdict.WORSE, "b", "unfinished", "control", False),
        (Verdict.WORSE, "b", "lost", "b", True),
        (Verdict.WORSE, "b", "won", "b", True),
        (Verdict.NO_DIFFERENCE, "", "no_difference", "b", False),
        (Verdict.NO_DIFFERENCE, "", "won", "b", True),
        (Verdict.TOO_EARLY, "", "unfinished", "control", False),
        (Verdict.TOO_EARLY, "", "won", "b", True),
        (Verdict.KEEP_GOING, "", "unfinished", "b", True),
        (Verdict.DO_NOT_TRUST, "", "won", "b", True),
        (Verdict.OVERDUE, "", "won", "b", False),
    ],
)
def test_what_contradicts_the_numbers(verdict: Verdict, about: str, outcome: str, keep: str, against: bool) -> None:
    assert is_against(Said(verdict, about), outcome, keep, keeps_control=keep == "control") is against
    assert not is_against(None, outcome, keep, keeps_control=keep == "control")


def test_over_rest_it_is_refused_asked_for_and_concluded_by_a_person(cast: Cast, worse: Experiment) -> None:
    api = Api(cast.key)
    refused = api.post("/experiments/two/conclude", BODY)
    assert (refused.status_code, refused.json()["code"]) == (409, "second_person_needed")
    assert "worse variant-1" in refused.json()["detail"]
    asked = api.post("/experiments/two/conclusions", BODY)
    assert asked.status_code == 201
    said = asked.json()
    assert (said["state"], said["verdict"], said["about"], said["keep"]) == ("open", "worse", "variant-1", "variant-1")
    assert api.post("/experiments/two/conclusions", BODY).json() == said, "the same again is the same"
    other = api.post("/experiments/two/conclusions", {**BODY, "lesson": "Another lesson."})
    assert (other.status_code, other.json()["code"]) == (409, "asked_already")
    url = f"/experiments/two/conclusions/{said['id']}"
    by_key = api.post(f"{url}/approve")
    assert (by_key.status_code, by_key.json()["code"]) == (403, "other_person_needed")
    assert Experiment.objects.get().state == "running"
    approving.approve_conclusion(cast.principal(cast.ben), ConclusionRequest.objects.get(), note="I agree.")
    one = Experiment.objects.get()
    assert (one.state, one.outcome, one.lesson) == ("stopped", "won", LESSON)
    assert Deployment.objects.get(environment=one.environment).version.number == 2
    (row,) = api.get("/experiments/two/conclusions").json()
    assert (row["state"], row["decided_by"], row["note"]) == ("approved", "Ben", "I agree.")
    verbs = list(
        AuditEntry.objects.filter(verb__startswith="experiment.concl").order_by("id").values_list("verb", "actor_label")
    )
    assert verbs == [
        ("experiment.conclusion_asked", AuditEntry.objects.get(verb="experiment.conclusion_asked").actor_label),
        ("experiment.conclusion_approved", "Ben"),
        ("experiment.concluded", "Ben"),
    ]


def test_nobody_approves_their_own(cast: Cast, worse: Experiment) -> None:
    ben = cast.principal(cast.ben)
    asked = approving.ask_conclusion(ben, worse, Conclusion("won", LESSON, "variant-1"))
    with pytest.raises(OtherPersonNeeded):
        approving.approve_conclusion(ben, asked)
    with pytest.raises(OtherPersonNeeded):
        approving.refuse_conclusion(ben, asked, note="No.")
    assert approving.withdraw_conclusion(ben, asked).state == "withdrawn"
    assert Experiment.objects.get().state == "running"


def test_what_agrees_with_the_numbers_needs_nobody(cast: Cast, worse: Experiment) -> None:
    api = Api(cast.key)
    agrees = {**BODY, "outcome": "lost", "keep": "control", "put_live": "no"}
    assert api.post("/experiments/two/conclusions", agrees).json()["code"] == "nobody_needed"
    asked = api.post("/experiments/two/conclusions", BODY).json()
    assert api.post("/experiments/two/conclude", agrees).status_code == 200
    assert ConclusionRequest.objects.get().state == "withdrawn"
    late = api.post(f"/experiments/two/conclusions/{asked['id']}/withdraw")
    assert late.status_code == 200
    assert api.post("/experiments/two/conclusions/999/withdraw").json()["code"] == "conclusion_request_not_found"


def test_an_environment_without_four_eyes_asks_nobody(cast: Cast, worse: Experiment) -> None:
    Environment.objects.filter(pk=worse.environment_id).update(four_eyes=False)
    assert Api(cast.key).post("/experiments/two/conclude", BODY).status_code == 200


def test_a_verdict_after_the_end_is_the_one_before_it(cast: Cast, worse: Experiment) -> None:
    analysed(worse, Verdict.ENDED)
    assert Api(cast.key).post("/experiments/two/conclude", BODY).json()["code"] == "second_person_needed"


def test_editors_ask_and_another_one_approves(cast: Cast, worse: Experiment) -> None:
    client, url = signed_in(cast.ben), page_of(worse, "conclude")
    query = {name: BODY[name] for name in ("outcome", "lesson", "keep")}
    second = client.get(url, query).content.decode()
    assert "The numbers say otherwise: “variant-1” is worse." in second and "Ask another person to approve it" in second
    address = f"{url}?{'&'.join(f'{name}={value}' for name, value in query.items())}"
    html = client.post(address, {"put_live": "now"}, follow=True).content.decode()
    asked = ConclusionRequest.objects.get()
    assert "Another person has to approve this." in html and "Ben wants to conclude" in html
    assert page_of(worse, "request", str(asked.pk), "withdraw") in html
    assert page_of(worse, "request", str(asked.pk), "approve") not in html
    own = client.get(page_of(worse, "request", str(asked.pk), "approve"), follow=True).content.decode()
    assert "takes another person" in own
    assert client.post(page_of(worse, "request", str(asked.pk), "approve"), {}).status_code == 403
    cleo = signed_in(cast.cleo)
    assert "Ben asks another person to approve the conclusion of Two." in cleo.get("/admin/").content.decode()
    assert "asks another person" not in client.get("/admin/").content.decode()
    approve = page_of(worse, "request", str(asked.pk), "approve")
    assert "It goes live at once, for everybody." in cleo.get(approve).content.decode()
    assert Experiment.objects.get().state == "running"
    assert "is concluded." in cleo.post(approve, {"note": ""}, follow=True).content.decode()
    assert Experiment.objects.get().outcome == "won"


def test_refusing_takes_a_reason_and_changes_nothing(cast: Cast, worse: Experiment) -> None:
    asked = approving.ask_conclusion(cast.principal(cast.ben), worse, Conclusion("won", LESSON, "variant-1"))
    url = page_of(worse, "request", str(asked.pk), "refuse")
    cleo = signed_in(cast.cleo)
    assert 'href="#id_note"' in cleo.post(url, {}).content.decode()
    cleo.post(url, {"note": "Look at the numbers."})
    asked.refresh_from_db()
    assert (asked.state, asked.note, asked.decider_label) == ("refused", "Look at the numbers.", "Cleo")
    assert [(one.user, one.facts["what"]) for one in Mail.objects.filter(kind="conclusion").order_by("pk")] == [
        (cast.cleo, "asked"),
        (cast.ben, "refused"),
    ]
    assert Experiment.objects.get().state == "running"
    assert signed_in(cast.vic).post(url, {"note": "x"}).status_code == 403
    assert signed_in(cast.zoe).post(url, {"note": "x"}).status_code == 404


def test_whoever_asked_reads_that_it_was_approved(cast: Cast, worse: Experiment) -> None:
    asked = approving.ask_conclusion(cast.principal(cast.ben), worse, Conclusion("won", LESSON, "variant-1"))
    approving.approve_conclusion(cast.principal(cast.cleo), asked, note="I agree.")
    (wanted, approved) = Mail.objects.filter(kind="conclusion").order_by("pk")
    assert (wanted.user, approved.user) == (cast.cleo, cast.ben)
    first, second = letter(wanted), letter(approved)
    assert first.subject == "Ben needs a second person to conclude Two" and LESSON in first.body
    assert "“variant-1” stays" in first.body and f"/admin/experiments/experiment/{worse.pk}/change/" in first.body
    assert second.subject == "Cleo approved how Two ends" and "I agree." in second.body


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_two_who_decide_at_once_one_does(cast: Cast) -> None:
    """One approves while the other one refuses, or somebody concludes otherwise: there is one story afterwards."""
    people = [cast.principal(cast.cleo), cast.principal(make_admin(cast.team))]
    for number in range(4):
        one = make_experiment(make_prompt(cast.team), running=True, title=f"Both {number}")
        analysed(one, Verdict.WORSE, "variant-1")
        asked = approving.ask_conclusion(cast.principal(cast.ben), one, Conclusion("won", LESSON, "variant-1"))
        other: Callable[[Principal], object] = (
            partial(approving.refuse_conclusion, request=asked, note="No.")
            if number % 2
            else partial(concluding.conclude, experiment=one, conclusion=Conclusion("lost", LESSON, "control"))
        )
        outcomes = at_once(
            [
                partial(attempt, partial(approving.approve_conclusion, people[0], asked)),
                partial(attempt, partial(other, people[1])),
            ]
        )
        assert sorted(outcomes) in (["done", "late"],), outcomes
        one.refresh_from_db()
        asked.refresh_from_db()
        concluded = AuditEntry.objects.about("experiments.experiment", one.pk).filter(verb="experiment.concluded")
        assert concluded.count() == int(one.concluded_at is not None) == int(asked.state != "refused")
        assert one.outcome == {"approved": "won", "withdrawn": "lost", "refused": ""}[asked.state]


def attempt(act: Callable[[], object]) -> str:
    try:
        act()
    except (ConcludedAlready, NotAskedAnyMore):
        return "late"
    return "done"
