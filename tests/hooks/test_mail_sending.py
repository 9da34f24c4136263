"""From a transaction to a mail server: once if it works, again until it does, never to somebody who left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail as django_mail
from django.db import connection, transaction
from django.utils import timezone

from promptlab.accounts.access import SYSTEM, Role
from promptlab.accounts.auth import principal_of_user
from promptlab.accounts.models import Membership, Team, User
from promptlab.hooks.models import Mail, MailKind, MailOff
from promptlab.hooks.services import leasing, letters, mail_sending, mailing
from promptlab.hooks.services.mailing import Page
from promptlab.hooks.tasks import send_mails
from tests.hooks.mailbox import Mailbox, mailbox
from tests.support.make import make_team, make_user

pytestmark = pytest.mark.django_db
State = Mail.State


@pytest.fixture
def person(team: Team) -> User:
    return make_user("dora", team, Role.WRITER, email="dora@example.com", first_name="Dora")


@pytest.fixture
def server(settings: Any) -> Iterator[Mailbox]:
    with mailbox() as box:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", box.port
        yield box


def write(team: Team, *people: User, **facts: Any) -> None:
    said = {"prompt": "Greeting", "version": 2, "excerpt": "Please look at this.", **facts}
    ids = [one.pk for one in people]
    with transaction.atomic():
        mailing.tell(SYSTEM, MailKind.MENTION, ids, team.pk, Page("prompts_prompt_change", 5), **said)


def come_due() -> None:
    Mail.objects.update(next_at=timezone.now())


def test_a_mail_arrives_once_as_plain_text_with_one_link(
    team: Team, person: User, server: Mailbox, settings: Any
) -> None:
    settings.SITE_URL = "https://prompts.example.com"
    write(team, person, prompt="Grüße")
    send_mails()
    send_mails()
    [got] = server.got
    assert (got["To"], got.get_content_type()) == ("dora@example.com", "text/plain")
    [sent] = Mail.objects.all()
    assert got["Message-ID"] == f"<mail-{sent.uid.hex}@prompts.example.com>"
    assert (got["Auto-Submitted"], got["List-Unsubscribe-Post"]) == ("auto-generated", "List-Unsubscribe=One-Click")
    assert got["List-Unsubscribe"].strip().startswith("<https://prompts.example.com/mail/off/")
    text = got.get_content().replace("\r\n", "\n")
    assert text.count("http") == 1 and "\nhttps://prompts.example.com/admin/prompts/prompt/5/change/\n" in text
    assert "PromptLab mentioned you" in text and "Grüße" in text and "Please look at this." in text
    assert (sent.state, sent.attempts) == (State.DELIVERED, 1) and sent.delivered_at is not None


def test_over_plain_http_one_click_is_not_offered(team: Team, person: User, settings: Any) -> None:
    settings.SITE_URL = "http://127.0.0.1:9000"
    write(team, person)
    send_mails()
    [got] = django_mail.outbox
    assert "List-Unsubscribe" in got.extra_headers and "List-Unsubscribe-Post" not in got.extra_headers


def test_a_line_end_in_a_name_begins_no_header(team: Team, person: User) -> None:
    write(team, person, prompt="Greeting\r\nBcc: everybody@example.com", excerpt="one\n\ntwo" + "x" * 400)
    send_mails()
    [got] = django_mail.outbox
    assert got.subject == "PromptLab mentioned you on Greeting Bcc: everybody@example.com"
    assert got.recipients() == ["dora@example.com"]
    assert "one two" in got.body and "x" * 290 in got.body and "x" * 300 not in got.body


def test_html_in_a_name_stays_as_it_was_written(team: Team, person: User) -> None:
    write(team, person, prompt="<b>A & B</b>")
    send_mails()
    assert "<b>A & B</b>" in django_mail.outbox[0].subject and "&lt;" not in django_mail.outbox[0].body


def test_what_is_rolled_back_is_never_told(team: Team, person: User) -> None:
    with transaction.atomic():
        write(team, person)
        transaction.set_rollback(True)
    send_mails()
    assert (django_mail.outbox, Mail.objects.count()) == ([], 0)


@pytest.mark.django_db(transaction=True)
def test_a_mail_outside_a_transaction_is_a_mistake() -> None:
    with pytest.raises(AssertionError):
        mailing.tell(SYSTEM, MailKind.MENTION, [1], make_team().pk, Page("prompts_prompt_change", 1))


LEAVING: dict[str, Callable[[User], object]] = {
    "switched off": lambda one: User.objects.filter(pk=one.pk).update(is_active=False),
    "without an address": lambda one: User.objects.filter(pk=one.pk).update(email=""),
    "not of the team": lambda one: Membership.objects.filter(user=one).delete(),
    "does not want it": lambda one: MailOff.objects.create(user=one, kind=MailKind.MENTION),
}


@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING.keys())
def test_who_is_not_there_is_not_written_to_before_nor_after(
    team: Team, person: User, leave: Callable[[User], object]
) -> None:
    write(team, person)
    leave(person)
    send_mails()
    assert (django_mail.outbox, Mail.objects.count()) == ([], 0)
    write(team, person)
    assert Mail.objects.count() == 0


def test_another_kind_is_not_stopped_with_it(team: Team, person: User) -> None:
    MailOff.objects.create(user=person, kind=MailKind.PLAN_FAILED)
    write(team, person)
    assert Mail.objects.count() == 1


def test_nobody_is_told_of_their_own_doing(team: Team, person: User) -> None:
    with transaction.atomic():
        told = mailing.tell(
            principal_of_user(person), MailKind.MENTION, [person.pk, None], team.pk, Page("prompts_prompt_change", 1)
        )
    assert (told, Mail.objects.count()) == (0, 0)


def test_it_is_tried_again_under_the_same_message_id_until_it_works(team: Team, person: User, server: Mailbox) -> None:
    server.script.extend(["451 later", "250 ok"])
    write(team, person)
    send_mails()
    waiting = Mail.objects.get()
    assert (waiting.state, waiting.last_error) == (State.FAILED, "SMTPRecipientsRefused 451")
    assert waiting.next_at > timezone.now()
    send_mails()
    assert server.got == [], "not before its time"
    come_due()
    send_mails()
    assert [one["Message-ID"] for one in server.got] == [letters.letter(waiting).extra_headers["Message-ID"]]
    assert Mail.objects.get().state == State.DELIVERED


def test_an_address_that_is_refused_for_good_is_given_up_and_the_next_one_goes(
    team: Team, person: User, server: Mailbox
) -> None:
    write(team, person, make_user("emil", team, Role.WRITER, email="emil@example.com"))
    server.script.append("550 nobody here")
    send_mails()
    assert sorted(Mail.objects.values_list("state", flat=True)) == [State.DEAD, State.DELIVERED]
    assert (len(server.got), server.connections) == (1, 1)


def test_without_a_server_it_waits_and_after_days_it_is_given_up(team: Team, person: User, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    write(team, person)
    waited = timedelta()
    for _ in range(len(leasing.WAITS_S) + 1):
        send_mails()
        one = Mail.objects.get()
        waited += one.next_at - timezone.now()
        come_due()
    assert (one.state, one.attempts, one.last_error) == (State.DEAD, 10, "ConnectionRefusedError")
    assert timedelta(days=3) < waited < timedelta(days=6)
    send_mails()
    assert Mail.objects.get().attempts == 10


def test_one_that_cannot_be_worded_is_not_in_the_way_of_the_next(
    team: Team, person: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(team, person)
    write(team, person)
    first, second = Mail.objects.order_by("id")
    Mail.objects.filter(pk=first.pk).update(kind="painted")
    monkeypatch.setattr(mail_sending, "_is_wanted", lambda mail: True)
    send_mails()
    assert Mail.objects.get(pk=second.pk).state == State.DELIVERED
    assert Mail.objects.get(pk=first.pk).last_error == "unexpected" and "painted" in caplog.text


def test_neither_addresses_nor_words_reach_the_log(
    team: Team, person: User, server: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    server.script.append("451 dora@example.com is busy")
    write(team, person)
    send_mails()
    come_due()
    send_mails()
    assert "mail_failed" in caplog.text and "mail_sent" in caplog.text
    assert "dora" not in caplog.text.lower() and "Please look" not in caplog.text


def test_what_a_dead_process_had_claimed_is_sent_again(
    team: Team, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    def die(*args: object) -> None:
        raise Died

    write(team, person)
    with monkeypatch.context() as patch:
        patch.setattr(leasing, "delivered", die)
        with pytest.raises(Died):
            mail_sending.send_due()
    assert mail_sending.send_due() == 0, "the lease still runs"
    come_due()
    assert mail_sending.send_due() == 1
    first, again = django_mail.outbox
    assert first.extra_headers["Message-ID"] == again.extra_headers["Message-ID"]
    assert Mail.objects.get().state == State.DELIVERED


def test_a_slow_server_gets_no_mail_after_half_of_the_lease(
    team: Team, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leasing, "LEASE", timedelta(0))
    write(team, person)
    mail_sending.send_due()
    assert django_mail.outbox == [] and Mail.objects.get().state == State.WAITING


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_senders_at_once_never_send_the_same() -> None:
    team = make_team()
    person = make_user("dora", team, Role.WRITER, email="dora@example.com")
    for _ in range(30):
        write(team, person)

    def send() -> int:
        try:
            return sum(iter(lambda: mail_sending.send_due(5), 0))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        counts = [future.result() for future in [pool.submit(send) for _ in range(4)]]
    assert sum(counts) == len(django_mail.outbox) == 30
    assert len({one.extra_headers["Message-ID"] for one in django_mail.outbox}) == 30
