"""Which mails a person gets: over REST, on a page, and by the link in each mail."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from promptlab.accounts.access import SYSTEM
from promptlab.audit.models import AuditEntry
from promptlab.hooks.models import Mail, MailKind, MailOff
from promptlab.hooks.services import choosing, mailing
from promptlab.hooks.services.letters import letter
from promptlab.hooks.services.mailing import Page
from tests.support.api import Api
from tests.support.cast import Cast

pytestmark = pytest.mark.django_db
ALL_ON = {kind.value: True for kind in MailKind}
PAGE = "/admin/hooks/mail/choices/"


def person(user: Any) -> Api:
    api = Api()
    api.client.force_login(user)
    return api


@pytest.fixture
def mail(cast: Cast) -> Mail:
    cast.vic.email = "vic@example.com"
    cast.vic.save()
    where = Page("prompts_prompt_change", 1)
    with transaction.atomic():
        mailing.tell(SYSTEM, MailKind.MENTION, [cast.vic.pk], cast.team.pk, where, prompt="Greeting", version=None)
    one: Mail = Mail.objects.select_related("user").get()
    return one


def link_in(mail: Mail) -> str:
    """Return the path behind List-Unsubscribe."""
    header = letter(mail).extra_headers["List-Unsubscribe"]
    return re.fullmatch(r"<https?://[^/]+(/[^>]+)>", header)[1]  # type: ignore[index]


class TestRest:
    def test_everything_is_on_until_somebody_says_otherwise(self, cast: Cast) -> None:
        vic = person(cast.vic)
        for path in ("/me/notifications", "/api/v1/me/notifications/"):
            assert vic.get(path).json() == {"mail": ALL_ON}
        answer = vic.patch("/me/notifications", {"mail": {"mention": False, "went_live": False}})
        assert (answer.status_code, answer.json()) == (200, {"mail": {**ALL_ON, "mention": False, "went_live": False}})
        assert vic.patch("/me/notifications", {"mail": {"mention": True}}).json()["mail"]["mention"] is True
        assert vic.get("/me/notifications").json() == {"mail": {**ALL_ON, "went_live": False}}
        assert person(cast.ann).get("/me/notifications").json() == {"mail": ALL_ON}

    def test_a_change_is_recorded_and_none_is_not(self, cast: Cast) -> None:
        vic = person(cast.vic)
        for _ in range(2):
            vic.patch("/me/notifications", {"mail": {"mention": False, "plan_failed": True}})
        entry = AuditEntry.objects.get(verb="notifications.changed")
        assert (entry.actor_label, entry.before, entry.after) == ("Vic", {"mention": True}, {"mention": False})

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "mail"),
            ({"mail": 5}, "mail"),
            ({"mail": {"mention": "maybe"}}, "mail.mention"),
            ({"mail": {"mention": None}}, "mail.mention"),
            ({"mail": {"painted": False}}, "mail.painted"),
        ],
    )
    def test_a_wrong_field_is_named(self, cast: Cast, body: Any, field: str) -> None:
        answer = person(cast.vic).patch("/me/notifications", body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)
        assert not MailOff.objects.exists()

    def test_a_key_gets_no_mail(self, cast: Cast) -> None:
        api = Api(cast.key)
        assert api.get("/me/notifications").json() == {"mail": {}}
        answer = api.patch("/me/notifications", {"mail": {"mention": False}})
        assert (answer.status_code, answer.json()["code"]) == (404, "no_mail_for_keys")
        assert Api().get("/me/notifications").status_code == 401

    def test_a_person_s_choices_cost_one_query(self, cast: Cast) -> None:
        vic = person(cast.vic)
        with CaptureQueriesContext(connection) as queries:
            vic.get("/me/notifications")
        assert len([one for one in queries if "hooks_mailoff" in one["sql"]]) == 1


class TestPage:
    def test_everybody_chooses_there_and_is_led_there(self, cast: Cast) -> None:
        vic = person(cast.vic).client
        assert f'href="{PAGE}"' in vic.get("/admin/").content.decode()
        html = vic.get(PAGE).content.decode()
        assert html.count(" checked") == len(MailKind) and "no mail address" in html
        answer = vic.post(PAGE, {"kinds": ["mention"]})
        assert answer.status_code == 302
        assert choosing.choices_of(cast.vic.pk) == {**dict.fromkeys(ALL_ON, False), "mention": True}
        assert vic.get(PAGE).content.decode().count(" checked") == 1
        assert vic.post(PAGE, {"kinds": ["painted"]}).status_code == 200
        assert Client().get(PAGE).status_code == 302

    def test_it_says_where_mails_go(self, cast: Cast, mail: Mail) -> None:
        assert "vic@example.com" in person(cast.vic).client.get(PAGE).content.decode()

    def test_administrators_see_how_sending_went_and_nobody_what_was_said(self, cast: Cast, mail: Mail) -> None:
        cleo = person(cast.cleo).client
        for path in ("/admin/hooks/mail/", f"/admin/hooks/mail/{mail.pk}/change/"):
            html = cleo.get(path).content.decode()
            assert "Not sent yet" in html and "Greeting" not in html
            assert person(cast.vic).client.get(path).status_code in (403, 404)
        assert "Vic" not in person(cast.zoe).client.get("/admin/hooks/mail/").content.decode()


class TestLink:
    def test_a_mail_program_stops_a_kind_with_one_click(self, cast: Cast, mail: Mail) -> None:
        nobody = Client(enforce_csrf_checks=True)
        for _ in range(2):
            answer = nobody.post(link_in(mail), {"List-Unsubscribe": "One-Click"})
            assert answer.status_code == 200 and "No more of these mails" in answer.content.decode()
        assert choosing.choices_of(cast.vic.pk) == {**ALL_ON, "mention": False}
        entry = AuditEntry.objects.get(verb="notifications.changed")
        assert (entry.actor_id, entry.team_id) == (cast.vic.pk, cast.team.pk)

    def test_opening_the_link_only_asks(self, cast: Cast, mail: Mail) -> None:
        for answer in (Client().get(link_in(mail)), Client().head(link_in(mail))):
            assert answer.status_code == 200 and "no-store" in answer.headers["Cache-Control"]
        html = Client().get(link_in(mail)).content.decode()
        assert "Stop these mails" in html and "Vic" in html and 'class="account"' not in html
        assert choosing.choices_of(cast.vic.pk) == ALL_ON

    def test_only_a_link_of_ours_works(self, cast: Cast, mail: Mail) -> None:
        link = link_in(mail)
        head, _, signature = link.rpartition(":")
        other = choosing._signer.sign_object([cast.ann.pk, "mention"]).partition(":")[0]
        forged = [
            f"{head}:{signature[:-1]}",
            f"/mail/off/{other}:{signature}",
            "/mail/off/x",
            "/mail/off/" + choosing._signer.sign_object([999_999, "mention"]),
            "/mail/off/" + choosing._signer.sign_object([cast.ann.pk, "painted"]),
        ]
        for path in forged:
            for answer in (Client().get(path), Client().post(path)):
                assert answer.status_code == 404, path
                assert answer.headers["Content-Type"].startswith("text/html")
        assert not MailOff.objects.exists()

    def test_other_methods_are_refused(self, mail: Mail) -> None:
        assert Client().put(link_in(mail)).status_code == 405

    def test_it_goes_on_working_for_somebody_who_is_switched_off(self, cast: Cast, mail: Mail) -> None:
        cast.vic.is_active = False
        cast.vic.save()
        assert Client().post(link_in(mail)).status_code == 200
        assert choosing.choices_of(cast.vic.pk)["mention"] is False
