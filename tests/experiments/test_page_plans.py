"""What the pages about experiments, launches and use ask of the database: few statements, and no table of events is scanned."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.experiments.test_dashboard import browser
from tests.support.cast import Cast
from tests.support.eventful import World, make_world

EVENTS = 400
PAGES = {
    "experiment": "/dashboards/experiments/{experiment}/",
    "refreshes": "/dashboards/experiments/{experiment}/live/",
    "list": "/dashboards/experiments/",
    "launch": "/admin/experiments/ramp/{ramp}/change/",
    "use": "/dashboards/usage/?days=90",
    "use of a prompt": "/dashboards/usage/prompts/{prompt}/?days=90",
    "use in a place": "/dashboards/usage/?days=90&environment=production&team={team}",
    "use of a prompt in a place": "/dashboards/usage/prompts/{prompt}/?days=90&environment=production",
    "use by version": "/admin/feedback/feedback/usage/{prompt}/?days=90",
    "calls": "/dashboards/usage/prompts/{prompt}/calls/?days=90",
    "calls of a version": "/dashboards/usage/prompts/{prompt}/calls/?days=90&version=1&before=9007199254740991",
    "what changed": "/dashboards/usage/changes/?days=90",
    "money": "/dashboards/usage/money/?days=90",
    "unused": "/dashboards/usage/unused/",
}
SCAN = re.compile(r"Seq Scan on (feedback_|chat_message|chat_conversation|experiments_experimentunit)")


def asked(cast: Cast, address: str) -> list[str]:
    """Return the statements of a page, asked for the second time."""
    client = browser(cast.cleo)
    assert client.get(address).status_code == 200
    with CaptureQueriesContext(connection) as statements:
        client.get(address)
    return [one["sql"] for one in statements]


def address_of(world: World, page: str) -> str:
    parts = {"experiment": world.experiment.key, "ramp": world.ramp.pk, "team": world.experiment.team_id}
    return PAGES[page].format(**parts, prompt=world.changing.pk)


@pytest.mark.django_db
def test_every_page_takes_twelve_statements_at_most(cast: Cast) -> None:
    world = make_world(cast.team, EVENTS, days=4)
    taken = {page: len(asked(cast, address_of(world, page))) for page in PAGES}
    # The pages of a prompt have a header and tabs of their own.
    most = {page: 20 if address.startswith("/admin/feedback/") else 12 for page, address in PAGES.items()}
    assert {page: number for page, number in taken.items() if number > most[page]} == {}


@pytest.mark.postgres
@pytest.mark.django_db
def test_no_page_scans_a_table_of_events(cast: Cast) -> None:
    """Each month has indexes for whatever is asked. With scans made dear, one is in a plan only where there is no index."""
    world = make_world(cast.team, EVENTS, days=4)
    statements = {page: asked(cast, address_of(world, page)) for page in PAGES}
    plans: dict[str, list[str]] = {page: [] for page in PAGES}
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for page, of_page in statements.items():
            for sql in of_page:
                if sql.startswith("SELECT"):
                    cursor.execute(f"EXPLAIN {sql}")
                    plans[page].append("\n".join(line for (line,) in cursor.fetchall()))
    scanning = {page: [plan for plan in of_page if SCAN.search(plan)] for page, of_page in plans.items()}
    assert {page: found for page, found in scanning.items() if found} == {}
    # Or nothing that was looked at is about events at all.
    assert any(re.search(r"Index.* on chat_message_\d+_\d+", plan) for plan in plans["experiment"])
    assert any(re.search(r"Index.* on feedback_feedback_\d+_\d+", plan) for plan in plans["use"])
