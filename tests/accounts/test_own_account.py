"""Everybody's page about themselves."""

from __future__ import annotations

import pytest
from django.test import Client

from promptlab.accounts.access import Principal
from promptlab.accounts.models import User
from promptlab.accounts.services import sign_out_everywhere
from promptlab.audit.models import AuditEntry
from promptlab.hooks.models import MailKind
from promptlab.hooks.services import choosing
from promptlab.lib.errors import Forbidden
from tests.support.cast import Cast

pytestmark = pytest.mark.django_db
ACCOUNT = "/admin/account/"


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_people_change_their_name_their_keys_and_their_mails(cast: Cast) -> None:
    client = browser(cast.vic)
    shown = client.get(ACCOUNT).content.decode()
    assert 'value="Vic"' in shown and "Acme" in shown and "Viewer" in shown and "data-single-keys" not in shown
    kept = [MailKind.values[0]]
    done = client.post(ACCOUNT, {"first_name": "Victor", "last_name": "H", "mails": kept}, follow=True).content.decode()
    assert "Your account is saved." in done and "Victor H" in done and 'data-single-keys="off"' in done
    assert [kind for kind, is_on in choosing.choices_of(cast.vic.pk).items() if is_on] == kept
    client.post(ACCOUNT, {"first_name": "Victor", "last_name": "H", "mails": kept})
    assert AuditEntry.objects.filter(verb="account.changed").count() == 1


def test_a_name_is_needed_and_what_was_typed_stays(cast: Cast) -> None:
    shown = browser(cast.vic).post(ACCOUNT, {"first_name": " ", "last_name": "Kept"}).content.decode()
    assert 'href="#id_first_name"' in shown and 'value="Kept"' in shown
    assert 'href="#id_mails"' in browser(cast.vic).post(ACCOUNT, {"first_name": "V", "mails": "x"}).content.decode()


def test_signing_out_everywhere_ends_every_other_session(cast: Cast) -> None:
    here, there = browser(cast.ann), browser(cast.ann)
    assert there.get(ACCOUNT).status_code == 200
    for _ in range(2):
        done = here.post(ACCOUNT, {"act": "sign_out"}, follow=True)
        assert "You are signed out everywhere else." in done.content.decode()
    assert there.get(ACCOUNT).status_code == 302 and here.get(ACCOUNT).status_code == 200
    assert browser(User.objects.get(pk=cast.ann.pk)).get(ACCOUNT).status_code == 200


def test_it_is_for_people_who_are_signed_in(cast: Cast, django_assert_max_num_queries) -> None:
    assert Client().get(ACCOUNT).status_code == 302
    with pytest.raises(Forbidden):
        sign_out_everywhere(Principal("key", 1, "tests"))
    client = browser(cast.cleo)
    with django_assert_max_num_queries(8):
        assert client.get(ACCOUNT).status_code == 200
