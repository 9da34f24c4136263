"""Forms that ask for a prompt: a list while there are few; a line with suggestions, and no more to load, once there are many."""

from __future__ import annotations

import gzip
import re
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from experiments.models import Experiment
from feedback.models import Judge
from promptlab.accounts import services
from promptlab.accounts.access import SYSTEM, Role
from prompts.admin.choosing import FEW, SUGGESTED
from prompts.models import Collection, Deployment, Prompt, Suite, Version
from tests.support.cast import Cast
from tests.support.make import make_live, make_prompt, make_team, newest

pytestmark = pytest.mark.django_db
SUITE = "/admin/prompts/suite/add/"
JUDGE = "/admin/feedback/judge/add/"
ROUND = "/admin/feedback/annotationround/add/"
RAMP = "/admin/experiments/ramp/add/"
EXPERIMENT = "/admin/experiments/experiment/add/"
PAGES = (SUITE, JUDGE, ROUND, RAMP, EXPERIMENT)
ROOM = 40 * 1024


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def fill(cast: Cast, number: int) -> None:
    """Have so many prompts in the team, each live, all but what there is already called `filled-1`, `filled-2`, …"""
    model = newest(make_prompt(cast.team, title="The first"))
    event = Deployment.objects.get(prompt=model.prompt, environment=make_live(model)).event
    missing = range(Prompt.objects.filter(team=cast.team).count(), number)
    made = Prompt.objects.bulk_create(
        Prompt(team=cast.team, name=f"filled-{n}", title=f"A prompt that was filled in as number {n}") for n in missing
    )
    copies = [Version(prompt=one, number=1, text="Hello.", variables={}) for one in made]
    for one, version in zip(made, Version.objects.bulk_create(copies), strict=True):
        one.newest = version
    Prompt.objects.bulk_update(made, ["newest"])
    Deployment.objects.bulk_create(
        Deployment(prompt=one, environment=event.environment, version=one.newest, event=event) for one in made
    )


def words(html: str) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)))


def opened(client: Client, page: str) -> tuple[str, int, int]:
    """Return a page, its size compressed, and the queries that it took."""
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(page)
    assert answer.status_code == 200, page
    return answer.content.decode(), len(gzip.compress(answer.content)), len(queries)


def options(html: str, kind: str, name: str) -> int:
    part = re.search(rf'<{kind} [^>]*(?:name|id)="{name}"[^>]*>(.*?)</{kind}>', html, re.S)
    return part[1].count("<option") if part else 0


def suite_of(client: Client, said: object, name: str = "basics") -> str:
    """Send the form of a new suite; return what is said against it, or the prompt's name."""
    answer = client.post(SUITE, {"name": name, "prompt": said})
    if answer.status_code == 200:
        return words(answer.content.decode())
    made = Suite.objects.get(name=name)
    return made.prompt.name if made.prompt else ""


def test_few_are_a_list_and_one_more_is_a_line_to_type_in(cast: Cast) -> None:
    fill(cast, FEW)
    client = signed_in(cast.cleo)
    listed = {page: opened(client, page)[0] for page in PAGES}
    for page, html in listed.items():
        assert options(html, "select", "prompt") in (FEW, FEW + 1), page
        assert "<datalist" not in html
    make_live(newest(make_prompt(cast.team, title="One more")))
    for page in PAGES:
        html, size, _ = opened(client, page)
        assert options(html, "select", "prompt") == 0 and options(html, "datalist", "prompt_suggested") == SUGGESTED, (
            page
        )
        line = re.search(r'<input type="text" name="prompt"[^>]*>', html)
        assert line and 'list="prompt_suggested"' in line[0] and 'id="id_prompt"' in line[0], page
        assert "Type its name or its title." in words(html) and size < ROOM, page
        assert '<option value="one-more">One more</option>' in html, "what was changed last comes first"
    assert options(opened(client, JUDGE)[0], "datalist", "by_suggested") == SUGGESTED


def test_more_prompts_cost_neither_queries_nor_room(cast: Cast) -> None:
    fill(cast, 300)
    client = signed_in(cast.cleo)
    before = {page: opened(client, page)[1:] for page in PAGES}
    fill(cast, 600)
    for page, (size, queries) in before.items():
        _, now, asked = opened(client, page)
        assert asked == queries and abs(now - size) < 1024 and now < ROOM, page


def test_a_prompt_is_found_by_name_title_and_number_whichever_way_it_is_asked(cast: Cast) -> None:
    wanted = make_prompt(cast.team, title="Support Reply")
    client = signed_in(cast.ann)
    for round_, count in enumerate((0, FEW + 1)):
        if count:
            fill(cast, count)
        for number, said in enumerate((wanted.name, "Support Reply", "support REPLY", f" {wanted.name} ", wanted.pk)):
            assert suite_of(client, said, f"suite-{round_}-{number}") == wanted.name, said
        assert suite_of(client, "", f"all-{round_}") == ""
        for said in ("Support", "no such thing", "9" * 30, "x" * 300, "a\0b", Prompt.objects.latest("pk").pk + 1):
            assert "No prompt is called that." in suite_of(client, said, "never"), said
    required = client.post(ROUND, {"title": "Week", "prompt": "", "metric": "rating", "answers": 5, "days": 5})
    assert "This field is required." in words(required.content.decode())


