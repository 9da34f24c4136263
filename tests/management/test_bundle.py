"""`manage.py bundle`: what the SDK starts from when nothing else is there."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from promptlab_sdk import Prompts
from promptlab_sdk.errors import PromptLabError

from tests.support.make import make_live, make_prompt, make_team, newest

pytestmark = pytest.mark.django_db(transaction=True)


def written(**options: Any) -> str:
    out = StringIO()
    call_command("bundle", environment="production", stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def team(settings: Any) -> Any:
    settings.BUNDLE_KEY = "shared with the applications"
    team = make_team("Shop")
    make_live(newest(make_prompt(team, "Hello {{name}}.", title="Greeting")))
    return team


def test_the_sdk_starts_from_a_signed_file(team: Any, tmp_path: Path) -> None:
    lock = tmp_path / "prompts.lock"
    lock.write_text(written(sign=True, key_id="2026-11"))
    keys = {"2026-11": "shared with the applications"}
    with Prompts.connect(
        "http://127.0.0.1:9", offline=True, bootstrap=lock, bootstrap_key=keys, cache_dir=False
    ) as one:
        assert one.get("greeting", "production", name="Ada") == "Hello Ada."


def test_a_changed_file_is_refused(team: Any, tmp_path: Path) -> None:
    lock = tmp_path / "prompts.lock"
    lock.write_text(written(sign=True).replace("Hello", "Goodbye"))
    with pytest.raises(PromptLabError, match="signature"):
        Prompts.connect(
            "http://127.0.0.1:9", offline=True, bootstrap=lock, bootstrap_key=b"shared with the applications"
        )


def test_without_signing_it_is_the_bundle(team: Any) -> None:
    said = json.loads(written())
    assert (said["environment"], [one["name"] for one in said["prompts"]]) == ("production", ["greeting"])


def test_what_is_missing_is_said(team: Any, settings: Any) -> None:
    with pytest.raises(CommandError, match="no team Nobody"):
        written(team="Nobody")
    with pytest.raises(CommandError, match="no environment nowhere"):
        call_command("bundle", environment="nowhere")
    make_team()
    with pytest.raises(CommandError, match="--team"):
        written()
    settings.BUNDLE_KEY = ""
    with pytest.raises(CommandError, match="BUNDLE_KEY"):
        written(team="Shop", sign=True)
