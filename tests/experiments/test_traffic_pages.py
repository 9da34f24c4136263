"""Who takes part, through the editors' pages: conditions, testers, shares while it runs, namespaces."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from experiments.admin.conditions import Line, condition_of, lines_of
from experiments.models import Experiment, Namespace, Phase
from experiments.services.targeting import Setup, create_namespace, free_ranges
from promptlab.accounts.access import SYSTEM
from promptlab.audit.models import AuditEntry
from tests.experiments.test_admin import page_of, signed_in, two_versions
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_prompt, make_version

pytestmark = pytest.mark.django_db


def line(row: int, attribute: str, comparison: str, value: str = "") -> dict[str, str]:
    return {f"attribute_{row}": attribute, f"comparison_{row}": comparison, f"value_{row}": value}


@pytest.mark.parametrize(
    ("lines", "condition"),
    [
        ([], {}),
        ([Line("country", "is", "de")], {"country": "de"}),
        ([Line("plan", "is", "3"), Line("zip", "is", '"12"')], {"plan": 3, "zip": "12"}),
        ([Line("is_new", "is_not", "true")], {"is_new": {"$ne": True}}),
        ([Line("country", "one_of", "de, at, 3")], {"country": {"$in": ["de", "at", 3]}}),
        ([Line("n", "at_least", "3"), Line("n", "below", "9")], {"$and": [{"n": {"$gte": 3}}, {"n": {"$lt": 9}}]}),
        ([Line("mail", "matches", "@acme\\.com$")], {"mail": {"$regex": "@acme\\.com$"}}),
        ([Line("mail", "is_there"), Line("age", "is_missing")], {"mail": {"$exists": True}, "age": {"$exists": False}}),
    ],
)
def test_lines_say_a_condition_and_are_read_back(lines: list[Line], condition: dict[str, Any]) -> None:
    assert condition_of(lines) == condition
    assert lines_of(condition) == lines


def test_what_lines_cannot_say_is_left_to_developers() -> None:
    assert lines_of({"$or": [{"a": 1}, {"b": 2}]}) is None
    assert lines_of({"$and": [{"a": 1}, {"$not": {"b": 2}}]}) is None
    assert condition_of(lines_of({"a": {"$in": ["x,y", "z"]}}) or []) != {}


def test_a_draft_is_for_some_and_apart_from_others(cast: Cast) -> None:
    draft = make_experiment(two_versions(cast), title="Formal or not")
    space = create_namespace(SYSTEM, cast.team, "checkout")
    client, url = signed_in(cast.ann), page_of(draft, "who")
    sent = {
        **line(1, "country", "one_of", "de, at"), **line(2, "visits", "at_least", "3"),
        "unit_attribute": "account_id", "is_sticky": "on", "namespace": space.pk, "part": "40",
    }  # fmt: skip
    assert client.post(url, sent)["Location"] == page_of(draft)
    draft.refresh_from_db()
    assert draft.condition == {"country": {"$in": ["de", "at"]}, "visits": {"$gte": 3}}
    assert (draft.unit_attribute, draft.is_sticky, draft.namespace_ranges) == ("account_id", True, [[0, 4000]])
    page = client.get(page_of(draft)).content.decode()
    assert "country is one of de, at" in page and "Who has the same account_id" in page and "checkout" in page
    again = client.get(url).content.decode()
    assert 'value="de, at"' in again and 'value="40' in again
    assert again.partition("Who keeps what")[0].count("(optional)") == 1, "It is said once, not in every line."
    client.post(url, {"act": "back"})
    draft.refresh_from_db()
    assert (draft.condition, draft.unit_attribute, draft.namespace) == ({}, "", None)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"attribute_1": "country", "comparison_1": "is"}, "value_1"),
        ({"value_2": "de"}, "attribute_2"),
        (line(1, "mail", "matches", "(a"), "value_1"),
        ({"unit_attribute": "a b"}, "unit_attribute"),
    ],
)
def test_what_is_wrong_with_it_is_said_beside_its_field(cast: Cast, wrong: dict[str, str], field: str) -> None:
    draft = make_experiment(two_versions(cast))
    html = signed_in(cast.ann).post(page_of(draft, "who"), wrong).content.decode()
    assert f'href="#id_{field}"' in html
    assert Experiment.objects.get().condition == {}


def test_a_developers_condition_stays_as_it_was_written(cast: Cast) -> None:
    written = {"$or": [{"a": 1}, {"b": "x"}]}
    draft = make_experiment(two_versions(cast), setup=Setup(condition=written))
    client = signed_in(cast.ann)
    assert "A developer wrote this condition." in client.get(page_of(draft, "who")).content.decode()
    client.post(page_of(draft, "who"), {"condition": '{"$or": [{"a": 1}, {"b": "x"}]}', "is_sticky": "on"})
    draft.refresh_from_db()
    assert (draft.condition, draft.is_sticky) == (written, True)


def test_only_what_is_free_of_a_namespace_is_given(cast: Cast) -> None:
    space = create_namespace(SYSTEM, cast.team, "checkout")
    other = make_prompt(cast.team, title="Farewell")
    make_version(other)
    taken = Setup(namespace="checkout", namespace_ranges=[[1000, 8000]])
    make_experiment(other, title="Other", setup=taken)
    assert free_ranges(space) == [(0, 1000), (8000, 10_000)]
    draft = make_experiment(two_versions(cast), title="Mine")
    client = signed_in(cast.ann)
    html = client.post(page_of(draft, "who"), {"namespace": space.pk, "part": "40"}).content.decode()
    assert 'href="#id_part"' in html and "30.0" in html
    client.post(page_of(draft, "who"), {"namespace": space.pk, "part": "15"})
    draft.refresh_from_db()
    assert draft.namespace_ranges == [[0, 1000], [8000, 8500]]
    page = client.get(reverse("admin:experiments_namespace_change", args=[space.pk])).content.decode()
    assert "Other" in page and "Mine" in page
    listed = client.get(reverse("admin:experiments_namespace_changelist")).content.decode()
    assert "checkout" in listed and "15" in listed
    assert "checkout" not in signed_in(cast.zoe).get(reverse("admin:experiments_namespace_changelist")).content.decode()


def test_editors_make_a_namespace(cast: Cast) -> None:
    url = reverse("admin:experiments_namespace_add")
    client = signed_in(cast.ann)
    assert 'href="#id_key"' in client.post(url, {"key": "Check out"}).content.decode()
    client.post(url, {"key": "checkout"})
    assert (Namespace.objects.get().key, AuditEntry.objects.latest("id").verb) == ("checkout", "namespace.created")
    assert 'href="#id_key"' in client.post(url, {"key": "checkout"}).content.decode()
    assert signed_in(cast.vic).post(url, {"key": "other"}).status_code == 403


def test_testers_are_named_line_by_line(cast: Cast) -> None:
    running = make_experiment(two_versions(cast), running=True)
    client, url = signed_in(cast.ben), page_of(running, "testers")
    twice = client.post(url, {"testers_0": "ann", "testers_1": "ann"}).content.decode()
    assert 'href="#id_testers_1"' in twice
    client.post(url, {"testers_0": "ann\n\n bob ", "testers_1": "qa-1"})
    running.refresh_from_db()
    assert running.overrides == {"ann": "control", "bob": "control", "qa-1": "variant-1"}
    assert "3 users try texts out" in client.get(page_of(running)).content.decode()
    assert "qa-1" in client.get(url).content.decode()
    assert signed_in(cast.ann).get(url).status_code == 403


def test_other_shares_say_first_who_gets_another_text(cast: Cast) -> None:
    running = make_experiment(two_versions(cast), running=True, coverage_bp=5000)
    client, url = signed_in(cast.ben), page_of(running, "shares")
    query = {"split": "own", "share_0": "40", "share_1": "60", "coverage": "80"}
    seen = client.get(url, query).content.decode().replace("\xa0", " ")
    assert "10 % of those who take part get another text" in seen
    assert "80 % of all users take part, not 50 %." in seen and "gets 60 %, not 50 %." in seen
    assert Experiment.objects.get().coverage_bp == 5000 and Phase.objects.count() == 1
    address = f"{url}?{'&'.join(f'{name}={value}' for name, value in query.items())}"
    assert 'href="#id_note"' in client.post(address, {}).content.decode()
    client.post(address, {"note": "More of the new one"})
    running.refresh_from_db()
    assert (running.coverage_bp, running.phase) == (8000, 2)
    assert [one.weight_bp for one in running.variants.all()] == [4000, 6000]
    same = client.get(url, query, follow=True).content.decode()
    assert "These are the shares already." in same
    wrong = client.get(url, {**query, "share_0": "50"}).content.decode()
    assert 'href="#id_split"' in wrong
    assert signed_in(cast.ann).get(url).status_code == 403


def test_dealing_anew_takes_a_reason(cast: Cast) -> None:
    running = make_experiment(two_versions(cast), running=True)
    client, url = signed_in(cast.ben), page_of(running, "deal_anew")
    assert 'href="#id_note"' in client.post(url, {}).content.decode()
    client.post(url, {"note": "The text was broken"})
    running.refresh_from_db()
    assert (running.phase, running.bucket_version) == (2, 2)
