"""What the browser tests need besides the demo: run inside the server's own settings, once."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.test import Client

from promptlab.accounts import services
from promptlab.accounts.access import SYSTEM, Role, Scope
from promptlab.accounts.models import Team, User
from promptlab.management.demo import demo_team, seeding
from prompts.services.environments import ensure_defaults
from tests.e2e.desk import PASSWORD
from tests.e2e.rooms import write_rooms
from tests.support.hostile import write_hostile
from tests.support.make import make_experiment, make_live, make_prompt, make_version, newest

HANDS = ("mouse", "keys")
PEOPLE = ("ana", "chloe", "cleo", "hugo", "rita")
"""Who need not sign in: what they do is not about that."""


def furnish() -> str:
    """Write the demo, people with one password, what the tasks are done with, and a team of hostile texts."""
    seeding.CONVERSATIONS = {"support": 120, "greeting": 12, "triage": 6}
    call_command("seed_demo", password=PASSWORD, verbosity=0)
    team = demo_team()
    _person("cleo", team, Role.ADMINISTRATOR)
    _person("dora", team, Role.REVIEWER, Role.PUBLISHER)
    places: dict[str, Any] = {hand: _to_take_back(team, hand) for hand in HANDS}
    workshop = services.create_team(SYSTEM, "Workshop")
    ensure_defaults(workshop.pk)
    _person("rita", workshop, Role.ADMINISTRATOR)
    places["rooms"] = write_rooms(workshop)
    elsewhere = services.create_team(SYSTEM, "Elsewhere")
    ensure_defaults(elsewhere.pk)
    places["hostile"] = write_hostile(elsewhere, _person("hugo", elsewhere, Role.ADMINISTRATOR))
    key = services.issue_key(SYSTEM, team, name="Shop", scopes=list(Scope), calls_per_hour=100_000)[1]
    sessions = {username: _signed_in(username) for username in PEOPLE}
    return json.dumps({"key": key, "sessions": sessions, **places})


def _signed_in(username: str) -> str:
    """Return the session of somebody who signed in already."""
    client = Client()
    client.force_login(User.objects.get(username=username))
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def _person(username: str, team: Team, *roles: str) -> User:
    person = User.objects.create_user(username, password=PASSWORD, first_name=username.title())
    for role in roles:
        services.add_member(SYSTEM, team, person, role)
    return person


def _to_take_back(team: Team, hand: str) -> dict[str, Any]:
    """Return a prompt with something to go back from, and one whose experiment runs: for one pair of hands."""
    live = make_prompt(team, "First {{name}}.", title=f"Going back by {hand}", name=f"back-{hand}")
    make_live(newest(live))
    make_live(make_version(live, "Second {{name}}."))
    tried = make_prompt(team, "First {{name}}.", title=f"Stopping by {hand}", name=f"stop-{hand}")
    make_version(tried, "Second {{name}}.")
    experiment = make_experiment(tried, title=f"Stopping by {hand}", key=f"stop-{hand}", running=True)
    asked = make_prompt(team, "First {{name}}.", title=f"Asking by {hand}", name=f"ask-{hand}")
    make_live(newest(asked))
    make_version(asked, "Second {{name}}.")
    return {"back": live.pk, "stop": experiment.key}
