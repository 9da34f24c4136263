"""Reviews: who asks, who decides, and what an approval is bound to."""

from __future__ import annotations

from typing import Any

import pytest

from promptlab.lib.errors import Conflict, DomainError, Forbidden
from prompts.errors import NotInReview, PersonsOnly, SelfApproval, VersionFrozen
from prompts.models import ReviewDecision, ReviewRequest, Version
from prompts.services import authoring, reviewing
from prompts.services.contents import content_of
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_prompt

pytestmark = pytest.mark.django_db
PATH = "/prompts/greeting/versions/2"


@pytest.fixture
def version(cast: Cast) -> Version:
    """Version 2, by Ann."""
    prompt = make_prompt(cast.team, title="Greeting")
    made, _ = authoring.create_version(cast.principal(cast.ann), prompt, content_of(text="Hi {{name}}."))
    return made


def person(user: Any) -> Api:
    api = Api()
    api.client.force_login(user)
    return api


def state(version: Version) -> str:
    return Version.objects.values_list("review_state", flat=True).get(pk=version.pk)


def test_asking_approving_and_what_the_version_says_then(cast: Cast, version: Version) -> None:
    asked = person(cast.ann).post(f"{PATH}/submit/", {"note": "Friendlier"})
    assert (asked.status_code, asked.json()["state"], state(version)) == (201, "open", "in_review")
    assert person(cast.ann).post(f"{PATH}/submit").status_code == 200
    approved = person(cast.ben).post(f"{PATH}/approve", {"comment": "Good"})
    assert approved.status_code == 200, approved.content
    body = approved.json()
    assert (body["state"], body["version"], state(version)) == ("approved", 2, "approved")
    assert body["decisions"][0]["checksum"] == version.checksum
    assert person(cast.vic).get(PATH).json()["review_state"] == "approved"


def test_nobody_approves_their_own_version(cast: Cast) -> None:
    prompt = make_prompt(cast.team, title="Own")
    cleo = cast.principal(cast.cleo)
    own, _ = authoring.create_version(cleo, prompt, content_of(text="By Cleo."))
    reviewing.submit_for_review(cleo, own)
    with pytest.raises(SelfApproval):
        reviewing.approve(cleo, own)
    answer = person(cast.cleo).post("/prompts/own/versions/2/approve")
    assert (answer.status_code, answer.json()["code"]) == (403, "self_approval")


def test_keys_ask_and_never_approve(cast: Cast, version: Version) -> None:
    api = Api(cast.key)
    assert api.post(f"{PATH}/submit").status_code == 201
    for verb in ("approve", "request-changes"):
        answer = api.post(f"{PATH}/{verb}", {"comment": "Looks good to me"})
        assert (answer.status_code, answer.json()["code"]) == (403, "persons_only")


def test_who_may_not_review_hears_which_role_it_takes(cast: Cast, version: Version) -> None:
    reviewing.submit_for_review(cast.principal(cast.ann), version)
    with pytest.raises(Forbidden, match="reviewer"):
        reviewing.approve(cast.principal(cast.vic), version)


def test_twice_by_the_same_person_counts_once(cast: Cast, version: Version) -> None:
    reviewing.submit_for_review(cast.principal(cast.ann), version)
    first = reviewing.approve(cast.principal(cast.ben), version)
    assert reviewing.approve(cast.principal(cast.ben), version) == first
    assert reviewing.approvals(version) == {cast.ben.pk}
    assert ReviewDecision.objects.count() == 1


def test_approving_without_a_request_is_refused(cast: Cast, version: Version) -> None:
    with pytest.raises(NotInReview):
        reviewing.approve(cast.principal(cast.ben), version)


def test_asking_for_changes_takes_a_sentence_and_voids_approvals(cast: Cast, version: Version) -> None:
    person(cast.ann).post(f"{PATH}/submit")
    reviewing.approve(cast.principal(cast.cleo), version)
    ben = person(cast.ben)
    short = ben.post(f"{PATH}/request-changes", {"comment": "no"})
    assert (short.status_code, short.json()["errors"][0]["field"]) == (400, "comment")
    assert ben.post(f"{PATH}/request-changes", {"comment": "The tone is too cold."}).status_code == 200
    assert state(version) == "changes_requested"
    assert reviewing.approvals(version) == set()
    again = person(cast.ann).post(f"{PATH}/submit")
    assert again.status_code == 201 and reviewing.approvals(version) == set()


def test_withdrawing_takes_it_out_of_the_list(cast: Cast, version: Version) -> None:
    ann = person(cast.ann)
    ann.post(f"{PATH}/submit")
    assert ann.get("/reviews?state=open").json()["count"] == 1
    assert ann.post(f"{PATH}/withdraw").json()["state"] == "withdrawn"
    assert ann.get("/reviews?state=open").json()["count"] == 0
    assert (ann.post(f"{PATH}/withdraw").json()["code"], state(version)) == ("not_in_review", "draft")
    assert ann.get("/reviews?state=nonsense").status_code == 400


def test_an_edited_text_has_no_approval(cast: Cast, version: Version) -> None:
    reviewing.submit_for_review(cast.principal(cast.ann), version)
    reviewing.approve(cast.principal(cast.ben), version)
    edited, _ = authoring.create_version(cast.principal(cast.ann), version.prompt, content_of(text="Ho {{name}}."))
    assert reviewing.approvals(edited) == set()
    assert edited.review_state == "draft"


def test_only_reviewing_marks_a_version_and_decisions_stay(cast: Cast, version: Version) -> None:
    version.review_state = "approved"
    for write in (version.save, lambda: Version.objects.filter(pk=version.pk).update(review_state="approved")):
        with pytest.raises(VersionFrozen):
            write()
    version.refresh_from_db()
    reviewing.submit_for_review(cast.principal(cast.ann), version)
    decision = reviewing.approve(cast.principal(cast.ben), version)
    with pytest.raises(Conflict):
        decision.save()
    with pytest.raises(Conflict):
        decision.delete()


def test_two_approvals_where_an_environment_asks_for_two(cast: Cast, version: Version) -> None:
    from prompts.services.environments import Rules, change_environment, named

    cleo = cast.principal(cast.cleo)
    change_environment(cleo, named(cast.team.pk, "production"), Rules(is_protected=True, approvals_needed=2))
    reviewing.submit_for_review(cast.principal(cast.ann), version)
    reviewing.approve(cast.principal(cast.ben), version)
    assert state(version) == "in_review"
    reviewing.approve(cleo, version)
    assert state(version) == "approved"
    assert ReviewRequest.objects.get().state == "approved"


def test_a_stranger_finds_nothing(cast: Cast, version: Version) -> None:
    stranger = Api(cast.stranger_key)
    for verb in ("submit", "approve", "request-changes", "withdraw"):
        assert stranger.post(f"{PATH}/{verb}").status_code == 404
    with pytest.raises(DomainError) as refused:
        reviewing.approve(cast.principal(cast.zoe), version)
    assert refused.value.status == 404
    assert PersonsOnly.code == "persons_only"
