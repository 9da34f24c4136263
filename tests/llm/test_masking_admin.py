"""The pages of what a team never sends to a model as it is."""

from __future__ import annotations

import pytest
from django.test import Client

from promptlab.accounts.access import SYSTEM
from promptlab.audit.models import AuditEntry
from promptlab.llm.models import Masking
from promptlab.llm.routes import read_masks
from promptlab.llm.services.hiding import set_masking
from tests.support.cast import Cast

pytestmark = pytest.mark.django_db
LIST = "/admin/llm/masking/"


@pytest.fixture
def page(cast: Cast) -> Client:
    client = Client()
    client.force_login(cast.cleo)
    return client


def test_an_administrator_says_what_does_not_leave_and_changes_it(cast: Cast, page: Client) -> None:
    assert b"Everything leaves as it is written" in page.get(LIST).content
    said = {"kinds": ["email"], "patterns": "order = ORD-[0-9]{6}\r\n\r\n"}
    made = page.post(f"{LIST}add/", said, follow=True)
    assert b"ORD-[0-9]{6}" in made.content and b"E-mail addresses" in made.content
    assert read_masks(cast.team.pk).to_dict() == {"kinds": ["email"], "patterns": [["order", "ORD-[0-9]{6}"]]}
    row = Masking.objects.get()
    form = page.get(f"{LIST}{row.pk}/edit/").content
    assert b"order = ORD-[0-9]{6}" in form
    page.post(f"{LIST}{row.pk}/edit/", {"kinds": ["iban", "card"], "patterns": ""})
    assert read_masks(cast.team.pk).to_dict() == {"kinds": ["iban", "card"], "patterns": []}
    assert AuditEntry.objects.filter(verb="masking.changed").count() == 2
    assert b"Bank accounts" in page.get(LIST).content


def test_adding_takes_nothing_back(cast: Cast, page: Client) -> None:
    set_masking(SYSTEM, cast.team.pk, kinds=["phone"], patterns={"order": "ORD-[0-9]{6}"})
    page.post(f"{LIST}add/", {"kinds": ["email"], "patterns": "case = CASE-[0-9]{4}"})
    masks = read_masks(cast.team.pk)
    assert (set(masks.kinds), [name for name, _ in masks.patterns]) == ({"email", "phone"}, ["case", "order"])


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("no pattern", b"A line is a name, an equals sign and a pattern"),
        ("a_b = x{3}\na_b = y{3}", b"each name once"),
        ("email = x{3}", b"A name has 2 to 20 small letters"),
        ("order = (a+)+", b"cannot stand here"),
        ("<script>x", b"&lt;script&gt;x"),
    ],
)
def test_what_is_no_pattern_is_said_beside_the_field(cast: Cast, page: Client, written: str, told: bytes) -> None:
    answer = page.post(f"{LIST}add/", {"patterns": written})
    assert answer.status_code == 200
    assert told in answer.content or (b"patterns" in answer.content and told == b"errorlist")
    assert not read_masks(cast.team.pk)


def test_nobody_but_administrators_sees_the_pages(cast: Cast) -> None:
    set_masking(SYSTEM, cast.team.pk, kinds=["phone"], patterns={})
    row = Masking.objects.get()
    for person in (cast.ben, cast.zoe):
        client = Client()
        client.force_login(person)
        for path in ("change", "edit"):
            assert client.get(f"{LIST}{row.pk}/{path}/").status_code in (403, 404)
        assert client.post(f"{LIST}{row.pk}/edit/", {"patterns": ""}).status_code in (403, 404)
        client.post(f"{LIST}add/", {"kinds": ["email"], "patterns": ""})
    assert read_masks(cast.team.pk).kinds == ("phone",)
