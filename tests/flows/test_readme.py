"""The README's tour, pasted line by line into a shell, against a live server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from tests.flows.server import LiveServer

pytestmark = [pytest.mark.flow, pytest.mark.timeout(180)]
README = Path(settings.BASE_DIR, "README.md")


def tour() -> list[str]:
    """Return every command of the tour, in order."""
    text = README.read_text().split("## A tour", 1)[1].split("## Where to read on", 1)[0]
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.S)
    return [line for block in blocks for line in block.strip().splitlines()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("t")) as running:
        yield running


@pytest.mark.skipif(shutil.which("curl") is None, reason="the tour is told with curl")
def test_every_command_of_the_tour_works_as_pasted(server: LiveServer) -> None:
    env = {**os.environ, "PROMPTLAB_URL": server.base, "PROMPTLAB_API_KEY": server.key}
    commands = tour()
    assert len(commands) >= 12
    script = "set -e\n" + "\n".join(f"{command}\necho; echo '--- {n}'" for n, command in enumerate(commands))
    done = subprocess.run(
        ["bash"], input=script, cwd=settings.BASE_DIR, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers = re.split(r"\n--- \d+\n", done.stdout)[:-1]
    assert len(answers) == len(commands)
    for command, answer in zip(commands, answers, strict=True):
        assert '"code"' not in answer and "Traceback" not in answer, f"{command}\n{answer}\n{done.stderr[-800:]}"
    assert "Summarise in one sentence: The parcel is late." in done.stdout
    assert '"rated":1' in done.stdout and '"kind":"rollback"' in done.stdout and '"done":true' in done.stderr


def test_the_readme_names_only_files_that_exist() -> None:
    for target in re.findall(r"\]\(([^)h#][^)]*)\)", README.read_text()):
        assert Path(settings.BASE_DIR, target).exists(), target
