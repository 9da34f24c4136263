"""The house's walls: imports, foreign keys and task names go down, and a wrong one is found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import current_app
from django.apps import apps
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
PARTS = ("promptlab", "prompts", "experiments", "feedback", "sdk", "pyproject.toml")
FLOOR = {"audit": 1, "accounts": 2, "llm": 3, "hooks": 3, "prompts": 4, "experiments": 5, "chat": 6, "feedback": 7}

WRONG = {
    "Floors: every import goes down": ("prompts/services/authoring.py", "import experiments.delivery"),
    "Inside promptlab/": ("promptlab/lib/queue.py", "import promptlab.accounts.access"),
    "Inside an app": ("prompts/services/authoring.py", "import prompts.api.views"),
    "The kernel is standard library only": ("sdk/promptlab_sdk/kernel/template.py", "import httpx"),
    "The SDK never imports the server": ("sdk/promptlab_sdk/client.py", "import promptlab.lib.env"),
    "The server uses the SDK's kernel": ("promptlab/lib/queue.py", "import promptlab_sdk.client"),
    "One door to language models": ("prompts/services/authoring.py", "import promptlab.llm.gateway"),
    "Provider SDKs are imported": ("promptlab/llm/gateway.py", "import openai"),
    "One door to Redis": ("promptlab/lib/queue.py", "import redis"),
    "Services, tasks and models know no HTTP": ("prompts/services/authoring.py", "import rest_framework"),
    "Statistics know no Django": ("experiments/stats/proportion.py", "import django"),
    "Charts draw numbers": ("promptlab/lib/charts/rows.py", "import promptlab.audit.models"),
}
"""Contract -> (file, a line that breaks it)."""


def lint_imports(where: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    env = {**os.environ, "PYTHONPATH": f"{where}{os.pathsep}{where / 'sdk'}"}
    return subprocess.run(command, cwd=where, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("house")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, where / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "static"))
        else:
            shutil.copy(source, where / part)
    return where


def test_every_contract_is_kept(copy: Path) -> None:
    done = lint_imports(copy)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]


@pytest.mark.parametrize("contract", WRONG)
def test_a_wrong_import_breaks_its_contract(copy: Path, contract: str) -> None:
    name, line = WRONG[contract]
    file = copy / name
    right = file.read_text()
    file.write_text(f"{right}\n{line}\n")
    try:
        done = lint_imports(copy)
    finally:
        file.write_text(right)
    broken = [row for row in done.stdout.splitlines() if " BROKEN" in row]
    assert done.returncode != 0 and any(contract in row for row in broken), (
        broken,
        done.stdout[-1500:],
        done.stderr[-800:],
    )


def wrong_foreign_keys() -> Iterator[str]:
    for model in apps.get_models():
        for field in model._meta.get_fields():
            if not (field.concrete and field.is_relation and field.related_model):
                continue
            here, there = model._meta.app_label, field.related_model._meta.app_label
            if here == there or here not in FLOOR or there not in FLOOR:
                continue
            if FLOOR[there] > FLOOR[here]:
                yield f"{model._meta.label}.{field.name} points up, to {there}"
            elif not field.remote_field.hidden:
                yield f"{model._meta.label}.{field.name} is visible from {there}: related_name='+'"


def test_foreign_keys_point_down_and_cannot_be_seen_from_below() -> None:
    assert list(wrong_foreign_keys()) == []


def test_every_scheduled_and_routed_task_is_registered() -> None:
    scheduled = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert scheduled <= set(current_app.tasks)


def test_every_task_takes_a_known_queue() -> None:
    ours = [name for name in current_app.tasks if name.split(".")[0] in ("chat", "feedback", "prompts", "experiments")]
    assert ours
    routes = tuple(pattern.removesuffix("*") for pattern in settings.CELERY_TASK_ROUTES)
    assert all(name.startswith(routes) for name in ours), ours


def test_no_signal_receiver_stands_anywhere() -> None:
    for file in (path for part in PARTS[:4] for path in (ROOT / part).rglob("*.py")):
        assert ".connect(" not in file.read_text() or "signal" not in file.read_text(), file
