"""A variable that means nothing stops a server; `manage.py check` says all of them at once, with what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

BAD = {"DATABASE_URL": "mysql://somewhere", "REDIS_URL": "http://somewhere", "RATE_LIMIT_PER_HOUR": "many"}


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


@pytest.mark.parametrize("door", ["promptlab.asgi", "promptlab.wsgi"])
def test_a_server_does_not_start_with_defaults_in_their_place(tmp_path: Path, door: str) -> None:
    done = run(tmp_path, "-c", f"import {door}")
    assert done.returncode != 0 and "ImproperlyConfigured" in done.stderr and "DATABASE_URL" in done.stderr


@pytest.mark.parametrize(
    ("address", "site", "expected"),
    [
        ("smtp+tls://a:b@mail.example.com", "", {"promptlab.W004"}),
        ("smtp://a:hush-hush@mail.example.com", "https://prompts.example.com", {"promptlab.W005"}),
        ("smtps://a:b@mail.example.com", "https://prompts.example.com", set()),
        ("", "", set()),
    ],
)
def test_mail_that_leads_nowhere_or_tells_its_password_is_warned_of(
    tmp_path: Path, address: str, site: str, expected: set[str]
) -> None:
    # Of a laptop: with servers named, other settings are asked for as well.
    here = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    env = {**here, "PROMPTLAB_VAR": str(tmp_path), "EMAIL_URL": address, "SITE_URL": site}
    command = [sys.executable, "manage.py", "check"]
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=env, capture_output=True, text=True, check=False)
    assert {one for one in ("promptlab.W004", "promptlab.W005") if one in done.stderr} == expected
    assert done.returncode == 0 and "hush" not in done.stderr