def test_several_of_one_title_are_told_apart_by_their_names(cast: Cast) -> None:
    fill(cast, FEW + 1)
    for _ in range(2):
        make_prompt(cast.team, title="Twice there")
    said = suite_of(signed_in(cast.ann), "twice there")
    assert "Several prompts are called that: type the name instead: twice-there, twice-there-2" in said
    assert (
        'value="twice there"'
        in signed_in(cast.ann).post(SUITE, {"name": "x", "prompt": "twice there"}).content.decode()
    )
    assert suite_of(signed_in(cast.ann), "twice-there-2") == "twice-there-2"
    for _ in range(11):
        make_prompt(cast.team, title="Often there")
    often = suite_of(signed_in(cast.ann), "Often there")
    assert "often-there-10, …" in often and "often-there-11" not in often
    assert suite_of(signed_in(cast.ann), "often-there", "first-of-many") == "often-there"


def test_a_name_that_is_another_ones_title_means_the_name(cast: Cast) -> None:
    fill(cast, FEW + 1)
    make_prompt(cast.team, title="filled-7")
    assert suite_of(signed_in(cast.ann), "filled-7") == "filled-7"
    number = make_prompt(cast.team, title=str(Prompt.objects.get(name="filled-8").pk))
    said = suite_of(signed_in(cast.ann), number.title, "by-number")
    assert "type the name instead" in said and "filled-8" in said and number.name in said


def test_prompts_of_two_teams_with_one_name_are_told_apart_by_number(cast: Cast) -> None:
    fill(cast, FEW + 1)
    other = make_team("Next door")
    services.add_member(SYSTEM, other, cast.ann, Role.WRITER)
    there, here = make_prompt(other, title="Shared"), make_prompt(cast.team, title="Shared")
    assert there.name == here.name
    client = signed_in(cast.ann)
    told = words(client.post(ROUND, {"title": "W", "prompt": "shared", "metric": "rating"}).content.decode())
    assert f"type the number instead: {there.pk} (Next door), {here.pk} ({cast.team})" in told
    html = opened(client, f"{ROUND}?prompt={here.pk}")[0]
    assert f'name="prompt" value="{here.pk}"' in html


def test_private_prompts_of_others_are_neither_listed_nor_found(cast: Cast) -> None:
    private = Collection.objects.create(
        team=cast.team, name="Mine", owner=cast.cleo, visibility=Collection.Visibility.PRIVATE
    )
    secret = make_prompt(cast.team, title="Quiet plan")
    make_live(newest(secret))
    Prompt.objects.filter(pk=secret.pk).update(collection=private, updated_at=timezone.now())
    ann, cleo = signed_in(cast.ann), signed_in(cast.cleo)
    for count in (0, FEW + 1):
        if count:
            fill(cast, count)
            Prompt.objects.filter(pk=secret.pk).update(updated_at=timezone.now())
        for page in (SUITE, JUDGE, ROUND, EXPERIMENT):
            html = opened(ann, page)[0]
            assert "Quiet plan" not in html and secret.name not in html, page
            assert secret.name not in opened(ann, f"{page}?prompt={secret.pk}")[0], page
        for page in (SUITE, EXPERIMENT, RAMP):
            assert "Quiet plan" in opened(cleo, page)[0], page
        for said in (secret.pk, secret.name, secret.title):
            assert "No prompt is called that." in suite_of(ann, said), said
    assert suite_of(cleo, secret.title) == secret.name


def test_the_address_chooses_and_the_first_page_of_a_launch_takes_what_was_typed(cast: Cast) -> None:
    fill(cast, FEW + 1)
    old = Prompt.objects.get(name="the-first")
    Prompt.objects.filter(pk=old.pk).update(updated_at="2020-01-01T00:00Z")
    client = signed_in(cast.cleo)
    for page in PAGES:
        if page != RAMP:
            for said in (old.pk, old.name):
                html = opened(client, f"{page}?prompt={said}")[0]
                assert f'name="prompt" value="{old.name}"' in html, page
    for typed in (str(old.pk), old.name, "THE FIRST"):
        answer = client.get(RAMP, {"prompt": typed, "environment": "production"}).content.decode()
        assert "Launch The first step by step" in words(answer), typed
    nothing = client.get(RAMP, {"prompt": str(old.pk), "environment": "staging"}).content.decode()
    assert f'name="prompt" value="{old.name}"' in nothing


def test_an_experiment_a_judge_and_a_changed_judge_take_names(cast: Cast) -> None:
    fill(cast, FEW + 1)
    judge = make_prompt(cast.team, "Score {{answer}}.", title="A judge")
    client = signed_in(cast.cleo)
    client.post(
        EXPERIMENT, {"prompt": "filled-5", "environment": "production", "title": "E", "primary_metric": "approval"}
    )
    assert Experiment.objects.get().prompt.name == "filled-5"
    said = {"rubric": "", "percent": 5, "least": "0.5", "day_usd": 1, "is_on": "on"}
    made = client.post(JUDGE, {"prompt": "filled-6", "by": judge.title, **said})
    one = Judge.objects.get()
    assert made.status_code == 302 and (one.prompt.name, one.by) == ("filled-6", judge)
    edit = f"/admin/feedback/judge/{one.pk}/edit/"
    assert f'name="by" value="{judge.name}"' in opened(client, edit)[0]
    assert "No prompt is called that." in words(client.post(edit, {"by": "nobody", **said}).content.decode())
    assert client.post(edit, {"by": judge.name, **said, "rubric": "Short"}).status_code == 302
    assert Judge.objects.get().rubric == "Short"
