"""Telling people by mail: a row for each of them, in the transaction in which it happened. What is rolled back is never told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Q, QuerySet
from django.urls import reverse

from promptlab.accounts.access import OF_ROLE, Principal
from promptlab.accounts.models import Membership, User
from promptlab.hooks.models import Mail, MailKind, MailOff
from promptlab.lib.queue import enqueue_on_commit

SEND_TASK = "hooks.send_mails"
LONGEST = 300
"""Characters of a text that a mail repeats."""


class Page(NamedTuple):
    """The page that a mail leads to: the name of an editors' address, and the id of what it shows."""

    name: str
    pk: int

    @property
    def path(self) -> str:
        return reverse(f"admin:{self.name}", args=[self.pk])


def tell(
    actor: Principal, kind: MailKind, people: Iterable[int | None], team_id: int, where: Page, **facts: str | int | None
) -> int:
    """Write a mail to each of these people (ids; None is nobody) who wants to hear of `kind`; return how many.

    Nobody is told of their own doing. `facts`: names, numbers and labels, and one `excerpt`, which is cut; no texts of
    prompts. Belongs into the caller's transaction.
    """
    assert transaction.get_connection().in_atomic_block, "A mail is written in the transaction that it tells of."
    wanted = {one for one in people if one is not None and one != actor.user_id}
    if not wanted:
        return 0
    said = {"actor": actor.label, **{name: _short(value) for name, value in facts.items()}}
    mails = [
        Mail(team_id=team_id, user_id=pk, kind=kind, facts=said, path=where.path)
        for pk in readers(kind, team_id).filter(pk__in=wanted).order_by("pk").values_list("pk", flat=True)
    ]
    Mail.objects.bulk_create(mails)
    if mails:
        enqueue_on_commit(SEND_TASK)
    return len(mails)


def readers(kind: str, team_id: int) -> QuerySet[User]:
    """Return who hears of `kind` in the team: its people who may sign in, have an address and did not switch it off."""
    held = Membership.objects.filter(team_id=team_id)
    here = Q(pk__in=held.values("user_id")) | Q(is_superuser=True)
    off = MailOff.objects.filter(kind=kind)
    return User.objects.filter(here, is_active=True).exclude(email="").exclude(pk__in=off.values("user_id"))


def holders(capability: str, team_id: int) -> list[int]:
    """Return the ids of the people to whom a role in the team grants `capability`."""
    roles = [role for role, granted in OF_ROLE.items() if capability in granted]
    held = Membership.objects.filter(team_id=team_id, role__in=roles)
    return list(held.values_list("user_id", flat=True).distinct().order_by())


def _short(value: Any) -> Any:
    """Return a text as one line that is not too long."""
    if not isinstance(value, str):
        return value
    line = " ".join(value.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
