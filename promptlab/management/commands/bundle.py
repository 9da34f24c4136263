"""`manage.py bundle`: every live prompt of an environment in one file, signed, for an application's image."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from promptlab_sdk.kernel import lock

from experiments import bundle
from promptlab.accounts.models import Team
from promptlab.lib.errors import DomainError


class Command(BaseCommand):
    """The file is all that standard output gets."""

    help = "Write every live prompt of an environment to standard output, as the SDK's bootstrap."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--environment", required=True, help="which environment, such as production")
        parser.add_argument("--team", help="the team's name; not needed while there is one team")
        parser.add_argument("--sign", action="store_true", help="write a lock file signed with BUNDLE_KEY")
        parser.add_argument("--key-id", default="", help="what the applications call that key")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["sign"] and not settings.BUNDLE_KEY:
            raise CommandError("Set BUNDLE_KEY to a secret that your applications know, then sign with it.")
        try:
            built = bundle.build(_team(options["team"]).pk, options["environment"])
        except DomainError as error:
            raise CommandError(error.detail) from error
        payload = json.loads(b"".join(built.parts()))
        written = payload if not options["sign"] else _signed(payload, options["key_id"])
        self.stdout.write(json.dumps(written, ensure_ascii=False, indent=1))


def _signed(payload: dict[str, Any], key_id: str) -> dict[str, Any]:
    created_at = datetime.now(UTC).isoformat(timespec="seconds")
    signature = lock.signature(payload, created_at, settings.BUNDLE_KEY)
    return {"payload": payload, "created_at": created_at, "key_id": key_id, "signature": signature}


def _team(name: str | None) -> Team:
    teams = list(Team.objects.filter(**({"name": name} if name else {}))[:2])
    if len(teams) == 1:
        return teams[0]
    if name:
        raise CommandError(f"There is no team {name}.")
    raise CommandError("There is no team yet." if not teams else "There are several teams. Say which with --team.")
