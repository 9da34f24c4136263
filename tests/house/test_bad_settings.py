"""A variable that means nothing stops a server; `manage.py check` says all of them at once, with what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.checks import Tags, run_checks
from django.test import override_settings

from promptlab.lib.env import env_mail

BAD = {"DATABASE_URL": "mysql://somewhere", "REDIS_URL": "http://somewhere", "RATE_LIMIT_PER_HOUR": "many"}

KNOCK = """
import importlib, sys
from django.core.exceptions import ImproperlyConfigured
for door in sys.argv[1:]:
    try:
        importlib.import_module(door)
    except ImproperlyConfigured as error:
        print(f"{door}: {error}")
"""


def run(tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **BAD, "PROMPTLAB_VAR": str(tmp_path)}
    return subprocess.run(
        [sys.executable, *command], cwd=settings.BASE_DIR, env=env, capture_output=True, text=True, check=False
    )


def test_check_names_every_one_with_a_hint(tmp_path: Path) -> None:
    done = run(tmp_path, "manage.py", "check")
    assert done.returncode != 0
    for name in BAD:
        assert f"(promptlab.E001) {name}: " in done.stderr and f"Correct or remove {name}" in done.stderr


def test_a_server_does_not_start_with_defaults_in_their_place(tmp_path: Path) -> None:
    doors = ("promptlab.asgi", "promptlab.wsgi")
    done = run(tmp_path, "-c", KNOCK, *doors)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == len(doors)
    for door, line in zip(doors, said, strict=True):
        assert line.startswith(f"{door}: ") and "DATABASE_URL" in line


MAIL = [
    ("smtp+tls://a:b@mail.example.com", "", {"promptlab.W004"}),
    ("smtp://a:hush-hush@mail.example.com", "https://prompts.example.com", {"promptlab.W005"}),
    ("smtps://a:b@mail.example.com", "https://prompts.example.com", set()),
    ("", "", set()),
]


@pytest.mark.parametrize(("address", "site", "expected"), MAIL)
def test_mail_that_leads_nowhere_or_tells_its_password_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, address: str, site: str, expected: set[str]
) -> None:
    monkeypatch.setenv("EMAIL_URL", address)
    with override_settings(MAIL_SERVER=env_mail("EMAIL_URL"), SITE_URL_IS_LOCAL=not site):
        found = [one for one in run_checks(tags=[Tags.security]) if one.id in ("promptlab.W004", "promptlab.W005")]
    assert {one.id for one in found} == expected and "hush" not in str(found)


def test_check_warns_of_both_and_tells_no_password(tmp_path: Path) -> None:
    # Of a laptop: with servers named, other settings are asked for as well.
    here = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    address = "smtp://a:hush-hush@mail.example.com"
    env = {**here, "PROMPTLAB_VAR": str(tmp_path), "EMAIL_URL": address, "SITE_URL": ""}
    command = [sys.executable, "manage.py", "check"]
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=env, capture_output=True, text=True, check=False)
    assert "promptlab.W004" in done.stderr and "promptlab.W005" in done.stderr
    assert done.returncode == 0 and "hush" not in done.stderr
