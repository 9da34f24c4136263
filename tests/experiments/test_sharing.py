"""Links to results for people without an account: signed, for some days, ended at any time, without texts."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from experiments.models import Experiment, SharedResults
from experiments.services import sharing
from promptlab.accounts.access import SYSTEM
from promptlab.audit.models import AuditEntry
from promptlab.lib import signed
from tests.experiments.test_dashboard import browser
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_prompt

NEW = "/admin/experiments/sharedresults/add/"


@pytest.fixture
def experiment(cast: Cast) -> Experiment:
    prompt = make_prompt(cast.team, "A secret recipe for {{name}}.", title="Support agent")
    return make_experiment(prompt, running=True, title="Warmer tone", key="tone")


def address_of(link: SharedResults) -> str:
    return f"/dashboards/shared/{sharing.token_of(link)}/"


def test_a_publisher_makes_a_link_that_anybody_opens(cast: Cast, experiment: Experiment) -> None:
    client = browser(cast.ben)
    asked = client.get(f"{NEW}?experiment={experiment.pk}")
    assert "without signing in" in asked.content.decode()
    made = client.post(f"{NEW}?experiment={experiment.pk}", {"days": 7}, follow=True)
    link = SharedResults.objects.get()
    assert address_of(link) in made.content.decode()
    assert AuditEntry.objects.filter(verb="experiment.shared").get().actor_label == "Ben"
    page = Client().get(address_of(link))
    assert page.status_code == 200 and "Warmer tone" in page.content.decode()
    assert (page["Cache-Control"], page["Referrer-Policy"]) == ("no-store", "no-referrer")


def test_the_page_shows_no_texts_no_people_and_no_way_in(cast: Cast, experiment: Experiment) -> None:
    page = Client().get(address_of(sharing.share(SYSTEM, experiment, days=1))).content.decode()
    for hidden in ("secret recipe", "What happened", "Ben", "Stop now", "/admin/prompts/", "live-fragment"):
        assert hidden not in page, hidden


def test_it_ends_by_itself_and_by_hand(cast: Cast, experiment: Experiment) -> None:
    link, other = (sharing.share(SYSTEM, experiment, days=1) for _ in range(2))
    with time_machine.travel(timezone.now() + timedelta(days=1, minutes=1)):
        gone = Client().get(address_of(link))
    assert gone.status_code == 404 and "This link has ended" in gone.content.decode()
    client = browser(cast.ben)
    end = f"/admin/experiments/sharedresults/{other.pk}/end/"
    client.get(end)
    assert Client().get(address_of(other)).status_code == 200
    client.post(end)
    client.post(end)
    assert Client().get(address_of(other)).status_code == 404
    assert AuditEntry.objects.filter(verb="experiment.unshared").count() == 1
    assert Client().get(address_of(link)).status_code == 200


@pytest.mark.parametrize(
    "token",
    ["x", "x.y", "W10.AAAA", signed.sign("receipt", [1]), signed.sign("results", [])],
    ids=["short", "two parts", "no signature", "a receipt", "of nothing"],
)
def test_what_we_did_not_sign_leads_nowhere(db: None, token: str) -> None:
    assert Client().get(f"/dashboards/shared/{token}/").status_code == 404


def test_only_those_who_run_experiments_share(cast: Cast, experiment: Experiment) -> None:
    for user in (cast.vic, cast.ann):
        assert browser(user).post(f"{NEW}?experiment={experiment.pk}", {"days": 7}).status_code == 403
    assert browser(cast.zoe).post(f"{NEW}?experiment={experiment.pk}", {"days": 7}).status_code == 404
    assert browser(None).post(f"{NEW}?experiment={experiment.pk}", {"days": 7}).status_code == 302
    assert not SharedResults.objects.exists()
    assert "Share" not in [
        action["label"] for action in browser(cast.vic).get("/dashboards/experiments/tone/").context["actions"]
    ]


@pytest.mark.parametrize("days", ["0", "91", "", "x", "-1"])
def test_how_long_is_one_of_a_list(cast: Cast, experiment: Experiment, days: str) -> None:
    answer = browser(cast.ben).post(f"{NEW}?experiment={experiment.pk}", {"days": days})
    assert answer.status_code == 200 and not SharedResults.objects.exists()


@pytest.mark.parametrize("pk", ["", "x", "9" * 30, "0"])
def test_sharing_what_is_not_there_is_a_404(cast: Cast, pk: str) -> None:
    assert browser(cast.ben).get(f"{NEW}?experiment={pk}").status_code == 404


def test_the_list_says_which_links_work(cast: Cast, experiment: Experiment) -> None:
    sharing.unshare(SYSTEM, sharing.share(SYSTEM, experiment, days=7))
    sharing.share(SYSTEM, experiment, days=7)
    page = browser(cast.ben).get("/admin/experiments/sharedresults/").content.decode()
    assert page.count("Works") == 1 and page.count(">Ended<") == 1
