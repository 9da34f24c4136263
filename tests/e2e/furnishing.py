"""What the browser tests need besides the demo: run inside the server's own settings, once."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core.management import call_command
from django.test import Client

from promptlab.accounts import services
from promptlab.accounts.access import SYSTEM, Role, Scope
from promptlab.accounts.models import Team, User
from promptlab.management.demo import demo_team, seeding
from prompts.models import Prompt
from prompts.services.environments import ensure_defaults
from tests.e2e.desk import PASSWORD
from tests.e2e.rooms import write_rooms
from tests.support.hostile import write_hostile
from tests.support.make import make_experiment, make_live, make_model, make_prompt, make_provider, make_version, newest

HANDS = ("mouse", "keys")
SIGNED_IN = ("ana", "cleo", "hugo", "rita", "walter", "petra", "adam")
"""Who need not sign in: what they do is not about that."""


def furnish(model: str) -> str:
    """Write the demo, a team whose prompts the tasks are done with, one that has what the demo has not, and hostile texts.

    Only the second changes while the tests run. A model of theirs is asked at the address `model`.
    """
    seeding.CONVERSATIONS = {"support": 120, "greeting": 12, "triage": 6}
    call_command("seed_demo", verbosity=0)
    demo = demo_team()
    _person("cleo", demo, Role.ADMINISTRATOR)
    moved = _moved(demo, "twice")
    workshop = _team("Workshop")
    _person("rita", workshop, Role.ADMINISTRATOR)
    elsewhere = _team("Elsewhere")
    hugo = _person("hugo", elsewhere, Role.ADMINISTRATOR)
    places = {"moves": f"/admin/prompts/prompt/{moved.pk}/moves/", "rooms": write_rooms(workshop)}
    places |= {"hostile": write_hostile(elsewhere, hugo), **_counter(model)}
    # One hash for all: it is made to take half a second.
    User.objects.update(password=make_password(PASSWORD))
    sessions = {username: _signed_in(username) for username in SIGNED_IN}
    return json.dumps({"sessions": sessions, **places})


def _counter(address: str) -> dict[str, Any]:
    """Write the team that works, and return where, with a key of theirs."""
    team = _team("Counter")
    _person("walter", team, Role.WRITER)
    _person("dora", team, Role.REVIEWER, Role.PUBLISHER)
    _person("petra", team, Role.PUBLISHER)
    _person("adam", team, Role.ADMINISTRATOR)
    make_model(make_provider(team, name="Own server", kind="server", address=address), "scripted")
    places = {hand: _to_take_back(team, hand) for hand in HANDS}
    key = services.issue_key(SYSTEM, team, name="Shop", scopes=list(Scope), calls_per_hour=100_000)[1]
    return {"key": key, **places}


def _team(name: str) -> Team:
    team = services.create_team(SYSTEM, name)
    ensure_defaults(team.pk)
    return team


def _signed_in(username: str) -> str:
    """Return the session of somebody who signed in already."""
    client = Client()
    client.force_login(User.objects.get(username=username))
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def _person(username: str, team: Team, *roles: str) -> User:
    person = User.objects.create_user(username, first_name=username.title())
    for role in roles:
        services.add_member(SYSTEM, team, person, role)
    return person


def _moved(team: Team, name: str) -> Prompt:
    """Return a prompt of which a second version went live."""
    prompt = make_prompt(team, "First {{name}}.", title=f"Going back by {name}", name=f"back-{name}")
    make_live(newest(prompt))
    make_live(make_version(prompt, "Second {{name}}."))
    return prompt


def _to_take_back(team: Team, hand: str) -> dict[str, Any]:
    """Return a prompt with something to go back from, and one whose experiment runs: for one pair of hands."""
    live = _moved(team, hand)
    tried = make_prompt(team, "First {{name}}.", title=f"Stopping by {hand}", name=f"stop-{hand}")
    make_version(tried, "Second {{name}}.")
    experiment = make_experiment(tried, title=f"Stopping by {hand}", key=f"stop-{hand}", running=True)
    asked = make_prompt(team, "First {{name}}.", title=f"Asking by {hand}", name=f"ask-{hand}")
    make_live(newest(asked))
    make_version(asked, "Second {{name}}.")
    return {"back": live.pk, "stop": experiment.key, "asked": asked.pk}
