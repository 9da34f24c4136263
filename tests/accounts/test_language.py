"""People read pages and mails in their language; programs are answered in English."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import translation

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.auth import principal_of_user
from promptlab.accounts.models import User
from promptlab.accounts.services import choose_language
from promptlab.audit.recorder import record
from promptlab.hooks.models import Mail, MailKind
from promptlab.hooks.services import letters
from promptlab.lib.errors import Invalid
from prompts.errors import NameTaken, OwnerNeeded
from prompts.models import Environment
from tests.support.api import Api
from tests.support.cast import Cast

pytestmark = pytest.mark.django_db
HOME, CHOOSE = "/admin/", "/admin/language/"


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_a_language_is_chosen_on_any_page_and_kept(cast: Cast) -> None:
    client = browser(cast.ann)
    page = client.get(HOME).content.decode()
    assert '<html lang="en"' in page and f'action="{CHOOSE}"' in page
    answer = client.post(CHOOSE, {"language": "es", "next": "/admin/prompts/prompt/"})
    assert (answer.status_code, answer["Location"]) == (302, "/admin/prompts/prompt/")
    page = client.get(HOME).content.decode()
    assert '<html lang="es"' in page and "Cerrar sesión" in page
    cast.ann.refresh_from_db()
    assert cast.ann.language == "es"


def test_who_is_not_signed_in_chooses_too_and_a_browsers_wish_counts_until_then(cast: Cast) -> None:
    client = Client(headers={"accept-language": "es-MX,es;q=0.9"})
    login = "/admin/login/"
    assert "Contraseña" in client.get(login).content.decode()
    client.post(CHOOSE, {"language": "en", "next": login})
    assert "Password" in client.get(login).content.decode()


@pytest.mark.parametrize("language", ["xx", "", "es\n"])
def test_what_we_do_not_speak_changes_nothing(cast: Cast, language: str) -> None:
    client = browser(cast.ann)
    assert client.post(CHOOSE, {"language": language, "next": "https://elsewhere.example/"})["Location"] == "/"
    assert '<html lang="en"' in client.get(HOME).content.decode() and client.get(CHOOSE).status_code == 405
    with pytest.raises(Invalid):
        choose_language(principal_of_user(cast.ann), language)


def test_mails_are_written_in_the_language_of_who_gets_them(cast: Cast) -> None:
    facts = {"prompt": "Greeting", "version": 2, "excerpt": "Look.", "actor": "Ben"}
    one = Mail(team=cast.team, user=cast.ann, kind=MailKind.MENTION, facts=facts, path="/admin/")
    assert letters.letter(one).subject == "Ben mentioned you on Greeting"
    cast.ann.language = "es"
    with translation.override("en"):
        assert letters.letter(one).subject == "Ben te mencionó en Greeting"


def test_pages_say_in_spanish_what_programs_are_told_in_english(cast: Cast) -> None:
    wish = {"accept-language": "es"}
    assert (
        Api(cast.key)
        .client.get("/prompts/nothing-here", headers=wish)
        .json()["detail"]
        .startswith("There is no prompt")
    )
    with translation.override("es"):
        taken, needed = NameTaken(name="greeting"), OwnerNeeded.field("owner_id", OwnerNeeded.detail)
        assert taken.detail == "The short name greeting is taken. Choose another one."
        assert taken.told == "El nombre corto greeting está ocupado. Elige otro."
        assert needed.told_of(needed.problems[0]).startswith("Una colección privada pertenece a una persona.")


def test_programs_are_answered_in_english_whatever_they_accept(cast: Cast) -> None:
    answer = Api(cast.key).post("/prompts", {"title": 5, "tags": "x"}, **{"accept-language": "es"})
    assert "Se esperaba" not in answer.content.decode() and answer.json()["errors"][0]["detail"].startswith("Expected")
    with translation.override("es"):
        assert str(Environment(name="production")) == "Producción" and str(Environment(name="preview")) == "Preview"
        where = Environment.objects.create(team=cast.team, name="qa")
        where.name = "staging"
        assert record(SYSTEM, "environment.created", where, team_id=None).target_label == "Staging"
