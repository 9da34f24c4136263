"""The first start: demo data, an administrator, an API key. It is repeated until its secrets were shown."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction

from promptlab.accounts import services
from promptlab.accounts.access import SYSTEM, Role, Scope
from promptlab.accounts.models import ApiKey, Team, User
from promptlab.audit.recorder import record

ADMINISTRATOR = "admin"
TEAM = "Demo"
KEY_NAME = "demo"
CALLS_PER_HOUR = 10_000
READABLE = "abcdefghjkmnpqrstuvwxyz23456789"
"""No letters and digits that look alike."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is shown once and stored nowhere in the clear."""

    password: str
    key: str


class FirstStart:
    """The marker file says that a first start of this database began and its secrets were not shown yet."""

    def __init__(self, folder: Path | None = None) -> None:
        self.marker = (folder or settings.VAR_DIR) / "first-start-unfinished"

    def is_due(self) -> bool:
        """Tell whether nobody was let in yet: there are no people but the demo's, or the secrets were not shown."""
        if self.marker.exists() and self.marker.read_text() == _this_database():
            return True
        has_administrator = User.objects.filter(username=ADMINISTRATOR).exists()
        return not has_administrator and not User.objects.exclude(memberships__team__name=TEAM).exists()

    def begin(self) -> Secrets:
        """Write the demo data, the administrator and the key, and return what has to be shown."""
        self.marker.write_text(_this_database())
        call_command("seed_demo", verbosity=0)
        team = Team.objects.get(name=TEAM)
        with transaction.atomic():
            return Secrets(_fresh_administrator(team), _fresh_key(team))

    def finish(self) -> None:
        """Note that the secrets were shown. From now on nobody makes them again."""
        self.marker.unlink(missing_ok=True)


def _this_database() -> str:
    """Return what tells databases apart: a marker must never make us reset another one's administrator."""
    place = {name: str(connection.settings_dict[name]) for name in ("ENGINE", "HOST", "PORT", "NAME")}
    return hashlib.sha256(repr(place).encode()).hexdigest()


def readable_password() -> str:
    """Return 79 random bits as four groups of four."""
    groups = ["".join(secrets.choice(READABLE) for _ in range(4)) for _ in range(4)]
    return "-".join(groups)


def _fresh_administrator(team: Team) -> str:
    password = readable_password()
    person, is_new = User.objects.get_or_create(username=ADMINISTRATOR)
    person.is_staff = person.is_superuser = person.is_active = True
    person.set_password(password)
    person.save()
    services.add_member(SYSTEM, team, person, Role.ADMINISTRATOR)
    record(SYSTEM, "person.created" if is_new else "person.password_reset", person, team_id=team.pk)
    return password


def _fresh_key(team: Team) -> str:
    for unseen in ApiKey.objects.usable().filter(team=team, name=KEY_NAME):
        services.revoke_key(SYSTEM, unseen, note="The start that made it was interrupted.")
    return services.issue_key(SYSTEM, team, name=KEY_NAME, scopes=list(Scope), calls_per_hour=CALLS_PER_HOUR)[1]
