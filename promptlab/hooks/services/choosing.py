"""Which mails a person wants, and the link in each mail that stops its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core import signing
from django.db import transaction
from django.urls import reverse

from promptlab.accounts.access import Principal
from promptlab.accounts.auth import principal_of_user
from promptlab.accounts.models import User
from promptlab.audit.recorder import record
from promptlab.hooks.errors import NoMailForKeys, NoSuchLink, UnknownMailKind
from promptlab.hooks.models import Mail, MailKind, MailOff
from promptlab.lib.errors import FieldProblem

_signer = signing.Signer(salt="promptlab.hooks.mail-off")


def choices_of(user_id: int | None) -> dict[str, bool]:
    """Return every kind of mail and whether the person gets it; nothing for a key, which gets none."""
    if user_id is None:
        return {}
    off = set(MailOff.objects.filter(user_id=user_id).values_list("kind", flat=True))
    return {kind.value: kind.value not in off for kind in MailKind}


def choose_mails(actor: Principal, wanted: Mapping[str, bool]) -> dict[str, bool]:
    """Switch kinds of mail to oneself on or off; those not named stay. Return all of them.

    Raises NoMailForKeys, UnknownMailKind.
    """
    if actor.user_id is None:
        raise NoMailForKeys
    _check(wanted)
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).get(pk=actor.user_id)
        was = choices_of(user.pk)
        changed = {kind: is_on for kind, is_on in wanted.items() if was[kind] != is_on}
        MailOff.objects.filter(user=user, kind__in=[kind for kind, is_on in changed.items() if is_on]).delete()
        MailOff.objects.bulk_create(MailOff(user=user, kind=kind) for kind, is_on in changed.items() if not is_on)
        if changed:
            before = {kind: was[kind] for kind in changed}
            team_id = min(actor.grants, default=None)
            record(actor, "notifications.changed", user, team_id=team_id, before=before, after=changed)
    return {**was, **changed}


def unsubscribe_path(mail: Mail) -> str:
    """Return the address that stops this kind of mail to this person, without signing in. It works for ever."""
    return reverse("mail-off", args=[_signer.sign_object([mail.user_id, mail.kind])])


def opened(token: str) -> tuple[User, MailKind]:
    """Return whose mails of which kind a link is about. Raises NoSuchLink."""
    try:
        user_id, kind = _signer.unsign_object(token)
        return User.objects.get(pk=user_id), MailKind(kind)
    except (signing.BadSignature, User.DoesNotExist, ValueError) as error:
        raise NoSuchLink from error


def unsubscribe(token: str) -> MailKind:
    """Stop the kind of mail that a link is about; again changes nothing. Raises NoSuchLink."""
    user, kind = opened(token)
    choose_mails(principal_of_user(user), {kind.value: False})
    return kind


def _check(wanted: Mapping[str, Any]) -> None:
    known = [kind.value for kind in MailKind]
    for unknown in sorted(set(wanted) - set(known)):
        error = UnknownMailKind(kind=unknown, known=", ".join(known))
        error.problems = (FieldProblem(f"mail.{unknown}", error.detail, error.code),)
        raise error
