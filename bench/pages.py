#!/usr/bin/env python
"""Count the statements of every editors' page: of the demo, and with 5,000 prompts of five versions beside it.

Every kind of page that links lead to is opened once, in both. On SQLite in a folder of its own, or in the empty database that
DATABASE_URL names. What takes more statements than it may, or more with many rows than with few, has a star.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "sdk"), str(HERE.parent)]
FOLDER = tempfile.TemporaryDirectory(prefix="promptlab-pages-")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promptlab.settings")
os.environ |= {"SECRET_KEY": "bench " * 10, "PROMPTLAB_VAR": FOLDER.name}

import django  # noqa: E402

django.setup()

import catalogue  # noqa: E402
from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.models import OuterRef, Subquery  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from promptlab.accounts.access import SYSTEM, Role  # noqa: E402
from promptlab.accounts.models import User  # noqa: E402
from promptlab.accounts.services import add_member  # noqa: E402
from promptlab.management.demo import demo_team  # noqa: E402
from prompts.models import Prompt, Version  # noqa: E402
from tests.support.walking import kind_of, links_on, registered_pages  # noqa: E402

STATEMENTS = {
    "admin:index": 15,
    "admin:prompts_prompt_changelist": 16,
    "admin:prompts_prompt_deploy": 20,
    "admin:prompts_prompt_promote": 20,
    "admin:prompts_prompt_": 14,
    "admin:chat_conversation_try": 14,
    "admin:experiments_experiment_of_prompt": 14,
    "admin:feedback_feedback_usage": 14,
    "dashboards:experiment": 12,
    "admin:prompts_reviewrequest_changelist": 8,
}
"""What opening a page may ask of the database, by the beginning of its kind; the first that fits counts."""
EVERYTHING_ELSE = 20
TURNS = 3


@dataclass(frozen=True)
class Cost:
    """What opening a page took: statements, and the middle of three times."""

    statements: int
    ms: float
    size: int


def most_statements(kind: str) -> int:
    """Return how many statements opening a page of this kind may take."""
    return next((most for name, most in STATEMENTS.items() if kind.startswith(name)), EVERYTHING_ELSE)


def opened(client: Client, url: str) -> tuple[Cost, str] | None:
    """Open a page a few times; None for a file, or for what leads elsewhere."""
    times = []
    for _ in range(TURNS):
        began = time.perf_counter()
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(url)
        times.append((time.perf_counter() - began) * 1000)
    if answer.status_code != 200 or not answer.headers["Content-Type"].startswith("text/html"):
        return None
    return Cost(len(queries), statistics.median(times), len(answer.content)), answer.content.decode()


def walk(client: Client) -> dict[str, tuple[str, Cost]]:
    """Return of each kind of page the first address that links lead to, and what it cost."""
    waiting, found = deque(["/admin/", *registered_pages(), "/admin/prompts/prompt/?q=support"]), {}
    tried: set[str] = set()
    while waiting:
        url = waiting.popleft()
        kind = kind_of(url)
        if url in tried or kind in found or url.endswith(".csv"):
            continue
        tried.add(url)
        page = opened(client, url)
        if page is not None:
            found[kind] = url, page[0]
            waiting.extend(links_on(url, page[1]))
    return found


def grow(prompts: int, versions: int) -> None:
    """Put so many prompts of so many versions into the demo's team, each live in production."""
    catalogue.fill(prompts)
    ours = Prompt.objects.filter(name__startswith="bench-")
    Version.objects.bulk_create(
        (
            Version(prompt_id=prompt, number=number, text=f"Text {number} of {prompt}.", checksum=f"{prompt}-{number}")
            for prompt in ours.values_list("pk", flat=True)
            for number in range(2, versions + 1)
        ),
        batch_size=2_000,
    )
    newest = Version.objects.filter(prompt=OuterRef("pk")).order_by("-number").values("pk")[:1]
    ours.update(newest=Subquery(newest), owner=User.objects.get(username="ana"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=5_000)
    parser.add_argument("--versions", type=int, default=5)
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    settings.ALLOWED_HOSTS = ["testserver"]
    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    call_command("seed_demo", verbosity=0)
    person = User.objects.create_user("cleo")
    add_member(SYSTEM, demo_team(), person, Role.ADMINISTRATOR)
    client = Client()
    client.force_login(person)
    few = walk(client)
    grow(options.prompts, options.versions)
    print(f"{Prompt.objects.count():,} prompts, {Version.objects.count():,} versions\n")
    print(f"{'':52}{'may':>5}{'few':>5}{'many':>6}{'few ms':>9}{'many ms':>9}{'many KB':>9}")
    worst = 0
    for kind, (url, cost) in sorted(few.items()):
        page = opened(client, url)
        if page is None:
            continue
        many, most = page[0], most_statements(kind)
        is_over = many.statements > most or many.statements > cost.statements
        worst += is_over
        counts = f"{most:>5}{cost.statements:>5}{many.statements:>6}"
        print(f"{kind:50}{'*' if is_over else '':2}{counts}{cost.ms:>9.0f}{many.ms:>9.0f}{many.size / 1024:>9.0f}")
    print(f"\n{len(few)} kinds of pages, {worst} with a star")


if __name__ == "__main__":
    main()
