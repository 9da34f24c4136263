"""`manage.py issue_key`: the key and nothing else, or a sentence that names what there is."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from promptlab.accounts.auth import authenticate
from promptlab.accounts.models import ApiKey, Team


def issue(*words: str) -> str:
    """Run the command for team Acme and return what it printed."""
    printed = StringIO()
    call_command("issue_key", "--name", "shop", *words, stdout=printed)
    return printed.getvalue()


@pytest.fixture
def acme(db: None) -> Team:
    return Team.objects.create(name="Acme")


def test_it_prints_a_key_that_works_and_nothing_else(acme: Team) -> None:
    printed = issue("--team", "Acme", "--scopes", "read, chat")
    principal = authenticate({"x-api-key": printed.strip()})
    assert printed.count("\n") == 1
    assert principal.may("prompt.read", acme.pk) and not principal.may("prompt.write", acme.pk)


def test_limits_are_kept(acme: Team) -> None:
    words = ["--environment", "staging", "--calls-per-hour", "7", "--expires-in-days", "3"]
    issue("--team", "Acme", "--scopes", "read", *words)
    key = ApiKey.objects.get()
    left = key.expires_at - timezone.now()
    assert (key.environments, key.default_environment, key.calls_per_hour) == ("staging", "staging", 7)
    assert timedelta(days=2, hours=23) < left <= timedelta(days=3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--team", "Acmee", "--scopes", "read"], "There is no team 'Acmee'. Teams: Acme."),
        (["--team", "Acme", "--scopes", "reed"], "There is no scope 'reed'. Scopes: read, write, deploy, chat"),
        (["--team", "Acme", "--scopes", ","], "--scopes names no scope. Scopes: read, write"),
        (["--team", "Acme", "--scopes", "read", "--environment", "prod"], "Environments: development, staging"),
        (["--team", "Acme", "--scopes", "read", "--calls-per-hour", "0"], "--calls-per-hour must be at least 1."),
        (["--team", "Acme", "--scopes", "read", "--expires-in-days", "0"], "--expires-in-days must be at least 1."),
    ],
)
def test_a_mistake_is_told_with_what_there_is(acme: Team, words: list[str], said: str) -> None:
    with pytest.raises(CommandError) as told:
        issue(*words)
    assert said in str(told.value)
    assert not ApiKey.objects.exists()
